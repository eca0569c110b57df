"""The report as a browser shows it: what one reads and sees, wide and narrow, light and dark."""

import json

import numpy as np
import pytest

from negas.reports.html.report import make_html_report
from negas.visualization.boxes import KNOWN, UNKNOWN
from tests.helpers import fake_runs
from tests.helpers.chromium import Chromium

HOSTILE = "<script>document.title='taken'</script>"
LONG = "a_class_name_without_any_place_to_break_it_that_is_longer_than_a_phone_is_wide"
HISTOGRAM = 0.6 * np.array([0x1B, 0x78, 0x37]) + 0.4 * 255  # bars of ID scores on white
ROC = (0x1F, 0x77, 0xB4)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("profile") / "new") as browser:
        yield browser


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A run with a class that is HTML, one that is long, and one image that is gone."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fake_runs, "ID_NAMES", [HOSTILE, LONG, "car"])
        run = fake_runs.fake_run(folder / "run")
    for image in json.loads((folder / "data/far.json").read_text())["images"]:
        (folder / "data/far" / image["file_name"]).unlink()
    return make_html_report(run)


def share(pixels, colour, within=24):
    return (np.abs(pixels.astype(int) - np.array(colour)).max(-1) < within).mean()


def overflow(browser):
    """How many CSS pixels the page is wider than the window."""
    return browser.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )


def test_names_that_are_html_do_nothing(browser, report):
    browser.open(report, 1280)
    assert browser.evaluate("document.title") == "negas_tiny - OOD detection report"
    assert browser.evaluate("document.scripts.length") == 0
    assert HOSTILE in browser.texts("#confusion")[0]


def test_nothing_is_loaded_and_nothing_breaks_the_policy(browser, report):
    browser.open(report, 1280)
    assert browser.requests == [report.resolve().as_uri()]
    assert browser.messages == []
    pictures = "[...document.images].map(image => image.complete && image.naturalWidth)"
    assert min(browser.evaluate(pictures)) > 100


def test_the_policy_stops_what_gets_in(browser, report, tmp_path):
    """Were a text not escaped, or a picture on the network, the browser would refuse it."""
    html = report.read_text().replace(
        "</main>",
        "<script>document.title = 'taken'</script><img src='https://localhost:9/x.png'></main>",
    )
    (tmp_path / "bad.html").write_text(html)
    browser.open(tmp_path / "bad.html", 1280)
    assert browser.evaluate("document.title") == "negas_tiny - OOD detection report"
    assert sum("Content Security Policy" in text for text in browser.messages) == 2


def test_what_one_sees(browser, report):
    browser.open(report, 1280)
    histogram = browser.screenshot("#plots .plots figure:nth-child(1) img")
    assert share(histogram, HISTOGRAM) > 0.02 and share(histogram, (255, 255, 255)) > 0.4
    assert share(browser.screenshot("#plots .plots figure:nth-child(3) img"), ROC) > 0.002
    known = browser.screenshot("#mistakes h3:first-of-type ~ .crops img")
    assert share(known, KNOWN) > 0.01 and share(known, UNKNOWN) == 0
    assert share(known, (128, 128, 128)) > 0.5  # the image below the box
    unknown = browser.screenshot("#mistakes .crops:last-of-type img")
    assert share(unknown, UNKNOWN) > 0.01 and share(unknown, KNOWN) == 0
    bars = 0.8 * np.array([31, 111, 180]) + 0.2 * 255
    assert share(browser.screenshot("#reliability img"), bars) > 0.05


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_nothing_is_wider_than_the_window(browser, report, width):
    browser.open(report, width)
    assert browser.evaluate("innerWidth") == width
    assert overflow(browser) == 0
    # wide tables scroll in their own frame
    for section in ("scores", "open-set"):
        frame = f"document.querySelector('#{section} .scroll').clientWidth"
        assert browser.evaluate(frame) <= width


def test_sections_stand_in_order_and_fill_the_page(browser, report):
    browser.open(report, 390)
    page = browser.screenshot()
    assert page.shape[1] == 390
    tops = browser.evaluate(
        "[...document.querySelectorAll('section')].map(s => s.getBoundingClientRect().top)"
    )
    assert len(tops) == 10 and tops == sorted(tops)
    bands = np.array_split(page, len(page) // 800)
    assert min(band.std() for band in bands) > 3  # no screen of it is blank


def test_dark_and_light(browser, report):
    grounds = {}
    for dark in (False, True):
        browser.open(report, 1280, dark=dark)
        page = browser.screenshot(".tiles")
        grounds[dark] = np.median(page)
        assert np.abs(page - np.median(page)).max() > 150  # the numbers can be read
    assert grounds[False] > 230 and grounds[True] < 60

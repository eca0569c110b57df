"""The report as a browser shows it: what one reads and sees, wide and narrow, light and dark."""

import json

import numpy as np
import pytest

from negas.metrics import ood_metrics
from negas.reports.html.report import make_html_report
from negas.reports.html.run import load_report_run
from negas.visualization.boxes import KNOWN, UNKNOWN
from tests.helpers import fake_runs
from tests.helpers.chromium import Chromium
from tests.helpers.pictures import share

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


def overflow(browser):
    """How many CSS pixels the page is wider than the window."""
    return browser.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )


def test_names_that_are_html_do_nothing(browser, report):
    browser.open(report, 1280)
    assert browser.evaluate("document.title") == "negas_tiny - OOD detection report"
    assert browser.evaluate("document.scripts.length") == 1
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
    unknown = browser.screenshot("#mistakes .crops:last-of-type img.if-unknown")
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


def judged(browser):
    """What the slider says: tau, the shares of all sets, and the verdicts in the pictures."""
    tau, *shares = browser.texts("#tau output")
    boxes = browser.evaluate(
        "[...document.querySelectorAll('[data-score]')].map(box => [Number(box.dataset.score),"
        "...[...box.querySelectorAll('b')].filter(b => b.checkVisibility()).map(b => b.innerText)])"
    )
    assert boxes and {len(box) for box in boxes} == {2}  # one verdict each
    scores, verdicts = zip(*boxes, strict=True)
    return tau, shares, list(verdicts), scores


def test_the_slider_judges_anew(browser, report):
    run = load_report_run(report.parent)
    values = {name: run.values[name] for name in ("id", "near", "far")}

    def agrees(tau):
        text, shares, verdicts, scores = judged(browser)
        assert text == f"{tau:.4f}"
        counts = [int((each >= tau).sum()) for each in values.values()]
        assert [share.partition("(")[2] for share in shares] == [
            f"{count} of {len(each)})" for count, each in zip(counts, values.values(), strict=True)
        ]
        for text, count, each in zip(shares, counts, values.values(), strict=True):
            assert float(text.partition("%")[0]) == pytest.approx(100 * count / len(each), abs=0.1)
        assert verdicts == ["called known" if s >= tau else "called unknown" for s in scores]

    browser.open(report, 1280)
    agrees(run.tau)
    found = ood_metrics(values["id"], values["near"])
    assert judged(browser)[1][1].startswith(f"{100 * found.fpr95:.1f}%")
    browser.evaluate("document.getElementById('tau-slider').focus()")
    browser.press("ArrowRight", 3)
    scores = np.unique(np.concatenate([*values.values()]))  # each is a stop of so few boxes
    place = int(np.searchsorted(scores, run.tau)) + 3
    agrees(scores[place])
    browser.press("ArrowLeft", place - 1)
    agrees(scores[1])
    browser.press("End")
    assert all(share.startswith("0.0% (0 of") for share in judged(browser)[1])
    assert set(judged(browser)[2]) == {"called unknown"}
    picture = browser.screenshot("#mistakes .crops img.if-unknown")  # of the first, known before
    assert share(picture, UNKNOWN) > 0.01 and share(picture, KNOWN) == 0
    browser.press("Home")
    assert set(judged(browser)[2]) == {"called known"}
    browser.evaluate("document.querySelector('#tau button').focus()")
    browser.press("Enter")
    agrees(run.tau)
    assert browser.messages == []


def test_the_slider_is_named_and_stays_in_sight(browser, report):
    for width in (1280, 390):
        browser.open(report, width)
        browser.send("Accessibility.enable")
        nodes = browser.send("Accessibility.getFullAXTree")["nodes"]
        (slider,) = [node for node in nodes if node["role"]["value"] == "slider"]
        assert slider["name"]["value"] == "tau" and slider["value"]["value"]
        browser.evaluate("document.querySelector('#mistakes .crops:last-of-type').scrollIntoView()")
        top, height = browser.evaluate(
            "(() => {const b = document.getElementById('tau').getBoundingClientRect();"
            "return [b.top, b.height]})()"
        )
        assert abs(top) < 1 and height < 200

"""The app as a browser shows it: pictures, words, sliders, tables; nothing from elsewhere."""

import json
import re
import shutil
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from negas.visualization.boxes import KNOWN, UNKNOWN
from tests.helpers import fake_runs
from tests.helpers.app_server import AppServer
from tests.helpers.chromium import Chromium
from tests.helpers.pictures import share
from tests.helpers.yolo_world import ROOT

pytestmark = pytest.mark.slow

HOSTILE = "<img src=x onerror=document.title='taken'>"
TABS = {"picture": "#drawn img", "test": "#pictures img", "bank": "#compare"}  # what shows on each
SET = """(([selector, value]) => {
  const item = document.querySelector(selector), kind = Object.getPrototypeOf(item);
  Object.getOwnPropertyDescriptor(kind, "value").set.call(item, value);
  for (const name of ["input", "pointerup"]) item.dispatchEvent(new Event(name, {bubbles: true}));
})"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("profile") / "new") as browser:
        yield browser


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished test with a class that is HTML."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fake_runs, "ID_NAMES", [HOSTILE, "dog", "car"])
        return fake_runs.fake_run(folder / "run")


@pytest.fixture(scope="module")
def server(tmp_path_factory, run):
    """The app as in a clean clone: nothing is calibrated, and no scene is drawn."""
    folder = tmp_path_factory.mktemp("app")
    with AppServer("--run", run, "--val-images", 12, "--max-upload", 0.5, cwd=folder) as server:
        yield server


class Page:
    """What somebody does with the page."""

    def __init__(self, browser, server, width=1280):
        self.browser = browser
        browser.open(server.address, width)
        self.boxes = int(re.search(r"(\d+) boxes", self.when("#said", " boxes"))[1])

    def set(self, selector, value):
        self.browser.evaluate(f"{SET}({json.dumps([selector, value])})")

    def click(self, selector):
        self.browser.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    def tab(self, name):
        place = list(TABS).index(name)
        self.browser.evaluate(f"document.querySelectorAll('button[role=tab]')[{place}].click()")
        self.browser.wait_for(f"document.querySelector('{TABS[name]}')?.offsetWidth > 0")

    def when(self, selector, text):
        """Visible text of an element as soon as it holds another."""
        found = f"(document.querySelector({json.dumps(selector)})?.innerText ?? '')"
        self.browser.wait_for(f"{found}.includes({json.dumps(text)})")
        return self.browser.evaluate(found)

    def rows(self, selector="#boxes"):
        return [row.split("\t") for row in self.browser.texts(f"{selector} tbody tr")]

    def rows_when(self, said):
        self.when("#said", said)
        return self.rows()

    def choose(self, file):
        before = "document.querySelector('#picture img')?.src"
        old = self.browser.evaluate(before)
        self.browser.choose("#picture input[type=file]", file)
        self.browser.wait_for(f"{before} != {json.dumps(old)}")


@pytest.fixture
def page(browser, server):
    yield Page(browser, server)
    hosts = {urlsplit(url).hostname for url in browser.requests if url.startswith("http")}
    assert hosts == {"127.0.0.1"}
    assert browser.evaluate("document.title") == "negas: known or unknown"


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_opens_with_verdicts_and_nothing_is_wider_than_it(browser, server, width):
    page = Page(browser, server, width)
    rows = page.rows()
    assert len(rows) == page.boxes > 1 and {row[2] for row in rows} <= {"known", "unknown"}
    for name in TABS:
        page.tab(name)
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert browser.evaluate(wide) == 0
    assert browser.messages == []


def test_the_slider_judges_anew(page):
    first = page.rows()
    page.set("#tau input[type=range]", 10)  # the browser stops it at its end
    rows = page.rows_when(f"{page.boxes} of them unknown")
    assert [row[2] for row in rows] == ["unknown"] * page.boxes
    kept = [[*row[:2], *row[3:]] for row in rows]
    assert kept == [[*row[:2], *row[3:]] for row in first]
    assert share(page.browser.screenshot("#drawn img"), UNKNOWN) > 0.005
    page.set("#tau input[type=range]", -10)
    assert {row[2] for row in page.rows_when("0 of them unknown")} == {"known"}
    assert share(page.browser.screenshot("#drawn img"), KNOWN) > 0.005
    assert page.browser.evaluate("document.querySelector('#places img').naturalWidth") > 300
    assert page.browser.messages == []


def test_a_picture_and_words_of_ones_own(page, tmp_path):
    picture = tmp_path / "<b>mine.png"
    scene = next((tmp_path.parent.parent).rglob("examples/far_ood/000001.png"))
    shutil.copyfile(scene, picture)
    page.choose(picture)
    page.set("#classes textarea", f"couch, {HOSTILE}, dog")
    page.set("#words textarea", "statue\nhelicopter")
    page.click("#detect")
    page.when("#said", "no calibration of these words")
    rows = page.rows()
    assert {row[1] for row in rows} <= {"couch", HOSTILE, "dog"} and rows
    assert {row[6] for row in rows} <= {"statue", "helicopter"}
    assert {row[2] for row in rows} == {"no verdict"} and {row[5] for row in rows} == {"–"}
    page.set("#tau input[type=range]", -10)
    page.when("#said", "set by hand")
    assert {row[2] for row in page.rows()} == {"known"}
    assert page.browser.messages == []


def test_unknown_objects_have_a_slider_of_their_own(page):
    page.click("#unknown input")
    page.click("#detect")
    page.when("#said", "of unknown objects is not calibrated")
    found = [row for row in page.rows() if row[2] == "unknown object"]
    assert found and all(row[6] != "–" for row in found)
    page.set("#unknown-thr input[type=range]", 1)
    page.when("#said", f"{page.boxes} boxes")
    assert len(page.rows()) == page.boxes
    page.set("#unknown-thr input[type=range]", 0.02)
    page.browser.wait_for(
        "document.querySelectorAll('#boxes tbody tr').length > " + str(page.boxes + 1)
    )
    assert len(page.rows()) >= page.boxes + len(found)


@pytest.mark.parametrize(
    ("selector", "text", "says"),
    [
        ("#classes textarea", " , ", "ID names: there is no word"),
        ("#classes textarea", "cat, Cat", "'Cat' stands there twice"),
        ("#words textarea", "truck, dog", "'dog'"),
        ("#classes textarea", "/etc/passwd.txt\nx\u200by", "U+200B"),
    ],
)
def test_bad_words_are_one_sentence(page, selector, text, says):
    before = page.rows()
    page.set(selector, text)
    page.click("#detect")
    page.browser.wait_for("document.querySelectorAll('#said [role=alert]').length == 1")
    assert says in page.browser.texts("#said")[0] and page.rows() == before


def test_what_is_no_picture_or_too_large_is_told(page, tmp_path):
    bad, large = tmp_path / "bad.png", tmp_path / "large.png"
    bad.write_bytes(b"no image")
    page.choose(bad)
    page.click("#detect")
    page.when("#said", "the picture cannot be read")
    assert str(tmp_path) not in page.browser.texts("#said")[0]
    large.write_bytes(bytes(700_000))
    page.browser.open(page.browser.evaluate("location.href"), 1280)
    page.rows_when(f"{page.boxes} boxes")
    page.browser.choose("#picture input[type=file]", large)
    page.browser.wait_for("document.body.innerText.includes('exceed the maximum')")


@pytest.mark.parametrize("path", ["/etc/hostname", f"{ROOT}/README.md", "README.md", "../../etc"])
def test_files_of_the_machine_are_not_served(server, path):
    with pytest.raises(HTTPError) as told:
        urlopen(f"{server.address}gradio_api/file={path}", timeout=60)
    assert told.value.code in (403, 404)


def test_a_number_out_of_range_is_told(page):
    before = page.rows()
    page.set("#tau input[type=number]", 99)
    page.browser.wait_for("document.body.innerText.includes('Value 99 is greater than maximum')")
    assert page.rows() == before


def test_a_finished_test(page):
    page.tab("test")
    page.when("#run-said", "one an image")
    assert HOSTILE in page.browser.texts("#pictures")[0]
    rates = {row[0]: row[1:] for row in page.rows("#rates")}
    assert rates["ID test"][0] == "TPR" and rates["near-OOD"][0] == "FPR"
    assert float(rates["ID test"][1].rstrip("%")) >= 95
    page.set("#run-tau input[type=range]", 10)
    page.when("#rates", "\t0.0%")
    assert [row[2] for row in page.rows("#rates")] == ["0.0%"] * 3
    assert page.browser.messages == []


def test_another_bank(page):
    page.tab("bank")
    page.set("#try-words textarea", "jet, moon, deer")
    page.click("#compare")
    said = page.when("#bank-said", "tau goes from")
    assert "'jet' names the ID class 'airplane'." in said and "At the old tau" in said
    rows = page.rows("#changes")
    assert len(rows) == page.boxes and {row[5] for row in rows} <= {"jet", "moon", "deer"}
    page.set("#try-words textarea", "airplane")
    page.click("#compare")
    page.when("#bank-said", "which is the ID label")
    assert page.browser.messages == []

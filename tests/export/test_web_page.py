"""The page for browsers in a real one: it says what the runtime in Python says."""

import negas.register  # noqa: F401 - first of all: mmdet can be imported after it

# isort: split
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from negas.apis import Inferencer
from negas.export.page import PACKAGE, export_page, fetch_engine
from negas.export.write import Wanted, export_onnx
from negas.runtime import Detector
from negas.text import UNKNOWN_LABEL
from tests.export.test_export_graph import DETECTORS, TAU
from tests.export.test_unknown_in_graph import WORDS
from tests.helpers.chromium import Chromium
from tests.helpers.folder_server import folder_server
from tests.helpers.shipped_emoji import draw_scenes
from tests.helpers.yolo_world import ROOT
from tests.tools.test_export_tool import run

CLASSES, NEGATIVES = ["dog", "traffic light", "airplane"], ["fox", "wolf", "kite", "truck", "naïve"]
SEARCH = dict(vocabulary=WORDS, score_thr=0.1)
SCORES, BOXES = 1e-4, 1e-2  # differences that docs/export.md allows; boxes in pixels


@pytest.fixture(scope="module")
def package():
    """npm's tarball: NEGAS_ONNXRUNTIME_WEB names one, else it is fetched once into .cache/."""
    return fetch_engine(
        Path(os.environ.get("NEGAS_ONNXRUNTIME_WEB") or ROOT / ".cache" / PACKAGE.name)
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory, package):
    """Pictures, the page's address, and the same detector in a file for Python."""
    place = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        inferencer = Inferencer(
            *DETECTORS["yolo_world"], device="cpu", unknown=SEARCH, show_progress=False
        )
        inferencer.tau = TAU
        export_page(inferencer, place / "page", Wanted(score_thr=0.05), package)
        export_onnx(inferencer, place / "model.onnx", Wanted(mode="open", score_thr=0.05))
        pictures = sorted((draw_scenes(place, 6) / "id_val").glob("*.*"))
    with folder_server(place / "page") as address:
        yield pictures, address, place / "model.onnx"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("profile") / "new") as browser:
        yield browser


def settled(browser):
    """Wait until the page has done what it was told; what it shows of boxes, and of objects."""
    end = time.monotonic() + 120
    while browser.evaluate("document.body.dataset.state") != "ready":
        assert time.monotonic() < end, browser.texts("#status")
        time.sleep(0.05)
    lines = browser.evaluate(
        "[...document.querySelectorAll('#boxes tbody tr')].map(line => "
        "[JSON.parse(line.dataset.row ?? line.dataset.object), line.cells[1].innerText])"
    )
    return [row | dict(verdict=verdict) for row, verdict in lines]


def split(rows):
    """Boxes, and unknown objects."""
    objects = [row["verdict"] == "unknown object" for row in rows]
    return [[r for r, one in zip(rows, objects, strict=True) if one == w] for w in (False, True)]


def act(browser, expression):
    """Do something on the page that it works on."""
    browser.evaluate(f"document.body.dataset.state = 'told'; {expression}")


def look_at(browser, picture):
    act(browser, "null")
    browser.choose("#file", picture)
    return settled(browser)


def agree(rows, results):
    rows, objects = split(rows)
    theirs = results[results.labels == UNKNOWN_LABEL]
    assert [row["like"] for row in objects] == theirs.unknown_like.tolist()
    for key, name in (("score", "confidence"), ("likeScore", "unknown_like_score")):
        found = np.array([row[key] for row in objects])
        np.testing.assert_allclose(found, getattr(theirs, name), rtol=0, atol=SCORES)
    boxes = np.array([row["box"] for row in objects]).reshape(-1, 4)
    np.testing.assert_allclose(boxes, theirs.boxes, rtol=0, atol=BOXES)
    results = results[results.labels != UNKNOWN_LABEL]
    results = results[np.argsort(-results.confidence, kind="stable")]
    assert [row["name"] for row in rows] == results.names.tolist()
    words = {True: "known", False: "unknown", None: "-"}
    assert [row["verdict"] for row in rows] == [words[known] for known in results.known]
    assert [row["like"] for row in rows] == results.unknown_like.tolist()
    for key, name in (
        ("confidence", "confidence"),
        ("idScore", "id_score"),
        ("likeScore", "unknown_like_score"),
    ):
        found = np.array([row[key] for row in rows])
        np.testing.assert_allclose(found, getattr(results, name), rtol=0, atol=SCORES)
    boxes = np.array([row["box"] for row in rows]).reshape(-1, 4)
    np.testing.assert_allclose(boxes, results.boxes, rtol=0, atol=BOXES)
    return len(rows)


@pytest.mark.slow
def test_it_says_what_the_runtime_says(made, browser):
    pictures, address, path = made
    detector = Detector(path)
    browser.open(address, 1280)
    assert settled(browser) == []
    assert browser.texts("#classes, #negatives") and browser.texts("#error") == [""]
    verdicts = set()
    for picture in pictures:
        rows = look_at(browser, picture)
        agree(rows, detector(picture))
        verdicts |= {row["verdict"] for row in rows}
        known = sum(row["verdict"] == "known" for row in rows)
        rows, _ = split(rows)
        says = f"{len(rows)} box{'' if len(rows) == 1 else 'es'}: {known} known"
        assert browser.texts("#status")[0].startswith(says)
    assert verdicts == {"known", "unknown", "unknown object"}
    browser.evaluate("document.getElementById('unknown-thr').focus()")
    browser.press("PageUp", 3)
    detector.unknown_thr = browser.evaluate("document.getElementById('unknown-thr').valueAsNumber")
    assert detector.unknown_thr > 0.2
    agree(settled(browser), detector(pictures[-1]))
    assert all(url.startswith(address) for url in browser.requests)
    assert not any("text" in url for url in browser.requests)  # only for other words
    assert browser.messages == []


@pytest.mark.slow
def test_other_words_and_another_tau(made, browser):
    pictures, address, path = made
    detector = Detector(path)
    browser.open(address, 1280)
    settled(browser)
    act(browser, "null")
    browser.drop("#drop", pictures[0])
    agree(settled(browser), detector(pictures[0]))
    values = {"classes": CLASSES, "negatives": NEGATIVES}
    for name, words in values.items():
        lines = json.dumps("\n".join(["", *words, "  "]))
        browser.evaluate(f"document.getElementById('{name}').value = {lines}")
    act(browser, "document.querySelector('#words [type=submit]').click()")
    detector.set_labels(CLASSES, NEGATIVES)
    boxes = agree(settled(browser), detector(pictures[0]))
    for picture in pictures[1:]:
        boxes += agree(look_at(browser, picture), detector(picture))
    assert browser.evaluate("document.getElementById('unknown').hidden")  # of other words
    assert boxes > 4 and "no verdict" in browser.texts("#status")[0]
    browser.evaluate("document.getElementById('tau').focus()")
    browser.press("ArrowRight", 7)
    detector.tau = browser.evaluate("document.getElementById('tau').valueAsNumber")
    agree(settled(browser), detector(pictures[-1]))
    browser.evaluate("document.getElementById('tau-number').focus()")
    browser.send("Input.insertText", text="-0.5")  # behind what stands there: no number
    browser.evaluate("document.getElementById('tau-number').select()")
    browser.send("Input.insertText", text="-0.5")
    detector.tau = -0.5
    agree(settled(browser), detector(pictures[-1]))
    act(browser, "document.getElementById('own').click()")
    agree(settled(browser), Detector(path)(pictures[-1]))
    assert browser.messages == []


@pytest.mark.slow
def test_what_is_wrong_is_said_and_the_page_goes_on(made, browser, tmp_path):
    pictures, address, path = made
    browser.open(address, 1280)
    settled(browser)
    (tmp_path / "no.png").write_text("text")
    look_at(browser, tmp_path / "no.png")
    assert browser.texts("#error") == ["no.png: no picture that this browser can read"]
    for words, said in (("", "give at least one"), ("x" * 99, "the text encoder takes 32")):
        browser.evaluate(f"document.getElementById('classes').value = '{words}'")
        act(browser, "document.querySelector('#words [type=submit]').click()")
        settled(browser)
        assert said in browser.texts("#error")[0]
    agree(look_at(browser, pictures[0]), Detector(path)(pictures[0]))
    assert browser.texts("#error") == [""] and browser.messages == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_one_can_read_and_reach_it(made, browser, width):
    pictures, address, _ = made
    browser.open(address, width)
    settled(browser)
    look_at(browser, pictures[0])
    excess = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.evaluate(excess) == 0
    browser.send("Accessibility.enable")
    nodes = browser.send("Accessibility.getFullAXTree")["nodes"]
    named = {(n["role"]["value"], n.get("name", {}).get("value")) for n in nodes}
    assert ("slider", "tau") in named and ("spinbutton", "tau as a number") in named
    assert {name for role, name in named if role == "textbox"} >= {
        "Known names, one a line",
        "Negatives, one a line",
    }
    reached = set()
    browser.evaluate("document.activeElement.blur()")
    for _ in range(14):
        browser.press("Tab")
        reached.add(browser.evaluate("document.activeElement.id || document.activeElement.type"))
    assert {"file", "tau", "tau-number", "classes", "negatives", "submit", "own"} <= reached
    painted = browser.screenshot("#picture")
    assert painted.std() > 10 and painted.shape[1] <= width


def test_what_is_wrong_with_the_command_shows_at_once(monkeypatch, capsys, tmp_path):
    of_it = DETECTORS["yolo_world"]
    other = tmp_path / "other.tgz"
    other.write_bytes(b"no package")
    for more, said in (
        (["--web", tmp_path, "--out", "x.onnx"], "leave out --out"),
        (["--onnxruntime-web", other], "--onnxruntime-web is for --web DIR only"),
        (["--web", tmp_path, "--onnxruntime-web", other], "is not npm's onnxruntime-web"),
    ):
        assert run(monkeypatch, "export", *of_it, *more) == 2
        assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["other.tgz"]


@pytest.mark.slow
def test_a_page_of_somebody_else_stays(monkeypatch, capsys, tmp_path, package):
    (tmp_path / "index.html").write_text("mine")
    arguments = ["--web", tmp_path, "--onnxruntime-web", package]
    assert run(monkeypatch, "export", *DETECTORS["yolo_world"], *arguments) == 2
    assert "exists and is no earlier result of this command" in capsys.readouterr().err
    assert (tmp_path / "index.html").read_text() == "mine"


@pytest.mark.slow
def test_the_command_writes_it(monkeypatch, capsys, tmp_path, package):
    arguments = ["--web", tmp_path / "my page", "--onnxruntime-web", package]
    assert run(monkeypatch, "export", *DETECTORS["yolo_world"], *arguments) == 0
    said = capsys.readouterr().out
    assert f"written to {tmp_path / 'my page/index.html'}" in said
    assert f"http.server --bind 127.0.0.1 --directory '{tmp_path / 'my page'}'" in said
    names = {path.name for path in (tmp_path / "my page").rglob("*") if path.is_file()}
    assert {"index.html", "app.js", "model.onnx", "model.text.onnx", "detector.json"} <= names


@pytest.mark.slow
def test_a_detector_of_one_caption_has_no_page(monkeypatch, capsys, tmp_path, package):
    arguments = ["--web", tmp_path / "page", "--onnxruntime-web", package]
    assert run(monkeypatch, "export", *DETECTORS["grounding_dino"], *arguments) == 2
    assert "reads its labels as one caption" in capsys.readouterr().err

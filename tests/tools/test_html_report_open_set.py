"""Open-set metrics on the page: those of ``tools/score.py``; moved files."""

import json
import shutil
from pathlib import Path

import pytest

from negas.records import BoxRecords
from negas.reports.html import report as html_report
from negas.reports.html.report import make_html_report
from tests.helpers.commands import call_tool
from tests.helpers.fake_runs import IMAGES, OOD_NAMES, fake_run, write_data
from tests.helpers.html_cells import Cells

CUT, SEED = 0.6, 171  # with it every kind of box occurs in every set
MISSED = dict(id=2, near=3, far=5)  # images whose objects no box finds
NAMES = {"negs": "NegS", "max_sigmoid": "max sigmoid", "msp": "MSP"}
PERCENT = ("nose_unique", "ap_known", "ap_unknown", "recall_unknown", "precision_unknown")


@pytest.fixture(autouse=True)
def no_plots(monkeypatch):
    """They take most of the time, and are tested elsewhere."""
    monkeypatch.setattr(html_report, "svg_uri", lambda draw: "data:image/svg+xml;base64,")


@pytest.fixture(scope="module")
def shared_run(tmp_path_factory):
    """A run whose sets differ in objects, and in what is missed; tests copy it to change it."""
    root = tmp_path_factory.mktemp("runs")
    write_data(root / "data")
    for name, count in MISSED.items():  # a second object in some images
        truth = root / "data" / f"{name}.json"
        content = json.loads(truth.read_text())
        for image in range(count):
            more = dict(id=100 + image, image_id=image, bbox=[40, 40, 9, 9], area=81, iscrowd=0)
            content["annotations"].append(more | dict(category_id=1))
        truth.write_text(json.dumps(content))
    folder = fake_run(root / "negas", seed=SEED, cut=CUT)
    for name, count in MISSED.items():  # these images have no box at all
        file = folder / "records" / f"{name}.npz"
        records = BoxRecords.load(file)
        records.select(records.image_ids >= count).save(file)
    return folder


@pytest.fixture
def work_dir(shared_run, tmp_path):
    """A copy with data of its own."""
    shutil.copytree(shared_run.parent / "data", tmp_path / "data")
    work_dir = Path(shutil.copytree(shared_run, tmp_path / "negas"))
    for name in ("id_val", "id", *OOD_NAMES):
        file = work_dir / "records" / f"{name}.npz"
        records = BoxRecords.load(file)
        records.meta["ann_file"] = str(tmp_path / "data" / f"{name}.json")
        records.save(file)
    return work_dir


def section(html):
    """The part of the page with the open-set tables."""
    return html[html.index('<section id="open-set"') : html.index('<section id="plots"')]


def tables(html):
    """``{OOD set: [counts in the title, cells of a row, ...]}``."""
    found = {}
    for part in section(html).split('<div class="scroll"')[1:]:
        name, counts = part.split('aria-label="ID and ')[1].split('"')[0].split(": ")
        found[name] = [counts, *Cells("<div " + part).rows[2:]]  # below heading and section
    return found


def as_shown(numbers):
    """The cells of a row, from numbers as ``tools/score.py`` writes them."""

    def text(key, digits):
        value = numbers[key]
        if value is None:
            return "-"
        return f"{100 * value:.1f}" if key in PERCENT else f"{value:.{digits}f}"

    first = [text("a_ose", 0), text("nose", 3), text("nose_unique", 1), text("wi", 3)]
    return [*first, *(text(key, 1) for key in PERCENT[1:]), text("num_unknown", 0)]


@pytest.mark.parametrize(
    ("preset", "score"), [("val_f1", "negs"), ("val_f1", "msp"), ("matched", "negs")]
)
def test_the_numbers_are_those_of_score(shared_run, tmp_path, preset, score):
    work_dir = Path(shutil.copytree(shared_run, tmp_path / "negas"))
    if preset == "matched":  # the page follows the first preset of the test
        file = work_dir / "ood_results.json"
        results = json.loads(file.read_text())
        results["settings"]["presets"] = ["matched", "val_f1"]
        file.write_text(json.dumps(results))
    options = ["--open-set", "--preset", preset, "--bootstrap", 0, "--rotations", 0]
    assert call_tool("score", work_dir, *options, "--out", tmp_path / "out") == 0
    (scored,) = json.loads((tmp_path / "out" / "ood_scores.json").read_text())["runs"]
    expected = {
        (row["ood_set"], row["score"]): row["open_set"]
        for row in scored["rows"]
        if row["control"] == "none"
    }
    shown = tables(make_html_report(work_dir, score=score, pictures=0).read_text())
    assert list(shown) == list(OOD_NAMES)
    for name, (counts, *rows) in shown.items():
        assert f"14 known and {IMAGES + MISSED[name]} unknown objects, " in counts
        assert [row[0] for row in rows] == [NAMES[score], "max sigmoid"]
        for row, label in zip(rows, (score, "max_sigmoid"), strict=True):
            assert row[1:] == as_shown(expected[name, label])
    # rows and sets must be told apart
    assert len({tuple(row[1:]) for _, *rows in shown.values() for row in rows}) == 4


def test_max_sigmoid_as_the_main_score_has_one_row(shared_run, tmp_path):
    out = tmp_path / "x.html"
    page = make_html_report(shared_run, out, score="max_sigmoid", pictures=0).read_text()
    assert [[row[0] for row in rows[1:]] for rows in tables(page).values()] == [["max sigmoid"]] * 2


def test_a_set_without_annotations(work_dir, tmp_path):
    far = tmp_path / "data" / "far.json"
    far.unlink()
    html = make_html_report(work_dir, pictures=0).read_text()
    assert list(tables(html)) == ["near"]
    assert f"No table: its annotations are not on disk: {far}." in section(html)
    (tmp_path / "data" / "id.json").write_text("{")
    text = section(make_html_report(work_dir, pictures=0).read_text())
    assert "<table" not in text
    assert text.count("No table: ID test set: its annotations cannot be read: ") == 2


# --- annotations that have moved ---------------------------------------------------------------
def test_moved_annotations(work_dir, tmp_path):
    before = make_html_report(work_dir).read_text()
    moved = {}
    for name in ("id", "near"):
        moved[name] = (tmp_path / "data" / f"{name}.json").rename(tmp_path / f"{name}_moved.json")
    lost = make_html_report(work_dir).read_text()
    assert "its annotations are not on disk" in lost and not tables(lost)
    given = [f"{name}={file}" for name, file in moved.items()]
    shown = ["--out", tmp_path / "x.html", "--show-dir", tmp_path / "shown"]
    assert call_tool("html_report", work_dir, *shown, "--ann", *given) == 0
    assert (tmp_path / "x.html").read_text() == before


def test_other_annotations_are_told(work_dir, tmp_path):
    content = json.loads((tmp_path / "data" / "near.json").read_text())
    content["annotations"].pop()
    (tmp_path / "other.json").write_text(json.dumps(content))
    page = make_html_report(
        work_dir, pictures=0, annotations={"near": str(tmp_path / "other.json")}
    ).read_text()
    named = ["Annotations unlike those of the test", f"near: {tmp_path}/other.json"]
    assert named in Cells(page).rows
    assert tables(page)["near"][1][-1] == str(IMAGES + MISSED["near"] - 1)
    assert named[0] not in make_html_report(work_dir, pictures=0).read_text()


def test_errors_of_ann_are_those_of_score(work_dir, tmp_path, capsys):
    (tmp_path / "bad.json").write_text("{")
    for given, says in (
        ("near.json", "--ann: expected SET=FILE, got 'near.json'"),
        ("near=", "--ann: expected SET=FILE, got 'near='"),
        ("=x.json", "--ann: expected SET=FILE, got '=x.json'"),
        ("fra=x.json", "; sets: id_val, id, near, far"),
        ("near=lost.json", "the annotations 'lost.json' of the set 'near' do not exist; give"),
        (f"near={tmp_path}/bad.json", "bad.json"),
    ):
        errors = []
        for tool, more in (("html_report", []), ("score", ["--open-set", "--bootstrap", "0"])):
            assert call_tool(tool, work_dir, *more, "--ann", given) == 2
            errors.append(capsys.readouterr().err)
        assert says in errors[0] and errors[0] == errors[1]
        assert len(errors[0].strip().splitlines()) == 2
    assert not (work_dir / "report.html").exists()

"""Every number on the page of a made-up run, against one computed here by plain loops."""

import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from negas.evaluation.run import Run
from negas.files import write_json
from negas.records import BoxRecords
from negas.reports.columns import blocks_of
from negas.reports.html import report as html_report
from negas.reports.html.report import make_html_report
from negas.scores import get_score
from tests.helpers.fake_runs import ID_NAMES, OOD_NAMES, fake_run
from tests.helpers.html_cells import Cells

CUT = 0.6


class Boxes:
    """Boxes of a set: over the cut, their NegS, and whether each lies on the image's object."""

    def __init__(self, folder, name, cut=CUT):
        records = BoxRecords.load(folder / "records" / f"{name}.npz")
        over = np.flatnonzero(records.scores >= np.float32(cut))
        self.image, self.label = records.image_ids[over], records.labels[over]
        self.confidence = records.scores[over]
        self.on_object = over % 2 == 0  # the first box of an image is the object's
        self.score = get_score("negs")(records.id_logits[over], records.neg_logits[over])
        self.right = self.on_object & (self.label == self.image % len(ID_NAMES))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run in which every kind of box occurs: right and wrong, known and unknown."""
    folder = fake_run(tmp_path_factory.mktemp("runs") / "negas", seed=3, cut=CUT)
    file = folder / "records" / "id.npz"
    records = BoxRecords.load(file)
    records.labels[[0, 6]] = (records.labels[[0, 6]] + 1) % len(ID_NAMES)  # wrong on the object
    records.save(file)
    return folder


@pytest.fixture(scope="module")
def plotted():
    return {"histogram": [], "roc": []}


@pytest.fixture(scope="module")
def page(run, plotted, tmp_path_factory):
    """The page; what is plotted on the way is kept, too."""
    histogram, roc = html_report.plot_histogram, html_report.plot_roc

    def keep_histogram(id_scores, ood_scores, score, path):
        plotted["histogram"].append((score, id_scores, ood_scores))
        histogram(id_scores, ood_scores, score, path)

    def keep_roc(curves, path):
        plotted["roc"].append(curves)
        roc(curves, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html_report, "plot_histogram", keep_histogram)
        patch.setattr(html_report, "plot_roc", keep_roc)
        html = make_html_report(run, tmp_path_factory.mktemp("page") / "x.html").read_text()
    return Cells(html)


@pytest.fixture(scope="module")
def sets(run):
    return {name: Boxes(run, name) for name in ("id", "near", "far", "id_val")}


@pytest.fixture(scope="module")
def tau(sets):
    ordered = sorted(sets["id"].score, reverse=True)
    return ordered[math.ceil(0.95 * len(ordered)) - 1]


def percent(part, whole):
    return f"{100 * part / whole:.1f}%"


def squeezed(cells):
    return " ".join(cells.text.split())


def test_counts_above_the_pictures(page, sets, tau):
    for name in OOD_NAMES:
        known = sets[name].score >= tau
        text = f"{known.sum()} of {len(known)} boxes are called known at the run's tau."
        assert text in squeezed(page)
    boxes = sets["id"]
    missed = boxes.right & (boxes.score < tau)
    assert 0 < boxes.right.sum() < boxes.on_object.sum()
    assert (
        f"{missed.sum()} of {boxes.right.sum()} right ID boxes are called unknown there."
        in squeezed(page)
    )


def expected_error(boxes):
    """ECE of ten bins."""
    total = 0.0
    for i in range(10):
        inside = (boxes.confidence >= i / 10) & (boxes.confidence < (i + 1) / 10)
        if inside.any():
            gap = abs(boxes.confidence[inside].mean() - boxes.right[inside].mean())
            total += gap * inside.sum()
    return total / len(boxes.confidence)


def test_the_calibration(page, run):
    everything, over = Boxes(run, "id", 0.0), Boxes(run, "id")
    assert len(over.score) < len(everything.score)
    text = f"(ECE) over all boxes {100 * expected_error(everything):.1f}%, over those above the cut"
    assert f"{text} {100 * expected_error(over):.1f}%." in squeezed(page)


def test_the_thresholds(page, sets, tau):
    facts = {row[0]: row[1] for row in page.rows if len(row) == 2}
    kept = percent((sets["id"].score >= tau).sum(), len(sets["id"].score))
    assert facts["Threshold (tau)"].startswith(f"{tau:.4f}: keeps {kept} of the ID test boxes")
    ordered = sorted(sets["id_val"].score, reverse=True)
    validated = ordered[math.ceil(0.95 * len(ordered)) - 1]
    assert abs(validated - tau) > 1e-3, "the two must be told apart"
    text = facts["Threshold from ID validation"]
    assert text.startswith(f"{validated:.4f}; ")
    for name, title in (("id", "ID test"), ("near", "near"), ("far", "far")):
        share = percent((sets[name].score >= validated).sum(), len(sets[name].score))
        assert f"{share} of {title}" in text


def test_the_headline_and_the_tables_of_all_banks(page, run):
    rows = json.loads((run / "ood_results.json").read_text())["rows"]

    def row_of(ood_set, bank, control, score="negs"):
        wanted = dict(ood_set=ood_set, bank=bank, control=control, score=score, preset="val_f1")
        (row,) = [row for row in rows if all(row[k] == v for k, v in wanted.items())]
        return row

    text = squeezed(page)
    for name in OOD_NAMES:
        mine, turned = row_of(name, "model", "none"), row_of(name, "model", "rotated")
        plain = row_of(name, "none", "none", "max_sigmoid")
        for key, title in (("fpr95", "FPR95"), ("auroc", "AUROC")):
            shown = [f"{100 * row[key]:.1f}%" for row in (mine, turned, plain)]
            tile = f"{name} {title} {shown[0]} NegS rotated {shown[1]} max sigmoid {shown[2]}"
            assert tile in text
    # by table: near of both banks, then far of both
    shown = [row for row in page.rows if row and row[0] == "NegS"][:4]
    leaks = {("near", "model"): 1, ("near", "oracle"): 0, ("far", "model"): 0, ("far", "oracle"): 2}
    for cells, (name, bank) in zip(shown, leaks, strict=True):
        mine, turned = row_of(name, bank, "none"), row_of(name, bank, "rotated")
        assert cells[1] == f"{100 * mine['fpr95']:.1f}" and cells[3] == f"{100 * mine['auroc']:.1f}"
        assert cells[6].split(" ")[0] == f"{100 * turned['fpr95']:.1f}"
        assert cells[7].split(" ")[0] == f"{100 * turned['auroc']:.1f}"
        assert cells[10] == str(leaks[name, bank])
        clean = row_of(name, bank, "no_leaks") if (name, bank) == ("near", "model") else None
        assert cells[8] == (f"{100 * clean['fpr95']:.1f}" if clean else "")


def test_rows_of_every_preset_stand_on_the_page(run, tmp_path):
    """The first preset leads: the headline is its own, by its rule for FPR95."""
    tested = Run.load(run)
    asked = [dict(preset="vos"), dict(preset="val_f1"), dict(preset="fixed", cut=0.4)]
    rows = [row for each in asked for row in tested.rows(**each, banks=["model", "oracle"])]
    settings = tested.results["settings"] | dict(presets=[each["preset"] for each in asked])
    work_dir = Path(shutil.copytree(run, tmp_path / "run"))
    write_json(work_dir / "ood_results.json", tested.results | dict(rows=rows, settings=settings))
    page = Cells(make_html_report(work_dir, pictures=0).read_text())
    text = squeezed(page)
    places = [text.index(block.title, text.index("Controls of")) for block in blocks_of(rows)]
    assert places == sorted(places) and len(set(places)) == 3
    keys = ("fpr95", "fpr95_closest", "auroc", "tpr")
    scored = [row for row in rows if (row["score"], row["control"]) == ("negs", "none")]
    wanted = [
        [*(f"{100 * row[key]:.1f}" for key in keys), f"{row['threshold']:.3f}"] for row in scored
    ]
    shown = [row[1:6] for row in page.rows if row and row[0] == "NegS" and len(row) == 11]
    assert sorted(shown) == sorted(wanted) and len(shown) == 3 * 2 * 2
    first = scored[0]
    assert first["ood_set"] == "near" and first["fpr95_closest"] != first["fpr95"]
    assert f"near FPR95 {100 * first['fpr95_closest']:.1f}% NegS" in text
    facts = {row[0]: row[1] for row in page.rows if len(row) == 2}
    assert facts["Confidence cut"] == "0.6500 (test_f1, source: id_test)"


def test_leaking_words_name_their_set(page):
    assert re.findall(r"(\w+) \(leak: (\w+)\)", squeezed(page)) == [
        ("zebra", "near"),
        ("pizza", "far"),
        ("clock", "far"),
    ]


def test_plots_show_id_as_id(page, plotted, sets):
    assert page.sources
    shown = [(score, ids, oods) for score, ids, oods in plotted["histogram"] if score == "NegS"]
    for (_, ids, oods), name in zip(shown, OOD_NAMES, strict=True):
        np.testing.assert_allclose(ids, sets["id"].score)
        np.testing.assert_allclose(oods[name], sets[name].score)
    for curves, name in zip(plotted["roc"], OOD_NAMES, strict=True):
        assert list(curves[name]) == ["NegS", "max sigmoid"]
        np.testing.assert_allclose(curves[name]["NegS"][0], sets["id"].score)
        np.testing.assert_allclose(curves[name]["NegS"][1], sets[name].score)
        np.testing.assert_allclose(curves[name]["max sigmoid"][0], sets["id"].confidence, atol=1e-6)

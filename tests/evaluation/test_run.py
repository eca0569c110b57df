"""A finished test as an object: its rows, a table, a picture and what it says of itself."""

import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from negas.evaluation.result_files import read_results
from negas.evaluation.run import Run
from negas.files import write_json
from negas.metrics import ood_metrics
from negas.records import BoxRecords
from negas.scores import get_score
from tests.helpers.fake_runs import bare_results, fake_run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return fake_run(tmp_path_factory.mktemp("runs") / "one")


def pick(rows, **wanted):
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def test_scores_are_by_default_all_as_tested(made, tmp_path):
    folder = shutil.copytree(made, tmp_path / "one")
    results = read_results(folder)
    results["settings"]["scores"] = [["negs", dict(weight=0.5)], ["mcm", dict(logits="cosine")]]
    write_json(folder / "ood_results.json", results)
    rows = Run.load(folder).rows()
    names = {row["score"] for row in rows}
    assert {"max_sigmoid", "energy", "negs", "mcm", "neglabel"} <= names
    assert {str(row["options"]) for row in pick(rows, score="negs")} == {"{'weight': 0.5}"}
    assert {row["logits"] for row in pick(rows, score="mcm")} == {"cosine"}
    assert {row["bank"] for row in rows} == {"model", "none"}
    assert {row["preset"] for row in rows} == {"val_f1"}
    assert {row["control"] for row in rows} == {"none", "no_leaks"}, "no draws are asked for"


def test_rows_as_they_are_asked_for(made):
    run = Run.load(made)
    written = run.results["cuts"]
    rows = run.rows("vos", ["negs(weight=0.5)", "msp"], ["oracle"], bootstrap=20, seed=3)
    assert {row["score"] for row in rows} == {"negs", "msp"}
    assert {row["bank"] for row in rows} == {"oracle", "none"}
    assert {(r["cut"], r["rule"]) for r in rows} == {(written["test_f1"]["value"], "closest")}
    assert {r["interval"]["num_draws"] for r in pick(rows, control="none")} == {20}
    for cut, value in (("test_f1", written["test_f1"]["value"]), (0.5, 0.5), ("0.5", 0.5)):
        found = run.rows(scores=["msp"], cut=cut)
        assert {(r["preset"], r["cut"]) for r in found} == {("val_f1", value)}
    (near, far) = run.rows("fixed", ["msp"], cut=0.5)
    kept = [run.records[n].select(run.records[n].scores >= 0.5) for n in ("id", "near")]
    wanted = ood_metrics(*(get_score("msp")(each.id_logits) for each in kept))
    assert (near["ood_set"], far["ood_set"]) == ("near", "far")
    assert near["auroc"] == wanted.auroc and near["num_id"] == wanted.num_id


def test_turned_banks_on_demand(made):
    run = Run.load(made)
    first, again, other = (
        pick(run.rows(scores=["negs"], rotations=2, **seed), control="rotated")
        for seed in (dict(seed=0), {}, dict(seed=7))  # 0 as that of tools/score.py
    )
    assert first == again != other and {row["draws"] for row in first} == {2}


@pytest.mark.parametrize(
    ("what", "error", "message"),
    [
        (dict(scores=["nags"]), KeyError, "there is no score 'nags'"),
        (dict(banks=["wide"]), ValueError, "there is no bank 'wide'; the run has: model, oracle"),
        (dict(cut=1.5), ValueError, r"a number in \[0, 1\), got '1.5'"),
    ],
)
def test_rows_that_cannot_be(made, what, error, message):
    with pytest.raises(error, match=message):
        Run.load(made).rows(**what)


# --- a table --------------------------------------------------------------------------------------
def test_a_table_of_the_rows(made, monkeypatch):
    given = []
    table = object()
    stub = SimpleNamespace(DataFrame=lambda rows: given.append(rows) or table)
    monkeypatch.setitem(sys.modules, "pandas", stub)
    run, what = Run.load(made), dict(preset="matched", scores=["negs"], banks=["oracle"])
    assert run.to_pandas(**what) is table
    assert given == [run.rows(**what)]


def test_without_pandas_one_sentence_says_so(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)  # an import of it fails
    with pytest.raises(ImportError, match="Run.to_pandas needs pandas; pip install pandas"):
        Run.load(made).to_pandas()


# --- a picture ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("asked", "preset", "score"),
    [
        ({}, "val_f1", "negs"),
        (dict(score="max_sigmoid"), "val_f1", "max_sigmoid"),
        (dict(score="neglabel(logits=cosine)", preset="matched"), "matched", "neglabel"),
    ],
)
def test_histograms_of_the_samples(made, tmp_path, asked, preset, score):
    run = Run.load(made)
    figure = run.plot(**asked)
    assert [axis.get_xlabel() for axis in figure.axes] == [score] * 2
    rows = pick(run.rows(preset, [asked.get("score", score)]), control="none")
    for axis, row in zip(figure.axes, rows, strict=True):
        assert axis.get_title() == (
            f"{row['ood_set']}: FPR95 {100 * row['fpr95']:.1f}, AUROC {100 * row['auroc']:.1f}"
        )
        (line,) = axis.lines
        assert line.get_xdata()[0] == row["threshold"]
    figure.savefig(tmp_path / "scores.png")
    assert (tmp_path / "scores.png").stat().st_size > 5000


def test_pictures_that_cannot_be(made):
    with pytest.raises(KeyError, match="there is no score 'nags'"):
        Run.load(made).plot("nags")
    with pytest.raises(ValueError, match="there is no preset 'own'"):
        Run.load(made).plot(preset="own")
    run = Run.load(made)
    run.results["cuts"]["run"]["value"] = 0.99
    with pytest.raises(ValueError, match="one: there is nothing to draw, .* confidence cut 0.99"):
        run.plot()


# --- what it says of itself -----------------------------------------------------------------------
def test_a_run_says_what_it_is_without_reading_records(made, tmp_path):
    folder = shutil.copytree(made, tmp_path / "one")
    for file in (folder / "records").iterdir():
        file.write_bytes(b"")
    results = read_results(folder)
    results["rows"][0]["auroc"] = None
    results["run"]["score"] = "neglabel"
    write_json(folder / "ood_results.json", results)
    run = Run.load(folder)
    first, sets, *rows = repr(run).splitlines()
    assert first == f"Run one ({folder})"
    assert sets.strip().split(", ")[1] == "id 24 boxes/12 images"
    shown = pick(results["rows"], control="none")
    shown = [r for r in shown if r["bank"] != "oracle"]
    shown = [r for r in shown if r["score"] in ("max_sigmoid", "negs", "neglabel")]
    assert len(rows) == len(shown) == 2 * 2 * 3, "presets, OOD sets, scores"
    assert rows[0].split()[:3] == ["val_f1", "max_sigmoid", "near:"]
    assert rows[0].endswith(f"FPR95 {100 * shown[0]['fpr95']:.1f}, AUROC -")
    for line, row in zip(rows[1:], shown[1:], strict=True):
        assert line.split()[:3] == [row["preset"], row["score"], f"{row['ood_set']}:"]
        assert line.endswith(f"FPR95 {100 * row['fpr95']:.1f}, AUROC {100 * row['auroc']:.1f}")


def test_a_run_without_results_or_rows(made, tmp_path):
    alone = shutil.copytree(made / "records", tmp_path / "alone")
    assert repr(Run.load(alone)).splitlines()[1:] == ["  records only: far, id, id_val, near"]
    folder = tmp_path / "bare"
    folder.mkdir()
    write_json(folder / "ood_results.json", bare_results(("id", "near")))
    assert repr(Run.load(folder)).splitlines()[1:] == [
        "  id 24 boxes/12 images, near 24 boxes/12 images"
    ]


def test_records_alone_have_every_row(made, tmp_path):
    """Without results the F1 cut is found anew, and scores are those without options."""
    alone = Run.load(shutil.copytree(made / "records", tmp_path / "alone"))
    rows = alone.rows("vos")
    assert {row["cut_rule"] for row in rows} == {"test_f1"} and len({r["cut"] for r in rows}) == 1
    assert all(row["options"] == {} for row in rows)
    sides = []
    for name in ("id", "near"):
        records = BoxRecords.load(made / f"records/{name}.npz")
        kept = records.select(records.scores >= np.float32(rows[0]["cut"]))
        sides.append(get_score("negs")(kept.id_logits, kept.neg_logits))
    (row,) = pick(rows, score="negs", ood_set="near", control="none")
    assert (row["auroc"], row["num_ood"]) == (ood_metrics(*sides).auroc, len(sides[1]))
    assert [axis.get_xlabel() for axis in alone.plot(preset="vos").axes] == ["max_sigmoid"]
    assert pick(rows, score="negs", ood_set="far")[0]["num_ood"] == 0, "the plot leaves it out"

"""Several presets at once: the numbers and the order of one after the other, no row twice."""

import json
from dataclasses import replace

import numpy as np
import pytest

from negas.evaluation import recorded
from negas.evaluation import rows as engine
from negas.evaluation.cuts import choose_presets
from negas.evaluation.recorded import Recorded
from negas.evaluation.rows import rows_by_preset, run_rows, scoring_as_tested
from negas.files import plain
from negas.metrics import PRESETS
from negas.records import BoxRecords
from negas.reports.methods import make_report
from negas.reports.scores import score_tables
from tests.helpers.fake_runs import fake_run, score_again


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return fake_run(tmp_path_factory.mktemp("made") / "run", cut=0.3, cut_source="config")


def in_digits(rows):
    """Without the last ones: they hang on how many boxes are scored in one call."""
    return json.loads(json.dumps(plain(rows)), parse_float=lambda text: f"{float(text):.12g}")


def test_a_bank_is_turned_once_for_all_presets(made, monkeypatch):
    run, presets = Recorded.load(made), [PRESETS[n] for n in ("val_f1", "vos", "siren", "matched")]
    scoring = scoring_as_tested(run)
    wanted = [run_rows(run, preset, scoring) for preset in presets]
    turned = []
    turn = engine.rotated_bank
    monkeypatch.setattr(engine, "rotated_bank", lambda *what: turned.append(what[1]) or turn(*what))
    assert in_digits(rows_by_preset(run, presets, scoring)) == in_digits(wanted)
    assert turned == [0, 1, 0, 1], "two draws of two banks"


@pytest.mark.parametrize("cuts", [("run", "0.3"), ("run", "val_f1"), ("0.3", "run", "val_f1")])
def test_cut_rules_of_equal_value_give_no_row_twice(made, cuts):
    report = score_again(made, scores=["negs", "msp"], cut=cuts, against=made, bootstrap=5)
    for table in score_tables(report):
        for section in table.sections:
            labels = [row.label for row in section.rows]
            assert len(set(labels)) == len(labels)
    (run,) = report["runs"]
    keys = [
        tuple(row[k] for k in ("cut", "cut_source", "cut_rule", "score", "control", "ood_set"))
        for row in run["rows"]
    ]
    assert len(set(keys)) == len(keys)
    rules = {(row["cut_rule"], row["cut_source"]) for row in run["rows"]}
    assert len(rules) == 1 + ("0.3" in cuts)
    assert len(choose_presets(["val_f1"], cuts)) == len(cuts)


def test_boxes_that_are_samples_of_several_presets_are_scored_once(made, monkeypatch):
    run, presets = Recorded.load(made), [PRESETS["val_f1"], PRESETS["vos"]]
    scored = []
    real = BoxRecords.score_with
    monkeypatch.setattr(
        BoxRecords,
        "score_with",
        lambda self, score, rows: scored.append(len(rows)) or real(self, score, rows),
    )
    rows_by_preset(run, presets, replace(scoring_as_tested(run), rotations=0, no_leaks=False))
    scores, banks, sets = 6, 2, 3
    with_negatives = sum(s.needs_negatives for s in scoring_as_tested(run).scores)
    assert len(scored) == sets * (scores - with_negatives + banks * with_negatives)


def test_a_run_that_was_let_go_is_read_again(made):
    run = Recorded.load(made)
    before = run_rows(run, PRESETS["matched"], scoring_as_tested(run))
    run.forget()
    assert "records" not in vars(run) and not run.truths and not run.samples
    np.testing.assert_equal(
        plain(run_rows(run, PRESETS["matched"], scoring_as_tested(run))), plain(before)
    )


def test_a_report_reads_annotations_once_and_refuses_one_run_given_twice(tmp_path, monkeypatch):
    folders = [fake_run(tmp_path / name, seed=i) for i, name in enumerate("ab")]
    read, load = [], recorded.load_coco
    monkeypatch.setattr(recorded, "load_coco", lambda file: read.append(file) or load(file))
    both = make_report(folders, shared_cut=0.4, progress=False)
    assert len(read) == len(set(read)) > 0
    read.clear()
    make_report(folders[1:], shared_cut=0.4, progress=False)
    alone = len(read)
    assert alone > 0 and both
    (tmp_path / "link").symlink_to(folders[0])
    for twice in (folders[0], tmp_path / "link", f"{folders[0]}/../a/"):
        with pytest.raises(ValueError, match="given twice"):
            make_report([*folders, twice])

"""Several presets at once: the numbers and the order of one after the other, no row twice."""

import numpy as np
import pytest

from negas.evaluation import rows as engine
from negas.evaluation.cuts import choose_presets
from negas.evaluation.recorded import Recorded
from negas.evaluation.rows import rows_by_preset, run_rows, scoring_as_tested
from negas.files import plain
from negas.metrics import PRESETS
from negas.reports.scores import score_tables
from tests.helpers.fake_runs import fake_run, score_again


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return fake_run(tmp_path_factory.mktemp("made") / "run", cut=0.3, cut_source="config")


def test_a_bank_is_turned_once_for_all_presets(made, monkeypatch):
    run, presets = Recorded.load(made), [PRESETS[n] for n in ("val_f1", "vos", "siren", "matched")]
    scoring = scoring_as_tested(run)
    wanted = [run_rows(run, preset, scoring) for preset in presets]
    turned = []
    turn = engine.rotated_bank
    monkeypatch.setattr(engine, "rotated_bank", lambda *what: turned.append(what[1]) or turn(*what))
    np.testing.assert_equal(plain(rows_by_preset(run, presets, scoring)), plain(wanted))
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

"""Thresholds: which cut a preset stands for, where it comes from, and tau."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from negas.evaluation import cuts
from negas.evaluation.cuts import (
    choose_presets,
    deployed_tau,
    f1_rule_cut,
    find_cut,
    tau_of,
    validation_tau,
)
from negas.evaluation.recorded import Recorded
from negas.metrics import PRESETS, Cut
from negas.records import BoxRecords
from negas.scores import get_score
from tests.helpers.fake_runs import bare_results

RUN, VOS, FIXED = PRESETS["val_f1"], PRESETS["vos"], PRESETS["fixed"]


# --- chosen on a command line ---------------------------------------------------------------------
def test_presets_each_at_each_cut():
    assert choose_presets(["val_f1", "vos"]) == [RUN, VOS]
    chosen = choose_presets(["vos", "matched"], ["run", "val_f1", "test_f1", "0.25"])
    assert [preset.cut for preset in chosen] == ["run", "val_f1", "test_f1", 0.25] * 2
    assert [preset.name for preset in chosen] == ["vos"] * 4 + ["matched"] * 4
    assert {preset.rule for preset in chosen[:4]} == {"closest"}, "the rest is the preset's"
    assert choose_presets(["fixed"], ["0"]) == [replace(FIXED, cut=0.0)]


@pytest.mark.parametrize(
    ("names", "values", "message"),
    [
        (["own"], None, "--preset: there is no preset 'own'; choose of val_f1, vos"),
        (["fixed"], None, "--preset fixed needs a confidence cut: add --cut NUMBER"),
        (["fixed"], ["val_f1"], "--preset fixed needs a confidence cut"),
        (
            ["vos"],
            ["f1"],
            r"--cut: expected run, val_f1, test_f1 or a number in \[0, 1\), got 'f1'",
        ),
        (["vos"], ["1"], "--cut: expected .* got '1'"),
        (["vos"], ["-0.1"], "--cut: expected .* got '-0.1'"),
        (["vos"], ["nan"], "--cut: expected .* got 'nan'"),
    ],
)
def test_presets_that_cannot_be(names, values, message):
    with pytest.raises(ValueError, match=message):
        choose_presets(names, values)


# --- of a run -------------------------------------------------------------------------------------
def boxes(confidences, hits):
    """One box an image: on its object, or beside it."""
    scores = np.array(confidences, np.float32)
    count = len(scores)
    logits = np.log(scores / (1 - scores))[:, None]
    return BoxRecords(
        image_ids=np.arange(count),
        bboxes=[[0, 0, 10, 10] if hit else [50, 50, 60, 60] for hit in hits],
        labels=np.zeros(count, int),
        scores=scores,
        id_logits=logits,
        neg_logits=logits - 1,
        meta=dict(id_labels=["cat"]),
    )


def truth(images):
    rows = [dict(id=i, image_id=i, category_id=1, bbox=[0, 0, 10, 10]) for i in range(images)]
    return dict(
        images=[dict(id=i, width=99, height=99) for i in range(images)],
        annotations=rows,
        categories=[dict(id=1, name="cat")],
    )


VALIDATION = boxes([0.9, 0.8, 0.7, 0.2], [1, 1, 1, 0])  # best F1 from 0.7 on
TEST = boxes([0.9, 0.61239, 0.3, 0.2], [1, 1, 0, 0])  # best F1 from 0.61239 on


def made(results=None, sets=("id_val", "id", "near")):
    records = dict(id_val=VALIDATION, id=TEST, near=TEST)
    truths = {name: truth(4) for name in sets}
    return Recorded.of(Path("one"), {name: records[name] for name in sets}, {}, results, truths)


def test_cuts_that_the_test_wrote_down():
    results = bare_results(cut=0.4)
    results["cuts"]["test_f1"] = dict(value=0.35, rule="test_f1", source="id_test")
    run = made(results)
    run.truths.clear()  # nothing is computed
    assert find_cut(run, RUN) == Cut(0.4, "f1", "id_val")
    assert find_cut(run, VOS) == Cut(0.35, "test_f1", "id_test")
    results["cuts"]["run"] = dict(value=0.2, rule="fixed", source="fixed")
    assert find_cut(run, RUN) == Cut(0.2)
    assert find_cut(run, replace(RUN, cut="val_f1")) == Cut(0.4, "f1", "id_val")
    assert find_cut(run, PRESETS["siren"]) == Cut(0.1)


@pytest.mark.parametrize("choice", ["run", "val_f1"])
def test_without_results_the_f1_cut_is_found_on_validation_else_on_test_images(choice):
    cut = find_cut(made(), replace(RUN, cut=choice))
    assert cut == Cut(pytest.approx(0.7), "f1", "id_val")
    cut = find_cut(made(sets=("id", "near")), replace(RUN, cut=choice))
    assert cut == Cut(pytest.approx(0.61239), "f1", "id_test")


def test_the_vos_cut_is_found_on_test_images_to_four_decimals():
    assert find_cut(made(), VOS) == Cut(0.6124, "test_f1", "id_test")


def test_each_f1_is_found_once(monkeypatch):
    calls = []
    found = cuts.evaluate_coco
    monkeypatch.setattr(cuts, "evaluate_coco", lambda *how: calls.append(how) or found(*how))
    run = made()
    for preset in (RUN, replace(RUN, cut="val_f1"), PRESETS["matched"], VOS, VOS):
        find_cut(run, preset)
    assert len(calls) == 2


def test_a_number_is_a_cut():
    assert find_cut(made(), replace(FIXED, cut=0.25)) == Cut(0.25, "fixed", "fixed")
    assert find_cut(made(), replace(FIXED, cut=0)) == Cut(0.0), "a whole number, too"


def test_cuts_that_cannot_be():
    with pytest.raises(ValueError, match="the preset 'fixed' has no confidence cut"):
        find_cut(made(), FIXED)
    results = bare_results()  # boxes under 0.05 were not recorded
    with pytest.raises(
        ValueError, match=r"one: .* cut 0\.01 is below the .*0\.05.*choose a higher"
    ):
        find_cut(made(results), replace(FIXED, cut=0.01))
    lost = made()
    lost.truths.clear()
    with pytest.raises(FileNotFoundError, match="--ann id_val=FILE"):
        find_cut(lost, RUN)
    nothing = made(sets=("id", "near"))
    nothing.records["id"] = TEST.select([])
    with pytest.raises(ValueError, match="no F1 cut"):
        find_cut(nothing, RUN)


def test_what_an_f1_cut_is_called():
    assert f1_rule_cut("val_f1", 0.5, "id_val") == Cut(0.5, "f1", "id_val")
    assert f1_rule_cut("val_f1", 0.5, "id") == Cut(0.5, "f1", "id_test")
    assert f1_rule_cut("test_f1", 0.5, "id") == Cut(0.5, "test_f1", "id_test")


# --- tau ------------------------------------------------------------------------------------------
def test_tau_is_the_largest_that_keeps_the_share():
    values = np.random.default_rng(0).permutation(np.linspace(0.01, 1, 100))
    for tpr, wanted in ((0.95, 0.06), (1.0, 0.01), (0.5, 0.51), (0.949, 0.06)):
        assert tau_of(values, tpr) == pytest.approx(wanted)
        assert (values >= tau_of(values, tpr)).mean() >= tpr
        assert (values > tau_of(values, tpr)).mean() < tpr
    with pytest.raises(ValueError, match="no ID validation box is over the confidence cut"):
        tau_of(np.array([]))


def test_tau_of_validation_boxes_over_the_cut():
    score = get_score("max_sigmoid")
    records = made().records
    assert validation_tau(records, score, 0.75) == pytest.approx(0.8)
    lowest = float(records["id_val"].scores.min())
    assert validation_tau(records, score, lowest) == pytest.approx(0.2), "a box at the cut counts"
    assert validation_tau(records, score, 0.0) == pytest.approx(0.2)
    del records["id_val"]
    assert validation_tau(records, score, 0.5) == pytest.approx(0.61239), "else of ID test"
    with pytest.raises(ValueError, match="no ID validation box"):
        validation_tau(records, score, 0.95)


def test_a_tau_for_other_machines_lies_just_under_a_box():
    values = np.linspace(0.0, 2.0, 41)
    exact, tau = tau_of(values, 0.95), deployed_tau(values, 0.95)
    assert exact in values and exact - tau == pytest.approx(1e-4 * 2)
    same = np.full(5, 0.5)  # no spread: still under them
    assert 0 < 0.5 - deployed_tau(same, 0.95) <= 1e-7
    assert deployed_tau(np.array([-math.inf, 1.0]), 1.0) == -math.inf

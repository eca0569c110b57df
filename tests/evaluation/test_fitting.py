"""Fitted scores in runs: which boxes they see, rows like any other's, states as files."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from negas.embeddings.tensor_file import write_tensors
from negas.evaluation.cuts import validation_tau
from negas.evaluation.fitting import FittedState, fit_state, save_states
from negas.evaluation.num_labels.from_run import NumLabelsOptions
from negas.evaluation.recorded import Recorded
from negas.evaluation.rescore import scores_of
from negas.evaluation.rows import build_score, name_scores
from negas.evaluation.run import Run
from negas.metrics import ood_metrics
from negas.records import ID_TRAIN, ID_VAL, BoxRecords
from negas.reports.html.run import load_report_run
from negas.reports.scores import score_tables
from negas.reports.table import to_markdown
from negas.scores import get_score
from tests.helpers.commands import call_tool
from tests.helpers.fake_runs import SETS, fake_run, score_again
from tests.helpers.tiny_test import tiny_test

pytestmark = pytest.mark.filterwarnings("ignore:.*boxes to fit scores on")  # fake runs are small
CUT = 0.8  # some boxes are below


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return fake_run(tmp_path_factory.mktemp("runs") / "negas", cut=CUT)


@pytest.fixture
def run(folder):
    return Run.load(folder)


@pytest.fixture
def with_train(folder, tmp_path):
    """A run that has recorded training images, too: the validation boxes, a little longer."""
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    val = BoxRecords.load(copy / f"records/{ID_VAL}.npz")
    meta = val.meta | dict(set=ID_TRAIN, ann_file=val.meta["ann_file"])
    kept = replace(val, meta=meta).select(np.arange(len(val) - 4))
    kept.save(copy / f"records/{ID_TRAIN}.npz")
    results = json.loads((copy / "ood_results.json").read_text())
    results["sets"][ID_TRAIN] = dict(images=12, boxes=len(kept))
    (copy / "ood_results.json").write_text(json.dumps(results))
    return copy


def over(records):
    return records.select(records.scores >= np.float32(CUT))


def scores_by_hand(run, score, name):
    """Values of the boxes over the cut, by a score that is fitted here."""
    state = score.fit(over(run.records[ID_VAL]))
    return over(run.records[name]).score_with(score.with_state(state))


@pytest.mark.parametrize("name", ["knn", "mahalanobis", "vim", "nnguide", "vmf", "logit_knn"])
def test_rows_are_those_of_a_fit_on_validation_boxes_over_the_cut(run, name):
    (row, _) = run.rows(scores=[name])
    want = ood_metrics(*(scores_by_hand(run, get_score(name), each) for each in ("id", "near")))
    assert (row["auroc"], row["fpr95"]) == (want.auroc, want.fpr95)
    boxes = over(run.records[ID_VAL])
    assert row["fit"] == dict(set=ID_VAL, boxes=len(boxes), images=len(set(boxes.image_ids)))
    assert row["bank"] == "none" and 0 < len(boxes) < len(run.records[ID_VAL])


def test_other_scores_say_nothing_of_a_fit(run):
    assert all("fit" not in row for row in run.rows(scores=["energy"]))


def test_negatives_are_standardised_for_each_bank_and_control(folder):
    report = score_again(folder, scores=["knn(neg_weight=0.5)"], banks=["model", "oracle"])
    rows = report["runs"][0]["rows"]
    kinds = {(row["bank"], row["control"]) for row in rows}
    assert {(bank, "rotated") for bank in ("model", "oracle")} < kinds
    assert ("model", "no_leaks") in kinds
    run = Recorded.load(folder)
    score = get_score("knn", neg_weight=0.5)
    for bank in ("model", "oracle"):
        records = run.with_bank(bank)
        ready = score.with_state(score.fit(over(records[ID_VAL])))
        values = [over(records[each]).score_with(ready) for each in ("id", "near")]
        found = [r for r in rows if (r["bank"], r["control"]) == (bank, "none")]
        (row,) = [row for row in found if row["ood_set"] == "near"]
        assert row["auroc"] == pytest.approx(ood_metrics(*values).auroc)


def test_cosines_open_set_and_a_second_run_are_scored_as_ever(folder, tmp_path):
    other = fake_run(folder.parent / "other", "coop_tiny.py", 3)
    named = ["max_sigmoid", "logit_knn", "logit_knn(logits=cosine)"]
    report = score_again(folder, scores=named, against=other, open_set=True, bootstrap=20)
    rows = {row["score"]: row for row in report["runs"][0]["rows"]}
    assert rows["logit_knn"]["auroc"] != rows["logit_knn(logits=cosine)"]["auroc"]
    assert rows["logit_knn"]["open_set"]["tau"] == rows["logit_knn"]["threshold"]
    assert {row["score"] for row in report["paired"]} == set(rows)


def test_tau_of_the_fit_set_leaves_out_each_boxs_own_image(run):
    named = name_scores(["knn"])[0]
    score = build_score(run, named, run.records)
    boxes = over(run.records[ID_VAL])
    own = score(boxes.id_logits, None, boxes.embeddings, boxes.image_keys)
    tau = validation_tau(run.records, score, CUT)
    assert tau == pytest.approx(np.sort(own)[int(0.05 * len(own))], abs=1e-6)
    assert (score(boxes.id_logits, None, boxes.embeddings) > own).any()


def test_fitted_scores_are_asked_for_by_name_or_by_the_test(run):
    assert not any(score.needs_fit for score in scores_of(run))
    run.results["settings"]["scores"].append("vmf")
    assert [score.name for score in scores_of(run) if score.needs_fit] == ["vmf"]
    del run.records[ID_VAL]
    assert not any(score.needs_fit for score in scores_of(run)), "nothing to be fitted on"


def test_training_boxes_are_a_fit_set_and_no_test_set(with_train):
    run = Recorded.load(with_train)
    assert run.ood_sets == ["near", "far"]
    report = score_again(with_train, scores=["knn"], fit_set=ID_TRAIN)
    (first, *_) = report["runs"][0]["rows"]
    assert first["fit"]["set"] == ID_TRAIN
    assert first["fit"]["boxes"] < score_again(with_train, scores=["knn"])["runs"][0]["rows"][0][
        "fit"]["boxes"]  # fmt: skip
    for table in (score_tables(report)[0], score_tables(report)[-1]):  # all rows; the headline
        said = f"Fitted on ID boxes: KNN on {first['fit']['boxes']} boxes of id_train."
        assert said in to_markdown(table)


def test_a_fit_set_that_the_run_lacks_is_named(folder, capsys):
    with pytest.raises(ValueError, match="'knn' is fitted on the boxes of 'id_train', which the"):
        score_again(folder, scores=["knn"], fit_set=ID_TRAIN)
    code = call_tool("score", folder, "--scores", "knn", "--fit-set", "id_train", "--bootstrap", 0)
    assert code == 2 and "test_cfg.id_train_dataloader" in capsys.readouterr().err


def test_the_number_of_labels_is_not_chosen_by_one(folder):
    with pytest.raises(ValueError, match="--score knn: a score that is fitted"):
        NumLabelsOptions(str(folder), "bank.json", score="knn").named_score  # noqa: B018


# --- a test, and its states -----------------------------------------------------------------------
def test_a_test_fits_scores_and_leaves_their_states(tmp_path):
    scores = ["negs", dict(type="knn", k=3), dict(type="knn", k=5), "vmf"]
    tiny_test(tmp_path / "run", scores=scores)
    run = Run.load(tmp_path / "run")
    found = {row["score"] for row in run.tested_rows if row.get("fit")}
    assert found == {"knn(k=3)", "knn(k=5)", "vmf"}
    files = sorted((tmp_path / "run/fitted").iterdir())
    assert [file.name for file in files] == [
        "knn.safetensors", "knn_2.safetensors", "vmf.safetensors"]  # fmt: skip
    state = FittedState.load(files[0])
    boxes = run.records[ID_VAL]
    boxes = boxes.select(boxes.scores >= np.float32(0.4))
    assert state.about | dict(ann_file=None, options=None) == dict(
        score="knn", options=None, logits="head", set=ID_VAL, ann_file=None,
        images=len(set(boxes.image_ids)), boxes=len(boxes), cut=0.4, id_labels=run.id_labels,
        neg_labels=None, checkpoint_sha256=None, base_sha256=None)  # fmt: skip
    assert state.about["options"]["k"] in (3, 5)
    score = get_score("knn", **state.about["options"])
    (again,) = [r for r in run.rows(scores=[f"knn(k={score.k})"]) if r["ood_set"] == "near"]
    ready = score.with_state(state.tensors)
    kept = []
    for name in ("id", "near"):
        rows = np.flatnonzero(run.records[name].scores >= np.float32(0.4))
        kept.append(run.records[name].score_with(ready, rows))
    assert again["auroc"] == ood_metrics(*kept).auroc
    tiny_test(tmp_path / "run", scores=["negs"])
    assert not list((tmp_path / "run/fitted").iterdir()), "of the test before"


def test_the_html_report_judges_by_one(tmp_path):
    tiny_test(tmp_path / "run", scores=["negs", "knn"])
    report = load_report_run(tmp_path / "run", "knn")
    values = over_all(report.run.records["id"], report.main_score, 0.4)
    assert report.tau == np.sort(values)[int(0.05 * len(values))]
    assert (
        report.validation_tau() < over_all(report.run.records[ID_VAL], report.main_score, 0).max()
    )


def over_all(records, score, cut):
    return records.score_with(score, np.flatnonzero(records.scores >= np.float32(cut)))


def test_a_test_without_validation_images_is_refused_before_inference(tmp_path):
    with pytest.raises(ValueError, match="'knn' is fitted on ID validation boxes; set test_cfg.id"):
        tiny_test(tmp_path / "run", scores=["knn"], sets=[s for s in SETS if s != ID_VAL])


def test_score_writes_states_beside_its_tables(folder, tmp_path, capsys):
    call = ("score", folder, "--scores", "vim", "max_sigmoid", "--bootstrap", 0, "--out", tmp_path)
    assert call_tool(*call) == 0
    about = FittedState.load(tmp_path / "fitted/vim.safetensors").about
    assert about["checkpoint_sha256"] == "a" * 64
    assert "Fitted on ID boxes: ViM on" in (tmp_path / "ood_scores.md").read_text()


def test_a_state_is_refused_for_another_detector(run, tmp_path):
    score = get_score("knn", neg_weight=0.5)
    run.records[ID_VAL].meta["neg_labels"] = ["zebra", "fork"]
    run.rows(scores=["knn(neg_weight=0.5)"])
    state = FittedState.load(*save_states(run, tmp_path))
    whose = dict(class_names=run.id_labels, neg_labels=["zebra", "fork"])
    weights = dict(checkpoint_sha256="a" * 64, base_sha256="b" * 64)
    state.check(score, whose | weights)
    state.check(score, whose)  # nothing is known of the weights
    for change, message in [
        (dict(class_names=["cat", "dog", "bus"]), "other ID labels"),
        (dict(neg_labels=["zebra", "kite"]), "other negative labels"),
        (dict(checkpoint_sha256="c" * 64), "another checkpoint"),
        (dict(base_sha256="c" * 64), "another base checkpoint"),
    ]:
        with pytest.raises(ValueError, match=f"the state was fitted for .*{message}.*fit it again"):
            state.check(score, whose | weights | change)
    with pytest.raises(ValueError, match="fitted for another score"):
        state.check(get_score("vmf"), whose)
    with pytest.raises(ValueError, match="fitted for other score options"):
        state.check(get_score("knn", neg_weight=0.5, k=3), whose)


def test_files_that_are_no_state_are_refused(run, tmp_path):
    with pytest.raises(FileNotFoundError, match="knn.safetensors' does not exist; negas test"):
        FittedState.load(tmp_path / "knn.safetensors")
    run.rows(scores=["knn"])
    (path,) = save_states(run, tmp_path)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ValueError, match="is no state of a fitted score .*fit it again"):
        FittedState.load(path)
    write_tensors(path, {}, dict(score="knn"))
    with pytest.raises(ValueError, match="it has no 'base_sha256'"):
        FittedState.load(path)


def test_a_head_may_lie_on_another_device(run):
    """Its tensors are moved to the records."""
    moved = []

    class There(torch.Tensor):
        def cpu(self):
            moved.append(self)
            return torch.zeros(1)

    head = dict(scale=torch.zeros(1).as_subclass(There))
    fit_state(get_score("knn"), over(run.records[ID_VAL]), CUT, {}, head=head)
    assert len(moved) == 1

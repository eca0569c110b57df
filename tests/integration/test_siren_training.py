"""SIREN from its config: trained, tested, scored again, calibrated; by one process and by two."""

import json

import numpy as np
import pytest
import torch

from negas.evaluation.fitting import FittedState
from negas.records import BoxRecords
from negas.scores import get_score
from negas.scores.fitted.siren_head import project, vmf_logits
from tests.helpers.commands import call_tool, run_tool
from tests.helpers.tiny_coco import emoji_project
from tests.helpers.two_processes import train_by_two
from tests.helpers.yolo_world import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*boxes to fit scores on"),
    pytest.mark.usefixtures("in_root"),
]
SIREN = ROOT / "configs/negas/siren_yolo-world-tiny_1xb16-8e_emoji-world.py"
VMF = {"model.postprocessor.score": "siren_vmf"}  # its verdicts, too


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("siren")
    config = emoji_project(
        folder, base=SIREN, test_evaluator__scores=["max_sigmoid", "siren_vmf", "siren_knn"]
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        assert run_tool("train", config) == 0
        test = ("test", config, folder / "work/epoch_3.pth", "--work-dir", folder / "test")
        assert run_tool(*test, options=VMF) == 0
    return folder


def load(path):
    return torch.load(path, weights_only=False)["state_dict"]


def rows_of(path, score):
    rows = json.loads(path.read_text())
    rows = rows["runs"][0]["rows"] if "runs" in rows else rows["rows"]
    return [
        {key: row[key] for key in ("ood_set", "preset", "auroc", "fpr95")}
        for row in rows
        if row["score"] == score
    ]


def test_the_checkpoint_is_the_head(run):
    saved = load(run / "work/epoch_3.pth")
    assert {key.partition(".")[0] for key in saved} == {"siren"} and len(saved) == 7
    assert saved["siren.scale"] > 0 and saved["siren.directions"].abs().sum() > 0


def test_boxes_are_judged_by_the_trained_head(run):
    saved = {k.removeprefix("siren."): v for k, v in load(run / "work/epoch_3.pth").items()}
    records = BoxRecords.load(run / "test/records/near.npz")
    units = project(saved, torch.as_tensor(records.embeddings[:, :-1]))
    state = FittedState.load(run / "test/fitted/siren_vmf.safetensors").tensors
    for key in ("weight1", "bias1", "weight2", "bias2", "scale"):
        assert torch.equal(state[key], saved[key]), key
    seen = saved["directions"].abs().sum(1) > 0
    kappas = saved["log_kappa"][seen].exp()
    want = vmf_logits(units, saved["directions"][seen], kappas, state["constants"]).amax(1)
    got = records.score_with(get_score("siren_vmf").with_state(state))
    np.testing.assert_allclose(got, want.double().numpy(), rtol=1e-4, atol=1e-4)


def test_scoring_again_takes_the_head_from_beside_the_records(run, tmp_path, capsys):
    command = ("score", run / "test", "--scores", "siren_vmf", "siren_knn", "--bootstrap", 0)
    assert call_tool(*command, "--preset", "val_f1", "--out", tmp_path) == 0
    for name in ("siren_vmf", "siren_knn"):
        first = [r for r in rows_of(run / "test/ood_results.json", name) if r["preset"] == "val_f1"]
        assert first and rows_of(tmp_path / "ood_scores.json", name) == first
    (run / "test/records/score_head.npz").rename(tmp_path / "head.npz")
    try:
        assert call_tool(*command, "--out", tmp_path / "own") == 2
        assert "score_head.npz is missing beside the records" in capsys.readouterr().err
    finally:
        (tmp_path / "head.npz").rename(run / "test/records/score_head.npz")


def test_a_report_shows_its_scores(run, tmp_path):
    assert call_tool("report", run / "test", "--out", tmp_path) == 0
    page = (tmp_path / "report.md").read_text()
    assert "mine [SIREN-vMF]" in page and "mine [SIREN-KNN]" in page


def test_a_calibration_holds_the_trained_head(run, tmp_path):
    checkpoint = run / "work/epoch_3.pth"
    command = ("calibrate", run / "mine.py", checkpoint, "--cut", 0.02, "--unknown", "none")
    assert run_tool(*command, "--out", tmp_path / "c.json", options=VMF) == 0
    state = FittedState.load(next(tmp_path.glob("*.safetensors"))).tensors
    assert torch.equal(state["weight1"], load(checkpoint)["siren.weight1"])


def test_stock_weights_have_no_head_and_it_is_said(run, tmp_path, capfd):
    test = ("test", run / "mine.py", run / "base.pth", "--work-dir", tmp_path / "stock")
    assert run_tool(*test) == 0
    assert "no trained SIREN head" in " ".join(capfd.readouterr().out.split())
    assert not (tmp_path / "stock/records/score_head.npz").exists()
    assert rows_of(tmp_path / "stock/ood_results.json", "siren_vmf")


def test_two_processes_train_the_head_of_one(tmp_path):
    """Directions and scale come from the boxes of both; the last image of four shows nothing."""
    config = emoji_project(
        tmp_path,
        count=8,
        base=SIREN,
        train_cfg__max_epochs=1,
        train_dataloader__sampler__shuffle=False,
        optim_wrapper__optimizer__lr=0.0,  # losses are means over unequal numbers of cells
    )
    options = {"train_dataloader.dataset.pipeline.3.prob": 0.0}
    one, two = tmp_path / "one", tmp_path / "two"
    batch = {"train_dataloader.batch_size": 4}
    assert run_tool("train", config, "--work-dir", one, options=options | batch) == 0
    train_by_two(config, two, options | {"train_dataloader.batch_size": 2})
    single, both = load(one / "epoch_1.pth"), load(two / "epoch_1.pth")
    for key in ("siren.scale", "siren.directions"):
        torch.testing.assert_close(both[key], single[key], rtol=1e-4, atol=1e-5)

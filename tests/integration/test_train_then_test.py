"""tools/train.py, then tools/test.py, on tiny data of EmojiWorld's format, with both detectors."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from negas.labels.names import read_names
from negas.records import BoxRecords
from negas.scores import SCORES
from negas.visualization.boxes import KNOWN, UNKNOWN
from tests.helpers.commands import call_tool, run_tool
from tests.helpers.length_score import Length
from tests.helpers.tiny_coco import EMOJI_GROUNDING_DINO, emoji_project, write_set
from tests.helpers.yolo_world import ROOT


@pytest.fixture(
    scope="module", params=["yolo_world", pytest.param("grounding_dino", marks=pytest.mark.slow)]
)
def run(tmp_path_factory, request):
    """Folder of a project that was trained once and tested twice."""
    folder = tmp_path_factory.mktemp("project")
    if request.param == "grounding_dino":
        config = emoji_project(folder, base=EMOJI_GROUNDING_DINO, model__num_queries=30)
    else:
        config = emoji_project(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        assert run_tool("train", config) == 0
        for name in ("first", "second"):
            out = folder / name
            assert run_tool("test", config, folder / "work/epoch_3.pth", "--work-dir", out) == 0
    return folder


def load(path):
    return torch.load(path, weights_only=False)


def test_checkpoint_is_small_and_holds_the_prompt_and_a_reference(run):
    path = run / "work/epoch_3.pth"
    assert path.stat().st_size < 200_000
    checkpoint = load(path)
    assert list(checkpoint["state_dict"]) == ["prompt.ctx"]
    reference = checkpoint["meta"]["negas"]
    assert reference["base_checkpoint"] == f"{run}/base.pth"
    assert len(reference["base_sha256"]) == 64
    assert reference["trained"] == ["prompt.ctx"]


def test_training_moved_the_prompt(run):
    ctx = [load(run / f"work/epoch_{e}.pth")["state_dict"]["prompt.ctx"] for e in (1, 2, 3)]
    assert all(c.isfinite().all() for c in ctx)
    assert not torch.equal(ctx[0], ctx[1]) and not torch.equal(ctx[1], ctx[2])


def test_the_log_history_in_checkpoints_does_not_grow_with_training(run):
    scalars = load(run / "work/epoch_3.pth")["message_hub"]["log_scalars"]
    assert "train/loss_ood" in scalars
    assert all(len(buffer.data[0]) <= 100 for buffer in scalars.values())


def test_results_records_and_plots_are_written(run):
    for name in ("ood_results.json", "scores.png", "roc.png"):
        assert (run / "first" / name).stat().st_size > 0
    report = json.loads((run / "first/ood_results.json").read_text())
    rows = [row for row in report["rows"] if row["control"] == "none"]
    assert {row["ood_set"] for row in rows} == {"near", "far"}
    assert {"max_sigmoid", "mcm", "negs", "neglabel"} <= {row["score"] for row in rows}
    for row in rows:
        assert all(math.isfinite(row[key]) for key in ("auroc", "fpr95", "aupr", "tpr"))
        assert 0 <= row["auroc"] <= 1 and row["num_id"] > 0 and row["num_ood"] > 0
    assert report["sets"]["id"]["images"] == 4, "the image without objects counts"


def test_scoring_again_draws_the_same_pictures(run, tmp_path):
    assert call_tool("score", run / "first", "--bootstrap", 0, "--out", tmp_path) == 0
    for name in ("scores.png", "roc.png"):
        assert (tmp_path / name).read_bytes() == (run / "first" / name).read_bytes()


def test_the_same_command_twice_gives_the_same_numbers(run):
    first, second = (
        json.loads((run / name / "ood_results.json").read_text()) for name in ("first", "second")
    )
    assert first["rows"] == second["rows"]
    assert first["map"] == second["map"]


def test_all_numbers_of_a_test_reach_the_visualizer(run):
    rows = json.loads((run / "first/ood_results.json").read_text())["rows"]
    want = {}
    for name in ("near", "far"):
        (row,) = [
            row
            for row in rows
            if (row["preset"], row["score"], row["ood_set"]) == ("val_f1", "negs", name)
            and (row["bank"], row["control"]) == ("model", "none")
        ]
        want |= {f"test/{name}/negs_{key}": row[key] for key in ("fpr95", "auroc")}
    # the visualizer of the first runner in a process is that of all later ones, so the line may
    # lie in another run's folder, among those of other tests
    files = run.glob("*/*/vis_data/scalars.json")
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    (found, *_) = [line for line in lines if want.items() <= line.items()]
    assert found["test/id/cut"] > 0 and "test/id/coco_ap50" in found
    log = next((run / "first").glob("*/*.log")).read_text()
    (line,) = [line for line in log.splitlines() if "Epoch(test) [" in line and "numbers" in line]
    assert "negs_auroc" not in line and "id/coco_ap50" in line


def test_checkpoint_changes_the_predictions(run, monkeypatch):
    """The small file is read: other prompts give other logits on the same boxes' images."""
    monkeypatch.chdir(ROOT)
    out = run / "epoch_1"
    config = run / "mine.py"
    assert run_tool("test", config, run / "work/epoch_1.pth", "--work-dir", out) == 0
    first, other = (BoxRecords.load(path / "records/id.npz") for path in (run / "first", out))
    assert np.abs(np.sort(first.scores)[:5] - np.sort(other.scores)[:5]).max() > 1e-6


def test_painted_images_of_every_set_and_a_clean_id_set(run, monkeypatch):
    """--show-dir, and the documented way to test on another ID set."""
    monkeypatch.chdir(ROOT)
    scenes, out = run / "data/emoji_world/scenes", run / "clean"
    write_set(
        scenes / "annotations/id_test_clean.json",
        scenes / "id_test_clean",
        read_names("data/emoji_world/id_names.txt"),
        count=3,
        seed=40,
        suffix=".png",
    )
    options = {
        "test_dataloader.dataset.ann_file": "annotations/id_test_clean.json",
        "test_dataloader.dataset.data_prefix.img": "id_test_clean/",
    }
    args = (run / "mine.py", run / "work/epoch_3.pth", "--work-dir", out, "--show-dir", "painted")
    assert run_tool("test", *args, options=options) == 0
    report = json.loads((out / "ood_results.json").read_text())
    assert report["sets"]["id"]["images"] == 3
    assert BoxRecords.load(out / "records/id.npz").meta["ann_file"].endswith("id_test_clean.json")
    seen = set()
    for name, folder in (("id", "id_test_clean"), ("near", "near_ood"), ("far", "far_ood")):
        painted = sorted((out / "painted" / name).iterdir())
        assert [p.name for p in painted] == sorted(p.name for p in (scenes / folder).iterdir())
        for path in painted:
            with Image.open(path) as image:
                seen |= {colour for _, colour in image.getcolors(1 << 20)}
    assert {KNOWN, UNKNOWN} <= seen


def test_a_score_that_reads_embeddings_and_further_presets(run, monkeypatch):
    monkeypatch.setitem(SCORES, "length", Length)
    monkeypatch.chdir(ROOT)
    out = run / "embeddings"
    settings = {
        "model.postprocessor.score": "length",
        "model.test_cfg.keep_embeddings": True,
        "test_evaluator.scores": "[max_sigmoid]",
    }
    command = ["test", run / "mine.py", run / "work/epoch_3.pth", "--work-dir", out]
    assert run_tool(*command, "--preset", "matched", options=settings) == 0
    rows = json.loads((out / "ood_results.json").read_text())["rows"]
    found = {(row["preset"], row["score"]) for row in rows if row["control"] == "none"}
    assert {("val_f1", "length"), ("matched", "length"), ("val_f1", "max_sigmoid")} <= found
    part = BoxRecords.load(out / "records/near.npz")
    np.testing.assert_allclose(
        part.score_with(Length()), np.linalg.norm(part.embeddings, axis=1), rtol=1e-5
    )


def test_an_id_set_alone(run, monkeypatch):
    """Without OOD sets only mAP and the cut are reported."""
    monkeypatch.chdir(ROOT)
    out = run / "id_only"
    args = (run / "mine.py", run / "work/epoch_3.pth", "--work-dir", out)
    assert run_tool("test", *args, options={"test_cfg.ood_dataloaders": None}) == 0
    report = json.loads((out / "ood_results.json").read_text())
    assert report["rows"] == [] and set(report["sets"]) == {"id_val", "id_val_clean", "id"}
    assert report["map"] == json.loads((run / "first/ood_results.json").read_text())["map"]


def test_painting_with_a_plain_test_loop(run, monkeypatch):
    """MMDetection's loop and metric: its hook paints the ID set, in one folder."""
    monkeypatch.chdir(ROOT)
    config = run / "plain.py"
    config.write_text(
        """_base_ = "mine.py"
test_cfg = dict(_delete_=True, type="TestLoop")
test_evaluator = dict(
    _delete_=True, type="mmdet.CocoMetric", metric="bbox", ann_file={ann_file!r}
)
""".format(ann_file=f"{run}/data/emoji_world/scenes/annotations/id_test.json")
    )
    out = run / "plain"
    args = (config, run / "work/epoch_3.pth", "--work-dir", out, "--show-dir", "painted")
    assert run_tool("test", *args) == 0
    assert len(list((out / "painted").glob("*.png"))) == 4


def log_of(folder):
    return "\n".join(path.read_text() for path in folder.glob("*/*.log"))


def test_other_negatives_than_in_training_are_said(run, monkeypatch):
    monkeypatch.chdir(ROOT)
    out = run / "other_negatives"
    bank = json.loads((ROOT / "data/labels/emoji_world/llm.json").read_text())
    (run / "few.json").write_text(json.dumps(bank | {"neg_labels": bank["neg_labels"][:3]}))
    args = (run / "mine.py", run / "work/epoch_3.pth", "--work-dir", out)
    assert run_tool("test", *args, options={"model.neg_labels": f"{run}/few.json"}) == 0
    assert "other negative labels" in log_of(out) and "than the 3 of the config" in log_of(out)
    assert "other negative labels" not in log_of(run / "first")


def test_a_config_with_a_prompt_and_weights_without_one(run, monkeypatch):
    """It runs (that is how training starts), but nobody should take it for the trained method."""
    monkeypatch.chdir(ROOT)
    out = run / "no_prompt"
    assert run_tool("test", run / "mine.py", run / "base.pth", "--work-dir", out) == 0
    assert "holds no trained prompt" in log_of(out)
    assert "missing keys in source state_dict" not in log_of(out)
    assert "holds no trained prompt" not in log_of(run / "first")

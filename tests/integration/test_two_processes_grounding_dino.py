"""Grounding DINO: two gloo processes of one image each are one process of both."""

import numpy as np
import pytest
import torch

from tests.helpers.commands import run_tool
from tests.helpers.tiny_coco import EMOJI_GROUNDING_DINO, emoji_project
from tests.helpers.two_processes import RECORDER, losses, train_by_two
from tests.helpers.yolo_world import ROOT

PROMPT_RECORDER = """

import numpy as np


@HOOKS.register_module(force=True)
class RecordPrompt(Hook):
    def after_train(self, runner):
        ctx = next(value for key, value in runner.model.named_parameters() if "prompt.ctx" in key)
        np.save(Path(runner.work_dir) / f"prompt{get_rank()}.npy", ctx.detach().numpy())
"""


@pytest.mark.slow
def test_two_gloo_processes_equal_one_process(tmp_path, monkeypatch):
    (tmp_path / "prompt_recorder.py").write_text(RECORDER + PROMPT_RECORDER)
    monkeypatch.syspath_prepend(tmp_path)
    imports = ["negas.register", "prompt_recorder"]
    kinds = ("TrainedOnlyCheckpointHook", "EpochSeedHook", "RecordLosses", "RecordPrompt")
    config = emoji_project(
        tmp_path,
        count=4,
        base=EMOJI_GROUNDING_DINO,
        custom_imports=dict(imports=imports, allow_failed_imports=False),
        custom_hooks=[dict(type=kind) for kind in kinds],
        train_cfg__max_epochs=1,
        train_dataloader__sampler__shuffle=False,
    )
    # A fixed order and no flips: both runs see the same two images in each of the two steps. Each
    # process draws denoising queries of its own, so their losses are left out.
    fixed = {"train_dataloader.dataset.pipeline.3.prob": 0.0, "model.denoising": False}
    monkeypatch.chdir(ROOT)
    one, two = tmp_path / "one", tmp_path / "two"
    both = {"train_dataloader.batch_size": 2}
    assert run_tool("train", config, "--work-dir", one, options=fixed | both) == 0

    train_by_two(config, two, fixed | {"train_dataloader.batch_size": 1})

    # The last image shows nothing: in the second step one process has objects, the other none, so
    # losses divided by a process's own number of them would not average to the whole batch's.
    single, ranks = losses(one), [losses(two, rank) for rank in (0, 1)]
    assert [len(rows) for rows in (single, *ranks)] == [2, 2, 2]
    assert ranks[0][1]["loss_bbox"] > 0 and ranks[1][1]["loss_bbox"] == 0
    for step, row in enumerate(single):
        parts = [rank[step] for rank in ranks]
        assert row.pop("ids") == parts[0]["ids"] + parts[1]["ids"]
        assert {"loss_cls", "d0.loss_iou", "enc_loss_bbox", "loss_ood"} <= set(row)
        assert all(part["loss_ood"] > 0 for part in parts)
        for key, value in row.items():
            mean = np.mean([part[key] for part in parts])
            np.testing.assert_allclose(mean, value, rtol=1e-4, err_msg=f"{key}, step {step}")

    first, second = (np.load(two / f"prompt{rank}.npy") for rank in (0, 1))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, np.load(one / "prompt0.npy"), rtol=1e-4, atol=1e-5)
    saved = torch.load(two / "epoch_1.pth", weights_only=False)["state_dict"]
    assert set(saved) == {"prompt.ctx"}
    np.testing.assert_array_equal(saved["prompt.ctx"].numpy(), first)

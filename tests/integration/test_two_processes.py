"""Two gloo processes on the CPU are one process with the same global batch."""

import numpy as np
import pytest
import torch

from tests.helpers.commands import run_command, run_tool
from tests.helpers.tiny_coco import EMOJI, EMOJI_GROUNDING_DINO, emoji_project
from tests.helpers.two_processes import RECORDER, free_port, losses, train_by_two
from tests.helpers.yolo_world import ROOT


@pytest.mark.slow
@pytest.mark.parametrize(
    ("base", "count", "more"),
    # Each process draws denoising queries of its own, so their losses are left out.
    [(EMOJI, 8, {}), (EMOJI_GROUNDING_DINO, 4, {"model.denoising": False})],
)
def test_two_gloo_processes_equal_one_process(tmp_path, monkeypatch, base, count, more):
    (tmp_path / "recorder.py").write_text(RECORDER)
    monkeypatch.syspath_prepend(tmp_path)
    kinds = ("TrainedOnlyCheckpointHook", "EpochSeedHook", "RecordLosses")
    config = emoji_project(
        tmp_path,
        count=count,
        base=base,
        custom_imports=dict(imports=["negas.register", "recorder"], allow_failed_imports=False),
        custom_hooks=[dict(type=kind) for kind in kinds],
        train_cfg__max_epochs=1,
        train_dataloader__sampler__shuffle=False,
    )
    # A fixed order and no flips: both runs see the same images in each of the two steps.
    options = {"train_dataloader.dataset.pipeline.3.prob": 0.0} | more
    monkeypatch.chdir(ROOT)
    one, two = tmp_path / "one", tmp_path / "two"
    batch = {"train_dataloader.batch_size": count // 2}
    assert run_tool("train", config, "--work-dir", one, options=options | batch) == 0
    train_by_two(config, two, options | {"train_dataloader.batch_size": count // 4})

    single, ranks = losses(one), [losses(two, rank) for rank in (0, 1)]
    assert [len(rows) for rows in (single, *ranks)] == [2, 2, 2]
    if base == EMOJI_GROUNDING_DINO:
        # The last image shows nothing: in the second step one process has objects, the other none,
        # so losses divided by a process's own number of them would not average to the batch's.
        assert ranks[0][1]["loss_bbox"] > 0 and ranks[1][1]["loss_bbox"] == 0
    for step, row in enumerate(single):
        parts = [rank[step] for rank in ranks]
        assert sorted(row.pop("ids")) == sorted(parts[0]["ids"] + parts[1]["ids"])
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


@pytest.mark.slow
def test_an_image_that_one_process_misses_ends_both(tmp_path):
    config = emoji_project(tmp_path, count=4)
    image = sorted((tmp_path / "data/emoji_world/scenes/id_train").iterdir())[1]
    image.unlink()  # in the share of the second process
    done = run_command(
        ROOT / "tools/dist_train.sh", config, 2, cwd=ROOT, PORT=free_port(), PYTHONPATH=str(ROOT)
    )
    assert done.returncode != 0
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2 and errors[0] == errors[1]
    assert "1 of 2 images do not exist" in errors[0] and image.name in errors[0]

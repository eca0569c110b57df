"""What tests of two gloo processes share: a hook that writes losses and prompts to files."""

import json
import socket
import sys
from pathlib import Path

from .commands import run_command
from .yolo_world import ROOT

RECORDER = """
import json
from pathlib import Path

import numpy as np
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module(force=True)
class RecordLosses(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        path = Path(runner.work_dir) / f"losses{get_rank()}.json"
        rows = json.loads(path.read_text()) if path.exists() else []
        ids = [sample.img_id for sample in data_batch["data_samples"]]
        row = {key: float(value) for key, value in outputs.items() if "loss" in key}
        path.write_text(json.dumps(rows + [row | dict(ids=ids)]))

    def after_train(self, runner):
        ctx = next(value for key, value in runner.model.named_parameters() if "prompt.ctx" in key)
        np.save(Path(runner.work_dir) / f"prompt{get_rank()}.npy", ctx.detach().numpy())
"""


def free_port() -> str:
    """A port for ``dist_train.sh``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def train_by_two(config: Path, work_dir: Path, options: dict[str, object], *flags: str) -> None:
    """``tools/dist_train.sh CONFIG 2`` on the CPU; modules beside the config can be imported."""
    settings = {"env_cfg.dist_cfg.backend": "gloo"} | options
    done = run_command(
        ROOT / "tools/dist_train.sh",
        config,
        2,
        *("--work-dir", work_dir, *flags, "--cfg-options"),
        *(f"{key}={value}" for key, value in settings.items()),
        cwd=ROOT,
        PORT=free_port(),
        PYTHONPATH=f"{config.parent}:{ROOT}",
    )
    assert done.returncode == 0, done.stderr[-3000:]


def run_test_by_two(config: Path, checkpoint: Path, work_dir: Path) -> None:
    """``tools/test.py`` in two processes on the CPU."""
    done = run_command(
        sys.executable,
        *("-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={free_port()}"),
        *(ROOT / "tools/test.py", config, checkpoint, "--work-dir", work_dir),
        *("--launcher", "pytorch"),
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def losses(folder: Path, rank: int = 0) -> list[dict]:
    """What one process recorded."""
    return json.loads((folder / f"losses{rank}.json").read_text())

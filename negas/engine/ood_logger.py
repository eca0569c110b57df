"""What a test logs: a short line, and all its numbers to TensorBoard, W&B, MLflow and so on."""

from __future__ import annotations

import math
import re
from numbers import Real
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.fileio import dump
from mmengine.hooks import LoggerHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

_MOST = 8  # numbers that a line holds
_OF_ID = ("id/coco_ap", "id/coco_ap50", "id/cut")  # of an OODTestLoop
_NOT_IN_A_NAME = re.compile(r"[^\w./ -]")  # MLflow takes nothing else


@HOOKS.register_module()
class OODLoggerHook(LoggerHook):
    """MMEngine's logger, but for tests.

    MMEngine logs all metrics of a test in one line and gives none to the visualizer. Here they
    reach its backends under ``test/...``, at the step of the epoch (0 if nothing is trained);
    values that are not finite are left out. The file of a test's metrics is MMEngine's.
    """

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """As in MMEngine, but for the above."""
        metrics = metrics or {}
        scalars = {
            f"test/{_NOT_IN_A_NAME.sub('_', key)}": float(value)
            for key, value in metrics.items()
            if isinstance(value, Real) and math.isfinite(value)
        }
        if scalars:
            epoch = runner.message_hub.get_info("epoch", 0)
            runner.visualizer.add_scalars(scalars, step=epoch)
        if len(metrics) <= _MOST:
            super().after_test_epoch(runner, metrics)
            return
        count = len(runner.test_dataloader)
        tag, _ = runner.log_processor.get_log_after_epoch(
            runner, count, "test", with_non_scalar=True
        )
        file = Path(runner.log_dir) / self.json_log_path
        if is_main_process():
            dump(self._process_tags(tag), str(file))
        shown = [f"{key}: {metrics[key]:.4f}" for key in _OF_ID if key in metrics]
        said = "  ".join([f"Epoch(test) [{count}/{count}]", *shown])
        runner.logger.info(f"{said}  (all {len(metrics)} numbers: {file})")

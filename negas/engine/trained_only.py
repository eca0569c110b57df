"""Small checkpoints: only what was trained, and which weights it belongs to."""

from __future__ import annotations

import logging

from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer, print_log
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from negas.models.base import as_detector
from negas.models.interface import OODDetector
from negas.text import listed

_LOG_WINDOW = 100  # iterations


@HOOKS.register_module()
class TrainedOnlyCheckpointHook(Hook):
    """Save only parameters that were trained, with a reference to the base weights.

    The checkpoint's ``meta["negas"]`` names the base file and its SHA-256; loading it over other
    base weights is refused. The detector loads the base from its ``base_checkpoint``.
    """

    priority = "VERY_LOW"

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Drop frozen parameters and buffers from the state dict."""
        model = as_detector(runner.model)
        trained = {name for name, param in model.named_parameters() if param.requires_grad}
        if not model.base_checkpoint:
            raise ValueError(
                "TrainedOnlyCheckpointHook: model.base_checkpoint is not set, so a checkpoint "
                "without the frozen weights could not be loaded again; set it or remove the hook"
            )
        checkpoint["state_dict"] = {
            key: value for key, value in checkpoint["state_dict"].items() if key in trained
        }
        checkpoint["meta"]["negas"] = dict(
            base_checkpoint=model.base_checkpoint,
            base_sha256=model.base_sha256,
            trained=sorted(trained),
            class_names=list(model.class_names),
            neg_labels=list(model.neg_labels),
        )
        # The log's history would outgrow the prompt a hundredfold; resuming needs its window only.
        hub = checkpoint.get("message_hub") or {}
        for key, buffer in hub.get("log_scalars", {}).items():
            hub["log_scalars"][key] = HistoryBuffer(
                *(values[-_LOG_WINDOW:] for values in buffer.data)
            )

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse a checkpoint of other base weights or classes; warn of no or another training.

        Raises:
            RuntimeError: naming what differs.
        """
        model = as_detector(runner.model)
        saved = checkpoint.get("meta", {}).get("negas")
        if not saved:
            _fill_optional(model, checkpoint.get("state_dict", checkpoint))
            return
        model.load_base()
        if saved["base_sha256"] != model.base_sha256:
            raise RuntimeError(
                f"the checkpoint was trained on base weights {saved['base_checkpoint']!r} with "
                f"SHA-256 {saved['base_sha256'][:12]}..., but model.base_checkpoint is "
                f"{model.base_checkpoint!r} ({str(model.base_sha256)[:12]}...); use the same file"
            )
        if saved["class_names"] != list(model.class_names):
            raise RuntimeError(
                f"the checkpoint was trained for classes {saved['class_names'][:5]}..., the config "
                f"has {list(model.class_names)[:5]}...; use the config it was trained with"
            )
        labels = list(model.neg_labels)
        if saved["neg_labels"] != labels:
            print_log(
                f"the checkpoint was trained with {len(saved['neg_labels'])} other negative labels "
                f"({listed(saved['neg_labels'], 3)}) than the {len(labels)} of the config "
                f"({listed(labels, 3)}), which are used now; to test with those it was "
                "trained with, set model.neg_labels as in the training",
                "current",
                logging.WARNING,
            )
        # The base is in place: say so, or MMEngine warns of hundreds of missing keys.
        for key, value in model.state_dict().items():
            checkpoint["state_dict"].setdefault(key, value)


def _fill_optional(model: OODDetector, state_dict: dict) -> None:
    """Say which parts full weights lack, and keep them, so that MMEngine does not list each key."""
    for prefix in model.optional_keys():
        if any(key.startswith(prefix) for key in state_dict):
            continue
        parts = {key: value for key, value in model.state_dict().items() if key.startswith(prefix)}
        state_dict.update(parts)
        if parts and prefix == "prompt.":
            print_log(
                "the checkpoint holds no trained prompt: the prompt is as it starts a training. "
                "Give a checkpoint of this training (epoch_N.pth) to test what was learned",
                "current",
                logging.WARNING,
            )

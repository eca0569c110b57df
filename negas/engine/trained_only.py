"""Small checkpoints: only what was trained, and which weights it belongs to."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from negas.models.base import as_detector

_LOG_WINDOW = 100  # iterations


@HOOKS.register_module()
class TrainedOnlyCheckpointHook(Hook):
    """Save only modules whose parameters were trained, with a reference to the base weights.

    The checkpoint's ``meta["negas"]`` names the base file and its SHA-256; the detector loads the
    base from its ``base_checkpoint`` and refuses the checkpoint if that is another file. An average
    of the weights (MMEngine's ``EMAHook``) is kept as small.
    """

    priority = "VERY_LOW"

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Drop frozen parameters from the state dict, and buffers that lie beside none trained."""
        model = as_detector(runner.model)
        trained = {name for name, param in model.named_parameters() if param.requires_grad}
        homes = {name.rpartition(".")[0] for name in trained}
        kept = trained | {n for n, _ in model.named_buffers() if n.rpartition(".")[0] in homes}
        if not model.base_checkpoint:
            raise ValueError(
                "TrainedOnlyCheckpointHook: model.base_checkpoint is not set, so a checkpoint "
                "without the frozen weights could not be loaded again; set it or remove the hook"
            )
        # Of MMEngine's EMAHook there is an average, too, under "module." beside its own counters.
        for name, own in (("state_dict", True), ("ema_state_dict", False)):
            if name in checkpoint:
                checkpoint[name] = {
                    key: value
                    for key, value in checkpoint[name].items()
                    if key.removeprefix("module.") in kept or not (own or key.startswith("module."))
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

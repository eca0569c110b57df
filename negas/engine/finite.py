"""A training that has diverged ends at once, before it writes a checkpoint of it."""

from __future__ import annotations

import torch
from mmengine.dist import all_gather_object, all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from negas.text import listed


@HOOKS.register_module()
class FiniteHook(Hook):
    """End the training in all processes when a loss or a trained weight is NaN or infinite.

    A weight also counts as infinite when its square is, in 32 bits.

    Args:
        allow_nan: go on after such a loss, as long as the weights are finite (a loss scaler leaves
            steps out); weights never come back.

    Raises:
        RuntimeError: naming the iteration, the terms and likely causes.
    """

    priority = "BELOW_NORMAL"  # before the CheckpointHook, which removes old files first

    def __init__(self, allow_nan: bool = False) -> None:
        self.allow_nan = allow_nan

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch=None, outputs: dict | None = None
    ) -> None:
        """Look at the losses of this step and at the weights after it."""
        losses = {} if self.allow_nan else outputs or {}
        terms = {k: v.detach() for k, v in losses.items() if isinstance(v, Tensor)}
        terms |= {k: p.detach() for k, p in runner.model.named_parameters() if p.requires_grad}
        if not terms:
            return
        device = next(iter(terms.values())).device
        # by their norms: weights whose squares overflow make the next step's predictions NaN
        norms = [torch.linalg.vector_norm(v, dtype=torch.float32) for v in terms.values()]
        finite = torch.stack([norm.isfinite().to(device) for norm in norms])
        bad = (~finite.all()).float()
        if get_world_size() > 1:
            all_reduce(bad, "max")  # gradients are shared: the others would follow a step later
        if not bad:
            return
        names = [name for name, good in zip(terms, finite.tolist(), strict=True) if not good]
        found = list(dict.fromkeys(name for part in all_gather_object(names) for name in part))
        rate = max(rate for rates in runner.optim_wrapper.get_lr().values() for rate in rates)
        again = "" if set(found) - set(losses) else ", or go on with --allow-nan"
        raise RuntimeError(
            f"iteration {runner.iter + 1} (epoch {runner.epoch + 1}): NaN or infinite "
            f"{listed(found, 5, 80)}; the training ends and the checkpoints before stay. "
            f"Likely causes: a learning rate that is too high (it is {rate:g}; "
            "optim_wrapper.optimizer.lr), half precision (--amp) or broken boxes. Mend it and "
            f"resume from the last checkpoint with --resume{again}"
        )

"""A run that ended between a checkpoint and its validation makes that up when it is resumed."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop, Runner


@HOOKS.register_module()
class MissedValidationHook(Hook):
    """Validate before a resumed training goes on, if that was due at its checkpoint.

    The checkpoint of an epoch is written before the epoch is validated. So it knows neither whether
    that came to its end nor the best score it may have given, which ``save_best`` compares with.
    """

    priority = "LOWEST"  # the other hooks are ready for a validation

    def before_train(self, runner: Runner) -> None:
        """Run the validation."""
        loop = runner.train_loop
        if not runner._resume:
            return
        by_iter = isinstance(loop, IterBasedTrainLoop)
        at, end = (loop.iter, loop.max_iters) if by_iter else (loop.epoch, loop.max_epochs)
        if at >= end:
            key = "train_cfg.max_iters" if by_iter else "train_cfg.max_epochs"
            print_log(f"Nothing is left to train at {at} of {key}={end}; raise that", "current")
        if runner.val_loop is None:
            return
        whole = by_iter or loop.iter == loop.epoch * len(loop.dataloader)
        loop._decide_current_val_interval()
        due = at > 0 and at >= loop.val_begin and (at % loop.val_interval == 0 or at == end)
        if due and whole:
            what = "iteration" if by_iter else "epoch"
            print_log(
                f"Validating {what} {at}, at whose checkpoint the training resumes", "current"
            )
            runner.val_loop.run()

"""An epoch's randomness from (seed, epoch) alone: resumed runs repeat uninterrupted ones."""

from __future__ import annotations

import random
from functools import partial

import numpy as np
import torch
from mmengine.dataset import DefaultSampler, worker_init_fn
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seed the process and its data workers anew at the start of each training epoch.

    Otherwise augmentations continue random streams whose state no checkpoint holds. Persistent
    workers are started again once per epoch (they keep their streams as long as they live).
    Modules with a ``set_run_seed`` method are told the run's seed once, when training starts.
    """

    priority = "VERY_HIGH"

    def before_train(self, runner: Runner) -> None:
        """Hand the run's seed to the model; without one in the config a resumed run has its own."""
        for module in runner.model.modules():
            if hasattr(module, "set_run_seed"):
                module.set_run_seed(runner.seed or 0)

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed everything that draws in this epoch, the order of the samples included."""
        loader = runner.train_dataloader
        seed = epoch_seed(runner.seed or 0, runner.epoch)
        of_process = epoch_seed(runner.seed or 0, runner.epoch, get_rank())
        random.seed(of_process)
        np.random.seed(of_process)
        torch.manual_seed(of_process)
        if isinstance(loader.sampler, DefaultSampler):
            # It draws from seed + epoch, so neighbouring seeds would repeat each other's orders.
            loader.sampler.seed = seed - runner.epoch
        if loader.num_workers:
            loader.worker_init_fn = partial(
                worker_init_fn, num_workers=loader.num_workers, rank=get_rank(), seed=seed
            )
            loader._iterator = None  # persistent workers end with their iterator


def epoch_seed(seed: int, *position: int) -> int:
    """A seed in 0..2**31-1 that shares nothing with that of another run, epoch or process."""
    # As a spawn key: a sequence [seed, 2] would be padded with zeros, and so equal [seed, 2, 0].
    return int(np.random.SeedSequence(seed, spawn_key=position).generate_state(1)[0] >> 1)

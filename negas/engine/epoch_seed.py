"""An epoch's randomness from (seed, epoch) alone: resumed runs repeat uninterrupted ones."""

from __future__ import annotations

import random
from functools import partial

import numpy as np
import torch
from mmengine.dataset import worker_init_fn
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seed the process and its data workers anew at the start of each training epoch.

    Otherwise augmentations continue random streams whose state no checkpoint holds. Persistent
    workers are started again once per epoch (they keep their streams as long as they live).
    """

    priority = "VERY_HIGH"

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed everything that draws in this epoch."""
        loader = runner.train_dataloader
        workers = max(loader.num_workers, 1)
        # A worker's seed is `seed + workers * rank + worker`: give each epoch its own block.
        seed = (runner.seed or 0) + (runner.epoch + 1) * workers * get_world_size()
        own = seed + workers * get_rank()
        random.seed(own)
        np.random.seed(own % 2**32)
        torch.manual_seed(own)
        if loader.num_workers:
            loader.worker_init_fn = partial(
                worker_init_fn, num_workers=loader.num_workers, rank=get_rank(), seed=seed
            )
            loader._iterator = None  # persistent workers end with their iterator

"""An epoch's randomness from (seed, epoch) alone: resumed runs repeat uninterrupted ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler, worker_init_fn
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch.utils.data import Dataset

_SAMPLES = 0x73616D70  # keeps samples apart from processes in the seeds of an epoch


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seed the process and its data workers anew at the start of each training epoch.

    Otherwise augmentations continue random streams whose state no checkpoint holds. Each sample has
    a stream of its own, from (seed, epoch, index): neither the number of workers nor of processes
    changes what is drawn. (Transforms that keep a cache of earlier samples depend on both, and so
    do the streams of an ``InfiniteSampler``, which knows no epochs.) Persistent workers are started
    again once per epoch.
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
        if not isinstance(loader.sampler, InfiniteSampler):
            # PyTorch's loader takes a batch from here if it can, in whichever process it loads.
            loader.dataset.__getitems__ = SeededItems(
                loader.dataset, runner.seed or 0, runner.epoch
            )
        if loader.num_workers:
            loader.worker_init_fn = partial(
                worker_init_fn, num_workers=loader.num_workers, rank=get_rank(), seed=seed
            )
            loader._iterator = None  # persistent workers end with their iterator


class SeededItems:
    """Samples of a dataset by their indices, each drawn from a random stream of its own.

    The streams of the process are left as they were.

    Args:
        dataset: whose transforms draw with ``random``, NumPy or PyTorch.
        seed: of the run.
        epoch: of the run.
    """

    def __init__(self, dataset: Dataset, seed: int, epoch: int) -> None:
        self.dataset, self.seed, self.epoch = dataset, seed, epoch

    def __call__(self, indices: Sequence[int]) -> list[Any]:
        """The samples of a batch."""
        before = random.getstate(), np.random.get_state(), torch.get_rng_state()
        try:
            return [self._item(index) for index in indices]
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])
            torch.set_rng_state(before[2])

    def _item(self, index: int) -> Any:
        seed = epoch_seed(self.seed, self.epoch, _SAMPLES, int(index))
        random.seed(seed)
        np.random.seed(seed)
        torch.default_generator.manual_seed(seed)  # not those of accelerators
        return self.dataset[index]


def epoch_seed(seed: int, *position: int) -> int:
    """A seed in 0..2**31-1 that shares nothing with that of another run, epoch or process."""
    # As a spawn key: a sequence [seed, 2] would be padded with zeros, and so equal [seed, 2, 0].
    return int(np.random.SeedSequence(seed, spawn_key=position).generate_state(1)[0] >> 1)

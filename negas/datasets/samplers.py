"""Samplers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sized

from mmengine.dist import get_dist_info
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import Sampler


@DATA_SAMPLERS.register_module()
class EpochWindowSampler(Sampler):
    """Walk once through a long generated dataset, one window per epoch.

    Epoch e yields indices ``e*epoch_length .. (e+1)*epoch_length - 1``, so a run resumed at an
    epoch sees exactly the samples an uninterrupted run would have seen, without
    skipping through the earlier ones.

    Like MMEngine's ``DefaultSampler`` it gives every process the same number of samples: where the
    window does not divide evenly, the last ones start again at its beginning.

    Args:
        dataset: its length bounds the windows.
        epoch_length: samples per epoch over all processes.
        seed: accepted for MMEngine's sampler interface; the order is the dataset's.
    """

    def __init__(self, dataset: Sized, epoch_length: int, seed: int | None = None) -> None:
        rank, world_size = get_dist_info()
        if epoch_length <= 0 or epoch_length > len(dataset):
            raise ValueError(
                f"EpochWindowSampler: epoch_length must be in 1..{len(dataset)} (the dataset's "
                f"length), got {epoch_length}"
            )
        self.dataset_length = len(dataset)
        self.epoch_length = epoch_length
        self.rank, self.world_size = rank, world_size
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        start = self.epoch * self.epoch_length
        for i in range(self.rank, len(self) * self.world_size, self.world_size):
            yield (start + i % self.epoch_length) % self.dataset_length

    def __len__(self) -> int:
        # Rounded up: with unequal lengths one process would wait for the others' gradients forever.
        return math.ceil(self.epoch_length / self.world_size)

    def set_epoch(self, epoch: int) -> None:
        """Choose the window; called by MMEngine before each epoch."""
        self.epoch = epoch

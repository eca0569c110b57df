"""MMEngine loops, hooks and optimiser wrappers of negas."""

from .autocast_optim import AutocastOptimWrapper
from .epoch_seed import EpochSeedHook
from .ood_loop import OODTestLoop, OODValLoop
from .trained_only import TrainedOnlyCheckpointHook

__all__ = [
    "AutocastOptimWrapper",
    "EpochSeedHook",
    "OODTestLoop",
    "OODValLoop",
    "TrainedOnlyCheckpointHook",
]

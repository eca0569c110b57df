"""MMEngine loops, hooks and wrappers of negas."""

from .autocast_optim import AutocastOptimWrapper
from .epoch_seed import EpochSeedHook
from .finite import FiniteHook
from .missed_validation import MissedValidationHook
from .ood_logger import OODLoggerHook
from .ood_loop import OODTestLoop, OODValLoop
from .trained_only import TrainedOnlyCheckpointHook
from .unwrapped import Unwrapped
from .whole_files import WholeFiles

__all__ = [
    "AutocastOptimWrapper",
    "EpochSeedHook",
    "FiniteHook",
    "MissedValidationHook",
    "OODLoggerHook",
    "OODTestLoop",
    "OODValLoop",
    "TrainedOnlyCheckpointHook",
    "Unwrapped",
    "WholeFiles",
]

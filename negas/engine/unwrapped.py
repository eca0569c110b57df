"""Models of processes that only evaluate."""

from __future__ import annotations

from mmengine.registry import MODEL_WRAPPERS
from torch import nn


@MODEL_WRAPPERS.register_module()
class Unwrapped:
    """A "wrapper" that leaves the model as it is: without gradients there is nothing to share.

    PyTorch's wrapper refuses a model that trains nothing, as a stock detector in a test.
    """

    def __new__(cls, module: nn.Module) -> nn.Module:
        """The model itself."""
        return module

"""Mixed precision that also works on CPUs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Forward pass under autocast without loss scaling.

    MMEngine's ``AmpOptimWrapper`` refuses to run without an accelerator; bfloat16 needs no loss
    scaler and is the format that CPUs speed up.

    Args:
        dtype: ``bfloat16`` (any device) or ``float16``.
    """

    def __init__(self, dtype: str = "bfloat16", **kwargs) -> None:
        if dtype not in _DTYPES:
            raise ValueError(f"AutocastOptimWrapper: dtype must be in {list(_DTYPES)}, got {dtype}")
        super().__init__(**kwargs)
        self.dtype = _DTYPES[dtype]

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Context of one training step's forward pass."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, self.dtype):
            yield

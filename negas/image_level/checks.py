"""Features that come from outside: finite, of one width, unit length.

Shape letters: N rows, D channels.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

Features = Tensor | np.ndarray


def unit_features(argument: str, feats: Features, width: int | None = None) -> Tensor:
    """Check features and scale every row to length 1.

    Args:
        argument: what they are called in an error.
        feats: [N, D] of any float type, of any length.
        width: D, when other features fix it.

    Returns:
        [N, D] float32 on the device of `feats`.

    Raises:
        ValueError: no row, another number of axes or channels, NaN, infinite or all-zero rows.
    """
    if isinstance(feats, np.ndarray):
        feats = torch.from_numpy(np.ascontiguousarray(feats))
    if not isinstance(feats, Tensor) or feats.ndim != 2:
        shape = list(feats.shape) if isinstance(feats, Tensor) else type(feats).__name__
        raise ValueError(f"{argument} must be a tensor or array [N, D], got {shape}.")
    if feats.shape[0] == 0:
        raise ValueError(f"{argument} is empty; give the features of at least one image or label.")
    if width is not None and feats.shape[1] != width:
        raise ValueError(
            f"{argument} has {feats.shape[1]} channels where the labels have {width}; encode "
            f"images and labels with the same model (and delete features cached with another)."
        )
    feats = feats.to(torch.float32)
    length = feats.norm(dim=1, keepdim=True)
    # NaN and infinity show in the lengths: one pass over the features instead of three
    bad = length[:, 0].isfinite().logical_not_()
    if bool(bad.any()):
        bad = ~torch.isfinite(feats).all(dim=1)
    if bool(bad.any()):
        raise ValueError(
            f"{argument} holds NaN or infinite values in {int(bad.sum())} of {len(feats)} rows "
            f"(the first is row {int(bad.nonzero()[0])}); encode these again."
        )
    if not bool((length > 0).all()):
        row = int((length[:, 0] == 0).nonzero()[0])
        raise ValueError(f"{argument} is all zero in row {row}: it has no direction to compare.")
    return feats / length

"""The interval of a share of few things, where draws of them would all look alike."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson_interval(share: float, count: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval (low, high) of a share that was seen among ``count`` things.

    Source: E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference,
    JASA 22, 1927. For an AUROC of n ID and m OOD samples, ``count`` is the smaller of n and m: its
    variance is at most A (1 - A) / min(n, m) (Birnbaum and Klose, Ann. Math. Statist. 28, 1957).

    Args:
        share: in [0, 1]; need not be a multiple of ``1 / count``.
        count: of the things, over 0.
        level: coverage.

    Raises:
        ValueError: a number is outside its range.
    """
    if not (0 <= share <= 1 and count > 0 and 0 < level < 1):
        raise ValueError(
            "wilson_interval needs a share in [0, 1], a count over 0 and a level in (0, 1), got "
            f"{share}, {count} and {level}."
        )
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = math.sqrt(z2 * (share * (1 - share) / count + z2 / (4 * count**2))) / (1 + z2 / count)
    return max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))

"""NegLabel: ID probability mass against negative labels (Jiang et al., ICLR 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .base import NegativeScore
from .registry import SCORES
from .stable import mean_log_odds


@SCORES.register("neglabel")
@dataclass(frozen=True)
class NegLabel(NegativeScore):
    """``sum_k e^(z_k/T) / (sum_k e^(z_k/T) + sum_j e^(g_j/T))``, in (0, 1).

    The authors' logits are 100 * cosine with ``temperature=1``.

    Grouping (made for some thousand negatives): the last ``M mod groups`` negatives are dropped,
    the rest is permuted and cut into groups of equal length; the score is the mean over the groups.

    Args:
        groups: number of groups; 1 is the formula above.
        group_length: instead of ``groups``: ``groups = max(1, M // group_length)``.
        generator: seed, or a CPU generator, of the permutation. A seed gives the same permutation
            on every call; a generator moves on. The global random state is never touched.
        permutation: order of the negatives that are kept, ``[M - M mod groups]``; overrules
            ``generator``.
        shuffle: ``False`` keeps the negatives in the order of the bank.
        log_odds: return ``log(S / (1 - S))`` instead: the same order, but it does not saturate.
    """

    title: ClassVar[str] = "NegLabel"
    kept_order: ClassVar[Tensor | None] = None  # of an instance of traced()

    groups: int = 1
    group_length: int | None = None
    generator: int | torch.Generator = 0
    permutation: Sequence[int] | None = None
    shuffle: bool = True
    log_odds: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for option in ("groups", "group_length"):
            value = getattr(self, option)
            if value is not None and value < 1:
                raise ValueError(
                    f"score '{self.name}': {option} must be at least 1, got {value!r}."
                )
        if self.group_length is not None and self.groups != 1:
            raise ValueError(
                f"score '{self.name}': groups={self.groups} and group_length={self.group_length} "
                f"exclude each other; give one of them."
            )

    def compute(self, ids: Tensor, negatives: Tensor | None) -> Tensor:
        order = self.kept_order
        if order is None:
            order = self.group_order(negatives.shape[-1])
        if len(order) > 1:
            negatives = negatives[..., order.flatten().to(negatives.device)]
        grouped = negatives.unflatten(-1, order.shape)
        # lse(positives) - lse(negatives) is the log-odds of the ratio of sums
        odds = ids.logsumexp(dim=-1, keepdim=True) - grouped.logsumexp(dim=-1)
        odds = odds.squeeze(-1) if odds.shape[-1] == 1 else mean_log_odds(odds)
        return odds if self.log_odds else odds.sigmoid()

    def traced(self, num_negatives: int | None) -> NegLabel:
        """With the groups of these negatives; see :meth:`Score.traced`."""
        if self.groups == 1 and self.group_length is None:
            return self
        if isinstance(self.generator, torch.Generator):
            raise ValueError(
                f"score '{self.name}': a generator groups the negatives anew on each call, which "
                "cannot be exported; give a seed."
            )
        if num_negatives is None:
            raise ValueError(
                f"score '{self.name}': groups of any number of negatives cannot be exported; use "
                "groups=1, or a file with fixed labels."
            )
        made = copy(self)
        object.__setattr__(made, "kept_order", self.group_order(num_negatives))
        return made

    def group_order(self, count: int) -> Tensor:
        """Which of ``count`` negatives form which group: indices [groups, count // groups].

        A ``torch.Generator`` as ``generator`` moves on with every call; a seed does not.

        Raises:
            ValueError: there are fewer negatives than groups, or ``permutation`` does not fit.
        """
        groups = self.groups
        if self.group_length is not None:
            groups = max(1, count // self.group_length)
        if groups > count:
            raise ValueError(
                f"score '{self.name}': {count} negative labels cannot fill {groups} groups; "
                f"lower groups or use a larger bank."
            )
        kept = count - count % groups
        return self._order(kept, groups).view(groups, kept // groups)

    def _order(self, kept: int, groups: int) -> Tensor:
        if self.permutation is not None:
            order = torch.as_tensor(self.permutation, dtype=torch.int64)
            if order.shape != (kept,) or not torch.equal(order.sort().values, torch.arange(kept)):
                raise ValueError(
                    f"score '{self.name}': permutation must hold each of 0..{kept - 1} once "
                    f"(the negatives left after dropping the remainder), "
                    f"got {order.numel()} values."
                )
            return order
        if not self.shuffle or groups == 1:
            return torch.arange(kept)
        generator = self.generator
        if not isinstance(generator, torch.Generator):
            generator = torch.Generator().manual_seed(int(generator))
        return torch.randperm(kept, generator=generator)

"""Some image features per label: AdaNeg's memory.

Shape letters: C labels, R rows in use, L slots, D channels.
Only labels that hold an image take a row, so 11,000 labels cost nothing until they are used.
"""

from __future__ import annotations

import torch
from torch import Tensor


class SlotMemory:
    """Up to L image features for each of C labels; confident images push out doubtful ones.

    Attributes:
        row_of: [C] int64, the row of a label, -1 without one.
        filled: [R] int64, slots in use.
    """

    def __init__(self, labels: int, slots: int, channels: int, device: torch.device) -> None:
        self.row_of = torch.full((labels,), -1, dtype=torch.int64)
        self.slots = slots
        self._feats = torch.zeros(0, slots, channels, device=device)
        self._entropy = torch.zeros(0, slots, dtype=torch.float64)
        self.filled = torch.zeros(0, dtype=torch.int64)

    @property
    def labels(self) -> Tensor:
        """[R] the labels that have a row, in the order of their rows."""
        used = (self.row_of >= 0).nonzero()[:, 0]
        return used[self.row_of[used].argsort()]

    @property
    def feats(self) -> Tensor:
        """[R, L, D], zero where a slot is empty."""
        return self._feats[: len(self.filled)]

    def counts(self) -> Tensor:
        """[C] number of images of every label."""
        counts = torch.zeros(len(self.row_of), dtype=torch.int64)
        counts[self.labels] = self.filled
        return counts

    def offer(self, label: int, feature: Tensor, entropy: float) -> bool:
        """Store a feature [D]; say whether it was taken.

        A full label takes an image of less entropy than one that it holds, in the place of the
        most doubtful one (of equals, the last).
        """
        if self.slots == 0:
            return False
        row = int(self.row_of[label])
        if row < 0:
            row = self._new_row(label)
        slot = int(self.filled[row])
        if slot == self.slots:
            values = self._entropy[row]
            worst = values.max()
            if not entropy < worst:
                return False
            slot = int((values == worst).nonzero()[-1])
        else:
            self.filled[row] += 1
        self._feats[row, slot] = feature
        self._entropy[row, slot] = entropy
        return True

    def _new_row(self, label: int) -> int:
        row = len(self.filled)
        if row == len(self._feats):  # double, so that growing costs little in total
            extra = max(16, row)
            self._feats = torch.cat(
                [self._feats, self._feats.new_zeros(extra, *self._feats.shape[1:])]
            )
            self._entropy = torch.cat([self._entropy, self._entropy.new_zeros(extra, self.slots)])
        self.row_of[label] = row
        self.filled = torch.cat([self.filled, self.filled.new_zeros(1)])
        return row

    def tensors(self) -> dict[str, Tensor]:
        """What :meth:`restore` needs."""
        entropy = self._entropy[: len(self.filled)]
        return {
            "row_of": self.row_of.clone(),
            "filled": self.filled.clone(),
            "feats": self.feats.clone(),
            "entropy": entropy.clone(),
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over what :meth:`tensors` gave."""
        self.row_of, self.filled = tensors["row_of"].cpu(), tensors["filled"].cpu()
        self._feats = tensors["feats"].to(self._feats.device)
        self._entropy = tensors["entropy"].cpu()

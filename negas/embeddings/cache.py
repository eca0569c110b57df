"""Text features that are encoded once and reused until the labels or the prompt change."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor


def fingerprint(*parts: Tensor | Hashable) -> str:
    """Return a digest of tensors (their bytes) and other values (their repr).

    Bytes are hashed rather than `Tensor._version` read, because averaging hooks write through
    `.data`, which no version counter sees. Meant for small tensors such as a prompt (3 x 512).
    """
    digest = hashlib.sha1(usedforsecurity=False)
    for part in parts:
        if isinstance(part, Tensor):
            value = part.detach().cpu().contiguous()
            digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
            digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
        else:
            digest.update(repr(part).encode())
        digest.update(b"|")
    return digest.hexdigest()


class TextFeatureCache:
    """Small least-recently-used cache: (labels, version) -> detached features [L, D]."""

    def __init__(self, max_entries: int = 32) -> None:
        """Create an empty cache that keeps at most `max_entries` sets of labels."""
        if max_entries < 1:
            raise ValueError(f"TextFeatureCache: max_entries must be >= 1, got {max_entries}.")
        self.max_entries = max_entries
        self._entries: OrderedDict[tuple, Tensor] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._entries)

    def get(
        self,
        labels: Sequence[str],
        encode: Callable[[list[str]], Tensor],
        version: Hashable = 0,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Return the features of `labels`, calling `encode(labels)` under no_grad on a miss.

        Args:
            labels: L texts; their order matters.
            encode: Called with the list of labels, returns [L, D].
            version: Anything that changes when the text encoder's output would, e.g.
                `fingerprint(prompt.ctx)`. Entries of other versions of these labels are dropped.
            device: Where the result must live; a hit on another device is moved and kept there.

        Returns:
            [L, D] features without gradient. Shared between calls: do not edit in place.
        """
        names = tuple(labels)
        key = (names, version)
        if key not in self._entries:
            for stale in [k for k in self._entries if k[0] == names]:
                del self._entries[stale]
            with torch.no_grad():
                self._entries[key] = encode(list(names)).detach()
        self._entries.move_to_end(key)
        while len(self._entries) > self.max_entries:
            self._entries.popitem(last=False)
        if device is not None:
            self._entries[key] = self._entries[key].to(device)
        return self._entries[key]

    def clear(self) -> None:
        """Forget everything, for example after the text encoder's weights were replaced."""
        self._entries.clear()

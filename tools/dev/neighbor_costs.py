"""What KNN costs over the bare product and ``torch.topk``, and that its memory stays flat."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from image_costs import in_fresh_process, peak_rss
from torch import Tensor

from negas.records import CHUNK
from negas.scores import FittedScore, get_score

CHANNELS, LABELS, BLOCK = 512, 20, 4096


def _units(count: int, device: str, dtype: torch.dtype) -> Tensor:
    """Random directions ``[count, 512]``, made in blocks."""
    made = torch.empty(count, CHANNELS, dtype=dtype, device=device)
    for part in made.split(BLOCK):
        part.copy_(F.normalize(torch.randn(part.shape, device=device), dim=1))
    return made


def _knn(boxes: int, device: str) -> FittedScore:
    bank = _units(boxes, device, torch.float16)
    images = torch.arange(boxes, device=device)
    size = torch.tensor(CHANNELS + 1, device=device)
    return get_score("knn").with_state(dict(bank=bank, bank_images=images, size=size))


def neighbors_of(
    queries: int, boxes: int, device: str
) -> tuple[Callable[[], None], Callable[[], None]]:
    """KNN of ``queries`` boxes against ``boxes`` fit boxes, and the bare product and topk."""
    score = _knn(boxes, device)
    bank = score._state["bank"].float().T
    units = _units(queries, device, torch.float32)
    embeddings = F.pad(units, (0, 1))
    logits = torch.zeros(queries, LABELS, device=device)
    return (
        lambda: score(logits, None, embeddings),
        lambda: (units @ bank).topk(score.k, dim=1),
    )


def _peak(queries: int, boxes: int, device: str) -> float | tuple[float, float]:
    score = _knn(boxes, device)
    embeddings = F.pad(_units(queries, device, torch.float16), (0, 1))
    logits = torch.zeros(queries, LABELS, device=device, dtype=torch.float16)
    before = peak_rss()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for start in range(0, queries, CHUNK):  # as records are scored
        rows = slice(start, start + CHUNK)
        score(logits[rows], None, embeddings[rows])
    return torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else (before, peak_rss())


def neighbor_memory(queries: int, boxes: int, device: str) -> float | tuple[float, float]:
    """Peak MiB of KNN in a fresh process (CPU: before the scoring, and at the peak)."""
    return in_fresh_process(_peak, queries, boxes, device)

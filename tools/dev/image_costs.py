"""Time and memory of scoring images, beside the matrix product that it cannot do without.

Shape letters: N images, K ID labels, M negative labels, D channels.
"""

from __future__ import annotations

import multiprocessing
import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from negas.image_level.method import CLIP_SCALE
from negas.image_level.scorers import get_image_score
from negas.options import Options, option


@dataclass(frozen=True)
class Sizes(Options):
    """How many random features of which width; the defaults are ImageNet's with CLIP ViT-B."""

    images: int = option(50_000, help="N", ge=1)
    id_labels: int = option(1000, help="K", ge=1)
    neg_labels: int = option(10_000, help="M", ge=1)
    width: int = option(512, help="channels of a feature", ge=1)
    device: Literal["cpu", "cuda"] = option("cpu", help="where to score")
    threads: int = option(1, help="CPU threads", ge=1)


def features(sizes: Sizes, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Random unit image, ID and negative features; cosines are spread as CLIP's (about 0.04)."""
    torch.set_num_threads(sizes.threads)
    generator = torch.Generator().manual_seed(seed)
    counts = (sizes.images, sizes.id_labels, sizes.neg_labels)
    feats = (torch.randn(n, sizes.width, generator=generator) for n in counts)
    return tuple(F.normalize(f, dim=1).to(sizes.device) for f in feats)


def bare(images: Tensor, ids: Tensor, negatives: Tensor | None, chunk: int = 512) -> Tensor:
    """The least that a softmax score does: matrix product and float32 softmax, share of the ID."""
    texts = ids if negatives is None else torch.cat([ids, negatives])
    parts = [
        (CLIP_SCALE * rows @ texts.T).softmax(dim=1)[:, : len(ids)].sum(dim=1)
        for rows in images.split(chunk)
    ]
    return torch.cat(parts)


def sides(
    method: str, sizes: Sizes, **options: object
) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """A method of :func:`get_image_score` and :func:`bare` on the same features, to be timed.

    The bare side has the negatives exactly if the method reads them.
    """
    score = get_image_score(method, **options)
    images, ids, negatives = features(sizes)
    negatives = negatives if score.score.needs_negatives else None
    return lambda: score(images, ids, negatives), lambda: bare(images, ids, negatives)


def peak_memory(method: str, sizes: Sizes, **options: object) -> dict[str, float]:
    """MiB of a fresh process on the CPU: with the features made, and at the peak of scoring."""
    start, peak = in_fresh_process(_peak, method, sizes, options)
    return {"mib_features": start, "mib_peak": peak}


def _peak(method: str, sizes: Sizes, options: dict) -> tuple[float, float]:
    score = sides(method, sizes, **options)[0]
    start = peak_rss()
    score()
    return start, peak_rss()


def in_fresh_process(work: Callable, *args: object) -> object:
    """What a function returns in a process of its own.

    Raises:
        RuntimeError: the process died, most likely for want of memory.
    """
    # An executor, not a queue: who waits for the queue of a dead process waits for ever.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *args).result()


def peak_rss() -> float:
    """Largest resident set of this process so far, MiB."""
    status = Path("/proc/self/status")
    if status.is_file():  # ru_maxrss would start at the parent's peak
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

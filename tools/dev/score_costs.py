"""How long scoring takes and how much memory it needs, on made-up boxes."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import numpy as np

from negas.evaluation.cuts import choose_presets
from negas.evaluation.rows import name_scores, score_rows, take_samples, values_by_set
from negas.evaluation.run import OWN_BANK, Dump
from negas.records import BoxRecords
from negas.scores import SCORES


def benchmark(boxes: int = 1_000_000, labels: int = 20, seed: int = 0) -> dict[str, float]:
    """Score made-up boxes, half of them ID, with every score.

    Args:
        boxes: of both sets together; ten an image.
        labels: ID labels, and as many negative ones.
        seed: of the boxes.

    Returns:
        Seconds for the scores alone (``scores_s``), for scores and metrics (``rows_s``), the
        peak memory of the process in GB (``peak_gb``; the boxes themselves included) and counts.

    Raises:
        ValueError: fewer than 40 boxes.
    """
    if boxes < 40:
        raise ValueError(f"--benchmark: expected at least 40 boxes, got {boxes}")
    rng = np.random.default_rng(seed)
    records = {
        name: _boxes(rng, boxes // 2, labels, shift) for name, shift in (("id", 1), ("x", 0))
    }
    dump = Dump(Path("benchmark"), records)
    samples = take_samples(dump, choose_presets(["fixed"], ["0.0"])[0])
    scores = name_scores(list(SCORES))
    start = time.perf_counter()
    for score in scores:
        values_by_set(dump, samples, score, OWN_BANK)
    middle = time.perf_counter()
    rows = score_rows(dump, samples, scores)
    end = time.perf_counter()
    unit = 1e9 if sys.platform == "darwin" else 1e6  # bytes there, kilobytes elsewhere
    return dict(
        boxes=rows[0]["num_id"] + rows[0]["num_ood"],
        logits=2 * labels,
        scores=len(scores),
        scores_s=middle - start,
        rows_s=end - middle,
        peak_gb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit,
    )


def _boxes(rng: np.random.Generator, count: int, labels: int, shift: float) -> BoxRecords:
    logits = rng.standard_normal((count, labels), dtype=np.float32) + np.float32(shift - 1)
    return BoxRecords(
        image_ids=np.arange(count) // 10,
        bboxes=np.zeros((count, 4), np.float32),
        labels=logits.argmax(1),
        scores=1 / (1 + np.exp(-logits.max(1))),
        id_logits=logits,
        neg_logits=rng.standard_normal((count, labels), dtype=np.float32),
    )

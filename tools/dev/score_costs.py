"""How long scoring takes and how much memory it needs: ``python tools/dev/score_costs.py``."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from negas.cli import user_errors
from negas.evaluation.cuts import choose_presets
from negas.evaluation.recorded import MODEL_BANK, Recorded
from negas.evaluation.rows import Scoring, name_scores, run_rows, sample_values, take_samples
from negas.options import Options, option
from negas.records import BoxRecords
from negas.scores import SCORES


@dataclass(frozen=True)
class CostOptions(Options):
    """Time and memory of all scores of logits and of metrics, on made-up boxes."""

    boxes: int = option(1_000_000, help="of both sets together", positional=True, ge=40)


def benchmark(boxes: int = 1_000_000, labels: int = 20, seed: int = 0) -> dict[str, float]:
    """Score made-up boxes, half of them ID, with every score of logits.

    Args:
        boxes: of both sets together; ten an image.
        labels: ID labels, and as many negative ones.
        seed: of the boxes.

    Returns:
        Seconds for the scores alone (``scores_s``), for scores and metrics (``rows_s``), the
        peak memory of the process in GB (``peak_gb``; the boxes themselves included) and counts.
    """
    rng = np.random.default_rng(seed)
    records = {
        name: _boxes(rng, boxes // 2, labels, shift) for name, shift in (("id", 1), ("x", 0))
    }
    run = Recorded.of(Path("benchmark"), records)
    preset = choose_presets(["fixed"], ["0.0"])[0]
    samples = take_samples(run, preset)
    scores = name_scores([name for name, kind in SCORES.items() if not kind.needs_embeddings])
    start = time.perf_counter()
    for score in scores:
        sample_values(run, samples, score, MODEL_BANK)
    middle = time.perf_counter()
    rows = run_rows(run, preset, Scoring(scores, rotations=0, no_leaks=False))
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


@user_errors
def main() -> int:
    """Print the costs."""
    found = benchmark(CostOptions.parse().boxes)
    print(
        "{boxes} boxes x {logits} logits, {scores} scores: {scores_s:.1f} s on one thread; "
        "with all metrics {rows_s:.1f} s; peak memory {peak_gb:.2f} GB".format(**found)
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

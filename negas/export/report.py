"""What ``negas verify-export`` says."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from negas.evaluation.cuts import deployed_tau
from negas.runtime import Detector
from negas.text import counted

from .variants import VARIANTS
from .verify import Agreement, Speed, compare_files

_UNITS = dict(boxes=" pixels")
_TPR = 0.95  # of a file that was not calibrated


def passes(found: Agreement, tolerance: float, side: int) -> bool:
    """Whether two agree: the same boxes, verdicts, unknown objects; numbers within a tolerance.

    Args:
        found: on the same pixels.
        tolerance: of scores; of boxes as a share of the side.
        side: of the input, in pixels.
    """
    largest = dict(found.largest)
    boxes = largest.pop("boxes") / side
    same = not (found.alone or found.objects_alone or found.flips)
    return same and max(boxes, *largest.values()) <= tolerance


def agreement_lines(pixels: Agreement, pictures: Agreement, images: int) -> list[str]:
    """Both comparisons of :func:`~.verify.compare`, a line each."""
    return [counted(images, "image"), _line("same pixels", pixels), _line("from files", pictures)]


def _line(title: str, found: Agreement) -> str:
    gaps = ", ".join(
        f"{key} {value:.2g}{_UNITS.get(key, '')}" for key, value in found.largest.items()
    )
    objects = ""
    if found.objects or found.objects_alone:
        objects = counted(found.objects, "unknown object")
        objects += f", {found.objects_alone} only on one side; "
    return (
        f"{title}: {counted(found.boxes, 'box')}, {found.alone} only on one side; {objects}largest "
        f"differences: {gaps}; verdicts: {found.to_unknown} turn unknown, {found.to_known} turn "
        f"known; {counted(found.renamed, 'other nearest word')}"
    )


def speed_lines(found: Speed) -> list[str]:
    """Times and how many times as fast the file is."""
    return [
        f"{counted(found.threads, 'thread')}, {title}: PyTorch {theirs * 1e3:.1f} "
        f"ms, ONNX Runtime {ours * 1e3:.1f} ms, {theirs / ours:.2f} times as fast"
        for title, (theirs, ours) in (
            ("network and selection", found.network),
            ("from a decoded picture", found.whole),
        )
    ]


def variant_lines(
    name: str, source: Path, files: Sequence[str], id_val: Sequence[str]
) -> list[str]:
    """Make a smaller file beside one and say what it costs.

    Args:
        name: of :data:`~.variants.VARIANTS`.
        source: the exported file.
        files: pictures to compare on.
        id_val: ID validation pictures, on which tau of both is fitted.
    """
    target = source.with_name(f"{source.stem}.{name}{source.suffix}")
    VARIANTS[name](source, target)
    first, second = Detector(source, threads=1), Detector(target, threads=1)
    found = compare_files(first, second, files)
    sizes = [path.stat().st_size / 2**20 for path in (source, target)]
    lines = [
        f"{name}: {target.name}, {sizes[1]:.1f} MiB in place of {sizes[0]:.1f}, "
        f"{_seconds(first, files) / _seconds(second, files):.2f} times as fast",
        "  " + _line("as calibrated", found),
    ]
    if first.tau is not None:
        tpr = (first.about.calibration or {}).get("wanted_tpr", _TPR)
        for detector in (first, second):
            found_all = map(detector, id_val)
            scores = [found.id_score[found.labels >= 0] for found in found_all]
            detector.tau = deployed_tau(np.concatenate(scores).astype(np.float64), tpr)
        again = compare_files(first, second, files)
        lines.append(
            f"  tau fitted anew on {counted(len(id_val), 'ID image')} ({tpr:.0%} known): "
            f"{second.tau:.4f}, of the file itself {first.tau:.4f}; verdicts: "
            f"{again.to_unknown} turn unknown, {again.to_known} known"
        )
    return lines


def _seconds(detector: Detector, files: Sequence[str]) -> float:
    detector(files[0])
    start = time.perf_counter()
    for file in files:
        detector(file)
    return time.perf_counter() - start

"""Which versions work together, as facts to report; nothing here asserts or imports the packages.

mmdet and mmyolo assert their ranges at import with a sentence that names no remedy; the doctor
prints ours first. That mmcv be older than 2.1 or 2.2 is asserted without need, see
:mod:`negas.compat.startup`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata

from .extras import how_to_install


@dataclass(frozen=True)
class Gate:
    """A range ``minimum <= version < below`` for a distribution, and why."""

    distribution: str
    minimum: str = "0"
    below: str | None = None
    reason: str = ""
    fix: str = ""

    def problem(self, version: str) -> str | None:
        """One clause that says what is wrong with ``version``, or None."""
        if parse(version) < parse(self.minimum):
            return f"{version} is older than {self.minimum} ({self.reason})"
        if self.below is not None and parse(version) >= parse(self.below):
            return f"{version} is not below {self.below} ({self.reason})"
        return None


FORKS = {"mmengine": "onedl-mmengine", "mmcv": "onedl-mmcv", "mmdet": "onedl-mmdetection"}
LITE = how_to_install("lite")
# Outside: nothing of negas can run.
REQUIRED = (
    Gate("torch", "2.1", reason="weights_only loading", fix="pip install 'torch>=2.1'"),
    Gate("numpy", fix="pip install numpy"),
    Gate("transformers", "4.40", reason="CLIP text towers", fix="pip install 'transformers<6'"),
    Gate("tokenizers", fix="pip install --force-reinstall transformers"),
    Gate("pycocotools", fix="pip install pycocotools"),
)
# Outside: mmdet or mmyolo refuses to import.
MM = (
    Gate("mmengine", "0.7.1", "1.0.0", "asked by mmdet and mmyolo", LITE),
    Gate("mmdet", "3.0.0", "4.0.0", "asked by mmyolo", LITE),
)
MMYOLO = Gate("mmyolo", "0.6.0", "1.0.0", "the YOLO-World parts build on it", LITE)
MMCV = Gate(
    "mmcv",
    "2.0.0rc4",
    "3.0.0",
    "2.0, 2.1 and 2.2 are known to work",
    "install mmcv-lite==2.0.1, or an mmcv 2",
)


def parse(version: str) -> tuple[tuple[int, int], ...]:
    """Order of release versions: ``2.0.0rc4 < 2.0.0 < 2.0.1+cu118``; the local part is ignored."""
    parts = []
    for part in version.split("+")[0].split("."):
        number = re.match(r"(\d*)(.*)", part)
        # rc4 sorts before the plain release: (0, -1) < (0, 0).
        parts.append((int(number[1] or 0), -1 if re.match(r"(a|b|rc|dev)", number[2]) else 0))
    while len(parts) < 4:
        parts.append((0, 0))
    return tuple(parts)


def installed(distribution: str) -> str | None:
    """Version of an installed distribution, from its metadata; None if there is none.

    The maintained forks of MMEngine, mmcv and MMDetection count, which are imported by the old
    names.
    """
    fork = FORKS.get(distribution)
    return exactly(distribution) or (exactly(fork) if fork else None)


def exactly(distribution: str) -> str | None:
    """Version of a distribution of just this name; None if there is none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None

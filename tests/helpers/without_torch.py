"""An exported file in an environment in which PyTorch, MMDetection and transformers are not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from negas.predictions import Results

from .fresh_environment import FreshEnvironment

PACKAGES = ("numpy", "pillow", "onnxruntime")  # as docs/export.md says
ABSENT = {"torch", "mmdet", "mmengine", "mmcv", "mmyolo", "transformers", "onnx", "scipy", "cv2"}
CODE = """
import json, sys
from importlib.util import find_spec
file, absent, labels, unknown_thr, *pictures = sys.argv[1:]
assert not [name for name in absent.split() if find_spec(name)]
from negas.runtime import Detector
detector = Detector(file)
if labels != "null":
    detector.set_labels(*json.loads(labels))
    detector.unknown_thr = json.loads(unknown_thr)
print(json.dumps([detector(picture).record() for picture in pictures]))
"""


def environment(folder: Path, wheel: Path, *more: str) -> FreshEnvironment:
    """With the wheel and what the runtime needs; ``more``: further packages."""
    fresh = FreshEnvironment(folder, names=(*PACKAGES, *more))
    assert not fresh.names & ABSENT
    fresh.install(wheel)
    return fresh


def results(
    fresh: FreshEnvironment,
    file: Path,
    pictures: Sequence[str],
    cwd: Path,
    labels: tuple | None = None,
    unknown_thr: float | None = None,
) -> list[Results]:
    """What a file says there of pictures, perhaps with other labels."""
    settings = (" ".join(sorted(ABSENT)), json.dumps(labels), json.dumps(unknown_thr))
    done = fresh.run("-c", CODE, file, *settings, *pictures, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return [Results.of_record(record) for record in json.loads(done.stdout)]

"""From the options of the command to a detector with its ID validation boxes, and examples."""

from __future__ import annotations

import negas.register  # noqa: F401 - first of all: mmdet can be imported after it

# isort: split
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.logging import print_log
from tqdm import tqdm

from negas.apis.fit import see_validation
from negas.apis.inferencer import Inferencer
from negas.records import BoxRecords
from negas.unknown.thresholds import LEAST

from .bench import Bench
from .scenes import draw_validation, example_scenes, is_emoji_world
from .validation import Validation


def check_port(host: str, port: int) -> None:
    """Make sure, before the detector is loaded, that a server can listen there.

    Raises:
        ValueError: it cannot.
    """
    try:
        kind = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(kind, socket.SOCK_STREAM) as place:
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            place.bind((host, port))
    except OSError as error:
        raise ValueError(
            f"port {port} of {host!r} cannot be listened on ({error.strerror}); give another --port"
        ) from error


def open_bench(
    cfg: Config,
    checkpoint: str,
    scenes: Path,
    *,
    device: str | None = None,
    labels: Mapping[str, Any] | None = None,
    calibration: str | os.PathLike | None = "auto",
    unknown: Any = None,
    records: str | os.PathLike | None = None,
    num: int = 100,
) -> Bench:
    """Load the detector and look at its ID validation images.

    Args:
        cfg: config; EmojiWorld's ID validation scenes are drawn where they are not there.
        checkpoint: of the detector.
        scenes: folder for these.
        device: for the detector; ``None``: an accelerator if there is one.
        labels: ``classes`` and ``negatives`` of :class:`~negas.apis.Inferencer`.
        calibration: as of the Inferencer.
        unknown: likewise; ``False``: unknown objects cannot be sought.
        records: recorded ID validation boxes, for which the detector does not run.
        num: of the first ID validation images; 0: none.

    Raises:
        ValueError: see the Inferencer, or the records are not of these labels.
        FileNotFoundError: see the Inferencer, or there are no such records.
    """
    loaded = None if records is None else BoxRecords.load(records)
    fields = None if unknown is False else dict(unknown) if isinstance(unknown, Mapping) else {}
    if records is None and num and is_emoji_world(cfg):
        with tqdm(total=num, desc="EmojiWorld scenes", leave=False, disable=None) as bar:
            draw_validation(cfg, scenes, num, bar.update)
    labels = dict(labels or {})
    how = dict(device=device, calibration=calibration, show_progress=False, **labels)
    sought = False if fields is None else fields | dict(score_thr=LEAST)
    inferencer = Inferencer(cfg, checkpoint, unknown=sought, **how)  # refuses what cannot be sought
    if sought:
        inferencer.set_labels(**labels, calibration=calibration, unknown=False)
    validation = None
    if loaded is not None:
        over = loaded.scores >= np.float32(inferencer.threshold)
        validation = Validation(loaded.select(over), str(records))
    elif num:
        validation = _look(inferencer, num)
    return Bench(inferencer, validation, fields, calibration, labels)


def _look(inferencer: Inferencer, num: int) -> Validation | None:
    """Boxes of the first ID validation images; ``None``, and a word on it, if that cannot be."""
    try:
        seen = see_validation(inferencer, num)
    except (ValueError, FileNotFoundError) as error:
        print_log(f"no ID validation boxes: {error}", "current")
        return None
    return Validation(seen, str(seen.meta.get("ann_file")))


def start_pictures(cfg: Config, folder: Path) -> list[Path]:
    """Pictures to choose from: EmojiWorld's scenes for a detector of it, else none."""
    return example_scenes(folder) if is_emoji_world(cfg) else []

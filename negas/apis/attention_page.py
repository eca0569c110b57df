"""Pages of attention maps: one per image, a row per branch, a column per layer."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from negas.files import whole_file
from negas.visualization.heatmaps import HeatMap, HeatRow, paint_heat

from .attention import AttentionMap, prepared_maps
from .inferencer import Inferencer
from .inferencer_inputs import Picture, Pictures
from .inferencer_output import prepare_folder

_LARGEST = 800  # pixels of the longer side that is painted


@dataclass(frozen=True)
class PageOptions:
    """What a page shows.

    Attributes:
        path: as in :func:`~negas.apis.attention.attention_maps`.
        head: likewise.
        words: mark each map's strongest cell and name the word that is strongest there.
        limits: range of the colours; ``None``: that of each column's values.
        smooth: interpolate between the cells' centres.
        difference: a row of ID minus negative attention.
    """

    path: str = "output"
    head: int | None = None
    words: bool = False
    limits: tuple[float, float] | None = None
    smooth: bool = True
    difference: bool = True

    def __post_init__(self) -> None:
        if self.limits is not None and not self.limits[0] < self.limits[1]:
            low, high = self.limits
            raise ValueError(f"the colours' range must be rising, got {low} to {high}")


def draw_attention(
    inferencer: Inferencer, pictures: Pictures, out_dir: str | os.PathLike, options: PageOptions
) -> list[Path]:
    """Write ``<out_dir>/<name>_attention.png`` for each picture that can be read.

    Raises:
        ValueError: nothing can be read, or the detector has no such attention.
        OSError: the folder cannot be written.
    """
    folder = prepare_folder(out_dir)
    pictures.decoder = inferencer.decoder
    written: list[Path] = []
    # disable=None: no bar where standard error is no terminal
    for picture, prepared in tqdm(
        pictures.prepared(inferencer.pipeline),
        "attention",
        total=pictures.total,
        leave=False,
        delay=2,
        disable=None,
    ):
        maps = prepared_maps(inferencer, prepared, options.path, options.head)
        path = folder / f"{Path(picture.name).stem}_attention.png"
        if picture.frame is not None:
            path = path.with_stem(f"{path.stem}_{picture.frame:06d}")
        if path in written:  # files of one name with different endings
            path = folder / f"{picture.name}_attention.png"
        with whole_file(path) as partial:
            draw_page(picture, maps, partial, options)
        written.append(path)
    pictures.check_any()
    return written


def draw_page(picture: Picture, maps: list[AttentionMap], path: Path, options: PageOptions) -> Path:
    """Write the page of one picture to a PNG file."""
    height, width = picture.pixels.shape[:2]
    shrink = min(1.0, _LARGEST / max(height, width))
    size = (max(1, round(height * shrink)), max(1, round(width * shrink)))
    image = picture.pixels[..., ::-1]
    if shrink < 1:
        image = cv2.resize(np.ascontiguousarray(image), size[::-1], interpolation=cv2.INTER_AREA)
    branches: dict[str, list[HeatMap]] = {}
    for one in maps:
        branches.setdefault(one.branch, []).append(_heat(one, size, options))
    rows = [HeatRow(branch, row) for branch, row in branches.items()]
    if options.difference and len(rows) == 2:
        differences = [
            HeatMap(
                first.values - second.values,
                note=f"mean {np.mean(first.values - second.values):+.3f}",
            )
            for first, second in zip(rows[0].maps, rows[1].maps, strict=True)
        ]
        rows.append(HeatRow("ID - negative", differences, signed=True))
    heads = "mean over heads" if options.head is None else f"head {options.head}"
    return paint_heat(image, rows, path, options.limits, f"{picture.name}: attention, {heads}")


def _heat(one: AttentionMap, size: tuple[int, int], options: PageOptions) -> HeatMap:
    rows, columns = one.cells.shape
    values = one.on_image(size, options.smooth)
    mark = None
    note = f"{values.min():.3f} to {values.max():.3f}"
    if options.words:
        image_size = one.placement.image_size
        mark = (one.peak[0] * size[1] / image_size[1], one.peak[1] * size[0] / image_size[0])
        note = f"{note}; {one.word}"
    return HeatMap(values, f"{one.level} {one.path}, {rows}x{columns} cells", note, mark)

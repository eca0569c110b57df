"""Where a detector's texts look: text-guided attention over an image (the paper's Figure 3).

Pages of these maps, one per image, have a row per branch and a column per layer.

Shapes: H heads, L texts of a branch, (h, w) a feature map.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from negas.files import check_folder, refuse_input
from negas.models.attention_maps import Branch, Layer
from negas.options import Options, option
from negas.text import escaped
from negas.visualization.heatmaps import HeatMap, HeatRow, paint_heat

from .inputs import Picture, Pictures

if TYPE_CHECKING:
    from .inferencer import Inferencer


# --- where it lies on the image -------------------------------------------------------------------
@dataclass(frozen=True)
class Placement:
    """Where the network's input lies on the original image: ``input = original * scale + offset``.

    All pairs are (y, x), in pixels.
    """

    image_size: tuple[int, int]
    input_size: tuple[int, int]
    scale: tuple[float, float]
    offset: tuple[float, float]

    @classmethod
    def of(cls, meta: dict, inputs: Tensor) -> Placement:
        """From a data sample's metainfo and the input [1, 3, h, w] that was made of the image."""
        top, _, left, _ = meta.get("pad_param", (0, 0, 0, 0))
        scale_x, scale_y = meta["scale_factor"]
        return cls(
            image_size=tuple(meta["ori_shape"][:2]),
            input_size=tuple(inputs.shape[-2:]),
            scale=(float(scale_y), float(scale_x)),
            offset=(float(top), float(left)),
        )

    def cell_of(self, axis: int, pixels: np.ndarray, cells: int) -> np.ndarray:
        """Positions on an axis (0: y, 1: x) of the image in cells; a cell's centre is its index."""
        stride = self.input_size[axis] / cells
        return (pixels * self.scale[axis] + self.offset[axis]) / stride - 0.5

    def pixel_of(self, axis: int, positions: np.ndarray, cells: int) -> np.ndarray:
        """The inverse of :meth:`cell_of`."""
        stride = self.input_size[axis] / cells
        return ((positions + 0.5) * stride - self.offset[axis]) / self.scale[axis]


@dataclass(frozen=True)
class AttentionMap:
    """Attention of one layer under one branch's texts.

    Attributes:
        branch: ``ID texts`` or ``negative texts``.
        path: part of the network, e.g. ``top-down``.
        level: e.g. ``P3`` for a stride of 8 pixels.
        cells: what the layer computed, letterbox included, in (0, 1), [h, w].
        placement: where the cells lie on the image.
        peak: centre (x, y), in original pixels, of the strongest cell that is not all letterbox.
        word: the text with the largest attention at that cell (of its own, mean over the heads).
    """

    branch: str
    path: str
    level: str
    cells: np.ndarray
    placement: Placement
    peak: tuple[float, float]
    word: str

    def on_image(self, size: tuple[int, int] | None = None, smooth: bool = True) -> np.ndarray:
        """Values over the original image, [H, W].

        Args:
            size: H and W; ``None``: one value per pixel.
            smooth: interpolate between the cells' centres; ``False`` shows the cells.
        """
        rows, columns = (
            self._weights(axis, (size or self.placement.image_size)[axis], smooth)
            for axis in (0, 1)
        )
        return rows @ self.cells @ columns.T

    def _weights(self, axis: int, count: int, smooth: bool) -> np.ndarray:
        """Share of each cell in ``count`` values along an axis, [count, cells]."""
        cells = self.cells.shape[axis]
        pixels = (np.arange(count) + 0.5) * self.placement.image_size[axis] / count
        where = np.clip(self.placement.cell_of(axis, pixels, cells), 0, cells - 1)
        if not smooth:
            where = np.floor(where + 0.5)
        low = np.minimum(np.floor(where).astype(int), cells - 1)
        part = where - low
        weights = np.zeros((count, cells))
        weights[np.arange(count), low] = 1 - part
        weights[np.arange(count), np.minimum(low + 1, cells - 1)] += part
        return weights


# --- the two together -----------------------------------------------------------------------------
def attention_maps(
    inferencer: Inferencer, pixels: np.ndarray, path: str = "output", head: int | None = None
) -> list[AttentionMap]:
    """Attention of each level under ID and negative texts.

    YOLO-World's is ``a = sigmoid(max_j <X, T_j>)``. Grounding DINO's is a share: a cell spreads its
    attention over the tokens of the caption, and the largest share of a name's token is shown.
    At test time negatives guide nothing: their branch is run here as NegA runs it in training, but
    without its noise.

    Args:
        inferencer: a detector of :class:`negas.apis.Inferencer`.
        pixels: image [H, W, 3], uint8, BGR as OpenCV reads it.
        path: layers to show: ``output`` (the last one of each level), ``all``, or those of one part
            of the network: ``top-down`` or ``bottom-up`` of YOLO-World's neck, ``fusion-1``,
            ``fusion-2``, ... of Grounding DINO's encoder.
        head: attention head; layers with fewer heads are left out; ``None``: the mean over heads.

    Returns:
        Maps of the ID texts, then of the negative texts, each fine to coarse.

    Raises:
        ValueError: the detector has no text-guided attention, or no layer has this path or head.
    """
    return prepared_maps(inferencer, inferencer.pipeline(np.ascontiguousarray(pixels)), path, head)


@torch.no_grad()
def prepared_maps(
    inferencer: Inferencer, prepared: dict, path: str = "output", head: int | None = None
) -> list[AttentionMap]:
    """:func:`attention_maps` of what the detector's test pipeline made of an image."""
    if head is not None and head < 0:
        raise ValueError(f"head must be at least 0, got {head}")
    model = inferencer.model
    data = model.data_preprocessor(inferencer.collate_fn([prepared]), training=False)
    inputs = data["inputs"]
    placement = Placement.of(data["data_samples"][0].metainfo, inputs)
    maps = []
    for branch in model.attention(inputs):
        for level, layer in _select(branch.layers, path, head):
            maps.append(_make_map(branch, level, layer, placement, head))
    return maps


def _select(layers: Sequence[Layer], path: str, head: int | None) -> list[tuple[str, Layer]]:
    """The layers to show with their levels, fine to coarse."""
    named = [(one.stride.bit_length() - 1, one) for one in layers]
    if path == "output":
        named = list(dict(named).items())  # of each level the last
    elif path != "all":
        named = [(level, one) for level, one in named if one.path == path]
    if not named:
        known = ", ".join(["output", "all", *dict.fromkeys(one.path for one in layers)])
        raise ValueError(f"no layer has the path {path!r}; this detector has {known}")
    heads = {f"P{level}": one.scores.shape[0] for level, one in named}
    if head is not None:
        named = [(level, one) for level, one in named if head < one.scores.shape[0]]
    if not named:
        counts = ", ".join(f"{level} {count}" for level, count in sorted(heads.items()))
        raise ValueError(f"head {head} does not exist; heads are counted from 0 ({counts})")
    return [(f"P{level}", one) for level, one in sorted(named, key=lambda pair: pair[0])]


def _make_map(
    branch: Branch, level: str, layer: Layer, placement: Placement, head: int | None
) -> AttentionMap:
    scores = layer.scores if head is None else layer.scores[head : head + 1]
    cells = scores.amax(1).mean(0).numpy().astype(np.float64)
    height, width = cells.shape
    covered = (height * layer.stride, width * layer.stride)  # by the last cells, too
    placement = replace(placement, input_size=covered)
    seen = np.outer(_covers(placement, 0, height), _covers(placement, 1, width))
    row, column = np.unravel_index(np.where(seen, cells, -np.inf).argmax(), cells.shape)
    centre = [
        float(np.clip(placement.pixel_of(axis, place, count), 0, placement.image_size[axis]))
        for axis, place, count in ((1, column, width), (0, row, height))
    ]
    word = branch.words[int(scores[:, :, row, column].mean(0).argmax())]
    return AttentionMap(
        branch.name, layer.path, level, cells, placement, (centre[0], centre[1]), word
    )


def _covers(placement: Placement, axis: int, cells: int) -> np.ndarray:
    """Which cells along an axis cover some of the image, not only letterbox, [cells]."""
    edges = placement.pixel_of(axis, np.arange(cells + 1) - 0.5, cells)
    return (edges[1:] > 0) & (edges[:-1] < placement.image_size[axis])


_LARGEST = 800  # pixels of the longer side that is painted


@dataclass(frozen=True)
class PageOptions(Options):
    """What a page shows."""

    path: str = option(
        "output",
        help="layers: output (the last of each level), all, or those of one part: top-down or "
        "bottom-up (YOLO-World), fusion-1, fusion-2, ... (Grounding DINO)",
    )
    head: int | None = option(None, help="attention head, from 0 (default: mean of all)", ge=0)
    words: bool = option(False, help="mark each map's strongest cell, with its best word")
    limits: tuple[float, ...] | None = option(
        None,
        help="LOW and HIGH of the colours (default: the values of each column)",
        flag="--range",
        metavar="VALUE",
    )
    cells: bool = option(False, help="show cells, without interpolation")
    difference: bool = option(True, help="a row of ID minus negative attention")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.limits is not None and len(self.limits) != 2:
            raise ValueError(f"the colours' range is two numbers, got {len(self.limits)}")
        if self.limits is not None and not self.limits[0] < self.limits[1]:
            low, high = self.limits
            raise ValueError(f"the colours' range must be rising, got {low} to {high}")


def check_pages(out_dir: str | os.PathLike, pictures: Pictures) -> Path:
    """Before long work: see that the pages can be written.

    Raises:
        FileExistsError: one would be written onto an input.
        OSError: the folder cannot be written.
    """
    folder = check_folder(out_dir, "--out-dir")
    for name in pictures.names():
        refuse_input(folder / f"{Path(name).stem}_attention.png", "--out-dir")
    return folder


def draw_attention(
    inferencer: Inferencer, pictures: Pictures, out_dir: str | os.PathLike, options: PageOptions
) -> list[Path]:
    """Write ``<out_dir>/<name>_attention.png`` for each picture that can be read.

    Raises:
        ValueError: nothing can be read, or the detector has no such attention.
        OSError: the folder cannot be written.
    """
    folder = check_pages(out_dir, pictures)
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
        draw_page(picture, maps, path, options)
        written.append(path)
    pictures.check_any()
    return written


def draw_page(picture: Picture, maps: list[AttentionMap], path: Path, options: PageOptions) -> Path:
    """Write the page of one picture to a PNG file."""
    height, width = picture.pixels.shape[:2]
    shrink = min(1.0, _LARGEST / max(height, width))
    size = (max(1, round(height * shrink)), max(1, round(width * shrink)))
    image = picture.pixels
    if shrink < 1:
        image = cv2.resize(np.ascontiguousarray(image), size[::-1], interpolation=cv2.INTER_AREA)
    image = image[..., ::-1]
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
    title = f"{escaped(picture.name)}: attention, {heads}"
    return paint_heat(image, rows, path, options.limits, title)


def _heat(one: AttentionMap, size: tuple[int, int], options: PageOptions) -> HeatMap:
    rows, columns = one.cells.shape
    values = one.on_image(size, smooth=not options.cells)
    mark = None
    note = f"{values.min():.3f} to {values.max():.3f}"
    if options.words:
        image_size = one.placement.image_size
        mark = (one.peak[0] * size[1] / image_size[1], one.peak[1] * size[0] / image_size[0])
        note = f"{note}; {one.word}"
    return HeatMap(values, f"{one.level} {one.path}, {rows}x{columns} cells", note, mark)

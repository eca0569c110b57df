"""Every image of every set: known boxes green, unknown ones red and dashed, unknown objects red."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image
from tqdm import tqdm

from negas.files import check_names, protect, refuse_input
from negas.records import BoxRecords
from negas.scores import Score

from .boxes import (
    Finds,
    draw_records,
    image_files,
    mark_scale,
    open_image,
    paintable,
    save_picture,
)

_LEGIBLE = 320  # pixels of the longer side: smaller images are enlarged for the captions' sake


def paint_sets(
    records: Mapping[str, BoxRecords],
    score: Score,
    cut: float,
    tau: float,
    folder: Path,
    unknown: Mapping[str, Finds] | None = None,
    words: Sequence[str] = (),
) -> int:
    """Write ``<folder>/<set>/<file name>`` for every image, also those without a box.

    Args:
        records: boxes by set name, with ``meta`` keys ``img_dir``, ``ann_file`` and ``id_labels``.
        score: its values stand in the captions.
        cut: least confidence of a box that is drawn, in [0, 1].
        tau: a box is known iff its score is at least this.
        folder: of all sets.
        unknown: unknown objects by set name.
        words: what they are like.

    Returns:
        The number of images.

    Raises:
        FileNotFoundError: an image or annotation file is missing.
        FileExistsError: an image would be painted over.
        PictureError: an image cannot be read.
    """
    check_names(records, "the set")
    files_of = {name: image_files(part) for name, part in records.items()}
    for files in files_of.values():
        protect(*files.values())  # a.gif, painted as a.png, may meet another set's picture
    for name, part in records.items():
        for image_id in part.images.tolist():
            if file := files_of[name].get(image_id):
                place = folder / name / _place(file, Path(part.meta["img_dir"]))
                refuse_input(place, "--show-dir", (file,))
    total = sum(len(part.images) for part in records.values())
    # disable=None: no bar where standard error is no terminal
    bar = tqdm(total=total, desc=f"painting {folder.name}", leave=False, disable=None)
    for name, part in records.items():
        kept = part.select(part.scores >= np.float32(cut))
        values = kept.score_with(score)
        files = files_of[name]
        for image_id in part.images.tolist():
            pixels = open_image(files, image_id)
            height, width = pixels.shape[:2]
            pixels, shrink = paintable(pixels)
            image = Image.fromarray(np.ascontiguousarray(pixels[..., ::-1]))
            scale = max(1.0, _LEGIBLE / max(image.size))
            objects = (unknown or {}).get(name), words
            page = draw_records(image, kept, values, tau, image_id, *objects, scale, shrink)
            mark_scale(page, shrink, width, height)
            target = folder / name / _place(files[image_id], Path(part.meta["img_dir"]))
            save_picture(page, target)
            bar.update()
    bar.close()
    return total


def _place(file: Path, img_dir: Path) -> PurePosixPath:
    """Where an image goes: its path below the set's folder, never out of it."""
    inside = file.is_relative_to(img_dir) and ".." not in file.relative_to(img_dir).parts
    place = PurePosixPath(file.relative_to(img_dir).as_posix() if inside else file.name)
    writable = Image.registered_extensions().get(place.suffix.lower()) in Image.SAVE
    return place if writable else place.with_name(f"{place.name}.png")  # a.png may be there, too

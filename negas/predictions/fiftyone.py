"""FiftyOne's serialized form: ``samples.json`` and ``metadata.json`` of a ``FiftyOneDataset``.

Format: https://docs.voxel51.com/user_guide/import_datasets.html#fiftyonedataset, in the form that
FiftyOne reads without a version of its database in ``metadata.json``. Boxes are shares of the
picture; whatever else a detection has becomes an attribute of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from negas.files import write_json

SAMPLES_FILE, METADATA_FILE = "samples.json", "metadata.json"
PREDICTIONS, GROUND_TRUTH = "predictions", "ground_truth"


def detection(
    label: str, bbox: Sequence[float], size: Sequence[int], **attributes: Any
) -> dict[str, Any]:
    """One ``Detection``.

    Args:
        label: its class.
        bbox: left, top, width, height in pixels.
        size: width and height of the picture.
        **attributes: more of it, such as ``confidence``; those that are None are left out.
    """
    shares = [value / size[i % 2] for i, value in enumerate(bbox)]
    given = {key: value for key, value in attributes.items() if value is not None}
    return dict(_cls="Detection", tags=[], label=label, bounding_box=shares, **given)


def detections(results: Any) -> dict[str, Any]:
    """``Detections`` of :class:`~negas.predictions.Results`."""
    rows = []
    for one in results:
        left, top, right, bottom = one.box
        row = detection(
            one.name,
            (left, top, right - left, bottom - top),
            results.size,
            confidence=one.confidence,
            known=one.known,
            id_score=one.id_score,
            unknown_like=one.unknown_like,
            unknown_like_score=one.unknown_like_score,
        )
        rows.append(row)
    return all_of(rows)


def all_of(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """``Detections`` of single ones."""
    return dict(_cls="Detections", detections=list(rows))


def sample(
    path: str | os.PathLike,
    size: Sequence[int],
    fields: Mapping[str, dict[str, Any]],
    tags: Sequence[str] = (),
) -> dict[str, Any]:
    """One picture.

    Args:
        path: of the file.
        size: width and height.
        fields: ``Detections`` by the name of their field.
        tags: of the sample, such as the set that it is of.
    """
    metadata = dict(_cls="ImageMetadata", width=int(size[0]), height=int(size[1]))
    place = os.path.abspath(path)
    return dict(filepath=place, tags=list(tags), metadata=metadata, **fields)


def write_dataset(
    folder: str | os.PathLike, samples: Sequence[dict[str, Any]], info: Mapping[str, Any]
) -> Path:
    """Write a folder for ``fo.Dataset.from_dir(folder, dataset_type=fo.types.FiftyOneDataset)``.

    Pictures stay where they are.

    Args:
        folder: is made.
        samples: of :func:`sample`.
        info: for people; becomes ``dataset.info``.

    Raises:
        OSError: it cannot be written.
    """
    target = Path(folder)
    write_json(target / METADATA_FILE, dict(media_type="image", info=dict(info)))
    write_json(target / SAMPLES_FILE, dict(samples=list(samples)), indent=None)
    return target

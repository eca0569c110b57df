"""Label Studio tasks with pre-annotations: boxes that are unknown, for people to name.

Format: https://labelstud.io/guide/predictions; numbers are percent of the picture's sides. It fits
a labelling interface ``<Image name="image"/><RectangleLabels name="label" toName="image"/>``.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import quote

LOCAL_FILES = "/data/local-files/?d="  # what Label Studio serves from its own disk
LABEL = "unknown"


def task(results: Any, prefix: str = LOCAL_FILES) -> dict[str, Any]:
    """One task.

    Args:
        results: :class:`~negas.predictions.Results` of a picture.
        prefix: in front of the file name, see there.
    """
    width, height = results.size
    rows = []
    for i, one in enumerate(results):
        if one.known is not False:
            continue
        left, top, right, bottom = one.box
        value = dict(
            x=100 * left / width,
            y=100 * top / height,
            width=100 * (right - left) / width,
            height=100 * (bottom - top) / height,
            rotation=0,
            rectanglelabels=[LABEL],
        )
        taken = [] if one.label < 0 else [f"taken for {one.name}"]
        like = [] if one.unknown_like is None else [f"like {one.unknown_like}"]
        rows.append(
            dict(
                id=f"box{i}",
                type="rectanglelabels",
                from_name="label",
                to_name="image",
                original_width=width,
                original_height=height,
                image_rotation=0,
                value=value,
                score=one.confidence,
                meta=dict(text=[", ".join(taken + like)]),
            )
        )
    name = results.file_name
    if "://" not in name:
        name = prefix + quote(os.fsencode(name))
    score = max((row["score"] for row in rows), default=0.0)
    prediction = dict(model_version="negas", score=score, result=rows)
    return dict(data=dict(image=name), predictions=[prediction])

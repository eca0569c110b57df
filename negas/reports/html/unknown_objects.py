"""Unknown objects of a run: what is found, and the surest ones as pictures with their word."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from negas.evaluation.unknown import UnknownBoxes, chosen_unknown
from negas.visualization.boxes import unknown_caption
from negas.visualization.unknown_curves import plot_unknown

from ..table import Table
from ..unknown import unknown_table
from .crops import box_picture
from .mistakes import annotated_objects, files_of_images, objects_found
from .page import Picture, PictureGroup
from .plots import svg_uri
from .run import ReportRun

UNKNOWN_NOTE = (
    "Cells on which a word of the vocabulary beats every ID name, at the threshold of the run. The "
    "word is the nearest one, not the object's class."
)


def unknown_groups(
    run: ReportRun, count: int, on_picture: Callable[[], None]
) -> list[PictureGroup]:
    """A group per OOD set; none where the test has no threshold of unknown objects.

    Args:
        run: the evaluation.
        count: pictures per set, at most; one per image.
        on_picture: called after each picture.
    """
    found, words = chosen_unknown(run.run, run.samples.cut.value, run.run.ood_sets)
    groups = []
    for name, objects in found.items():
        order = np.argsort(-objects.scores, kind="stable")
        _, first = np.unique(objects.image_ids[order], return_index=True)
        rows = order[np.sort(first)][:count]
        pictures = []
        for row, thing in zip(rows, _things(run, name, objects, rows), strict=True):
            pictures.append(_picture(run, name, objects, row, words[objects.words[row]], thing))
            on_picture()
        note = f"{len(objects.scores)} unknown objects are found; the surest, one per image."
        groups.append(PictureGroup(f"{name}: unknown objects found", pictures, note))
    return groups


def unknown_tables(run: ReportRun) -> list[Table]:
    """What the vocabulary finds, as the test counted it; none without a threshold."""
    table = unknown_table(run.run.name, run.run.results.get("unknown") or {})
    return [table] if table else []


def unknown_plots(run: ReportRun) -> list[Picture]:
    """Recall of unknown objects over false boxes and over numbers of words; none without them."""
    curves = (run.run.results.get("unknown") or {}).get("curves")
    if not curves or not any(curves.values()):
        return []
    alt = "Unknown objects found over false boxes per ID image, and over the number of words"
    return [Picture(alt, svg_uri(partial(plot_unknown, curves)))]


def _picture(
    run: ReportRun, name: str, objects: UnknownBoxes, row: int, word: str, thing: str
) -> Picture:
    image_id = objects.image_ids[row].item()
    file = files_of_images(run.run.records[name], [image_id]).get(image_id)
    said = f"unknown, like {word}"
    caption = [
        f"{thing}, {said}" if thing else said,
        f"score {objects.scores[row]:.3f}",
        file.name if file else f"image {image_id}",
    ]
    text = unknown_caption(word, objects.scores[row])
    alt = f"Unknown object in image {image_id} of {name}: {caption[0]}"
    return box_picture(file, objects.bboxes[row], text, alt, caption)


def _things(run: ReportRun, name: str, objects: UnknownBoxes, rows: np.ndarray) -> list[str]:
    """The annotated category below each box; empty where that is not known."""
    truth, _ = run.truth(name)
    if truth is None:
        return [""] * len(rows)
    annotated, names = annotated_objects(truth)
    found = objects_found(objects.at(rows), annotated)
    return [names[annotated.labels[i]] if i >= 0 else "no annotated object" for i in found]

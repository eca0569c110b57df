"""The preset ``owod``: a run's numbers as open-world object detection reports them.

Its test set is the ID set and an OOD set together, each image once: a mixed test set is split into
images with and without a known object (``negas prepare owodb``). Where the conventions of
the published evaluators differ, these hold (docs/protocol.md names the rest):

- Known boxes count from a confidence of 0.05 on, the preset's cut; boxes of a vocabulary have no
  cut but their own.
- A box is unknown where its score is below tau, the largest that 95% of the ID validation boxes
  over the cut reach (of ID test without such a set), or where it comes from a vocabulary.
- Crowds are ordinary objects; objects that VOC marks as difficult are ignored.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence

from pycocotools.coco import COCO

from negas.evaluation.cuts import validation_tau
from negas.evaluation.recorded import Recorded
from negas.evaluation.rows import NamedScore, bank_records, build_score, take_samples
from negas.evaluation.unknown.boxes import unknown_boxes_of
from negas.metrics import Preset
from negas.records import ID

from .open_set_rows import open_set_row

OWOD = "owod"
TREATMENT = dict(crowd="objects", difficult="ignored")


def add_owod(
    run: Recorded, preset: Preset, scores: Sequence[NamedScore], rows: Sequence[dict]
) -> None:
    """Give each row that is no control its ``owod`` numbers; nothing under another preset.

    The numbers are those of :class:`negas.metrics.OpenSetResult`, with ``tau``, what crowds and
    difficult objects count as, how many boxes the run's vocabulary gave (``vocabulary_boxes``),
    and ``benchmark`` and ``task``, where the ID set's annotations name them.

    Raises:
        FileNotFoundError: annotations do not exist.
        ValueError: an image stands in the ID set and in the row's OOD set.
    """
    if preset.name != OWOD:
        return
    by_label = {score.label: score for score in scores}
    samples = take_samples(run, preset)
    for name in run.ood_sets:
        sets = (ID, name)
        folders = {each: run.records[each].meta.get("img_dir", "") for each in sets}
        truths = {each: run.truth(each) for each in sets}
        refuse_shared_images(truths, folders, sets, f"{run.path}: preset {OWOD!r}")
    about, more = benchmark_of(run.truth(ID)), unknown_boxes_of(run)
    for row in rows:
        if row["control"] != "none" or not row["num_id"]:
            continue
        score, bank, sets = by_label[row["score"]], row["bank"], (ID, row["ood_set"])
        records = bank_records(run, score, bank)
        tau = validation_tau(records, build_score(run, score, records), samples.cut.value)
        where = (samples, score, bank, row["ood_set"], tau)
        numbers = open_set_row(run, *where, unknown=more, **TREATMENT)
        boxes = [more[each].labels for each in sets if each in more]
        count = sum(map(len, boxes)) if boxes else None
        row[OWOD] = numbers | TREATMENT | about | dict(vocabulary_boxes=count)


def benchmark_of(truth: COCO) -> dict:
    """``benchmark`` and ``task`` that annotations of ``prepare_data.py owodb`` name; else empty."""
    info = truth.dataset.get("info")
    if not isinstance(info, dict) or not isinstance(info.get("benchmark"), str):
        return {}
    return {key: info[key] for key in ("benchmark", "task") if key in info}


def refuse_shared_images(
    truths: Mapping[str, COCO], folders: Mapping[str, str], sets: Sequence[str], where: str
) -> None:
    """Refuse two sets that list one image: it would be counted twice.

    Args:
        truths: ground truth by set.
        folders: of the images, by set.
        sets: two names.
        where: what to call the place in the message.

    Raises:
        ValueError: naming the image.
    """
    first, second = (
        {
            posixpath.normpath(f"{folders[name]}/{image.get('file_name', image['id'])}")
            for image in truths[name].dataset["images"]
        }
        for name in sets
    )
    if both := first & second:
        raise ValueError(
            f"{where}: {len(both)} images are in the sets {sets[0]!r} and {sets[1]!r} (such as "
            f"{min(both)!r}) and would count twice; give the two halves of the test set, as "
            "negas prepare owodb makes them"
        )

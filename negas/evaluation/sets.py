"""The data sets of a run, looked at before any inference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from negas.metrics.coco import category_ids, load_coco

ID_SETS = ("id", "cut")  # the sets whose labels are the model's


def read_truths(datasets: Mapping[str, object], class_names: Sequence[str]) -> dict[str, dict]:
    """COCO dict of every set.

    Args:
        datasets: MMDetection datasets by set name, with ``ann_file``.
        class_names: of the model; the jsons of ``id`` and ``cut`` must have them all.

    Raises:
        ValueError: a set has no json, it is no COCO json, or an ID set's lacks a class.
        FileNotFoundError: a json does not exist.
    """
    truths = {}
    for name, dataset in datasets.items():
        ann_file = getattr(dataset, "ann_file", None)
        if not ann_file:
            raise ValueError(
                f"OODMetric: the set {name!r} ({type(dataset).__name__}) has no ann_file; give a "
                "dataset with one COCO json"
            )
        truths[name] = load_coco(ann_file).dataset
        if name in ID_SETS:
            try:
                category_ids(truths[name], class_names)
            except ValueError as error:
                raise ValueError(f"the set {name!r}, {str(ann_file)!r}: {error}") from error
    return truths


def files_of(dataset: object) -> dict[str, str]:
    """Where annotations and images of a set lie, for ``meta`` of its records."""
    images = (getattr(dataset, "data_prefix", None) or {}).get("img", "")
    return dict(ann_file=str(dataset.ann_file), img_dir=str(images))

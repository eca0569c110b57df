"""Two runs of the same images, score by score: differences with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

import numpy as np

from negas.metrics import GroupedScores, Preset, paired_bootstrap, paired_oscr_intervals
from negas.records import ID

from .objects.object_rows import has_objects, paired_rows_of, pairs_of, reached_objects
from .recorded import Recorded, check_pair
from .rows import NamedScore, Samples, banks_of, sample_values, take_samples, values_at


def paired_rows(
    run: Recorded,
    other: Recorded,
    presets: Sequence[Preset],
    scores: Sequence[NamedScore],
    banks: Sequence[str],
    draws: int,
    seed: int,
    on_row: Callable[[], None] = lambda: None,
) -> list[dict]:
    """Differences ``run - other`` of AUROC and FPR95, each run at its own cut of the preset.

    A row whose run keeps no sample on one side is left out. Where there are annotations, rows hold
    :data:`~negas.metrics.objects.OSCR_METRICS`, too, from the same draws of images.

    Raises:
        ValueError: other ID labels, images or annotations; a score needs negatives that a run
            lacks.
    """
    shared = check_pair(run, other)
    jobs = [(score, bank) for score in scores for bank in banks_of(score, banks)]
    oscr = {
        (score.label, bank): _oscr_differences(run, other, shared, score, bank, draws, seed)
        for score, bank in jobs
    }
    rows = []
    for preset in presets:
        mine, theirs = take_samples(run, preset), take_samples(other, preset)
        for score, bank in jobs:
            first = _grouped(other, theirs, score, bank)
            second = _grouped(run, mine, score, bank)
            for name in shared:
                on_row()
                sides = [(side[ID], side[name]) for side in (first, second)]
                if not all(len(each.scores) for pair in sides for each in pair):
                    continue
                images = tuple(run.records[n].images for n in (ID, name))
                result = paired_bootstrap(*sides, draws, seed, images=images)
                rows.append(
                    dict(score=score.label, bank=bank, ood_set=name, preset=preset.name)
                    | dict(cut=mine.cut.value, other_cut=theirs.cut.value)
                    | dict(cut_rule=mine.cut.rule, cut_source=mine.cut.source)
                    | dict(run=run.name, other=other.name)
                    | dict(run_path=str(run.path), other_path=str(other.path))
                    | result.to_dict()
                    | oscr[score.label, bank].get(name, {})
                )
    return rows


def _oscr_differences(
    run: Recorded,
    other: Recorded,
    names: Sequence[str],
    score: NamedScore,
    bank: str,
    draws: int,
    seed: int,
) -> dict[str, dict[str, dict]]:
    """Differences of OSCR by OOD set; one without annotations is left out."""
    values = [_on_objects(each, names, score, bank) for each in (other, run)]
    found = {}
    for name in names:
        if not all(has_objects(each, name) for each in (run, other)):
            continue
        _check_objects(run, other, name)
        (*first, at, ood_at), (*second, _, _) = (
            reached_objects(each, by_set, name)
            for each, by_set in zip((other, run), values, strict=True)
        )
        sizes = [len(run.records[each].images) for each in (ID, name)]
        made = paired_oscr_intervals(first, second, (at, ood_at), sizes, draws, seed)
        found[name] = {key: asdict(interval) for key, interval in made.items()}
    return found


def _on_objects(
    run: Recorded, names: Sequence[str], score: NamedScore, bank: str
) -> Mapping[str, np.ndarray]:
    return values_at(run, paired_rows_of(run, names), score, bank)


def _check_objects(run: Recorded, other: Recorded, name: str) -> None:
    """Refuse annotations that differ: the objects would be others.

    Raises:
        ValueError: naming the set, and what to do.
    """
    for each in (ID, name):
        mine, theirs = (pairs_of(one, each).objects for one in (run, other))
        parts = [(getattr(mine, p), getattr(theirs, p)) for p in ("image_ids", "bboxes", "labels")]
        if not all(np.array_equal(*pair) for pair in parts):
            raise ValueError(
                f"{run.path} and {other.path}: the set {each!r} has other annotations; give both "
                f"the same with --ann {each}=FILE"
            )


def _grouped(
    run: Recorded, samples: Samples, score: NamedScore, bank: str
) -> dict[str, GroupedScores]:
    values = sample_values(run, samples, score, bank)
    return {
        name: GroupedScores(values[name], np.asarray(run.records[name].image_ids[rows]))
        for name, rows in samples.rows.items()
    }

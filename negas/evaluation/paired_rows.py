"""Two runs of the same images, score by score: differences with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from negas.metrics import GroupedScores, Preset, paired_bootstrap
from negas.records import ID

from .recorded import Recorded, check_pair
from .rows import NamedScore, Samples, banks_of, sample_values, take_samples


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

    A row whose run keeps no sample on one side is left out.

    Raises:
        ValueError: other ID labels or images; a score needs negatives that a run lacks.
    """
    shared = check_pair(run, other)
    rows = []
    for preset in presets:
        mine, theirs = take_samples(run, preset), take_samples(other, preset)
        for score in scores:
            for bank in banks_of(score, banks):
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
                    )
    return rows


def _grouped(
    run: Recorded, samples: Samples, score: NamedScore, bank: str
) -> dict[str, GroupedScores]:
    values = sample_values(run, samples, score, bank)
    return {
        name: GroupedScores(values[name], np.asarray(run.records[name].image_ids[rows]))
        for name, rows in samples.rows.items()
    }

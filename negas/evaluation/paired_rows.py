"""Two dumps of the same images, score by score: differences with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from negas.metrics import GroupedScores, paired_bootstrap

from .cuts import Preset
from .rows import NamedScore, Samples, banks_of, take_samples, values_by_set
from .run import Dump, check_pair


def paired_rows(
    dump: Dump,
    other: Dump,
    presets: Sequence[Preset],
    scores: Sequence[NamedScore],
    banks: Sequence[str],
    draws: int,
    seed: int,
    on_row: Callable[[], None] = lambda: None,
) -> list[dict]:
    """Differences ``dump - other`` of AUROC and FPR95, each run at its own cut of the preset.

    A row whose run keeps no sample on one side is left out.

    Raises:
        ValueError: other ID labels or images; a score needs negatives that a dump lacks.
    """
    shared = check_pair(dump, other)
    rows = []
    for preset in presets:
        mine, theirs = take_samples(dump, preset), take_samples(other, preset)
        for score in scores:
            for bank in banks_of(score, banks):
                first = _grouped(other, theirs, score, bank)
                second = _grouped(dump, mine, score, bank)
                for name in shared:
                    on_row()
                    sides = [(run["id"], run[name]) for run in (first, second)]
                    if not all(len(side.scores) for pair in sides for side in pair):
                        continue
                    images = tuple(dump.records[n].images for n in ("id", name))
                    result = paired_bootstrap(*sides, draws, seed, images=images)
                    rows.append(
                        dict(score=score.label, bank=bank, ood_set=name, preset=preset.name)
                        | dict(cut=mine.cut, other_cut=theirs.cut)
                        | dict(run=dump.name, other=other.name)
                        | dict(run_path=str(dump.path), other_path=str(other.path))
                        | result.to_dict()
                    )
    return rows


def _grouped(
    dump: Dump, samples: Samples, score: NamedScore, bank: str
) -> dict[str, GroupedScores]:
    values = values_by_set(dump, samples, score, bank)
    return {
        name: GroupedScores(values[name], np.asarray(dump.records[name].image_ids[rows]))
        for name, rows in samples.rows.items()
    }

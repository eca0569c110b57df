"""Rows of numbers from a dump: every score, OOD set, preset and bank, without a model."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from negas.evaluation.results import NamedScore
from negas.metrics import OODResult, bootstrap, ood_metrics
from negas.metrics.roc import threshold_at_recall
from negas.records import BoxRecords
from negas.scores import Score, get_score

from .score_dump import OWN_BANK, Dump
from .score_presets import Preset, find_cut, rows_of_set

CHUNK = 16_384  # rows scored at once: float64 copies stay in the cache and memory stays flat


@dataclass(frozen=True)
class Samples:
    """Which boxes of a dump are samples under a preset.

    Attributes:
        preset: the protocol.
        cut: least confidence.
        cut_source: where it comes from.
        rows: by set, rows of its records.
        over_cut: by set, boxes over the cut.
        cut_rule: how it was found, see :class:`negas.metrics.Cut`.
    """

    preset: Preset
    cut: float
    cut_source: str
    rows: Mapping[str, np.ndarray]
    over_cut: Mapping[str, int]
    cut_rule: str


def take_samples(dump: Dump, preset: Preset) -> Samples:
    """Find the cut and the samples of the ID set and all OOD sets; once for each preset."""
    if preset in dump.samples:
        return dump.samples[preset]
    cut = find_cut(dump, preset)
    names = ("id", *dump.ood_sets)
    rows = {name: rows_of_set(dump, name, preset, cut.value) for name in names}
    least = np.float32(cut.value)
    over = {name: int((dump.records[name].scores >= least).sum()) for name in names}
    dump.samples[preset] = Samples(preset, cut.value, cut.source, rows, over, cut.rule)
    return dump.samples[preset]


def score_values(score: Score, records: BoxRecords, rows: np.ndarray | None = None) -> np.ndarray:
    """Scores of the rows (by default of all) in float64, some thousand boxes at a time."""
    rows = np.arange(len(records)) if rows is None else rows
    values = np.empty(len(rows))
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        negatives = records.neg_logits[part] if score.needs_negatives else None
        values[start : start + CHUNK] = score(records.id_logits[part], negatives)
    return values


def banks_of(score: NamedScore, banks: Sequence[str]) -> Sequence[str]:
    """The banks a score is computed with; ``none`` for one that reads no negatives."""
    return banks if score.needs_negatives else ("none",)


def bank_records(dump: Dump, score: NamedScore, bank: str) -> dict[str, BoxRecords]:
    """Records as a score reads them: with the bank's negatives, as cosines if it wants them."""
    records = dump.with_bank(bank) if score.needs_negatives else dump.records
    if score.needs_negatives and records["id"].neg_logits is None:
        raise ValueError(
            f"{dump.path}: the score {score.label!r} needs negative labels and the dump has none; "
            "leave it out, or test again with model.neg_labels"
        )
    return as_read(records, score)


def as_read(records: Mapping[str, BoxRecords], score: NamedScore) -> dict[str, BoxRecords]:
    """Cosines in place of logits where the score wants them."""
    return {n: r.as_cosines() if score.cosine else r for n, r in records.items()}


def values_by_set(
    dump: Dump, samples: Samples, score: NamedScore, bank: str
) -> dict[str, np.ndarray]:
    """Scores of the samples of the ID set and every OOD set."""
    records = bank_records(dump, score, bank)
    return scored({name: records[name] for name in samples.rows}, samples, score)


def scored(
    records: Mapping[str, BoxRecords], samples: Samples, score: NamedScore
) -> dict[str, np.ndarray]:
    """Scores of the samples of the given sets (records as the score reads them)."""
    built = get_score(score.name, **score.options)
    return {name: score_values(built, each, samples.rows[name]) for name, each in records.items()}


def score_rows(
    dump: Dump,
    samples: Samples,
    scores: Sequence[NamedScore],
    banks: Sequence[str] = (OWN_BANK,),
    draws: int = 0,
    seed: int = 0,
    on_row: Callable[[], None] = lambda: None,
) -> list[dict]:
    """One row per score, bank and OOD set.

    Args:
        dump: boxes of one run.
        samples: of one preset.
        scores: labelled scores.
        banks: names of label banks, for scores with negatives.
        draws: of the bootstrap over images; 0: no intervals.
        seed: of the bootstrap.
        on_row: called after each row.

    Returns:
        Rows with the keys of :func:`negas.metrics.evaluate_scores`, further ``preset, rule,
        cut_rule, cut_source, aupr_out, images`` and ``interval`` (``auroc`` and ``fpr95``,
        percentiles over draws of whole images; ``None`` without). NaN where a set keeps no sample.
    """
    jobs = [(score, bank) for score in scores for bank in banks_of(score, banks)]

    def work(job: tuple[NamedScore, str]) -> list[dict]:
        score, bank = job
        values = values_by_set(dump, samples, score, bank)
        made = []
        for name in dump.ood_sets:
            row = make_row(dump, samples, name, values["id"], values[name], draws, seed)
            made.append(telling(score, bank, "none") | row)
            on_row()
        return made

    # numpy and torch release the interpreter lock: sorting a million scores fills both cores
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        return [row for rows in pool.map(work, jobs) for row in rows]


def telling(score: NamedScore, bank: str, control: str) -> dict:
    """What tells a row from the others of its preset and set."""
    logits = "cosine" if score.cosine else "head"
    named = dict(score=score.label, options=score.options, logits=logits)
    return named | dict(bank=bank, control=control)


def make_row(
    dump: Dump,
    samples: Samples,
    name: str,
    id_values: np.ndarray,
    ood_values: np.ndarray,
    draws: int = 0,
    seed: int = 0,
) -> dict:
    """One row of numbers, counts and what they hang on; see :func:`score_rows`."""
    groups = [dump.records[n].image_ids[samples.rows[n]] for n in ("id", name)]
    interval = None
    if len(id_values) and len(ood_values):
        numbers = ood_metrics(id_values, ood_values).to_dict()
        if draws:
            made = bootstrap(id_values, ood_values, draws, seed, tuple(groups)).to_dict()
            interval = {key: made[key] for key in ("auroc", "fpr95", "level", "num_draws")}
    else:
        numbers = dict.fromkeys(OODResult.__dataclass_fields__, float("nan"))
        numbers |= dict(num_id=len(id_values), num_ood=len(ood_values), recall=0.95)
        if len(id_values):  # the threshold is the ID set's alone
            threshold = threshold_at_recall(id_values)
            numbers |= dict(threshold=threshold, tpr=float(np.mean(id_values >= threshold)))
    preset, over = samples.preset, samples.over_cut
    return dict(
        ood_set=name,
        preset=preset.name,
        protocol=preset.protocol,
        rule=preset.rule,
        pair_floor=preset.pair_floor,
        cut=samples.cut,
        cut_rule=samples.cut_rule,
        cut_source=samples.cut_source,
        **numbers,
        over_cut_id=over["id"],
        over_cut_ood=over[name],
        share_id=_share(samples, "id"),
        share_ood=_share(samples, name),
        images=dict(
            id=len(dump.records["id"].images),
            ood=len(dump.records[name].images),
            id_with_samples=len(np.unique(groups[0])),
            ood_with_samples=len(np.unique(groups[1])),
        ),
        interval=interval,
    )


def _share(samples: Samples, name: str) -> float:
    """Samples per box over the cut."""
    over = samples.over_cut[name]
    return len(samples.rows[name]) / over if over else float("nan")

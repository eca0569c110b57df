"""From records to the rows of every table (no model, no mm*).

Rows of numbers from a dump: every score, OOD set, preset and bank, without a model.

The two controls of scores with negatives: the bank turned at random, and without leaks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from negas.labels.leakage import leakage
from negas.labels.names import overlap, used_categories
from negas.metrics import OODResult, bootstrap, ood_metrics
from negas.metrics.controls import rotated_bank
from negas.metrics.presets import PRESETS, Cut, Preset
from negas.metrics.protocol import ROW_METRICS, ScoreSpec, evaluate_scores, score_label
from negas.metrics.roc import threshold_at_recall
from negas.records import BoxRecords
from negas.scores import Score, get_score

from .cuts import find_cut, rows_of_set
from .provenance import describe_bank, describe_sets, leaks_of
from .run import OWN_BANK, Bank, Dump


@dataclass
class Evaluation:
    """Everything a table needs.

    Attributes:
        records: ``id`` and every OOD set (``cut`` too if there was one).
        truths: COCO dicts of the same sets.
        scores: names or (name, options); the option ``logits="cosine"`` scores cosines in place of
            head logits (needs embeddings).
        protocols: which boxes are samples at each of the ``cuts``: ``vos``, ``matched``.
        cuts: kind of cut (``own``, ``shared``) -> the cut; a bare number is a fixed one.
        presets: further rows by :data:`~negas.metrics.PRESETS`, each at its cut; the name is their
            kind of cut.
        banks: the run's own bank first; others need records with embeddings.
        rotations: draws of the rotated-bank control.
        seed: of the rotations.
    """

    records: dict[str, BoxRecords]
    truths: dict[str, dict]
    scores: Sequence[ScoreSpec]
    protocols: Sequence[str] = ("vos",)
    cuts: Mapping[str, float | Cut] = field(default_factory=dict)
    presets: Mapping[str, Cut] = field(default_factory=dict)
    banks: Sequence[Bank] = ()
    rotations: int = 0
    seed: int = 0

    @property
    def ood_sets(self) -> list[str]:
        """Names of the OOD sets."""
        return [name for name in self.records if name not in ("id", "cut")]

    @property
    def settings(self) -> list[tuple[str, Preset, Cut]]:
        """Kind of cut, preset and cut of every block of rows."""
        found = []
        for kind, cut in self.cuts.items():
            cut = cut if isinstance(cut, Cut) else Cut(float(cut))
            plain = "own" if kind == "own" else "fixed"
            for protocol in self.protocols:
                found.append((kind, PRESETS["matched" if protocol == "matched" else plain], cut))
        return found + [(name, PRESETS[name], cut) for name, cut in self.presets.items()]


@dataclass(frozen=True)
class NamedScore:
    """A score as the rows name it.

    Attributes:
        label: unique among the scores of a run.
        name: of :data:`negas.scores.SCORES`.
        options: of the score itself.
        cosine: whether it reads cosines in place of head logits.
        needs_negatives: whether it reads negative logits.
    """

    label: str
    name: str
    options: dict
    cosine: bool
    needs_negatives: bool


def name_scores(specs: Sequence[ScoreSpec]) -> list[NamedScore]:
    """Label scores: by their name, or by name and options where a name occurs more than once.

    Raises:
        ValueError: a score is listed twice, its source of logits is unknown, or it does not exist.
    """
    pairs = [(spec, {}) if isinstance(spec, str) else (spec[0], dict(spec[1])) for spec in specs]
    names = [name for name, _ in pairs]
    scores: list[NamedScore] = []
    for name, given in pairs:
        source = given.get("logits", "head")
        if source not in ("head", "cosine"):
            raise ValueError(f"score {name!r}: logits must be 'head' or 'cosine', got {source!r}")
        options = {key: value for key, value in given.items() if key != "logits"}
        telling = options | (dict(logits="cosine") if source == "cosine" else {})
        label = name if names.count(name) == 1 else score_label((name, telling))
        if any(score.label == label for score in scores):
            raise ValueError(f"the score {label!r} is listed twice; give each once")
        try:
            needs_negatives = get_score(name, **options).needs_negatives
        except TypeError as error:  # a word where a number belongs
            raise ValueError(f"score {label!r}: an option has the wrong type ({error})") from error
        scores.append(NamedScore(label, name, options, source == "cosine", needs_negatives))
    return scores


def evaluate_run(run: Evaluation) -> dict:
    """Rows of all presets, cuts, banks and controls, with counts and label leakage.

    The control ``rotated`` turns the bank at random; ``no_leaks`` leaves out the negatives that
    name a class of the row's OOD set (absent where there is none, or no other).
    """
    scores = name_scores(run.scores)
    plain = [score for score in scores if not score.needs_negatives]
    with_neg = [score for score in scores if score.needs_negatives]
    rows = []

    def add(
        scores: Sequence[NamedScore], records, bank: str, control: str, ood_sets=run.ood_sets
    ) -> list[dict]:
        made = []
        for cosine in (False, True):
            chosen = [score for score in scores if score.cosine == cosine]
            if not chosen:
                continue
            for kind, preset, cut in run.settings:
                rows = evaluate_scores(
                    records["id"],
                    {name: records[name] for name in ood_sets},
                    [(score.name, score.options) for score in chosen],
                    cut.value,
                    preset.protocol,
                    run.truths if preset.protocol == "matched" else None,
                    on_empty="nan",  # one empty set must not cost the other sets' numbers
                    pair_floor=preset.pair_floor,
                    cosine=cosine,
                )
                extra = dict(preset=preset.name, rule=preset.rule, cut_kind=kind)
                extra |= dict(cut_rule=cut.rule, cut_source=cut.source, bank=bank, control=control)
                extra["logits"] = "cosine" if cosine else "head"
                for i, row in enumerate(rows):
                    score = chosen[i % len(chosen)]
                    made.append(row | extra | dict(score=score.label, options=score.options))
        return made

    rows += add(plain, run.records, "none", "none")
    banks = {}
    # disable=None: no bar where standard error is no terminal
    bar = tqdm(total=len(run.banks) * (1 + run.rotations), desc="scores", leave=False, disable=None)
    for bank in run.banks:
        if bank.feats is None or not with_neg:
            continue
        records = run.records if bank.name == "own" else _rescore(run, bank.feats, bank.labels)
        rows += add(with_neg, records, bank.name, "none")
        bar.update()
        draws = []
        for i in range(run.rotations):
            turned = _rescore(run, rotated_bank(bank.feats, run.seed + i), bank.labels)
            draws.append(add(with_neg, turned, bank.name, "rotated"))
            bar.update()
        rows += mean_rows(draws)
        names = {name: used_categories(run.truths[name]) for name in run.ood_sets}
        named = {name: leakage(bank.labels, used) for name, used in names.items()}
        for name, found in named.items():
            keep = [i for i, label in enumerate(bank.labels) if label not in found["leaks"]]
            if 0 < len(keep) < len(bank.labels):
                clean = _keep_negatives({key: records[key] for key in ("id", name)}, keep)
                rows += add(with_neg, clean, bank.name, "no_leaks", [name])
        banks[bank.name] = describe_bank(bank.name, bank.labels, bank.file) | dict(
            overlap={name: overlap(bank.labels, used) for name, used in names.items()},
            leakage=named,
        )
    bar.close()
    return dict(rows=rows, banks=banks, sets=describe_sets(run.records))


def _rescore(run: Evaluation, feats: np.ndarray, labels: Sequence[str]) -> dict[str, BoxRecords]:
    wanted = ["id", *run.ood_sets]
    return {name: run.records[name].rescore(feats, labels) for name in wanted}


def _keep_negatives(records: dict[str, BoxRecords], keep: Sequence[int]) -> dict[str, BoxRecords]:
    return {
        name: each.select_negatives(keep)
        for name, each in records.items()
        if each.neg_logits is not None
    }


def mean_rows(draws: Sequence[list[dict]]) -> list[dict]:
    """Average the metrics of equal tables, row by row, with their standard deviation."""
    merged = []
    for same in zip(*draws, strict=True):
        row = dict(same[0])
        for key in ROW_METRICS:
            values = [r[key] for r in same]
            row[key] = float(np.mean(values))
            row[f"{key}_std"] = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        row["draws"] = len(same)
        merged.append(row)
    return merged


def logged_numbers(
    rows: Sequence[dict], protocol: str, presets: Sequence[str] = ()
) -> dict[str, float]:
    """FPR95 and AUROC for a training log, without controls and other banks.

    Rows of ``protocol`` at the run's own cut are called ``near/negs_fpr95``, those of a preset
    with a cut of its own ``vos/near/negs_fpr95``, by the preset's FPR95 rule.
    """
    metrics = {}
    for row in rows:
        own = row["cut_kind"] == "own" and row["protocol"] == protocol
        if not own and row["cut_kind"] not in presets:
            continue
        if row["bank"] in ("own", "none") and row["control"] == "none":
            key = f"{row['ood_set']}/{row['score']}"
            key = key if own else f"{row['preset']}/{key}"
            closest = row["rule"] == "closest"
            metrics[f"{key}_fpr95"] = row["fpr95_closest" if closest else "fpr95"]
            metrics[f"{key}_auroc"] = row["auroc"]
    return metrics


def leakage_lines(report: dict) -> list[str]:
    """For people: how many negatives of each bank name a class of each OOD set, and which."""
    lines = []
    for bank, about in report["banks"].items():
        for name, found in about["leakage"].items():
            words = ", ".join(found["leaks"][:8]) + (", ..." if len(found["leaks"]) > 8 else "")
            lines.append(
                f"{name}: {len(found['leaks'])} of {about['size']} negative labels (bank {bank}) "
                "name an OOD class" + (f": {words}" if words else "")
            )
    return lines


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


DEFAULT_ROTATIONS = 5


def count_rotations(dump: Dump, banks: Sequence[str], wanted: int | None) -> int:
    """Draws of the rotated bank for a dump.

    Args:
        dump: boxes of one run.
        banks: whose negatives are scored.
        wanted: number of draws; ``None``: :data:`DEFAULT_ROTATIONS` where the dump holds
            embeddings, else none.

    Raises:
        ValueError: the dump lacks embeddings.
    """
    possible = dump.records["id"].embeddings is not None and all(b in dump.feats for b in banks)
    if wanted and not possible:
        raise ValueError(
            f"{dump.path}: the rotated bank needs embeddings of boxes and texts, which this dump "
            "lacks; leave out --rotations, or test again with model.test_cfg.keep_embeddings=True"
        )
    return (DEFAULT_ROTATIONS if possible else 0) if wanted is None else wanted


def control_rows(
    dump: Dump,
    samples: Samples,
    scores: Sequence[NamedScore],
    banks: Sequence[str],
    rotations: int,
    seed: int = 0,
    on_row: Callable[[], None] = lambda: None,
) -> list[dict]:
    """Rows of scores with negatives, as :func:`~.score_rows.score_rows` has them, as controls.

    ``rotated``: mean of draws of the bank turned by a random rotation (same geometry, no meaning),
    with standard deviations (``auroc_std`` ...) and ``draws``. ``no_leaks``: without the negatives
    that name a class of the row's OOD set; absent where there is none, or no other, or where
    neither results nor annotations tell.

    Args:
        dump: boxes of one run.
        samples: of one preset.
        scores: labelled scores; those without negatives are passed over.
        banks: names of label banks.
        rotations: draws of the rotated bank; 0: none.
        seed: of the first draw; the next ones count up, as in a test.
        on_row: called after each row of a draw.
    """
    chosen = [score for score in scores if score.needs_negatives]
    rows = []
    for bank in banks if chosen else ():
        draws = []
        for i in range(rotations):
            feats = rotated_bank(dump.feats[bank], seed + i)
            turned = dump.rescore(bank, feats, ["id", *dump.ood_sets])
            draws.append(_rows(dump, samples, chosen, turned, bank, "rotated", on_row))
        rows += mean_rows(draws)
        records = dump.with_bank(bank)
        labels = dump.bank_labels(bank) or []
        for name, words in leaking(dump, bank).items():
            keep = [i for i, label in enumerate(labels) if label not in words]
            if 0 < len(keep) < len(labels) == records["id"].neg_logits.shape[1]:
                clean = {each: records[each].select_negatives(keep) for each in ("id", name)}
                rows += _rows(dump, samples, chosen, clean, bank, "no_leaks", lambda: None)
    return rows


def leaking(dump: Dump, bank: str) -> dict[str, list[str]]:
    """The bank's negatives that name a class of an OOD set, by set, as far as it can be told."""
    about = (dump.results or {}).get("banks", {}).get(bank, {})
    if "leakage" in about:
        return {name: words for name, words in leaks_of(about).items() if name in dump.records}
    found = {}
    for name in dump.ood_sets:
        try:
            used = used_categories(dump.truth(name).dataset)
        except FileNotFoundError:
            continue
        found[name] = leakage(dump.bank_labels(bank) or [], used)["leaks"]
    return found


def _rows(
    dump: Dump,
    samples: Samples,
    scores: Sequence[NamedScore],
    records: dict[str, BoxRecords],
    bank: str,
    control: str,
    on_row: Callable[[], None],
) -> list[dict]:
    made = []
    for score in scores:
        values = scored(as_read(records, score), samples, score)
        for name in (name for name in records if name != "id"):
            row = make_row(dump, samples, name, values["id"], values[name])
            made.append(telling(score, bank, control) | row)
            on_row()
    return made

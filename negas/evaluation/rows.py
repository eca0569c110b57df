"""The engine: from the records of a run to the rows of every table (no model, no mm*).

The test loop, ``negas score`` and every report score boxes here and nowhere else. A row is one
score on one OOD set under one preset, with one label bank; controls are rows like the others.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, get_type_hints

import numpy as np

from negas.labels.leakage import leakage
from negas.labels.names import overlap, used_categories
from negas.metrics import OODResult, bootstrap, ood_metrics, sample_rows
from negas.metrics.controls import mean_of_draws, rotated_bank
from negas.metrics.objects import OSCR_METRICS
from negas.metrics.presets import Cut, Preset
from negas.metrics.protocol import ROW_METRICS, ScoreSpec, score_label
from negas.metrics.roc import threshold_at_recall
from negas.options import check_value
from negas.records import ID, BoxRecords
from negas.scores import SCORES, Score, get_score
from negas.text import listed, shown_text

from .cuts import find_cut
from .fitting import fit_of, fitted_score
from .objects.object_rows import object_counts, oscr_numbers, paired_rows_of
from .provenance import describe_bank, leaks_of
from .recorded import MODEL_BANK, Recorded
from .unknown.boxes import unknown_boxes_of

DEFAULT_ROTATIONS = 5
NO_BANK, NO_CONTROL = "none", "none"


@dataclass(frozen=True)
class NamedScore:
    """A score as the rows name it.

    Attributes:
        label: unique among the scores of a run.
        name: of :data:`negas.scores.SCORES`.
        options: of the score itself.
        cosine: whether it reads cosines in place of head logits.
        needs_negatives: whether it reads negative logits.
        needs_embeddings: whether it reads embeddings, as a score of its own or for cosines.
        needs_logits: whether it reads the logits of all ID labels.
        needs_fit: whether it is fitted on ID boxes first.
    """

    label: str
    name: str
    options: dict
    cosine: bool
    needs_negatives: bool
    needs_embeddings: bool
    needs_logits: bool
    needs_fit: bool


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
        distinct = options | (dict(logits="cosine") if source == "cosine" else {})
        label = name if names.count(name) == 1 else score_label((name, distinct))
        if any(score.label == label for score in scores):
            raise ValueError(f"the score {label!r} is listed twice; give each once")
        try:
            built = get_score(name, **options)
        except TypeError as error:  # a word where a number belongs
            hints = get_type_hints(SCORES[name])
            for key, value in options.items():
                check_value(f"score {label!r}: {key}", value, hints.get(key, Any))
            raise ValueError(f"score {label!r}: an option has the wrong type ({error})") from error
        cosine = source == "cosine"
        needs = (built.needs_negatives, cosine or built.needs_embeddings, built.needs_logits)
        needs += (built.needs_fit,)
        scores.append(NamedScore(label, name, options, cosine, *needs))
    return scores


_NOT_FINITE = ("nan", "inf", "infinity")


def parse_score(text: str) -> ScoreSpec:
    """``negs`` or ``negs(weight=0.5, neg_reduce=mean)``: a score and its options.

    Raises:
        ValueError: the text has another form.
    """
    match = re.fullmatch(r"\s*(\w+)\s*(?:\((.*)\))?\s*", text)
    if not match:
        raise ValueError(
            f"--scores: {text!r} is no score; write a name, or 'name(option=value, ...)' in quotes"
        )
    name, inner = match.groups()
    if not inner:
        return name
    options = {}
    for part in inner.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key.isidentifier() and equals and value):
            raise ValueError(f"--scores: {part.strip()!r} in {text!r} is not option=value")
        options[key] = parse_value(value)
        if value.lstrip("+-").lower() in _NOT_FINITE or options[key] in (math.inf, -math.inf):
            raise ValueError(f"--scores: {part.strip()!r} in {text!r}: the number must be finite")
    return name, options


def parse_value(text: str) -> object:
    """The value of an option: a number, ``True``, a list, or a word such as ``mean``."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


@dataclass(frozen=True)
class Samples:
    """Which boxes of a run are samples under a preset.

    Attributes:
        preset: the protocol.
        cut: least confidence, and where it comes from.
        rows: by set, rows of its records; a row occurs once per sample.
        over_cut: by set, boxes over the cut.
        images: by set, images with a sample.
    """

    preset: Preset
    cut: Cut
    rows: Mapping[str, np.ndarray]
    over_cut: Mapping[str, int]
    images: Mapping[str, int]


def take_samples(run: Recorded, preset: Preset) -> Samples:
    """Find the cut and the samples of the ID set and all OOD sets; once for each preset."""
    if preset in run.samples:
        return run.samples[preset]
    cut = find_cut(run, preset)
    rows, over, images = {}, {}, {}
    for name in (ID, *run.ood_sets):
        records = run.records[name]
        truth = None if preset.protocol == "vos" else run.truth(name)
        role = "id" if name == ID else "ood"
        how = (cut.value, preset.protocol, truth, role, preset.pair_floor)
        rows[name] = sample_rows(records, *how)
        over[name] = int((records.scores >= np.float32(cut.value)).sum())
        images[name] = len(np.unique(records.image_ids[rows[name]]))
    run.samples[preset] = Samples(preset, cut, rows, over, images)
    return run.samples[preset]


@dataclass(frozen=True)
class Scoring:
    """What is scored under each preset.

    Attributes:
        scores: labelled scores.
        banks: names of the run's label banks, for scores with negatives.
        rotations: draws of the rotated-bank control; ``None``: :data:`DEFAULT_ROTATIONS` where the
            run holds embeddings, else none.
        no_leaks: add the control without negatives that name an OOD class.
        draws: of the bootstrap over images; 0: no intervals.
        seed: of the bootstrap and of the first rotation; the next ones count up.
    """

    scores: Sequence[NamedScore]
    banks: Sequence[str] = (MODEL_BANK,)
    rotations: int | None = None
    no_leaks: bool = True
    draws: int = 0
    seed: int = 0


def run_rows(
    run: Recorded,
    preset: Preset,
    scoring: Scoring,
    on_row: Callable[[], None] = lambda: None,
) -> list[dict]:
    """One row per score, bank and OOD set, then the controls of scores with negatives.

    Controls: ``rotated``, the mean of draws of the bank turned by a random rotation (same geometry,
    no meaning), with standard deviations (``auroc_std`` ...) and ``draws``; ``no_leaks``, without
    the negatives that name a class of the row's OOD set (absent where there is none, or no other,
    or where neither results nor annotations tell).

    Args:
        run: detections of one run.
        preset: which of them are samples.
        scoring: what is scored.
        on_row: called after each row that :func:`count_rows` counts.

    Returns:
        Rows with ``ood_set, score, options, logits, bank, control``, the preset's ``preset,
        protocol, rule, pair_floor``, ``cut, cut_rule, cut_source``, all of
        :class:`negas.metrics.OODResult`, counts of samples, boxes and images, and ``interval``
        (``auroc``, ``fpr95`` and OSCR, percentiles over draws of whole images; ``None`` without).
        Rows of a fitted score have ``fit``: ``set``, ``boxes`` and ``images`` that it was fitted
        on. NaN where a set keeps no sample. :data:`~negas.metrics.objects.OSCR_METRICS` look at all
        recorded boxes, whatever the preset; NaN without annotations. Rows of the preset ``objects``
        that are no controls have ``objects``, see :func:`~.object_rows.object_counts`.

    Raises:
        ValueError: a score needs negatives, a bank or embeddings that the run lacks.
        FileNotFoundError: the preset needs annotations that do not exist.
    """
    return rows_by_preset(run, [preset], scoring, on_row)[0]


def rows_by_preset(
    run: Recorded,
    presets: Sequence[Preset],
    scoring: Scoring,
    on_row: Callable[[], None] = lambda: None,
) -> list[list[dict]]:
    """:func:`run_rows` of several presets; a bank is turned once for all of them."""
    samples = [take_samples(run, preset) for preset in presets]
    jobs = [(score, bank) for score in scoring.scores for bank in banks_of(score, scoring.banks)]
    # numpy and torch release the interpreter lock: sorting a million scores fills both cores
    joint = _joint([*(taken.rows for taken in samples), paired_rows_of(run)])
    if any(taken.preset.protocol == "objects" for taken in samples):
        unknown_boxes_of(run)  # once, not in both threads
    with ThreadPoolExecutor(2) as pool:
        work = partial(_rows, run, samples, joint, scoring)

        def plain(job: tuple[NamedScore, str]) -> list[list[dict]]:
            return work(*job, NO_CONTROL, bank_records(run, *job), on_row)

        def controlled(control: str, bank: str, records: Mapping, on_row=on_row):
            views = {cosine: _as_read(records, cosine) for cosine in {s.cosine for s in negs}}
            jobs = [(score, bank, control, views[score.cosine], on_row) for score in negs]
            return _joined(pool.map(lambda job: work(*job), jobs), len(samples))

        tables = _joined(pool.map(plain, jobs), len(samples))
        negs = [score for score in scoring.scores if score.needs_negatives]
        for bank in scoring.banks if negs else ():
            found = _control_rows(run, len(samples), bank, scoring, controlled)
            tables = _joined([tables, found], len(samples))
    return tables


def _joined(parts: Iterable[list[list[dict]]], count: int) -> list[list[dict]]:
    """The tables of all parts, one for each of ``count`` presets."""
    parts = list(parts)
    return [[row for part in parts for row in part[i]] for i in range(count)]


def usable(
    run: Recorded, scores: Sequence[NamedScore], banks: Sequence[str] = (MODEL_BANK,)
) -> list[NamedScore]:
    """Those scores whose inputs the run has: logits, negatives in one of the banks, embeddings."""
    has_logits = run.records[ID].id_logits is not None
    has_negatives = any(bank != MODEL_BANK or run.has_negatives for bank in banks)
    has_embeddings = run.records[ID].embeddings is not None
    has_fit_set = run.fit_set in run.records
    return [
        score
        for score in scores
        if (has_logits or not score.needs_logits)
        and (has_negatives or not score.needs_negatives)
        and (has_embeddings or not score.needs_embeddings)
        and (has_fit_set or not score.needs_fit)
    ]


def scoring_as_tested(run: Recorded) -> Scoring:
    """What the test of a run scores under each preset, as its settings say."""
    settings, banks = run.results["settings"], tuple(run.results["banks"])
    scores = usable(run, name_scores(settings["scores"]), banks)
    return Scoring(scores, banks, settings["rotations"], seed=settings["seed"])


def count_rows(run: Recorded, scoring: Scoring) -> int:
    """How often :func:`run_rows` calls ``on_row`` for one preset."""
    turns = count_rotations(run, scoring)
    per_set = sum(
        len(banks_of(score, scoring.banks)) * (1 + score.needs_negatives * turns)
        for score in scoring.scores
    )
    return per_set * len(run.ood_sets)


def count_rotations(run: Recorded, scoring: Scoring) -> int:
    """Draws of the rotated bank for a run.

    Raises:
        ValueError: draws are wanted and the run lacks embeddings.
    """
    wanted = scoring.rotations
    if wanted == 0 or not any(score.needs_negatives for score in scoring.scores):
        return 0
    has_feats = all(bank in run.feats for bank in scoring.banks)
    possible = run.records[ID].embeddings is not None and has_feats
    if wanted and not possible:
        raise ValueError(
            f"{run.path}: the rotated bank needs embeddings of boxes and texts, which this run "
            "lacks; leave out --rotations, or test again with model.test_cfg.keep_embeddings=True"
        )
    return (DEFAULT_ROTATIONS if possible else 0) if wanted is None else wanted


def banks_of(score: NamedScore, banks: Sequence[str]) -> Sequence[str]:
    """The banks a score is computed with; ``none`` for one that reads no negatives."""
    return banks if score.needs_negatives else (NO_BANK,)


def bank_records(run: Recorded, score: NamedScore, bank: str) -> dict[str, BoxRecords]:
    """Records as a score reads them: with the bank's negatives, as cosines if it wants them.

    Raises:
        ValueError: the score needs negatives and the run has none.
    """
    records = run.with_bank(bank) if score.needs_negatives else run.records
    if score.needs_negatives and records[ID].neg_logits is None:
        raise ValueError(
            f"{run.path}: the score {score.label!r} needs negative labels and the run has none; "
            "leave it out, or test again with model.neg_labels"
        )
    return _as_read(records, score.cosine)


def _as_read(records: Mapping[str, BoxRecords], cosine: bool) -> dict[str, BoxRecords]:
    return {n: r.as_cosines() if cosine else r for n, r in records.items()}


def build_score(run: Recorded, score: NamedScore, records: Mapping[str, BoxRecords]) -> Score:
    """The score itself, fitted where it has to be; ``records`` as :func:`bank_records` gives them.

    Raises:
        ValueError: it cannot be fitted, see :func:`~.fitting.fitted_score`.
    """
    return fitted_score(run, get_score(score.name, **score.options), records, score.cosine)


def sample_values(
    run: Recorded, samples: Samples, score: NamedScore, bank: str
) -> dict[str, np.ndarray]:
    """Scores of the samples of the ID set and every OOD set, float64 ``[n]`` each."""
    return values_at(run, samples.rows, score, bank)


def values_at(
    run: Recorded, rows: Mapping[str, np.ndarray], score: NamedScore, bank: str
) -> dict[str, np.ndarray]:
    """Scores of some rows of the records, float64, by set."""
    records = bank_records(run, score, bank)
    return _values(records, _joint([rows]), build_score(run, score, records))[0]


def _joint(
    wanted: Sequence[Mapping[str, np.ndarray]],
) -> dict[str, tuple[np.ndarray, list[np.ndarray]]]:
    """By set the rows that any of the wanted ones has, and the place of each among them."""
    found = {}
    for name in wanted[0]:
        rows = np.unique(np.concatenate([each[name] for each in wanted]))
        found[name] = rows, [np.searchsorted(rows, each[name]) for each in wanted]
    return found


def _values(
    records: Mapping[str, BoxRecords],
    joint: Mapping[str, tuple[np.ndarray, list[np.ndarray]]],
    score: Score,
) -> list[dict[str, np.ndarray]]:
    """Scores by set for each of the wanted rows; a box in several of them is scored once."""
    found: list[dict[str, np.ndarray]] = [{} for _ in joint[ID][1]]
    for name in [name for name in joint if name in records]:
        rows, places = joint[name]
        values = records[name].score_with(score, rows)
        for each, place in zip(found, places, strict=True):
            each[name] = values[place]
    return found


def _rows(
    run: Recorded,
    samples: Sequence[Samples],
    joint: Mapping[str, tuple[np.ndarray, list[np.ndarray]]],
    scoring: Scoring,
    score: NamedScore,
    bank: str,
    control: str,
    records: Mapping[str, BoxRecords],
    on_row: Callable[[], None],
) -> list[list[dict]]:
    """Rows of one score and bank for each of the samples, from records as the score reads them."""
    about = dict(score=score.label, options=score.options)
    about |= dict(logits="cosine" if score.cosine else "head", bank=bank, control=control)
    draws = scoring.draws if control == NO_CONTROL else 0
    tables = []
    built = build_score(run, score, records)
    *found, on_objects = _values(records, joint, built)
    if fit := fit_of(run, built, score.cosine):
        about["fit"] = fit
    ood_sets = [name for name in on_objects if name != ID]
    oscr = {n: oscr_numbers(run, on_objects, n, draws, scoring.seed) for n in ood_sets}
    for taken, values in zip(samples, found, strict=True):
        table = []
        for name in ood_sets:
            pair = (values[ID], values[name])
            row = about | _numbers(run, taken, name, *pair, draws, scoring.seed) | oscr[name][0]
            if row["interval"]:
                row["interval"] |= oscr[name][1]
            if taken.preset.protocol == "objects" and control == NO_CONTROL and row["num_id"]:
                where = (name, taken.cut.value, row["threshold"])
                row["objects"] = object_counts(run, on_objects, *where)
            table.append(row)
            on_row()
        tables.append(table)
    return tables


def _numbers(
    run: Recorded,
    samples: Samples,
    name: str,
    id_values: np.ndarray,
    ood_values: np.ndarray,
    draws: int,
    seed: int,
) -> dict:
    """Numbers of one row, counts and what they hang on."""
    interval = None
    if len(id_values) and len(ood_values):
        numbers = ood_metrics(id_values, ood_values).to_dict()
        if draws:
            groups = tuple(run.records[n].image_ids[samples.rows[n]] for n in (ID, name))
            made = bootstrap(id_values, ood_values, draws, seed, groups).to_dict()
            interval = {key: made[key] for key in ("auroc", "fpr95", "level", "num_draws")}
    else:
        numbers = dict.fromkeys(OODResult.__dataclass_fields__, float("nan"))
        numbers |= dict(num_id=len(id_values), num_ood=len(ood_values), recall=0.95)
        if len(id_values):  # the threshold is the ID set's alone
            threshold = threshold_at_recall(id_values)
            numbers |= dict(threshold=threshold, tpr=float(np.mean(id_values >= threshold)))
    preset, cut, over = samples.preset, samples.cut, samples.over_cut
    return dict(
        ood_set=name,
        preset=preset.name,
        protocol=preset.protocol,
        rule=preset.rule,
        pair_floor=preset.pair_floor,
        cut=cut.value,
        cut_rule=cut.rule,
        cut_source=cut.source,
        **numbers,
        over_cut_id=over[ID],
        over_cut_ood=over[name],
        share_id=_share(samples, ID),
        share_ood=_share(samples, name),
        images=dict(
            id=len(run.records[ID].images),
            ood=len(run.records[name].images),
            id_with_samples=samples.images[ID],
            ood_with_samples=samples.images[name],
        ),
        interval=interval,
    )


def _share(samples: Samples, name: str) -> float:
    """Samples per box over the cut."""
    over = samples.over_cut[name]
    return len(samples.rows[name]) / over if over else float("nan")


def _control_rows(
    run: Recorded,
    count: int,
    bank: str,
    scoring: Scoring,
    rows: Callable[..., list[list[dict]]],
) -> list[list[dict]]:
    """Rows of a bank's controls for each of ``count`` presets; ``rows`` scores their records."""
    draws = []
    # what is fitted on negatives, too, needs them of the fit set
    fits = [run.fit_set] if any(s.needs_fit and s.needs_negatives for s in scoring.scores) else []
    for i in range(count_rotations(run, scoring)):
        feats = rotated_bank(run.feats[bank], scoring.seed + i)
        draws.append(rows("rotated", bank, run.rescore(bank, feats, [ID, *run.ood_sets, *fits])))
    made = [mean_rows([draw[i] for draw in draws]) for i in range(count)]
    records, labels = run.with_bank(bank), run.bank_labels(bank) or []
    for name, words in leaking(run, bank).items() if scoring.no_leaks else ():
        keep = [i for i, label in enumerate(labels) if label not in words]
        if 0 < len(keep) < len(labels) == records[ID].neg_logits.shape[1]:
            clean = {each: records[each].select_negatives(keep) for each in (ID, name, *fits)}
            made = _joined([made, rows("no_leaks", bank, clean, lambda: None)], count)
    return made


def mean_rows(draws: Sequence[list[dict]]) -> list[dict]:
    """Average the metrics of equal tables, row by row, with their standard deviation."""
    keys = (*ROW_METRICS, *OSCR_METRICS)
    return [mean_of_draws(same, keys) for same in zip(*draws, strict=True)]


def leaking(run: Recorded, bank: str) -> dict[str, list[str]]:
    """The bank's negatives that name a class of an OOD set, by set, as far as it can be told."""
    about = (run.results or {}).get("banks", {}).get(bank, {})
    if "leakage" in about:
        return {name: words for name, words in leaks_of(about).items() if name in run.records}
    found = {}
    for name in run.ood_sets:
        try:
            used = used_categories(run.truth(name).dataset)
        except FileNotFoundError:
            continue
        found[name] = leakage(run.bank_labels(bank) or [], used)["leaks"]
    return found


def describe_banks(run: Recorded, files: Mapping[str, str | None]) -> dict[str, dict]:
    """Every bank of a test: words, file, and which words name a class of which OOD set.

    Args:
        run: with annotations.
        files: where the words of each bank come from; ``None``: the config lists them.
    """
    used = {name: used_categories(run.truth(name).dataset) for name in run.ood_sets}
    described = {}
    for bank, file in files.items():
        labels = list(run.bank_labels(bank) or ())
        described[bank] = describe_bank(bank, labels, file) | dict(
            overlap={name: overlap(labels, names) for name, names in used.items()},
            leakage={name: leakage(labels, names) for name, names in used.items()},
        )
    return described


def leakage_lines(report: dict) -> list[str]:
    """For people: how many negatives of each bank name a class of each OOD set, and which."""
    lines = []
    for bank, about in report["banks"].items():
        for name, found in about["leakage"].items():
            words = listed(found["leaks"], 8)
            lines.append(
                f"{shown_text(name)}: {len(found['leaks'])} of {about['size']} negative labels "
                f"(bank {shown_text(bank)}) "
                "name an OOD class" + (f": {words}" if words else "")
            )
    return lines

"""From records to the rows of every table (no model, no mm*)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from negas.files import write_atomically
from negas.labels.audit import leakage
from negas.labels.ood_names import used_categories
from negas.labels.overlap import overlap
from negas.metrics.controls import rotated_bank
from negas.metrics.presets import PRESETS, Cut, Preset
from negas.metrics.protocol import ROW_METRICS, ScoreSpec, evaluate_scores, score_label
from negas.records import BoxRecords
from negas.scores import get_score

from .provenance import describe_bank, describe_sets

TEXT_FEATS_FILE = "text_feats.npz"  # beside the records: embeddings [M, D] of every bank
RESERVED_BANKS = ("own", "none")  # the model's own bank, and rows without any


@dataclass
class Bank:
    """Negative labels and their text embeddings [M, D] (``None`` if the run has none).

    ``file`` is where the labels were read from, ``None`` if the config lists them.
    """

    name: str
    labels: list[str]
    feats: np.ndarray | None
    file: str | None = None


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


def write_results(path: Path, report: dict) -> None:
    """Write a report as JSON, whole or not at all."""
    write_atomically(path, json.dumps(_plain(report), indent=1, allow_nan=False))


def _plain(value: object) -> object:
    """JSON types only; a number that does not exist (an empty set's AUROC) is null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value

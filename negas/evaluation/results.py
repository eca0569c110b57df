"""From records to the rows of every table (no model, no mm*)."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from negas.labels.overlap import overlap
from negas.metrics.controls import rotated_bank
from negas.metrics.protocol import evaluate_scores
from negas.records import BoxRecords
from negas.scores import get_score

TEXT_FEATS_FILE = "text_feats.npz"  # beside the records: embeddings [M, D] of every bank
_METRICS = ("auroc", "fpr95", "fpr95_closest", "aupr", "tpr", "threshold")


@dataclass
class Bank:
    """Negative labels and their text embeddings [M, D] (``None`` if the run has none)."""

    name: str
    labels: list[str]
    feats: np.ndarray | None


@dataclass
class Evaluation:
    """Everything a table needs.

    Attributes:
        records: ``id`` and every OOD set (``cut`` too if there was one).
        truths: COCO dicts of the same sets.
        scores: names or (name, options); the option ``logits="cosine"`` scores cosines in place of
            head logits (needs embeddings).
        protocols: ``vos``, ``matched``.
        cuts: kind of cut -> confidence.
        banks: the run's own bank first; others need records with embeddings.
        rotations: draws of the rotated-bank control.
        seed: of the rotations.
    """

    records: dict[str, BoxRecords]
    truths: dict[str, dict]
    scores: Sequence[str | tuple[str, dict]]
    protocols: Sequence[str] = ("vos",)
    cuts: dict[str, float] = field(default_factory=dict)
    banks: Sequence[Bank] = ()
    rotations: int = 0
    seed: int = 0

    @property
    def ood_sets(self) -> list[str]:
        """Names of the OOD sets."""
        return [name for name in self.records if name not in ("id", "cut")]


ScoreSpec = str | tuple[str, dict]


def _split(spec: ScoreSpec) -> tuple[str, dict, bool]:
    """Name, options of the score itself, and whether it reads cosines."""
    name, options = (spec, {}) if isinstance(spec, str) else spec
    source = options.get("logits", "head")
    if source not in ("head", "cosine"):
        raise ValueError(f"score {name!r}: logits must be 'head' or 'cosine', got {source!r}")
    return name, {k: v for k, v in options.items() if k != "logits"}, source == "cosine"


def _needs_negatives(spec: ScoreSpec) -> bool:
    name, options, _ = _split(spec)
    return get_score(name, **options).needs_negatives


def ood_names(truth: dict) -> list[str]:
    """Names of the categories that occur in an OOD set."""
    used = {ann["category_id"] for ann in truth["annotations"]}
    names = [c["name"] for c in truth["categories"] if c["id"] in used]
    return names or [c["name"] for c in truth["categories"]]


def evaluate_run(run: Evaluation) -> dict:
    """Rows of all protocols, cuts, banks and controls, with counts and label overlap."""
    plain = [s for s in run.scores if not _needs_negatives(s)]
    with_neg = [s for s in run.scores if _needs_negatives(s)]
    rows = []

    def add(scores: Sequence[ScoreSpec], records, bank: str, control: str) -> list[dict]:
        made = []
        for cosine in (False, True):
            chosen = [_split(s) for s in scores if _split(s)[2] == cosine]
            if not chosen:
                continue
            names = [name for name, *_ in chosen]
            used = {
                key: records[key].as_cosines() if cosine else records[key]
                for key in ("id", *run.ood_sets)
            }
            for kind, cut in run.cuts.items():
                for protocol in run.protocols:
                    rows = evaluate_scores(
                        used["id"],
                        {name: used[name] for name in run.ood_sets},
                        [(name, options) for name, options, _ in chosen],
                        cut,
                        protocol,
                        run.truths if protocol == "matched" else None,
                        on_empty="nan",  # one empty set must not cost the other sets' numbers
                    )
                    extra = dict(cut_kind=kind, bank=bank, control=control)
                    extra["logits"] = "cosine" if cosine else "head"
                    for i, row in enumerate(rows):
                        name, options, _ = chosen[i % len(chosen)]
                        once = names.count(name) == 1
                        label = name if once else row["score"]
                        made.append(row | extra | dict(score=label, options=options))
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
        banks[bank.name] = dict(
            size=len(bank.labels),
            labels=bank.labels,
            overlap={
                name: overlap(bank.labels, ood_names(run.truths[name])) for name in run.ood_sets
            },
        )
    bar.close()
    sets = {
        name: dict(images=len(records.images), boxes=len(records))
        for name, records in run.records.items()
    }
    return dict(rows=rows, banks=banks, sets=sets)


def _rescore(run: Evaluation, feats: np.ndarray, labels: Sequence[str]) -> dict[str, BoxRecords]:
    wanted = ["id", *run.ood_sets]
    return {name: run.records[name].rescore(feats, labels) for name in wanted}


def mean_rows(draws: Sequence[list[dict]]) -> list[dict]:
    """Average the metrics of equal tables, row by row, with their standard deviation."""
    merged = []
    for same in zip(*draws, strict=True):
        row = dict(same[0])
        for key in _METRICS:
            values = [r[key] for r in same]
            row[key] = float(np.mean(values))
            row[f"{key}_std"] = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        row["draws"] = len(same)
        merged.append(row)
    return merged


def write_results(path: Path, report: dict) -> None:
    """Write a report as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.part")
    text = json.dumps(_plain(report), indent=1, allow_nan=False)
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def _plain(value: object) -> object:
    """JSON types only; a number that does not exist (an empty set's AUROC) is null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value

"""From a dump of ID validation boxes and a bank to the number of labels.

The reasoning stands in :mod:`negas.labels.choose`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from negas.apis.choose_outcome import Options, Outcome, draw, report_of
from negas.apis.label_feats import LabelFeats, Run, bank_feats, load_run
from negas.evaluation.results import write_results
from negas.labels.bank import NegativeLabelBank
from negas.labels.choose import (
    METRICS,
    Choice,
    check_ms,
    choose,
    held_out_curve,
    label_orders,
    make_folds,
)
from negas.metrics.protocol import Protocol, evaluate_scores
from negas.scores import get_score

DEFAULT_MS = (5, 10, 20, 30, 50, 100, 200)


def choose_num_labels(
    dump: str, bank_file: str, options: Options | None = None, out_dir: str | None = None
) -> Outcome:
    """Find M, write ``num_labels.json`` and ``num_labels.png`` and return the outcome.

    Args:
        dump: records of the ID validation set (``records/cut.npz`` of a test run), or the run.
        bank_file: json of the bank, its labels best first.
        options: see :class:`Options`.
        out_dir: where to write; default: beside the dump.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: anything else that does not fit, in one sentence.
        OSError: the folder cannot be written.
    """
    options = options or Options()
    bank = NegativeLabelBank.load(bank_file)
    ms = _settings(options.ms, len(bank))
    score_options = dict(options.score_options)
    if options.seed < 0:
        raise ValueError(f"the seed must be 0 or more, got {options.seed}.")
    logits = score_options.pop("logits", "head")
    if logits not in ("head", "cosine"):
        raise ValueError(f"the score option logits must be 'head' or 'cosine', got {logits!r}.")
    cosine = logits == "cosine"
    score = get_score(options.score, **score_options)
    run = load_run(dump, options.ann_file, options.cut)
    target = _writable(Path(out_dir) if out_dir else run.path.parent)
    bank.check_id_labels(run.id_labels)
    feats = bank_feats(run, bank, options.encoder, options.template, "dissimilar" in options.orders)
    records = run.records.rescore(feats.negatives, bank.neg_labels)
    folds, left_out = make_folds(
        records, run.truth, run.cut, options.protocol, options.min_boxes, _bar
    )
    curves, finals = [], {}
    for kind in dict.fromkeys(options.orders):
        finals[kind], per_fold = label_orders(
            kind, len(bank), feats.order_negatives, feats.order_ids, options.seed
        )
        curves.append(held_out_curve(records, folds, score, ms, per_fold, kind, cosine))
    choice = choose(curves, options.metric)
    tests = {}
    if options.compare:
        spec = (options.score, score_options)
        tests = _test_curves(run, feats, finals, ms, spec, cosine, options.protocol)
    outcome = Outcome(
        choice=choice,
        curves=curves,
        labels=[bank.neg_labels[i] for i in finals[choice.order][: choice.num]],
        counts={fold.name: (int(fold.is_id.sum()), int(fold.is_ood.sum())) for fold in folds},
        left_out=left_out,
        notes=_notes(choice, len(folds), left_out, options, run.cut),
        tests=tests,
        report={},
    )
    settings = {key: getattr(options, key) for key in Options.__dataclass_fields__}
    settings |= dict(
        dump=str(run.path), bank=str(bank_file), cut=run.cut, cut_source=run.cut_source
    )
    outcome = replace(outcome, report=report_of(outcome, settings, feats.origin))
    write_results(target / "num_labels.json", outcome.report)
    draw(outcome, target / "num_labels.png")
    return outcome


def chosen_bank(bank: NegativeLabelBank, outcome: Outcome) -> NegativeLabelBank:
    """The bank cut to the chosen labels, with the choice in its provenance."""
    settings = outcome.report["settings"]
    kept = ("score", "score_options", "metric", "protocol", "cut", "dump", "bank", "seed")
    choice = dict(
        method="held-out ID classes on the ID validation set (no OOD data)",
        order=outcome.choice.order,
        num=outcome.choice.num,
        **{key: settings[key] for key in kept},
    )
    return NegativeLabelBank(
        bank.id_labels, tuple(outcome.labels), {**bank.provenance, "choice_of_num": choice}
    )


def _settings(ms: Sequence[int] | None, size: int) -> tuple[int, ...]:
    if ms is not None:
        return check_ms(ms, size)
    return check_ms([m for m in DEFAULT_MS if m <= size] or [size], size)


def _writable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"{folder} cannot be written ({error.strerror}); choose --out") from error
    return folder


def _bar(items: Sequence) -> Sequence:
    from tqdm import tqdm

    return tqdm(items, desc="held-out classes", delay=2, leave=False, disable=None)


def _test_curves(
    run: Run,
    feats: LabelFeats,
    finals: Mapping[str, np.ndarray],
    ms: Sequence[int],
    spec: tuple[str, dict],
    cosine: bool,
    protocol: Protocol,
) -> dict[str, dict[str, dict[str, list[float]]]]:
    """The same score on the run's test sets; nothing of it goes back into the choice."""
    records, truths = run.test_sets()
    tests: dict[str, dict[str, dict[str, list[float]]]] = {}
    for kind, order in finals.items():
        table = tests.setdefault(kind, {})
        for num in (0, *ms):  # 0: max sigmoid
            used, now = records, ("max_sigmoid", {})
            if num:
                chosen = feats.negatives[order[:num]]
                used, now = {name: one.rescore(chosen) for name, one in records.items()}, spec
                used = {name: one.as_cosines() for name, one in used.items()} if cosine else used
            oods = {name: one for name, one in used.items() if name != "id"}
            rows = evaluate_scores(
                used["id"], oods, [now], run.cut, protocol, truths, on_empty="nan"
            )
            for row in rows:
                for metric in METRICS:
                    table.setdefault(row["ood_set"], {}).setdefault(metric, []).append(row[metric])
    return tests


def _notes(
    choice: Choice, held_out: int, left_out: Mapping[str, int], options: Options, cut: float
) -> list[str]:
    notes = []
    if left_out:
        names = ", ".join(f"{name} ({count})" for name, count in left_out.items())
        notes.append(
            f"{len(left_out)} classes leave fewer than {options.min_boxes} confident boxes behind "
            f"when they are held out, and were not used: {names}."
        )
    if held_out < len(left_out):
        notes.append(
            f"Under half of the classes could be held out at the cut {cut:.3f}: a lower --cut "
            f"makes more of them count."
        )
    others = len(choice.equal) - 1
    if others:
        what = "1 other setting is" if others == 1 else f"{others} other settings are"
        notes.append(
            f"{what} within one standard error of the best: the curve does not tell them apart."
        )
    if choice.gain <= 2 * choice.gain_error:
        word = "worse than" if choice.gain < 0 else "no clear gain over"
        notes.append(
            f"On held-out classes the best setting is {word} max sigmoid without any negatives "
            f"({100 * choice.gain:+.1f} ± {100 * choice.gain_error:.1f} points)."
        )
    return notes

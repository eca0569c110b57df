"""The choice of the number of labels as a command: from a test run and a bank to files.

The reasoning stands in :mod:`.choice`. Shapes: K ID labels, B labels of the bank, D text
channels of the detector, E of another encoder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pycocotools.coco import COCO
from tqdm import tqdm

from negas.files import check_folder, write_json
from negas.labels.bank import NegativeLabelBank
from negas.metrics import Preset
from negas.metrics.coco import id_labels_of, load_coco, records_to_coco
from negas.metrics.f1_cut import f1_threshold
from negas.options import Options, option, overwrite_option
from negas.records import ID_VAL, VALIDATION_SETS, BoxRecords
from negas.scores import get_score
from negas.visualization.label_curve import Line, plot_label_curves

from ..recorded import Recorded
from ..result_files import TEXT_FEATS_FILE, read_beside, read_set, records_folder, unfinished
from ..rows import NamedScore, Scoring, name_scores, parse_value, run_rows
from .choice import (
    METRICS,
    ORDERS,
    Choice,
    Curve,
    check_ms,
    choose,
    held_out_curve,
    label_orders,
    make_folds,
)

DEFAULT_MS = (5, 10, 20, 30, 50, 100, 200)


@dataclass(frozen=True)
class NumLabelsOptions(Options):
    """Choose the number of negative labels."""

    run: str = option(
        help="work dir of a test run, or records of an ID validation set", positional=True
    )
    bank: str = option(help="json of the bank, labels best first")
    ms: tuple[int, ...] | None = option(
        None,
        help="numbers to try (default: those of 5 10 20 30 50 100 200 that the bank has)",
        ge=1,
    )
    score: str = option("negs", help="score that reads negatives")
    score_options: tuple[str, ...] = option(
        (), help="its options, e.g. logits=cosine", metavar="KEY=VALUE"
    )
    metric: Literal["auroc", "fpr95"] = option("auroc", help="what best means")
    orders: tuple[str, ...] = option(
        ("bank",),
        help="orders of the labels to try; dissimilar needs --encoder",
        choices=ORDERS,
    )
    protocol: Literal["matched", "vos"] = option("matched", help="which boxes are ID samples")
    cut: float | None = option(None, help="least confidence (default: the run's)", ge=0, le=1)
    min_boxes: int = option(5, help="fewest boxes of a held-out class", ge=1)
    encoder: str | None = option(
        None, help="text encoder, for labels the run has no embeddings of, and for dissimilar"
    )
    template: str = option("a photo of {}", help="its sentence")
    ann: str | None = option(None, help="ground truth of the boxes (default: as the records say)")
    compare: bool = option(False, help="afterwards also show the run's test sets")
    seed: int = option(0, help="of the random order", ge=0)
    out: str | None = option(
        None, help="where to write (default: beside the records)", metavar="DIR", output=True
    )
    overwrite: bool = overwrite_option()
    save_bank: str | None = option(
        None, help="write the bank cut to the choice", metavar="FILE", output=True
    )

    @property
    def named_score(self) -> NamedScore:
        """The score with its options.

        Raises:
            ValueError: an option has another form, or cannot be.
        """
        given = {}
        for text in self.score_options:
            key, equals, value = text.partition("=")
            if not equals:
                raise ValueError(
                    f"--score-options {text!r}: expected KEY=VALUE, such as weight=0.5"
                )
            given[key] = parse_value(value)
        named = name_scores([(self.score, given)])[0]
        if named.needs_fit:
            raise ValueError(
                f"--score {self.score}: a score that is fitted on ID boxes has no number of labels "
                "to choose; give one of logits, such as negs"
            )
        return named


@dataclass(frozen=True)
class Outcome:
    """Curves, what they say, and what a reader needs beside them.

    Attributes:
        choice: the best order and M.
        curves: one per order.
        labels: the chosen labels, best first.
        counts: held-out class -> (ID boxes, pseudo-OOD boxes).
        left_out: class -> pseudo-OOD boxes, too few.
        notes: sentences for the reader.
        tests: order -> set -> metric -> values per M on the test sets.
        embeddings: where those of the labels come from.
        settings: options, cut and score.
    """

    choice: Choice
    curves: list[Curve]
    labels: list[str]
    counts: dict[str, tuple[int, int]]
    left_out: dict[str, int]
    notes: list[str]
    tests: dict[str, dict[str, dict[str, list[float]]]]
    embeddings: str
    settings: dict[str, Any]


def report_of(outcome: Outcome) -> dict[str, Any]:
    """Everything, ready for json."""
    curves = [
        dict(
            order=curve.order,
            ms=list(curve.ms),
            classes=list(curve.classes),
            **{
                metric: dict(
                    mean=curve.mean(metric).tolist(),
                    standard_error=curve.error(metric).tolist(),
                    per_class=curve.values[metric].tolist(),
                    max_sigmoid=curve.without[metric].tolist(),
                )
                for metric in METRICS
            },
        )
        for curve in outcome.curves
    ]
    choice = outcome.choice
    return dict(
        choice=dict(
            order=choice.order,
            num=choice.num,
            value=choice.value,
            gain_over_max_sigmoid=choice.gain,
            gain_standard_error=choice.gain_error,
            within_one_standard_error=[list(pair) for pair in choice.equal],
            labels=outcome.labels,
        ),
        curves=curves,
        boxes={name: dict(id=a, pseudo_ood=b) for name, (a, b) in outcome.counts.items()},
        left_out=outcome.left_out,
        notes=outcome.notes,
        embeddings=outcome.embeddings,
        settings=outcome.settings,
        test_sets_for_comparison_only=outcome.tests,  # the first value of each list is M = 0
    )


def draw(outcome: Outcome, path: Path) -> None:
    """The curves as a picture."""
    panels = {}
    for metric in METRICS:
        lines = [
            Line(f"held-out, order: {c.order}", c.ms, c.mean(metric), c.error(metric))
            for c in outcome.curves
        ]
        ms = outcome.curves[0].ms
        for name, table in outcome.tests.get(outcome.choice.order, {}).items():
            values = np.array(table[metric][1:])
            lines.append(Line(f"test set {name} (comparison)", ms, values, thin=True))
        panels[metric] = lines
    without = {metric: float(outcome.curves[0].without[metric].mean()) for metric in METRICS}
    plot_label_curves(panels, without, outcome.choice.num, path)


@dataclass(frozen=True)
class Validation:
    """Boxes of the ID validation set and where they come from.

    Attributes:
        path: the records file.
        records: its content, with embeddings.
        truth: annotations of the set.
        cut: least confidence of a sample.
        cut_source: where that comes from.
        results: ``ood_results.json`` of the run, or empty.
    """

    path: Path
    records: BoxRecords
    truth: COCO
    cut: float
    cut_source: str
    results: dict

    @property
    def id_labels(self) -> list[str]:
        """The K labels of the detector."""
        return id_labels_of(self.records)


@dataclass(frozen=True)
class LabelFeats:
    """Embeddings of labels.

    Attributes:
        negatives: ``[B, D]`` as the detector reads them.
        order_negatives: ``[B, E]``, for an order by similarity, or ``None``.
        order_ids: ``[K, E]`` of the ID labels in the same space, or ``None``.
        origin: where ``negatives`` come from.
    """

    negatives: np.ndarray
    order_negatives: np.ndarray | None
    order_ids: np.ndarray | None
    origin: str


def load_validation(run: str, ann_file: str | None = None, cut: float | None = None) -> Validation:
    """Read a records file, or that of the ID validation set of a test run's work dir.

    Raises:
        FileNotFoundError: the records or their annotations are missing.
        ValueError: records without embeddings, or malformed files.
    """
    path = Path(run)
    if path.is_dir():
        path = records_folder(path) / f"{ID_VAL}.npz"
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: the run has no records of an ID validation set; give its test loop an "
                "id_val_dataloader, or name a records file" + unfinished(Path(run))
            )
    records, results = read_set(path)
    if records.embeddings is None:
        raise ValueError(
            f"{path}: these records hold no embeddings, so other labels cannot be read off them; "
            f"test again with model.test_cfg.keep_embeddings=True."
        )
    ann_file = ann_file or records.meta.get("ann_file")
    if not ann_file:
        raise ValueError(f"{path}: the records do not name their annotations; give them with --ann")
    if not Path(ann_file).is_file():
        raise FileNotFoundError(
            f"{ann_file}: no such annotation file (named by {path}); run from the folder the test "
            f"ran in, or give the file with --ann."
        )
    truth = load_coco(ann_file)
    source = "given"
    if cut is None and results:
        cut, source = float(results["cuts"]["run"]["value"]), "the run's own"
    elif cut is None:
        cut = f1_threshold(truth, records_to_coco(records, truth)).threshold
        source = "best F1 of these boxes"
    return Validation(path, records, truth, cut, source, results)


def bank_feats(
    run: Validation,
    bank: NegativeLabelBank,
    encoder: str | None = None,
    template: str = "a photo of {}",
    need_order: bool = False,
) -> LabelFeats:
    """Embeddings of a bank's labels: the run's own where it has them all, else an encoder's.

    An encoder is believed only if its embeddings of the ID labels give the ID logits of the
    records: a detector with a learned prompt has other embeddings than its text encoder.

    Args:
        run: see :func:`load_validation`.
        bank: the labels.
        encoder: hub name or directory of a CLIP text encoder.
        template: sentence around a label.
        need_order: similarities to the ID labels are wanted, which need the encoder.

    Raises:
        ValueError: words without embeddings and no encoder, or one that does not fit.
    """
    known = _known_words(run)
    missing = [label for label in bank.neg_labels if label not in known]
    if (missing or need_order) and encoder is None:
        what = f"no embedding of {missing[0]!r}" if missing else "no embeddings of the ID labels"
        rest = f" (nor of {len(missing) - 1} other labels)" if len(missing) > 1 else ""
        raise ValueError(
            f"{run.path.parent}: the run kept {what}{rest}; name the detector's text encoder with "
            f"--encoder, or add the bank to the evaluator's banks and test again."
        )
    negatives = ids = None
    if encoder is not None:
        both = _encode(encoder, [*bank.neg_labels, *run.id_labels], template)
        negatives, ids = both[: len(bank)], both[len(bank) :]
    if not missing:
        stack = np.stack([known[label] for label in bank.neg_labels])
        return LabelFeats(stack, negatives, ids, "the test run")
    wanted = run.records.embeddings.shape[1] - 1
    if ids.shape[1] != wanted:
        raise ValueError(
            f"encoder {encoder!r} has {ids.shape[1]} channels, the detector's text space {wanted}; "
            f"name the detector's own text encoder."
        )
    gap = np.abs(run.records.rescore(ids).neg_logits - run.records.id_logits)
    gap = float(gap.max()) if gap.size else 0.0
    if gap > 0.05:
        raise ValueError(
            f"encoder {encoder!r} with the template {template!r} does not give the ID logits of "
            f"{run.path} (they differ by up to {gap:.2f}); use the detector's own text encoder and "
            f"template, or, with a learned prompt, add the bank to the evaluator's banks and test "
            f"again."
        )
    return LabelFeats(negatives, negatives, ids, f"{encoder}, {template!r}")


def _known_words(run: Validation) -> dict[str, np.ndarray]:
    """Every label the run has an embedding of."""
    banks = run.results.get("banks", {})
    feats = read_beside(run.path.parent / TEXT_FEATS_FILE, run.results) if banks else {}
    known: dict[str, np.ndarray] = {}
    for name, bank in banks.items():
        if name in feats and len(feats[name]) == len(bank["labels"]):
            known |= dict(zip(bank["labels"], feats[name], strict=True))
    return known


def _encode(encoder: str, labels: Sequence[str], template: str) -> np.ndarray:
    import torch
    from transformers import AutoTokenizer, CLIPTextModelWithProjection

    from negas.embeddings.hub import how_to_get, load_whole, loading, without_waiting
    from negas.embeddings.text import encode_labels

    without_waiting(encoder)
    with loading(f"encoder {encoder!r}: cannot load a CLIP text encoder", how_to_get(encoder)):
        tower = load_whole(CLIPTextModelWithProjection, encoder)
        tokenizer = AutoTokenizer.from_pretrained(encoder)
    tower = tower.float().eval()
    with torch.no_grad():
        return encode_labels(tower, tokenizer, labels, template=template).numpy()


def choose_num_labels(options: NumLabelsOptions) -> Outcome:
    """Find M, write ``num_labels.json`` and ``num_labels.png`` and return the outcome.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: anything else that does not fit, in one sentence.
        OSError: the folder cannot be written.
    """
    named = options.named_score
    bank = NegativeLabelBank.load(options.bank)
    ms = _settings(options.ms, len(bank))
    score = get_score(named.name, **named.options)
    run = load_validation(options.run, options.ann, options.cut)
    target = check_folder(options.out or run.path.parent, "--out")
    NegativeLabelBank.load(options.bank, run.id_labels)
    feats = bank_feats(run, bank, options.encoder, options.template, "dissimilar" in options.orders)
    records = run.records.rescore(feats.negatives, bank.neg_labels)
    bar = partial(tqdm, desc="held-out classes", delay=2, leave=False, disable=None)
    folds, left_out = make_folds(
        records, run.truth, run.cut, options.protocol, options.min_boxes, bar
    )
    curves, finals = [], {}
    for kind in dict.fromkeys(options.orders):
        finals[kind], per_fold = label_orders(
            kind, len(bank), feats.order_negatives, feats.order_ids, options.seed
        )
        curves.append(held_out_curve(records, folds, score, ms, per_fold, kind, named.cosine))
    choice = choose(curves, options.metric)
    settings = options.record() | dict(
        run=str(run.path),
        score_options=named.options | (dict(logits="cosine") if named.cosine else {}),
        cut=run.cut,
        cut_source=run.cut_source,
    )
    outcome = Outcome(
        choice=choice,
        curves=curves,
        labels=[bank.neg_labels[i] for i in finals[choice.order][: choice.num]],
        counts={fold.name: (int(fold.is_id.sum()), int(fold.is_ood.sum())) for fold in folds},
        left_out=left_out,
        notes=_notes(choice, len(folds), left_out, options, run.cut),
        tests=_test_curves(run, feats, finals, ms, named, options) if options.compare else {},
        embeddings=feats.origin,
        settings=settings,
    )
    write_json(target / "num_labels.json", report_of(outcome))
    draw(outcome, target / "num_labels.png")
    return outcome


def chosen_bank(bank: NegativeLabelBank, outcome: Outcome) -> NegativeLabelBank:
    """The bank cut to the chosen labels, with the choice in its provenance."""
    settings = outcome.settings
    kept = ("score", "score_options", "metric", "protocol", "cut", "run", "bank", "seed")
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


def _test_curves(
    run: Validation,
    feats: LabelFeats,
    finals: Mapping[str, np.ndarray],
    ms: Sequence[int],
    score: NamedScore,
    options: NumLabelsOptions,
) -> dict[str, dict[str, dict[str, list[float]]]]:
    """The same score on the run's test sets; nothing of it goes back into the choice.

    Raises:
        FileNotFoundError: the records are no part of a test run with test sets.
    """
    try:
        tested = Recorded.load(run.path.parent)
        sets = {n: one for n, one in tested.records.items() if n not in VALIDATION_SETS}
        truths = {name: tested.truth(name) for name in sets}
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"there is nothing to compare with ({error}); leave --compare out or give the work dir "
            "of a test run"
        ) from error
    preset = Preset("compare", options.protocol, run.cut)
    plain = name_scores(["max_sigmoid"])[0]
    about = dict(sets={name: {} for name in sets})
    tests: dict[str, dict[str, dict[str, list[float]]]] = {}
    for kind, order in finals.items():
        table = tests.setdefault(kind, {})
        for num in (0, *ms):  # 0: max sigmoid
            used = {n: one.rescore(feats.negatives[order[:num]]) for n, one in sets.items() if num}
            scored = Recorded.of(tested.path, used or sets, results=about, truths=truths)
            what = Scoring([score if num else plain], rotations=0, no_leaks=False)
            for row in run_rows(scored, preset, what):
                for metric in METRICS:
                    table.setdefault(row["ood_set"], {}).setdefault(metric, []).append(row[metric])
    return tests


def _notes(
    choice: Choice,
    held_out: int,
    left_out: Mapping[str, int],
    options: NumLabelsOptions,
    cut: float,
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
        spread = f" ± {100 * choice.gain_error:.1f}" if held_out > 1 else ""
        notes.append(
            f"On held-out classes the best setting is {word} max sigmoid without any negatives "
            f"({100 * choice.gain:+.1f}{spread} points)."
        )
    return notes

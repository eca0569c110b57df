"""How many negative labels? Chosen without OOD data: ID classes play the unknown in turn.

For a held-out class c its label is taken from the detector's list. Boxes on objects of c that are
still confident then are pseudo-OOD, boxes on objects of the other classes are ID, and a score with
the first M negatives has to part them. The mean over classes, as a function of M, is the curve.
Everything is computed from the kept boxes of the ID validation set; nothing is trained or run.

Shapes: N boxes, K ID labels, B labels of the bank, F held-out classes, S settings of M.

Settings and outcome of a choice of M, and the files it leaves.

What a choice of labels reads of a test run: boxes, ground truth, cut, embeddings of labels.

Shapes: K ID labels, B labels of the bank, D text channels of the detector, E of another encoder.

From a dump of ID validation boxes and a bank to the number of labels.

The reasoning stands in :mod:`negas.evaluation.num_labels`.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from negas.embeddings.encoders import quiet_transformers
from negas.labels.bank import NegativeLabelBank
from negas.labels.selection.ranking import unit_rows
from negas.metrics.coco import CocoSource, category_ids, id_labels_of, load_coco, records_to_coco
from negas.metrics.f1_cut import f1_threshold
from negas.metrics.protocol import Protocol, evaluate_scores, select_samples
from negas.metrics.roc import ood_metrics
from negas.records import BoxRecords
from negas.scores import Score, get_score
from negas.visualization.label_curve import Line, plot_label_curves

from .provenance import write_results
from .run import TEXT_FEATS_FILE

Metric = Literal["auroc", "fpr95"]
METRICS: tuple[Metric, ...] = ("auroc", "fpr95")
ORDERS = ("bank", "dissimilar", "random")


@dataclass(frozen=True)
class Fold:
    """One held-out class: which boxes are ID ``[N]`` and which pseudo-OOD ``[N]``, as masks."""

    name: str
    label: int
    is_id: np.ndarray
    is_ood: np.ndarray


@dataclass(frozen=True)
class Curve:
    """Metrics by number of negatives, for one order of the bank's labels.

    Attributes:
        order: name of the order.
        ms: the S settings of M, rising.
        classes: the F held-out classes.
        values: metric -> ``[F, S]``.
        without: metric -> ``[F]``: max sigmoid, which reads no negatives.
    """

    order: str
    ms: tuple[int, ...]
    classes: tuple[str, ...]
    values: dict[str, np.ndarray] = field(default_factory=dict)
    without: dict[str, np.ndarray] = field(default_factory=dict)

    def mean(self, metric: Metric) -> np.ndarray:
        """Mean over classes ``[S]``."""
        return self.values[metric].mean(axis=0)

    def error(self, metric: Metric) -> np.ndarray:
        """Standard error ``[S]`` of that mean: how much the choice of classes matters."""
        return _standard_error(self.values[metric])


@dataclass(frozen=True)
class Choice:
    """What the curves say.

    Attributes:
        order: the best order of the bank's labels.
        num: the best M; on equal values the smallest, in the order given first.
        value: its mean metric.
        gain: by how much it is better than max sigmoid (negative: worse), mean over classes.
        gain_error: standard error of that (classes are paired).
        equal: settings (order, M) whose paired difference to the best is within its standard error.
    """

    order: str
    num: int
    value: float
    gain: float
    gain_error: float
    equal: tuple[tuple[str, int], ...]


def make_folds(
    records: BoxRecords,
    truth: CocoSource,
    cut: float,
    protocol: Protocol = "matched",
    min_boxes: int = 5,
    progress: Callable[[Sequence], Sequence] = lambda items: items,
) -> tuple[list[Fold], dict[str, int]]:
    """Hold out every ID class in turn.

    A box is pseudo-OOD if its confidence without the held-out label reaches the cut, it overlaps an
    object of that class (IoU > 0.5) and is no true detection of another object. ID samples are the
    true detections of the other classes (``matched``) or all other confident boxes (``vos``).

    Args:
        records: kept boxes of the ID validation set, with ``meta["id_labels"]``.
        truth: its ground truth.
        cut: least confidence of a sample, in [0, 1].
        protocol: ``matched`` or ``vos``.
        min_boxes: leave out a class with fewer pseudo-OOD boxes (or with fewer ID boxes left).
        progress: wraps the loop over classes, for a bar.

    Returns:
        The folds, and the number of pseudo-OOD boxes of each class that was left out.

    Raises:
        ValueError: fewer than two ID labels, labels that are no categories, or every class is left
            out.
    """
    names = id_labels_of(records)
    if len(names) < 2:
        raise ValueError("holding a class out needs at least two ID labels.")
    coco = load_coco(truth)
    folds, left_out = [], {}
    for label, category in progress(list(enumerate(category_ids(coco, names)))):
        rest = without_label(records, label)
        held_out = {
            **coco.dataset,
            "annotations": [a for a in coco.dataset["annotations"] if a["category_id"] == category],
        }
        true = select_samples(rest, cut, "matched", coco, "id")
        is_ood = select_samples(rest, cut, "matched", held_out, "ood") & ~true
        is_id = true if protocol == "matched" else select_samples(rest, cut, protocol) & ~is_ood
        if min(is_ood.sum(), is_id.sum()) < max(1, min_boxes):
            left_out[names[label]] = int(is_ood.sum())
        else:
            folds.append(Fold(names[label], label, is_id, is_ood))
    if not folds:
        most = max(left_out.values())
        raise ValueError(
            f"no ID class can be held out: at the confidence cut {cut:.4g} none leaves "
            f"{min_boxes} boxes behind (the most is {most}); lower the cut or min_boxes, or use a "
            f"larger validation set."
        )
    return folds, left_out


def held_out_curve(
    records: BoxRecords,
    folds: Sequence[Fold],
    score: Score,
    ms: Sequence[int],
    orders: np.ndarray,
    name: str = "bank",
    cosine: bool = False,
) -> Curve:
    """Mean metrics over the held-out classes for every M.

    Args:
        records: the boxes of the folds, with the negative logits ``[N, B]`` of the whole bank.
        folds: see :func:`make_folds`.
        score: reads negatives.
        ms: settings of M, each at most B.
        orders: ``[B]``, the bank's labels best first, or ``[K, B]``, one row per held-out label.
        name: of the order.
        cosine: score cosines in place of head logits (needs embeddings).

    Raises:
        ValueError: a score without negatives, no negative logits, or an M that does not fit.
    """
    if not score.needs_negatives:
        raise ValueError(
            f"score {score.name!r} reads no negatives, so their number does not matter to it; "
            f"choose one that does, such as 'negs'."
        )
    if records.neg_logits is None:
        raise ValueError("these records hold no negative logits; rescore them with a bank first.")
    size = records.neg_logits.shape[1]
    ms = check_ms(ms, size)
    orders = np.broadcast_to(orders, (records.num_ids, size))
    source = records.as_cosines() if cosine else records
    values = {metric: np.zeros((len(folds), len(ms))) for metric in METRICS}
    without = {metric: np.zeros(len(folds)) for metric in METRICS}
    for row, fold in enumerate(folds):
        keep = np.arange(records.num_ids) != fold.label
        sides = [np.flatnonzero(mask) for mask in (fold.is_id, fold.is_ood)]
        # max sigmoid ranks as the largest logit does; that does not saturate
        plain = [records.id_logits[rows][:, keep].max(axis=1) for rows in sides]
        _put(without, row, ood_metrics(*plain))
        for column, num in enumerate(ms):
            labels = orders[fold.label, :num]
            pair = [
                score(source.id_logits[rows][:, keep], source.neg_logits[rows][:, labels])
                for rows in sides
            ]
            _put(values, (row, column), ood_metrics(*pair))
    return Curve(name, ms, tuple(fold.name for fold in folds), values, without)


def choose(curves: Sequence[Curve], metric: Metric = "auroc") -> Choice:
    """The order and M with the best mean; ties go to the smallest M, then to the first order.

    Raises:
        ValueError: no curve, or an unknown metric.
    """
    if not curves or metric not in METRICS:
        raise ValueError(f"give at least one curve and a metric of {', '.join(METRICS)}.")
    sign = 1.0 if metric == "auroc" else -1.0
    options = [(curve, column) for curve in curves for column in range(len(curve.ms))]
    # rounding: two means that differ in the last bit of a sum are equal
    best, column = max(
        options, key=lambda at: (np.round(sign * at[0].mean(metric)[at[1]], 9), -at[0].ms[at[1]])
    )
    chosen = best.values[metric][:, column]
    gain = sign * (chosen - best.without[metric])
    equal = []
    for curve, at in options:
        behind = sign * (chosen - curve.values[metric][:, at])
        if behind.mean() <= _standard_error(behind) + 1e-12:
            equal.append((curve.order, curve.ms[at]))
    return Choice(
        best.order,
        best.ms[column],
        float(chosen.mean()),
        float(gain.mean()),
        float(_standard_error(gain)),
        tuple(equal),
    )


def label_orders(
    kind: str,
    size: int,
    neg_feats: object | None = None,
    id_feats: object | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """An order of the bank's labels, best first.

    Args:
        kind: ``bank`` (as they stand), ``dissimilar`` (least like any ID text first; without the
            held-out class, which plays the unknown, when one is held out), ``random``.
        size: B.
        neg_feats: ``[B, D]`` text embeddings, for ``dissimilar``.
        id_feats: ``[K, D]``.
        seed: of ``random``.

    Returns:
        ``[B]`` with all ID labels, to be used in the end, and ``[B]`` or ``[K, B]`` for the folds.

    Raises:
        ValueError: unknown kind, or embeddings are missing.
    """
    if kind == "bank":
        return (order := np.arange(size)), order
    if kind == "random":
        return (order := np.random.default_rng(seed).permutation(size)), order
    if kind != "dissimilar":
        raise ValueError(f"the order must be one of {', '.join(ORDERS)}, got {kind!r}.")
    if neg_feats is None or id_feats is None:
        raise ValueError("the order 'dissimilar' needs text embeddings: name the text encoder.")
    negatives = unit_rows("neg_feats", neg_feats)
    similarity = np.round(negatives @ unit_rows("id_feats", id_feats, negatives.shape[1]).T, 6)
    per_fold = [np.delete(similarity, label, axis=1) for label in range(similarity.shape[1])]
    order, *folds = (part.max(axis=1).argsort(kind="stable") for part in [similarity, *per_fold])
    return order, np.stack(folds)


def check_ms(ms: Sequence[int], size: int) -> tuple[int, ...]:
    """Settings of M, rising and once each.

    Raises:
        ValueError: none, or one that is not in 1..B.
    """
    found = tuple(sorted({int(m) for m in ms}))
    if not found or found[0] < 1 or found[-1] > size:
        raise ValueError(f"every M must lie in 1..{size}, the size of the bank; got {list(ms)}.")
    return found


def without_label(records: BoxRecords, label: int) -> BoxRecords:
    """The boxes as a detector without that label would hand them on: labels and confidences."""
    keep = np.arange(records.num_ids) != label
    logits = records.id_logits[:, keep]
    names = [name for name, kept in zip(id_labels_of(records), keep, strict=True) if kept]
    confidence = 1 / (1 + np.exp(-logits.max(axis=1).astype(np.float64)))
    meta: Mapping[str, Any] = {**records.meta, "id_labels": names}
    return replace(
        records, id_logits=logits, labels=logits.argmax(axis=1), scores=confidence, meta=dict(meta)
    )


def _put(table: dict[str, np.ndarray], place: object, result: object) -> None:
    for metric, values in table.items():
        values[place] = getattr(result, metric)


def _standard_error(values: np.ndarray) -> np.ndarray:
    """Over the first axis; 0 for a single value."""
    count = len(values)
    return values.std(axis=0, ddof=1) / np.sqrt(count) if count > 1 else 0 * values[0]


@dataclass(frozen=True)
class Options:
    """How to choose.

    Attributes:
        ms: settings of M to try; by default those of 5, 10, ... 200 that the bank has.
        score: name of a score that reads negatives.
        score_options: its options; ``logits="cosine"`` scores cosines in place of head logits.
        metric: ``auroc`` or ``fpr95``, what "best" means.
        orders: ``bank``, ``dissimilar``, ``random``.
        protocol: ``matched`` or ``vos``.
        cut: least confidence; default: the run's own, or the best F1 on these boxes.
        min_boxes: leave out classes with fewer pseudo-OOD boxes.
        encoder: text encoder for what the run has no embeddings of, and for ``dissimilar``.
        template: sentence around a label for that encoder.
        ann_file: ground truth of the boxes; default: as the dump says.
        compare: also score the run's test sets, after the choice, for comparison only.
        seed: of the random order.
    """

    ms: Sequence[int] | None = None
    score: str = "negs"
    score_options: Mapping[str, Any] = field(default_factory=dict)
    metric: Metric = "auroc"
    orders: Sequence[str] = ("bank",)
    protocol: Protocol = "matched"
    cut: float | None = None
    min_boxes: int = 5
    encoder: str | None = None
    template: str = "a photo of {}"
    ann_file: str | None = None
    compare: bool = False
    seed: int = 0


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
        report: everything, ready for json.
    """

    choice: Choice
    curves: list[Curve]
    labels: list[str]
    counts: dict[str, tuple[int, int]]
    left_out: dict[str, int]
    notes: list[str]
    tests: dict[str, dict[str, dict[str, list[float]]]]
    report: dict[str, Any]


def report_of(outcome: Outcome, settings: dict, origin: str) -> dict[str, Any]:
    """Everything, ready for json; ``origin`` says where the embeddings come from."""
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
        embeddings=origin,
        settings=settings,
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


CUT_SET = "cut"  # the name under which a test run records the ID validation set


@dataclass(frozen=True)
class Run:
    """Boxes of the ID validation set and where they come from.

    Attributes:
        path: the records file.
        records: its content, with embeddings.
        truth: COCO dict of the set.
        cut: least confidence of a sample.
        cut_source: where that comes from.
        results: ``ood_results.json`` of the run, or empty.
    """

    path: Path
    records: BoxRecords
    truth: dict
    cut: float
    cut_source: str
    results: dict

    @property
    def id_labels(self) -> list[str]:
        """The K labels of the detector."""
        return id_labels_of(self.records)

    def test_sets(self) -> tuple[dict[str, BoxRecords], dict[str, dict]]:
        """Records and ground truth of the run's test sets.

        Raises:
            FileNotFoundError: the dump is no part of a test run with test sets.
        """
        files = sorted(self.path.parent.glob("*.npz"))
        names = [f.stem for f in files if f.name != TEXT_FEATS_FILE and f.stem != CUT_SET]
        if "id" not in names or len(names) < 2:
            raise FileNotFoundError(
                f"{self.path.parent}: no records of the ID test set and an OOD set, so there is "
                f"nothing to compare with; leave --compare out or give the work dir of a test run."
            )
        names = [n for n in self.results.get("sets", names) if n in names]  # the run's own order
        records = {name: BoxRecords.load(self.path.parent / f"{name}.npz") for name in names}
        truths = {name: _truth(one, None, name) for name, one in records.items()}
        return records, truths


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


def load_run(dump: str, ann_file: str | None = None, cut: float | None = None) -> Run:
    """Read a records file, or that of the ID validation set of a test run's work dir.

    Raises:
        FileNotFoundError: the dump or its annotations are missing.
        ValueError: records without embeddings, malformed files, a cut outside [0, 1].
    """
    path = Path(dump)
    if path.is_dir():
        path = path / "records" / f"{CUT_SET}.npz"
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: the run has no records of an ID validation set; give its test loop a "
                f"cut_dataloader, or name a records file."
            )
    records = BoxRecords.load(path)
    if records.embeddings is None:
        raise ValueError(
            f"{path}: these records hold no embeddings, so other labels cannot be read off them; "
            f"test again with model.test_cfg.keep_embeddings=True."
        )
    if cut is not None and not 0 <= cut <= 1:
        raise ValueError(f"the confidence cut must lie in [0, 1], got {cut}.")
    truth = _truth(records, ann_file, str(path))
    results_file = path.parent.parent / "ood_results.json"
    try:
        results = json.loads(results_file.read_text("utf-8")) if results_file.is_file() else {}
    except ValueError as error:
        raise ValueError(f"{results_file}: not valid JSON: {error}; test again.") from error
    source = "given"
    if cut is None and results.get("cut") is not None:
        cut, source = float(results["cut"]), "the run's own"
    elif cut is None:
        cut = f1_threshold(truth, records_to_coco(records, truth)).threshold
        source = "best F1 of these boxes"
    return Run(path, records, truth, cut, source, results)


def bank_feats(
    run: Run,
    bank: NegativeLabelBank,
    encoder: str | None = None,
    template: str = "a photo of {}",
    need_order: bool = False,
) -> LabelFeats:
    """Embeddings of a bank's labels: the run's own where it has them all, else an encoder's.

    An encoder is believed only if its embeddings of the ID labels give the ID logits of the
    records: a detector with a learned prompt has other embeddings than its text encoder.

    Args:
        run: see :func:`load_run`.
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


def _known_words(run: Run) -> dict[str, np.ndarray]:
    """Every label the run has an embedding of."""
    path = run.path.parent / TEXT_FEATS_FILE
    banks = run.results.get("banks", {})
    if not path.is_file() or not banks:
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:
            feats = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a readable file of text embeddings: {error}.") from error
    known: dict[str, np.ndarray] = {}
    for name, bank in banks.items():
        if name in feats and len(feats[name]) == len(bank["labels"]):
            known |= dict(zip(bank["labels"], feats[name], strict=True))
    return known


def _encode(encoder: str, labels: Sequence[str], template: str) -> np.ndarray:
    import torch
    from transformers import AutoTokenizer, CLIPTextModelWithProjection

    from negas.embeddings.text import encode_labels

    try:
        with quiet_transformers():  # it would list the image tower's weights as unused
            tower = CLIPTextModelWithProjection.from_pretrained(encoder).float().eval()
        tokenizer = AutoTokenizer.from_pretrained(encoder)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise ValueError(
            f"encoder {encoder!r}: cannot load a CLIP text encoder ({reason}); give a directory "
            f"in transformers' format or a hub name that can be reached or is cached."
        ) from error
    with torch.no_grad():
        return encode_labels(tower, tokenizer, labels, template=template).numpy()


def _truth(records: BoxRecords, ann_file: str | None, name: str) -> dict:
    path = ann_file or records.meta.get("ann_file")
    if not path:
        raise ValueError(f"{name}: the records do not name their annotations; give them with --ann")
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"{path}: no such annotation file (named by {name}); run from the folder the test ran "
            f"in, or give the file with --ann."
        )
    return load_coco(path).dataset


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

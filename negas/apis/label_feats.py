"""What a choice of labels reads of a test run: boxes, ground truth, cut, embeddings of labels.

Shapes: K ID labels, B labels of the bank, D text channels of the detector, E of another encoder.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from negas.evaluation.results import TEXT_FEATS_FILE
from negas.image_level.loading import quiet_transformers
from negas.labels.bank import NegativeLabelBank
from negas.metrics.coco import id_labels_of, load_coco, records_to_coco
from negas.metrics.f1_cut import f1_threshold
from negas.records import BoxRecords

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

    from negas.text.clip_text import encode_labels

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

"""Unknown objects from the cells in a run's records: any threshold, any part of the vocabulary.

The same choice of boxes as the detector's own (:mod:`negas.unknown`), on the cells that the test
kept. Shapes: N cells of a set, V words, n unknown objects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from negas.metrics import LabeledBoxes
from negas.metrics.matching import rows_by_image
from negas.records import VALIDATION_SETS, BoxRecords
from negas.token_labels import against_tokens
from negas.unknown import UnknownOptions, unknown_rows, unknown_scores

from ..recorded import Recorded

CHUNK = 4096  # cells whose logits of all words are made at a time


@dataclass(frozen=True, eq=False)
class UnknownBoxes:
    """Unknown objects of a set, image by image, by descending score within an image.

    Attributes:
        image_ids: ``[n]``.
        bboxes: xyxy in original-image pixels, ``[n, 4]``.
        scores: :func:`negas.unknown.unknown_scores`, ``[n]``.
        words: the best word, int64 ``[n]``.
        word_scores: its sigmoid, ``[n]``.
    """

    image_ids: np.ndarray
    bboxes: np.ndarray
    scores: np.ndarray
    words: np.ndarray
    word_scores: np.ndarray

    def over(self, score_thr: float) -> UnknownBoxes:
        """What is left at a higher threshold: as if it had been sought with that."""
        return self.at(self.scores >= score_thr)

    def at(self, rows: np.ndarray) -> UnknownBoxes:
        """Some of the rows, by number or mask."""
        parts = (self.image_ids, self.bboxes, self.scores, self.words, self.word_scores)
        return UnknownBoxes(*(part[rows] for part in parts))


def word_logits(
    cells: BoxRecords,
    feats: np.ndarray,
    take: Callable[[slice, np.ndarray], None],
) -> None:
    """Hand on the logits ``[n', V]`` of all cells against words, some cells at a time.

    Args:
        cells: with embeddings.
        feats: ``[V, D]``, normalised here, or tokens ``[V, T, D]``.
        take: is given which cells and their logits.
    """
    unit = feats
    if feats.ndim == 2:
        unit = feats / np.linalg.norm(feats, axis=1, keepdims=True).clip(min=1e-12)
    for start in range(0, len(cells), CHUNK):
        part = slice(start, start + CHUNK)
        embeddings = cells.embeddings[part].astype(np.float32)
        if feats.ndim == 2:
            take(part, embeddings[:, :-1] @ unit.T + embeddings[:, -1:])
        else:
            take(part, against_tokens(embeddings, feats, cells.meta.get("token_reduce"))[0])


def best_of_words(
    cells: BoxRecords, feats: np.ndarray, groups: Sequence[Sequence[int]]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Largest logit ``[N]`` of some words, float32, and which word it is of, int64 ``[N]``.

    Args:
        cells: N, with embeddings.
        feats: of V words.
        groups: columns of the words, for each result; each has at least one.
    """
    atoms, parts = _atoms(groups)
    order = np.concatenate(atoms)
    columns = [torch.from_numpy(atom) for atom in atoms]
    best = [(np.empty(len(cells), np.float32), np.empty(len(cells), np.int64)) for _ in groups]

    def take(part: slice, found: np.ndarray) -> None:
        split = torch.from_numpy(found).split([len(atom) for atom in atoms], dim=1)
        largest = [atom.max(1) for atom in split]
        values = torch.stack([each.values for each in largest])
        words = torch.stack([c[each.indices] for c, each in zip(columns, largest, strict=True)])
        for (logits, which), mine in zip(best, parts, strict=True):
            first = values[mine].max(0)
            logits[part] = first.values.numpy()
            which[part] = words[mine].gather(0, first.indices[None])[0].numpy()

    word_logits(cells, feats[order], take)
    return best


def _atoms(groups: Sequence[Sequence[int]]) -> tuple[list[np.ndarray], list[list[int]]]:
    """Disjoint parts that groups of columns consist of, and the parts of each group.

    Groups overlap widely; so every logit is looked at once, not once a group.
    """
    union = np.unique(np.concatenate([np.asarray(group, np.int64) for group in groups]))
    member = np.array([np.isin(union, group) for group in groups])
    kinds, kind = np.unique(member, axis=1, return_inverse=True)
    kind = kind.reshape(-1)
    atoms = [union[kind == i] for i in range(kinds.shape[1])]
    return atoms, [np.flatnonzero(row).tolist() for row in kinds]


def find_unknown(
    run: Recorded,
    name: str,
    id_cut: float,
    words: Sequence[int] | None = None,
    feats: np.ndarray | None = None,
    least: float = 0.02,
) -> UnknownBoxes:
    """Unknown objects of a set.

    Args:
        run: with cells.
        name: of the set.
        id_cut: ID boxes of this confidence hide what they lie on.
        words: columns of the vocabulary that are used; ``None``: all.
        feats: embeddings in place of the run's own, as of another vocabulary or a control.
        least: threshold; higher ones follow by :meth:`UnknownBoxes.over`.

    Raises:
        FileNotFoundError: the test kept no cells.
        ValueError: a file of the run cannot be read.
    """
    feats = run.word_feats if feats is None else feats
    columns = range(len(feats)) if words is None else words
    return find_by_groups(run, name, id_cut, [columns], feats, least)[0]


def find_by_groups(
    run: Recorded,
    name: str,
    id_cut: float,
    groups: Sequence[Sequence[int]],
    feats: np.ndarray | None = None,
    least: float | Sequence[float] = 0.02,
) -> list[UnknownBoxes]:
    """:func:`find_unknown` with several parts of the vocabulary at the cost of the largest one.

    ``least`` may be a threshold for each part.
    """
    cells, boxes, options = run.cells[name], run.records[name], options_of(run)
    feats = run.word_feats if feats is None else feats
    agreement = np.ones(len(cells), np.float32) if cells.agreement is None else cells.agreement
    known = cells.id_logits.max(1)
    kept = rows_by_image(boxes.image_ids, np.flatnonzero(boxes.scores >= np.float32(id_cut)))
    least = [least] * len(groups) if isinstance(least, int | float) else least
    return [
        _found(cells, best, known, agreement, boxes, kept, options, bound)
        for best, bound in zip(best_of_words(cells, feats, groups), least, strict=True)
    ]


def _found(
    cells: BoxRecords,
    best: tuple[np.ndarray, np.ndarray],
    known: np.ndarray,
    agreement: np.ndarray,
    boxes: BoxRecords,
    kept: Mapping,
    options: UnknownOptions,
    least: float,
) -> UnknownBoxes:
    logits, words = best
    of_cells = map(torch.from_numpy, (logits, known, agreement))
    scores = unknown_scores(*of_cells, options).numpy()
    chosen = []
    for image, rows in rows_by_image(cells.image_ids, np.flatnonzero(scores >= least)).items():
        hiding = boxes.bboxes[kept[image]] if image in kept else np.zeros((0, 4), np.float32)
        arrays = (cells.bboxes[rows], scores[rows], hiding)
        found = unknown_rows(*map(torch.from_numpy, arrays), options, least)
        chosen.append(rows[found.numpy()])
    rows = np.concatenate(chosen) if chosen else np.zeros(0, np.int64)
    word_scores = 1 / (1 + np.exp(-logits[rows].astype(np.float64)))
    where = (cells.image_ids[rows], cells.bboxes[rows])
    return UnknownBoxes(*where, scores[rows].astype(np.float64), words[rows], word_scores)


def chosen_unknown(
    run: Recorded, id_cut: float, names: Sequence[str]
) -> tuple[dict[str, UnknownBoxes], list[str]]:
    """Unknown objects at the run's own threshold, and the words that they index.

    Args:
        run: a finished test.
        id_cut: see :func:`find_unknown`.
        names: of sets.

    Returns:
        Nothing at all where the test kept no cells or has no threshold.
    """
    chosen = _written_threshold(run)
    if chosen is None:
        return {}, []
    least, words = chosen
    columns = {word: column for column, word in enumerate(run.words)}
    used = [columns[word] for word in words]
    found = {name: find_unknown(run, name, id_cut, used, least=least) for name in names}
    return found, run.words


def unknown_boxes_of(run: Recorded) -> dict[str, LabeledBoxes]:
    """``run.unknown_boxes``, filled from the cells of its test sets at the run's own threshold.

    One choice for all presets and tables, whatever their cut: what the detector itself would show,
    with the ID boxes over the cut of the run. Empty where the test kept no cells or has no
    threshold.
    """
    if not run.unknown_boxes:
        names = [name for name in run.sets if name not in VALIDATION_SETS]
        label = len(run.id_labels)
        for name, found in chosen_unknown(run, id_cut_of(run), names)[0].items():
            labels = np.full(len(found.scores), label)
            parts = (found.image_ids, found.bboxes, labels, found.scores)
            run.unknown_boxes[name] = LabeledBoxes(*parts)
    return run.unknown_boxes


def id_cut_of(run: Recorded) -> float:
    """ID boxes of this confidence hide what they lie on.

    That which the threshold was found with, else the run's cut, else the detector's own.
    """
    results = run.results or {}
    written = results.get("unknown", {}).get("threshold", {}).get("id_cut")
    if written is not None:
        return float(written)
    cut = results.get("cuts", {}).get("run", {})
    return float(cut["value"] if cut else options_of(run).id_score_thr)


def _written_threshold(run: Recorded) -> tuple[float, Sequence[str]] | None:
    """Least score and the words, as the test found them or the config has the number."""
    about = (run.results or {}).get("unknown")
    if not about or not run.has_cells:
        return None
    if "threshold" in about:
        return about["threshold"]["score_thr"], about["threshold"]["words"]
    options = options_of(run)
    return (float(options.score_thr), run.words) if options.is_calibrated else None


def options_of(run: Recorded) -> UnknownOptions:
    """How the test sought unknown objects."""
    return UnknownOptions.from_settings(run.results["unknown"]["options"], "unknown of the run")

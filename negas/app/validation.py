"""ID validation boxes of a detector, scored with whatever negatives are tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from negas.evaluation.cuts import deployed_tau
from negas.models.interface import OODDetector
from negas.records import BoxRecords


@dataclass(frozen=True, eq=False)
class Validation:
    """Boxes of ID images over the confidence cut.

    Attributes:
        records: with ``id_labels`` in ``meta``; with embeddings, so that other negatives can be
            tried, or for those of its own only.
        source: where they are from, for people.
    """

    records: BoxRecords
    source: str

    def scores(self, model: OODDetector) -> np.ndarray | None:
        """Scores ``[v]`` with the detector's labels; ``None``: these boxes do not tell.

        They are of other ID names, whose boxes would be others, or hold no embeddings.

        Args:
            model: with the labels that count.
        """
        records, score = self.records, model.postprocessor.score
        if list(records.meta.get("id_labels") or ()) != list(model.class_names):
            return None
        if score.needs_fit and not score.is_fitted:
            return None
        if list(records.meta.get("neg_labels") or ()) != list(model.neg_labels):
            if not model.neg_labels:
                records = records.with_neg_logits(None)
            elif records.embeddings is None:
                return None
            else:
                records = records.rescore(_feats(model, model.neg_labels), model.neg_labels)
        return records.score_with(score)


@torch.no_grad()
def _feats(model: OODDetector, words: Sequence[str]) -> np.ndarray:
    return model.bank_feats(words).cpu().numpy()


def fitted_tau(scores: np.ndarray | None, tpr: float = 0.95) -> float | None:
    """The tau that keeps a share of ID validation boxes known; ``None`` without any."""
    return deployed_tau(scores, tpr) if scores is not None and len(scores) else None

"""Known or unknown: the OOD score of every detection."""

from __future__ import annotations

from mmengine.registry import MODELS
from mmengine.structures import InstanceData

from negas.scores import get_score


@MODELS.register_module(name=["OODPostProcessor", "NegSPostProcessor"])
class OODPostProcessor:
    """Add ``id_scores`` and, with a threshold, ``known`` to detections.

    Registered as ``NegSPostProcessor`` as well, after the paper's own score.

    Args:
        score: any name of :data:`negas.scores.SCORES`; larger = known. One that is fitted on ID
            boxes judges none until ``score`` has a state, which a calibration brings.
        tau: a box is known iff its score is at least ``tau``; ``None``: no verdict.
        **options: of the score, e.g. ``weight`` or ``neg_reduce`` of ``negs``.
    """

    def __init__(self, score: str = "negs", tau: float | None = None, **options: object) -> None:
        self.score_name, self.options = score, options
        self.score = get_score(score, **options)
        self.tau = tau

    @property
    def is_ready(self) -> bool:
        """Whether it can judge."""
        return not self.score.needs_fit or self.score.is_fitted

    def __call__(
        self, detections: InstanceData, keep_logits: bool = False, keep_embeddings: bool = False
    ) -> InstanceData:
        """Score detections.

        Args:
            detections: with ``id_logits [n,K]`` and, if needed, ``neg_logits [n,M]`` and
                ``embeddings [n,E]``.
            keep_logits: leave both kinds of logits in the result.
            keep_embeddings: leave the embeddings in the result.

        Raises:
            ValueError: if the score needs negative logits or embeddings and there are none.
        """
        if self.is_ready:
            neg_logits, embeddings = detections.get("neg_logits"), detections.get("embeddings")
            id_scores = self.score(detections.id_logits, neg_logits, embeddings)
            detections.id_scores = id_scores.to(detections.scores.dtype)
            if self.tau is not None:
                detections.known = id_scores >= self.tau
        if not keep_logits:
            detections.pop("id_logits")
            detections.pop("neg_logits", None)
        if not keep_embeddings:
            detections.pop("embeddings", None)
        return detections

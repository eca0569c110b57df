"""A score that no logit can give."""

from dataclasses import dataclass

from negas.scores import EmbeddingScore


@dataclass(frozen=True)
class Length(EmbeddingScore):
    """The length of a box's embedding; tests put it into ``SCORES`` as ``length``."""

    def compute(self, ids, negatives, embeddings):
        return embeddings.norm(dim=-1)

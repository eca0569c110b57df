"""OOD scores of logits: **larger = more in-distribution (known), everywhere**.

A score is a callable ``(id_logits [..., K], neg_logits [..., M] | None) -> [...]``; it serves
detected boxes (head logits) and whole images (``scale * cosine``) alike. A score that also reads
the embedding of a box is an :class:`EmbeddingScore`; those that are fitted on ID boxes first are in
:mod:`.fitted`.

>>> import numpy as np
>>> from negas.scores import get_score
>>> score = get_score("negs")
>>> print(score(np.array([[2.0, -1.0]]), np.array([[-3.0]])).round(4))
[0.8334]
"""

from .base import EmbeddingScore, NegativeScore, Score
from .energy import Energy
from .eoe import EnvisionedOutlierExposure
from .fitted import FittedScore
from .joint_energy import JointEnergy
from .max_logit import MaxLogit
from .max_sigmoid import MaxSigmoid
from .mcm import MaximumConceptMatching
from .msp import MaxSoftmaxProbability
from .neglabel import NegLabel
from .negs import NegS
from .negs_product import NegSProduct
from .registry import SCORES, ScoreRegistry, get_score

__all__ = [
    "SCORES",
    "EmbeddingScore",
    "Energy",
    "EnvisionedOutlierExposure",
    "FittedScore",
    "JointEnergy",
    "MaxLogit",
    "MaxSigmoid",
    "MaxSoftmaxProbability",
    "MaximumConceptMatching",
    "NegLabel",
    "NegS",
    "NegSProduct",
    "NegativeScore",
    "Score",
    "ScoreRegistry",
    "get_score",
]

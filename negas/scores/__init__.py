"""OOD scores of logits: **larger = more in-distribution (known), everywhere**.

A score is a callable ``(id_logits [..., K], neg_logits [..., M] | None) -> [...]``; it serves
detected boxes (head logits) and whole images (``scale * cosine``) alike.

>>> import numpy as np
>>> from negas.scores import get_score
>>> score = get_score("negs")
>>> print(score(np.array([[2.0, -1.0]]), np.array([[-3.0]])).round(4))
[0.8334]
"""

from negas.scores.base import NegativeScore, Score
from negas.scores.energy import Energy
from negas.scores.eoe import EnvisionedOutlierExposure
from negas.scores.joint_energy import JointEnergy
from negas.scores.max_logit import MaxLogit
from negas.scores.max_sigmoid import MaxSigmoid
from negas.scores.mcm import MaximumConceptMatching
from negas.scores.msp import MaxSoftmaxProbability
from negas.scores.neglabel import NegLabel
from negas.scores.negs import NegS
from negas.scores.negs_product import NegSProduct
from negas.scores.registry import SCORES, ScoreRegistry, get_score

__all__ = [
    "SCORES",
    "Energy",
    "EnvisionedOutlierExposure",
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

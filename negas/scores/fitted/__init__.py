"""Scores that are fitted on the embeddings of ID boxes; :mod:`.base` says what they share.

>>> import numpy as np
>>> from negas.scores import get_score
>>> rng = np.random.default_rng(0)
>>> boxes = dict(embeddings=rng.normal(size=(60, 9)), id_logits=rng.normal(size=(60, 2)))
>>> score = get_score("knn", k=3)
>>> score = score.with_state(score.fit(boxes))
>>> score(np.zeros((1, 2)), None, boxes["embeddings"][:1] + 0.01) > -0.5
array([ True])
"""

from .base import FitBoxes, FittedScore, State
from .knn import KNN
from .logit_knn import LogitKNN
from .logit_mahalanobis import LogitMahalanobis
from .mahalanobis import Mahalanobis
from .nnguide import NNGuide
from .relative_mahalanobis import RelativeMahalanobis
from .siren import SirenKNN, SirenVMF
from .vim import ViM
from .vmf import VonMisesFisher

__all__ = [
    "KNN",
    "FitBoxes",
    "FittedScore",
    "LogitKNN",
    "LogitMahalanobis",
    "Mahalanobis",
    "NNGuide",
    "RelativeMahalanobis",
    "SirenKNN",
    "SirenVMF",
    "State",
    "ViM",
    "VonMisesFisher",
]

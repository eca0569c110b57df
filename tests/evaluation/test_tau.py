"""The threshold between known and unknown: from ID boxes, and as it is deployed."""

import numpy as np
import pytest

from negas.evaluation.cuts import deployed_tau, tau_of, validation_tau
from negas.records import BoxRecords
from negas.scores import get_score


def records(*logits):
    logits = np.array(logits, np.float32)
    return BoxRecords(
        image_ids=np.ones(len(logits), int),
        bboxes=np.zeros((len(logits), 4)),
        labels=logits.argmax(1),
        scores=1 / (1 + np.exp(-logits.max(1))),
        id_logits=logits,
    )


def test_tau_keeps_at_least_95_percent():
    scores = np.arange(100) / 100
    assert tau_of(scores) == pytest.approx(0.05)
    assert tau_of(np.array([0.3])) == pytest.approx(0.3)
    assert (scores >= tau_of(scores)).mean() == pytest.approx(0.95)
    assert (scores >= tau_of(scores, 0.5)).mean() == pytest.approx(0.5)
    with pytest.raises(ValueError, match="no tau"):
        tau_of(np.array([]))


def test_tau_comes_from_validation_boxes_over_the_cut():
    score = get_score("max_sigmoid")
    test = records((3.0, -3.0), (-3.0, 0.5), (0.0, -4.0))
    validation = records((3.0, -3.0), (2.0, -3.0), (0.0, -4.0))
    assert validation_tau(dict(id=test), score, 0.55) == pytest.approx(0.6225, abs=1e-4)
    sets = dict(id=test, id_val=validation)
    assert validation_tau(sets, score, 0.55) == pytest.approx(0.8808, abs=1e-4)
    with pytest.raises(ValueError, match="no tau"):
        validation_tau(sets, score, 0.99)


def test_a_deployed_tau_lies_just_under_the_box_it_falls_on():
    scores = np.arange(100) / 100
    tau = deployed_tau(scores, 0.95)
    assert tau_of(scores) - 2e-4 < tau < tau_of(scores)
    same = deployed_tau(np.full(5, 0.3), 0.95)  # no spread: still under it
    assert 0.3 - 1e-6 < same < 0.3

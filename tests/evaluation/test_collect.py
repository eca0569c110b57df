"""From predictions to arrays: one sample per box, and only with the label its logits say."""

import pytest
import torch

from negas.evaluation.collect import to_arrays


def sample(**changes):
    logits = torch.tensor([[2.0, -1.0], [2.0, -1.0], [0.0, 1.0], [3.0, 2.0]])
    pred = dict(
        bboxes=torch.arange(16.0).reshape(4, 4),
        scores=torch.tensor([0.88, 0.27, 0.73, 0.88]),
        labels=torch.tensor([0, 1, 1, 1]),  # candidate 9: its best label was lost in NMS
        prior_inds=torch.tensor([5, 5, 7, 9]),
        id_logits=logits,
    )
    return dict(pred_instances=pred | changes)


def test_one_box_is_one_sample_with_its_best_label():
    arrays = to_arrays(sample(), min_score=0.1)
    assert arrays["query_inds"].tolist() == [5, 7]
    assert arrays["labels"].tolist() == [0, 1]


def test_all_pairs_on_demand_and_low_scores_go():
    assert len(to_arrays(sample(), 0.1, one_per_box=False)["scores"]) == 4
    assert to_arrays(sample(), 0.8)["query_inds"].tolist() == [5]


def test_logits_are_needed():
    broken = sample()
    del broken["pred_instances"]["id_logits"]
    with pytest.raises(ValueError, match="keep_logits"):
        to_arrays(broken, 0.1)

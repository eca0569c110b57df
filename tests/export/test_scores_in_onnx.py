"""Every registered score that reads logits alone gives the same number in ONNX Runtime."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from negas.export.nms import nms_mask
from negas.export.operators import translation
from negas.export.write import OPSET, quiet
from negas.scores import SCORES, get_score

NAMES = sorted(name for name, score in SCORES.items() if not score.needs_embeddings)
MORE = [  # options that lead to other operators
    ("negs", dict(neg_reduce="mean")),
    ("negs", dict(neg_reduce="lse", weight=0.5, log_odds=True)),
    ("eoe", dict(rule="max")),
    ("eoe", dict(rule="energy", temperature=3.0)),
    ("neglabel", dict(groups=3, log_odds=True)),
    ("joint_energy", dict(top_k=2)),
]
SCORED = [get_score(name) for name in NAMES] + [get_score(name, **more) for name, more in MORE]
TRACED = [score.traced(7) for score in SCORED]


class AllScores(nn.Module):
    """All scores of the same rows, as :class:`ExportedDetector` computes them."""

    def forward(self, ids, negatives):
        return tuple(
            score.compute(
                ids.double() / score.temperature,
                negatives.double() / score.temperature if score.needs_negatives else None,
            )
            for score in TRACED
        )


def session_of(module, given, shapes, path):
    with torch.no_grad(), quiet():
        program = torch.onnx.export(
            module.eval(),
            given,
            dynamo=True,
            dynamic_shapes=shapes,
            opset_version=OPSET,
            custom_translation_table=translation(),
            verbose=False,
        )
    program.save(path)
    return onnxruntime.InferenceSession(path)


@pytest.mark.slow
def test_scores(tmp_path):
    rng = torch.Generator().manual_seed(0)
    given = [torch.randn(2, 5, count, generator=rng) * 4 for count in (4, 7)]
    batch = torch.export.Dim("batch", min=1)
    session = session_of(AllScores(), tuple(given), [{0: batch}] * 2, tmp_path / "scores.onnx")
    names = [one.name for one in session.get_inputs()]
    assert len(SCORED) > 12
    for times in (1, 3, 9):  # up to logits whose sigmoids round to 1
        ids, negatives = (one[:1] * times for one in given)
        feed = dict(zip(names, (ids.numpy(), negatives.numpy()), strict=True))
        for score, found in zip(SCORED, session.run(None, feed), strict=True):
            expected = score(ids, negatives)
            gaps = np.abs(found - expected.numpy()) / expected.abs().clamp(min=1).numpy()
            assert gaps.max() < 1e-9, (score, times)


class Suppressed(nn.Module):
    def forward(self, boxes, scores):
        return nms_mask(boxes, scores, 0.45, 0.2, 6)


@pytest.mark.slow
def test_suppression(tmp_path):
    rng = torch.Generator().manual_seed(1)

    def crowd(images):
        corners = torch.rand(images, 50, 2, generator=rng) * 40
        sides = torch.rand(images, 50, 2, generator=rng) * 20 + 8
        return torch.cat([corners, corners + sides], -1), torch.rand(images, 3, 50, generator=rng)

    batch = torch.export.Dim("batch", min=1)
    session = session_of(
        Suppressed(),
        crowd(2),
        [{0: batch}] * 2,
        tmp_path / "nms.onnx",
    )
    names = [one.name for one in session.get_inputs()]
    for images in (1, 3):
        given = crowd(images)
        feed = dict(zip(names, (one.numpy() for one in given), strict=True))
        (found,) = session.run(None, feed)
        expected = nms_mask(*given, 0.45, 0.2, 6)
        assert expected.sum(-1).max() == 6 and expected.sum() < expected.numel() / 4
        torch.testing.assert_close(torch.from_numpy(found), expected)

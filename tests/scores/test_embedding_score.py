"""Scores that read the embedding of a box: asked for clearly, and scored like any other."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from negas.evaluation.recorded import Recorded
from negas.evaluation.rows import Scoring, name_scores, run_rows, usable
from negas.image_level.registry import find_method
from negas.metrics import PRESETS, ood_metrics
from negas.models import OODPostProcessor
from negas.records import BoxRecords
from negas.scores import SCORES, EmbeddingScore, get_score


@pytest.fixture(autouse=True)
def norm_score():
    """A score that no logit can give: the length of the embedding."""

    @SCORES.register("norm")
    @dataclass(frozen=True)
    class Norm(EmbeddingScore):
        title: ClassVar[str] = "norm"

        def compute(self, ids, negatives, embeddings):
            return embeddings.norm(dim=-1) / self.temperature

    yield
    del SCORES["norm"]


def records(count, scale, keep=True):
    rng = np.random.default_rng(count)
    logits = rng.normal(size=(count, 3))
    return BoxRecords(
        image_ids=np.arange(count),
        bboxes=np.tile([0, 0, 9, 9], (count, 1)),
        labels=logits.argmax(1),
        scores=1 / (1 + np.exp(-logits.max(1))),
        id_logits=logits,
        embeddings=scale * rng.normal(size=(count, 5)) if keep else None,
    )


def test_it_reads_embeddings_and_says_when_there_are_none():
    ids, embeddings = torch.zeros(2, 3), torch.tensor([[3.0, 4], [0, 2]])
    score = get_score("norm", temperature=2.0)
    assert score(ids, None, embeddings).tolist() == [2.5, 1.0]
    assert score(ids.numpy(), None, embeddings.numpy()).tolist() == [2.5, 1.0]
    with pytest.raises(ValueError, match="needs embeddings .*keep_embeddings=True"):
        score(ids)
    with pytest.raises(ValueError, match=r"embeddings \[..., E\] must agree"):
        score(ids, None, embeddings[:1])
    with pytest.raises(ValueError, match="embeddings holds NaN"):
        score(ids, None, embeddings / 0)


def test_the_engine_scores_it_like_any_other():
    sets = dict(id=records(50, 2.0), near=records(40, 1.0))
    run = Recorded.of(Path("run"), sets)
    (row,) = run_rows(run, PRESETS["siren"], Scoring(name_scores(["norm"]), rotations=0))
    pairs = [
        np.repeat(
            np.linalg.norm(each.embeddings.astype(np.float64), axis=1),
            (each.scores >= 0.1) * (each.id_logits > np.log(1 / 9)).sum(1),
        )
        for each in sets.values()
    ]
    want = ood_metrics(*pairs)
    assert (row["auroc"], row["fpr95"]) == (want.auroc, want.fpr95)
    assert row["auroc"] > 0.85


def test_runs_without_embeddings_are_scored_without_it():
    run = Recorded.of(Path("run"), dict(id=records(9, 1.0, keep=False), near=records(9, 1.0)))
    scores = name_scores(["norm", "msp", ("mcm", dict(logits="cosine"))])
    assert [score.needs_embeddings for score in scores] == [True, False, True]
    assert [score.label for score in usable(run, scores)] == ["msp"]


def test_a_detector_is_judged_by_it():
    boxes = dict(scores=torch.ones(2), id_logits=torch.zeros(2, 3))
    judge = OODPostProcessor("norm", tau=3.0)
    judged = judge(InstanceData(**boxes, embeddings=torch.tensor([[3.0, 4], [0, 2]])))
    assert judged.id_scores.tolist() == [5.0, 2.0] and judged.known.tolist() == [True, False]
    with pytest.raises(ValueError, match="needs embeddings"):
        judge(InstanceData(**boxes))


def test_it_is_no_image_level_method():
    with pytest.raises(ValueError, match="there is no method 'norm'") as error:
        find_method("norm")
    assert "norm" not in str(error.value).partition("there are")[2]

"""TANL: its ranking, running sums and threshold written out, and what it does on a stream."""

import numpy as np
import pytest
import torch

from negas.image_level.online import score_pair
from negas.image_level.tanl import TANL, least_variance_threshold, noise_images
from negas.metrics import ood_metrics


def world(seed=0, width=32):
    """ID images near ID labels; OOD images near 5 of 60 pool labels; noise of any direction."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.nn.functional.normalize(torch.randn(*shape, generator=generator), dim=-1)

    ids, pool = normal(6, width), normal(60, width)
    id_images = ids.repeat(30, 1) + 1.5 * normal(180, width)
    ood_images = pool[:5].repeat(36, 1) + 1.5 * normal(180, width)
    return ids, pool, normal(15, width), id_images, ood_images


def build(ids, pool, noise, **options):
    return TANL(ids, pool, noise, 20.0, **(dict(num=10, step=2, queue=40) | options))


def test_score_is_the_mean_over_prefixes_of_the_ranked_pool():
    ids, pool, noise, id_images, _ = world()
    scorer = build(ids, pool, noise)
    images = torch.nn.functional.normalize(id_images[:7], dim=1)
    means = {"id": torch.rand(60), "ood": torch.rand(60)}
    found = scorer._rank_and_score(20 * images @ ids.T, 20 * images @ pool.T, means)
    order = sorted(range(60), key=lambda p: -float(means["ood"][p] - means["id"][p]))
    for row, image in enumerate(images.double()):
        positive = (20 * ids.double() @ image).exp().sum()
        negatives = (20 * pool.double() @ image).exp()[order]
        prefixes = [positive / (positive + negatives[:n].sum()) for n in (2, 4, 6, 8, 10)]
        assert float(found[row]) == pytest.approx(float(sum(prefixes) / 5), abs=1e-5)
    once = build(ids, pool, noise, step=0)
    found = once._rank_and_score(20 * images @ ids.T, 20 * images @ pool.T, means)
    assert float(found[-1]) == pytest.approx(float(prefixes[-1]), abs=1e-5)


def test_threshold_against_brute_force():
    rng = np.random.default_rng(0)
    for scores in (rng.beta(2, 8, 200), rng.uniform(0, 1, 31), np.r_[np.zeros(5), np.ones(7)]):
        grid = np.arange(100) / 100
        spread = []
        for t in grid:
            halves = scores[scores < t], scores[scores >= t]
            spread.append(sum(((half - half.mean()) ** 2).sum() for half in halves if half.size))
        best = np.flatnonzero(np.isclose(spread, min(spread), rtol=0, atol=1e-9))
        assert least_variance_threshold(scores) == grid[best[len(best) // 2]]


def test_it_finds_the_labels_that_the_stream_activates():
    ids, pool, noise, id_images, ood_images = world()
    scorer = build(ids, pool, noise, num=5, step=0)
    id_scores, ood_scores, result = score_pair(scorer, id_images, ood_images, batch_size=32)
    order = (scorer._means["ood"] - scorer._means["id"]).argsort(descending=True)
    assert len({0, 1, 2, 3, 4} & set(order[:5].tolist())) >= 4
    learnt = ood_metrics(id_scores.numpy(), ood_scores.numpy()).auroc
    # no score is clear enough for gap=1: the ranking stays that of the noise images
    blind = build(ids, pool, noise, num=5, step=0, gap=1)
    stuck = score_pair(blind, id_images, ood_images, batch_size=32)[:2]
    assert learnt > ood_metrics(*(scores.numpy() for scores in stuck)).auroc + 0.04
    assert result.record["num_id"] == result.record["num_ood"] == 180


def test_queues_are_bounded_and_the_oldest_leave():
    ids, pool, noise, id_images, ood_images = world()
    scorer = build(ids, pool, noise, queue=20, score_queue=50)
    score_pair(scorer, id_images, ood_images, batch_size=32)
    assert {side: len(queue) for side, queue in scorer._queues.items()} == {"id": 20, "ood": 20}
    assert len(scorer._scores) == 50
    scorer.reset()
    assert {side: len(queue) for side, queue in scorer._queues.items()} == {"id": 6, "ood": 15}


def test_noise_images_are_seeded_and_of_five_kinds():
    images = [np.asarray(image) for image in noise_images(16, per_kind=2, seed=3)]
    again = [np.asarray(image) for image in noise_images(16, per_kind=2, seed=3)]
    assert len(images) == 10
    assert all(np.array_equal(a, b) for a, b in zip(images, again, strict=True))
    assert {image.shape for image in images} == {(16, 16, 3)}
    assert set(np.unique(images[-1])) == {0, 255}
    assert len({image.tobytes() for image in images}) == 10


def test_bad_options_are_one_sentence():
    ids, pool, noise, *_ = world()
    with pytest.raises(ValueError, match=r"tanl: num must be in 1..60, the size of the pool"):
        build(ids, pool, noise, num=61)
    with pytest.raises(ValueError, match=r"tanl: step must be in 0..num=10, got 11"):
        build(ids, pool, noise, step=11)
    with pytest.raises(ValueError, match="noise_feats is empty"):
        build(ids, pool, noise[:0])

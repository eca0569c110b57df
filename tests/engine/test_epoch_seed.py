"""Every run, epoch and process draws numbers of its own; the model hears the run's seed."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch import nn
from torch.utils.data import DataLoader, Dataset

import negas.register  # noqa: F401
from negas.engine import EpochSeedHook
from negas.engine.epoch_seed import epoch_seed
from negas.models import NegANeck
from tests.helpers.detector import detector_config

EPOCHS = 6


class Flips(Dataset):
    """Item i and what an augmentation would draw for it."""

    def __len__(self):
        return 32

    def __getitem__(self, index):
        return index, random.random(), float(np.random.rand()), float(torch.rand(()))


def run(seed, epoch, model=None, num_workers=0):
    """A runner as far as the hook looks at it."""
    data = Flips()
    sampler = DefaultSampler(data, shuffle=True, seed=seed)
    loader = DataLoader(data, sampler=sampler, num_workers=num_workers, collate_fn=list)
    return SimpleNamespace(
        seed=seed, epoch=epoch, train_dataloader=loader, model=model or nn.Identity()
    )


def drawn(seed, epoch, **options):
    """(order of the samples, numbers drawn for them) of an epoch."""
    runner = run(seed, epoch, **options)
    EpochSeedHook().before_train_epoch(runner)
    runner.train_dataloader.sampler.set_epoch(epoch)  # as MMEngine's loop does
    items = [item for batch in runner.train_dataloader for item in batch]
    return tuple(item[0] for item in items), tuple(item[1:] for item in items)


@pytest.mark.parametrize("part", [0, 1], ids=["order", "augmentation"])
def test_no_epoch_of_one_run_is_an_epoch_of_another(part):
    seen = [drawn(seed, epoch)[part] for seed in (0, 1, 2) for epoch in range(EPOCHS)]
    assert len(set(seen)) == len(seen)


def test_an_epoch_depends_on_seed_and_epoch_only():
    first = drawn(3, 4)
    random.seed(99)
    torch.manual_seed(99)
    assert drawn(3, 4) == first


def test_data_workers_draw_anew_in_each_epoch():
    seen = [drawn(seed, epoch, num_workers=1)[1] for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert len(set(seen)) == 3
    assert drawn(0, 1, num_workers=1)[1] == seen[1]


def test_processes_share_order_and_samples_and_draw_differently_beside(monkeypatch):
    epochs, beside = [], []
    for rank in range(2):
        monkeypatch.setattr("negas.engine.epoch_seed.get_rank", lambda rank=rank: rank)
        epochs.append(drawn(0, 2))
        beside.append(random.random())
    assert epochs[0] == epochs[1], "each process takes every second sample of one common epoch"
    assert beside[0] != beside[1]


def test_seeds_are_spread():
    places = [(seed, epoch) for seed in range(20) for epoch in range(20)]
    seeds = [epoch_seed(*place) for place in places]
    seeds += [epoch_seed(*place, rank) for place in places for rank in range(4)]
    assert len(set(seeds)) == len(seeds)
    assert min(seeds) >= 0 and max(seeds) < 2**31
    assert np.median(np.abs(np.diff(seeds[:20]))) > 1e7


def neck(**options):
    return NegANeck(detector_config().neck.neck, **options)


def test_noise_follows_the_seed_of_the_run():
    feats = torch.zeros(1, 4, 8)
    noises = []
    for seed in (0, 1, 0):
        torch.manual_seed(seed)  # as MMEngine's runner does before it builds the model
        noises.append(neck().noise(feats, 5))
    assert torch.equal(noises[0], noises[2]) and not torch.equal(noises[0], noises[1])

    torch.manual_seed(7)  # a run without a seed of its own, resumed from one with seed 1
    resumed = neck()
    EpochSeedHook().before_train(run(1, 0, model=nn.Sequential(resumed)))
    assert resumed.noise.seed == 1
    assert torch.equal(resumed.noise(feats, 5), noises[1])


def test_a_seed_in_the_config_stays():
    fixed = neck(seed=3)
    EpochSeedHook().before_train(run(1, 0, model=fixed))
    assert fixed.noise.seed == 3


def test_noise_of_seeds_and_steps_never_repeats():
    feats, seen = torch.zeros(1, 1, 4), set()
    module = neck(seed=0).noise
    for module.seed in (0, 1, 2, 10**15):
        seen |= {tuple(module(feats, step)[0, 0].tolist()) for step in range(20)}
    assert len(seen) == 80


@pytest.mark.parametrize("num_workers", [1, 3])
def test_the_number_of_workers_changes_nothing(num_workers):
    assert drawn(0, 1, num_workers=num_workers) == drawn(0, 1)


def test_a_sample_draws_the_same_in_any_process_and_order():
    runner = run(0, 1)
    EpochSeedHook().before_train_epoch(runner)
    fetch = runner.train_dataloader.dataset.__getitems__
    assert fetch([3, 5]) == fetch([5, 3])[::-1] == [fetch([3])[0], fetch([5])[0]]


def test_loading_leaves_the_streams_of_the_process():
    runner = run(0, 1)
    EpochSeedHook().before_train_epoch(runner)
    before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())
    runner.train_dataloader.dataset.__getitems__([0, 1])
    after = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())
    assert before[:2] == after[:2] and torch.equal(before[2], after[2])


def test_endless_samplers_keep_drawing_anew():
    """They come to a sample again within the one epoch they know."""
    runner = run(0, 0)
    data = runner.train_dataloader.dataset
    sampler = InfiniteSampler(data, seed=0)
    runner.train_dataloader = DataLoader(data, sampler=sampler, collate_fn=list)
    EpochSeedHook().before_train_epoch(runner)
    batches = iter(runner.train_dataloader)
    draws = [next(batches)[0] for _ in range(2 * len(data))]
    assert len({item[1:] for item in draws}) == len(draws)

"""Windows over a generated dataset."""

import pytest

import negas.register  # noqa: F401
from negas.datasets import EpochWindowSampler


def test_each_epoch_is_the_next_window():
    sampler = EpochWindowSampler(range(10), epoch_length=4)
    seen = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        assert len(sampler) == 4
        seen.append(list(sampler))
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1]]


def test_a_resumed_run_sees_the_window_of_its_epoch():
    sampler = EpochWindowSampler(range(100), epoch_length=10)
    sampler.set_epoch(7)
    assert list(sampler) == list(range(70, 80))


def test_processes_share_a_window(monkeypatch):
    parts = []
    for rank in range(2):
        monkeypatch.setattr("negas.datasets.samplers.get_dist_info", lambda rank=rank: (rank, 2))
        sampler = EpochWindowSampler(range(10), epoch_length=5)
        parts.append(list(sampler))
        assert len(sampler) == 3
    assert parts == [[0, 2, 4], [1, 3, 0]], "equal lengths, or a process waits forever"


@pytest.mark.parametrize("length", [0, 11])
def test_wrong_lengths(length):
    with pytest.raises(ValueError, match="epoch_length"):
        EpochWindowSampler(range(10), epoch_length=length)

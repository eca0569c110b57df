import collections
import os
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from negas import compat
from negas.compat import checkpoint

compat.install()

from mmengine.evaluator import BaseMetric, Evaluator  # noqa: E402
from mmengine.logging import HistoryBuffer  # noqa: E402
from mmengine.model import BaseModel  # noqa: E402
from mmengine.runner import Runner  # noqa: E402
from mmengine.runner.checkpoint import CheckpointLoader  # noqa: E402


class Toy(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)
        for parameter in self.layer.parameters():  # the same start in every run
            nn.init.constant_(parameter, 0.5)

    def forward(self, x, mode="loss"):
        out = self.layer(torch.stack(list(x)))
        return dict(loss=out.square().mean()) if mode == "loss" else out.tolist()


class ToyData(torch.utils.data.Dataset):
    metainfo = dict(classes=("a", "b"), palette=np.zeros((2, 3), np.uint8))

    def __len__(self):
        return 8

    def __getitem__(self, i):
        return dict(x=torch.full((3,), i / 8))


class ToyMetric(BaseMetric):
    def process(self, batch, outputs):
        self.results += outputs

    def compute_metrics(self, results):
        return dict(acc=np.float64(1), half=np.float16(1), n=np.int64(3), yes=np.bool_(True))


def run(work_dir, load_from=None):
    loader = dict(batch_size=4, dataset=ToyData(), sampler=dict(type="DefaultSampler"))
    runner = Runner(
        model=Toy(),
        work_dir=str(work_dir),
        train_dataloader=loader,
        val_dataloader=loader,
        val_cfg=dict(),
        val_evaluator=Evaluator(ToyMetric()),
        train_cfg=dict(by_epoch=True, max_epochs=4, val_interval=1),
        optim_wrapper=dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=0.1)),
        param_scheduler=[
            dict(type="LinearLR", start_factor=0.1, by_epoch=False, end=3),
            dict(type="CosineAnnealingLR", T_max=4),
        ],
        custom_hooks=[dict(type="EMAHook")],
        default_hooks=dict(checkpoint=dict(type="CheckpointHook", interval=1, save_best="acc")),
        load_from=load_from,
        resume=load_from is not None,
        randomness=dict(seed=1),
        default_scope="mmengine",
        experiment_name=work_dir.name,
    )
    runner.train()
    return runner


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    return run(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def trained(whole_run):
    return Path(whole_run.work_dir)


@pytest.fixture(autouse=True)
def no_trust(monkeypatch):
    monkeypatch.delenv(checkpoint.TRUST_VARIABLE, raising=False)


def test_a_full_training_checkpoint_loads_without_trust(trained):
    loaded = CheckpointLoader.load_checkpoint(str(trained / "epoch_2.pth"), map_location="cpu")
    assert {"optimizer", "param_schedulers", "message_hub", "ema_state_dict"} <= set(loaded)
    history = loaded["message_hub"]["log_scalars"]["train/loss"]
    assert isinstance(history, HistoryBuffer) and np.isfinite(history.mean())
    assert loaded["message_hub"]["runtime_info"]["best_score"] == 1


def test_resuming_gives_the_numbers_of_an_uninterrupted_run(whole_run, trained, tmp_path):
    resumed = run(tmp_path / "resumed", load_from=str(trained / "epoch_2.pth"))
    assert resumed.epoch == whole_run.epoch == 4
    assert torch.equal(resumed.model.layer.weight, whole_run.model.layer.weight)
    # EMA parameters and the log history as well
    mine, theirs = (
        checkpoint.load_checkpoint(Path(r.work_dir) / "epoch_4.pth") for r in (resumed, whole_run)
    )
    assert torch.equal(mine["state_dict"]["layer.weight"], theirs["state_dict"]["layer.weight"])
    losses = [c["message_hub"]["log_scalars"]["train/loss"].data[0] for c in (mine, theirs)]
    np.testing.assert_array_equal(*losses)


def test_the_form_for_older_torch_reads_the_same_file(trained):
    path = trained / "epoch_2.pth"
    old = torch.load(path, pickle_module=checkpoint.restricted_pickle(), weights_only=False)
    new = checkpoint.load_checkpoint(path)
    assert old.keys() == new.keys()
    assert torch.equal(old["state_dict"]["layer.weight"], new["state_dict"]["layer.weight"])


def test_names_of_numpy_1_are_allowed():
    allowed = checkpoint.allowed_globals()
    array = allowed["numpy.core.multiarray._reconstruct"](np.ndarray, (0,), b"b")
    assert isinstance(array, np.ndarray)
    assert "numpy.core.multiarray.scalar" in allowed


class Evil:
    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@pytest.mark.parametrize("old_torch", [False, True])
def test_foreign_code_is_refused_and_does_not_run(tmp_path, monkeypatch, old_torch):
    if old_torch:
        monkeypatch.delattr(torch.serialization, "safe_globals")
    path, mark = tmp_path / "evil.pth", tmp_path / "ran"
    torch.save(dict(state_dict={}, extra=Evil(mark)), path)
    with pytest.raises(ValueError, match=r"evil\.pth' is refused.*mkdir.*NEGAS_TRUST_CHECKPOINT=1"):
        checkpoint.load_checkpoint(path)
    assert not mark.exists()


def test_getattr_reaches_only_history_statistics(tmp_path):
    class Sneaky:
        def __reduce__(self):
            return getattr, (HistoryBuffer, "__init__")

    path = tmp_path / "sneaky.pth"
    torch.save(dict(extra=Sneaky()), path)
    with pytest.raises(ValueError, match="is refused.*getattr"):
        checkpoint.load_checkpoint(path)
    assert checkpoint.history_method(HistoryBuffer, "mean") is HistoryBuffer.mean


class Extra:
    """A harmless class that is not on the list."""


def test_trust_is_an_explicit_choice(tmp_path, monkeypatch):
    path = tmp_path / "extra.pth"
    torch.save(dict(state_dict=dict(a=torch.zeros(1)), extra=Extra()), path)
    with pytest.raises(ValueError, match="Extra"):
        checkpoint.load_checkpoint(path)
    monkeypatch.setenv(checkpoint.TRUST_VARIABLE, "1")
    assert isinstance(CheckpointLoader.load_checkpoint(str(path))["extra"], Extra)


def test_safetensors(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.arange(3.0)}, path)
    for location in ("cpu", torch.device("cpu"), None, lambda storage, _: storage):
        loaded = checkpoint.load_checkpoint(path, location)
        assert loaded["state_dict"]["a"].tolist() == [0, 1, 2]
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"weights\.safetensors' is truncated"):
        checkpoint.load_checkpoint(path)


def truncated(path):
    torch.save(dict(state_dict=dict(a=torch.zeros(1000))), path)
    path.write_bytes(path.read_bytes()[:-900])


def truncated_old_format(path):
    torch.save(dict(a=torch.zeros(1000)), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-900])


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (truncated, "is truncated or not a checkpoint"),
        (truncated_old_format, "is truncated or not a checkpoint"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_text("<html>404 Not Found</html>"), "is a text file"),
        (lambda path: path.write_bytes(pickle.dumps({"a": 1}, 2)), "is truncated or not"),
        (lambda path: torch.save([1, 2], path), "holds a list, expected a dict"),
        (lambda path: path.mkdir(), "is a directory"),
    ],
)
def test_bad_files_give_one_sentence(tmp_path, make, sentence):
    path = tmp_path / "bad.pth"
    make(path)
    with pytest.raises(ValueError, match=r"bad\.pth' " + sentence) as caught:
        CheckpointLoader.load_checkpoint(str(path), map_location="cpu")
    assert "\n" not in str(caught.value)


def test_missing_file():
    with pytest.raises(FileNotFoundError, match="'nowhere.pth' does not exist"):
        CheckpointLoader.load_checkpoint("nowhere.pth")


def test_downloads_go_through_the_same_check(tmp_path, monkeypatch):
    calls = collections.Counter()

    def download(url, target, progress):
        calls[url] += 1
        weights = dict(a=torch.zeros(1))
        torch.save(dict(extra=Extra()) if "evil" in url else dict(state_dict=weights), target)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    for _ in range(2):
        loaded = CheckpointLoader.load_checkpoint("https://x.org/w/a.pth?v=1")
        assert list(loaded["state_dict"]) == ["a"]
    assert calls == {"https://x.org/w/a.pth?v=1": 1}
    with pytest.raises(ValueError, match="is refused"):
        CheckpointLoader.load_checkpoint("https://x.org/evil.pth")


def test_nothing_global_is_left_allowed(trained):
    checkpoint.load_checkpoint(trained / "epoch_2.pth")
    with warnings.catch_warnings(), pytest.raises(pickle.UnpicklingError):
        warnings.simplefilter("ignore")
        torch.load(trained / "epoch_2.pth", weights_only=True)

"""Which checkpoint of a work dir is resumed: the newest whole one."""

import os

import pytest
import torch

from negas.experiments import checkpoints
from negas.experiments.checkpoints import check_resumable, newest_checkpoint
from negas.experiments.run import _named
from tests.helpers.checkpoints import fake_checkpoint


def name(folder, text):
    (folder / "last_checkpoint").write_text(text)


def written_in_order(*paths):
    for second, path in enumerate(paths):
        os.utime(path, (1e9 + second, 1e9 + second))


@pytest.fixture
def work(tmp_path):
    """Three whole checkpoints, the last of them named."""
    files = [fake_checkpoint(tmp_path / f"epoch_{i}.pth", i) for i in (1, 2, 10)]
    name(tmp_path, str(files[-1]))
    written_in_order(*files, tmp_path / "last_checkpoint")
    return tmp_path


def newest(work):
    found = newest_checkpoint(work)
    return found and os.path.relpath(found, work)


@pytest.mark.parametrize("text", [None, "", "\0", "epoch_10.pth", "/moved/away/epoch_10.pth", "."])
def test_the_marker_may_be_missing_half_written_or_of_another_place(work, text):
    (work / "last_checkpoint").unlink()
    if text is not None:
        name(work, text)
    assert newest(work) == "epoch_10.pth"


@pytest.mark.parametrize("size", [0, 1, 100, -1])
def test_half_written_files_are_skipped_with_a_warning(work, size, monkeypatch):
    told = []
    monkeypatch.setattr(checkpoints, "print_log", lambda text, *_: told.append(text))
    file = work / "epoch_10.pth"
    file.write_bytes(file.read_bytes()[:size])
    assert newest(work) == "epoch_2.pth"
    assert len(told) == 1 and "epoch_10.pth' is" in told[0]


def test_one_that_the_marker_does_not_name_yet(work):
    name(work, str(work / "epoch_2.pth"))
    written_in_order(work / "epoch_2.pth", work / "last_checkpoint", work / "epoch_10.pth")
    assert newest(work) == "epoch_10.pth"


def test_one_of_an_earlier_run_with_a_higher_number_stays(work):
    name(work, str(work / "epoch_2.pth"))
    written_in_order(work / "epoch_10.pth", work / "epoch_2.pth")
    assert newest(work) == "epoch_2.pth"


def test_the_best_one_is_not_the_last_one(work):
    fake_checkpoint(work / "best_coco_bbox_mAP_epoch_99.pth", 99)
    (work / "last_checkpoint").unlink()
    assert newest(work) == "epoch_10.pth"


def test_none(tmp_path):
    assert newest(tmp_path) is None
    name(tmp_path, "epoch_1.pth")
    (tmp_path / "epoch_1.pth").touch()
    assert newest(tmp_path) is None


@pytest.mark.parametrize(
    "changes",
    [
        dict(meta={}),
        dict(meta=None),
        dict(meta=[1]),
        dict(meta=dict(epoch="1", iter=1)),
        dict(message_hub=None),
        dict(optimizer=None),
        dict(meta=dict(epoch=-5, iter=1)),
        dict(meta=dict(epoch=True, iter=1)),
        dict(meta=dict(epoch=1, iter=10**30)),
    ],
)
def test_weights_alone_cannot_be_resumed(tmp_path, changes):
    file = fake_checkpoint(tmp_path / "odd.pth", **changes)
    with pytest.raises(ValueError, match=r"odd\.pth' holds weights without .* cannot be resumed"):
        check_resumable(str(file))


def test_bare_weights_cannot_be_resumed(tmp_path):
    torch.save({"prompt.ctx": torch.zeros(1)}, tmp_path / "odd.pth")
    with pytest.raises(ValueError, match="load_from"):
        check_resumable(str(tmp_path / "odd.pth"))


@pytest.mark.parametrize("text", ["a" * 100_000, "\0", "..", "/", "\x1b[31m.pth"])
def test_a_marker_that_is_no_path_is_passed_over(tmp_path, text):
    fake_checkpoint(tmp_path / "epoch_1.pth")
    (tmp_path / "last_checkpoint").write_text(text)
    assert newest_checkpoint(tmp_path) == str(tmp_path / "epoch_1.pth")


def test_a_marker_of_another_folder_that_is_of_no_use_leaves_the_own_files(tmp_path):
    work, other = tmp_path / "work", tmp_path / "other"
    work.mkdir()
    other.mkdir()
    fake_checkpoint(work / "epoch_1.pth")
    torch.save(dict(a=torch.zeros(1)), other / "base.pth")
    (work / "last_checkpoint").write_text(str(other / "base.pth"))
    assert newest_checkpoint(work) == str(work / "epoch_1.pth")


@pytest.mark.parametrize("error", [AttributeError("pop"), IndexError("x"), ValueError("groups")])
def test_what_fails_in_a_resume_names_the_file(error):
    def resume(filename):
        raise error

    with pytest.raises(ValueError, match=r"a/epoch_3\.pth' cannot be resumed .*same training"):
        _named(resume)("a/epoch_3.pth")

"""A checkpoint that cannot be written to its end leaves the one that was there."""

import pytest
import torch
from mmengine.fileio import LocalBackend
from mmengine.runner import save_checkpoint

import negas.register  # noqa: F401


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "epoch_1.pth"
    save_checkpoint(dict(a=torch.ones(1)), str(path))
    before = path.read_bytes()

    def put(self, obj, filepath):
        with open(filepath, "wb") as file:
            file.write(obj[:20])
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalBackend, "put", put)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(dict(a=torch.zeros(1)), str(path))
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]

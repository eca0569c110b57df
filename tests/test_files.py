"""A file is the old one or the new one, whatever happens while it is written."""

import hashlib

import pytest

from negas.files import file_sha256, probe_folder, whole_file, write_atomically


def test_whole_or_not_at_all(tmp_path):
    target = tmp_path / "new" / "a.json"
    write_atomically(target, "ä\n")
    with pytest.raises(KeyboardInterrupt), whole_file(target) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text(encoding="utf-8") == "ä\n"
    assert [path.name for path in target.parent.iterdir()] == ["a.json"]
    with whole_file(target) as partial:
        partial.write_bytes(b"b" * 3_000_000)
    assert file_sha256(target) == hashlib.sha256(b"b" * 3_000_000).hexdigest()


def test_probe_leaves_nothing_and_refuses_a_file(tmp_path):
    probe_folder(tmp_path / "x" / "y")
    assert list((tmp_path / "x" / "y").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        probe_folder(tmp_path / "file")

"""Files are written whole or not at all."""

import pytest

from negas.datasets.prepare.files import write_if_different


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "folder" / "a.json"
    assert write_if_different(path, ["old", "\n"])

    def lines():
        yield "new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_if_different(path, lines(), overwrite=True)
    assert path.read_text() == "old\n"
    assert list(path.parent.iterdir()) == [path]


def test_the_same_text_is_not_written_again(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("mine")
    with pytest.raises(ValueError, match="exists with other content.*--overwrite"):
        write_if_different(path, ["same"])
    assert path.read_text() == "mine"
    write_if_different(path, ["same"], overwrite=True)
    before = path.stat()
    assert not write_if_different(path, ["sa", "me"], overwrite=True)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)

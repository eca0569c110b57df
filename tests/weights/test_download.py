"""Downloads from a real server: whole, resumed, refused; nothing wrong is ever put in place."""

import errno
import hashlib
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from negas.weights import download as module
from negas.weights.download import download
from tests.helpers.commands import environment
from tests.helpers.file_server import file_server

DATA = os.urandom(3_000_000)
DIGEST = hashlib.sha256(DATA).hexdigest()[:8]


@pytest.fixture
def server():
    with file_server(DATA) as running:
        yield running


@pytest.fixture
def said():
    return []


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".download.lock")


def fetch(server, folder, said, **options):
    return download(server.address, folder / "w.pth", DIGEST, say=said.append, **options)


def cut_off(server, folder, said):
    server.cut = 1_200_000
    with pytest.raises(ConnectionError, match=r"ended after 1\.2 MB of 3\.0 MB; run it again"):
        fetch(server, folder, said)
    assert names(folder) == ["w.pth.part", "w.pth.part.json"]
    server.cut = None
    said.clear()


def test_a_file_arrives_whole_and_is_not_fetched_twice(server, tmp_path, said):
    path = fetch(server, tmp_path / "new" / "folder", said)
    assert path.read_bytes() == DATA and names(path.parent) == ["w.pth"]
    assert said == [f"downloading {server.address} (3.0 MB)", f"written to {path}"]
    said.clear()
    assert fetch(server, path.parent, said) == path
    assert said == [f"{path} is there"] and len(server.asked) == 1


def test_a_cut_connection_goes_on_where_it_was(server, tmp_path, said):
    cut_off(server, tmp_path, said)
    assert fetch(server, tmp_path, said).read_bytes() == DATA
    assert server.asked[1]["Range"] == "bytes=1200000-" and server.asked[1]["If-Range"] == '"one"'
    assert said[0] == f"downloading {server.address} (3.0 MB, going on at 1.2 MB)"
    assert names(tmp_path) == ["w.pth"]


def changed(server):
    server.data, server.etag = DATA[::-1], '"two"'


def shorter(server):
    server.data = DATA[:1000]


@pytest.mark.parametrize(
    "change",
    [
        lambda server: setattr(server, "ranges", False),
        lambda server: setattr(server, "etag", ""),
        changed,
        shorter,
    ],
    ids=["no ranges", "no mark", "changed", "shorter under the same mark"],
)
def test_what_cannot_be_resumed_starts_anew(server, tmp_path, said, change):
    cut_off(server, tmp_path, said)
    change(server)
    path = download(server.address, tmp_path / "w.pth", say=said.append)
    assert path.read_bytes() == server.data and names(tmp_path) == ["w.pth"]
    assert "starting anew" in said[0] and "going on" not in said[1]


def test_a_file_of_another_length_under_the_same_mark_is_not_appended(server, tmp_path, said):
    cut_off(server, tmp_path, said)
    server.data = b"x" * 4_000_000
    path = download(server.address, tmp_path / "w.pth", say=said.append)
    assert path.read_bytes() == server.data and "starting anew" in said[0]


def test_without_a_mark_nothing_is_resumed(server, tmp_path, said):
    server.etag = ""
    cut_off(server, tmp_path, said)
    assert fetch(server, tmp_path, said).read_bytes() == DATA
    assert "Range" not in server.asked[1]


def test_a_part_of_another_address_is_not_gone_on_with(server, tmp_path, said):
    cut_off(server, tmp_path, said)
    path = download(server.address + "?v=2", tmp_path / "w.pth", DIGEST, say=said.append)
    assert path.read_bytes() == DATA and "Range" not in server.asked[1]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"address": 1}', '{"validator": null}'])
def test_a_damaged_note_of_a_part_starts_anew(server, tmp_path, said, text):
    cut_off(server, tmp_path, said)
    (tmp_path / "w.pth.part.json").write_text(text)
    assert fetch(server, tmp_path, said).read_bytes() == DATA


def test_a_server_that_does_not_say_how_long_the_file_is(server, tmp_path, said):
    server.length = False
    assert fetch(server, tmp_path, said).read_bytes() == DATA
    assert "of unknown size" in said[0]


def test_another_sha256_is_refused_and_kept_for_a_choice(server, tmp_path, said):
    server.data = DATA[::-1]
    found = hashlib.sha256(server.data).hexdigest()[:8]
    for _ in range(2):  # the second time without a download
        with pytest.raises(ValueError, match=f"begins with {found}, .*says {DIGEST}.*--no-check"):
            fetch(server, tmp_path, said)
    assert not (tmp_path / "w.pth").exists() and len(server.asked) == 1
    said.clear()
    path = fetch(server, tmp_path, said, check=False)
    assert path.read_bytes() == server.data and len(server.asked) == 1
    assert said[0].startswith("warning: ") and names(tmp_path) == ["w.pth"]
    with pytest.raises(ValueError, match="move it away"):
        fetch(server, tmp_path, said)
    assert path.read_bytes() == server.data


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (404, FileNotFoundError, r"no such file \(404\); data/README.md"),
        (410, FileNotFoundError, "no such file"),
        (503, ConnectionError, "answers 503 .*try again later"),
    ],
)
def test_errors_of_the_server_are_sentences(server, tmp_path, said, status, kind, words):
    server.status = status
    with pytest.raises(kind, match=words):
        fetch(server, tmp_path, said)
    assert names(tmp_path) == [] and said == []


def test_no_server(tmp_path, said):
    with file_server(b"") as gone:
        pass
    with pytest.raises(ConnectionError, match="connection failed .*copy it to .*w.pth"):
        fetch(gone, tmp_path, said)


@pytest.mark.parametrize("to", ["ftp://127.0.0.1/x", "file:///etc/a", "https://127.0.0.1:1/"])
def test_a_redirect_to_another_scheme_is_refused(server, tmp_path, said, to):
    server.location = to
    with pytest.raises(ValueError, match=f"'{to}'.* (refused|not allowed).*release page"):
        fetch(server, tmp_path, said)
    assert names(tmp_path) == []


def test_other_schemes_are_refused(tmp_path):
    (tmp_path / "a").write_text("x")
    for address in (f"file://{tmp_path}/a", "ftp://127.0.0.1/a", f"{tmp_path}/a"):
        with pytest.raises(ValueError, match="https://"):
            download(address, tmp_path / "w.pth")


def test_a_redirect_within_the_scheme_is_followed_with_the_range(server, tmp_path, said):
    with file_server(b"") as first:
        first.location = server.address
        first_server = first
        cut_address = first.address
        server.cut = 1_200_000
        with pytest.raises(ConnectionError):
            download(cut_address, tmp_path / "w.pth", DIGEST, say=said.append)
        server.cut = None
        download(cut_address, tmp_path / "w.pth", DIGEST, say=said.append)
    assert len(first_server.asked) == 2 and server.asked[1]["Range"] == "bytes=1200000-"
    assert (tmp_path / "w.pth").read_bytes() == DATA


def test_a_disk_too_small_is_said_before_the_download(server, tmp_path, said, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage._replace(free=10_000))
    with pytest.raises(OSError, match=r"cannot be written \(0\.0 MB are free.*free some space"):
        fetch(server, tmp_path, said)
    assert names(tmp_path) == []


def test_a_disk_that_fills_up_keeps_what_came(server, tmp_path, said, monkeypatch):
    real = module._open

    def small(path, mode):
        file = real(path, mode)

        def write(block):
            if file.tell() + len(block) > 2_000_000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return file.write(block)

        return _Within(file, write)

    with monkeypatch.context() as patched:
        patched.setattr(module, "_open", small)
        with pytest.raises(OSError, match="w.pth.part' cannot be written .No space.*free some"):
            fetch(server, tmp_path, said)
    kept = (tmp_path / "w.pth.part").stat().st_size
    assert 0 < kept <= 2_000_000
    assert fetch(server, tmp_path, said).read_bytes() == DATA
    assert server.asked[1]["Range"] == f"bytes={kept}-"


class _Within(SimpleNamespace):
    def __init__(self, file, write):
        super().__init__(file=file, write=write)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()


def test_a_folder_in_the_way(server, tmp_path, said):
    (tmp_path / "w.pth").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder"):
        fetch(server, tmp_path, said)


HOLD = """
import sys
from negas.files.locks import lock_file
lock_file(sys.argv[1], "x")
print("held", flush=True)
sys.stdin.read()
"""


def test_two_downloads_into_one_folder(server, tmp_path, said):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / ".download.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError, match=f"writes to .*already .process {holder.pid}"):
            fetch(server, tmp_path, said)
        holder.stdin.close()
    assert fetch(server, tmp_path, said).read_bytes() == DATA


def test_a_link_is_followed(server, tmp_path, said):
    (tmp_path / "big").mkdir()
    (tmp_path / "w.pth").symlink_to(tmp_path / "big" / "w.pth")
    fetch(server, tmp_path, said)
    assert (tmp_path / "w.pth").is_symlink() and names(tmp_path / "big") == ["w.pth"]

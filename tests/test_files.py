"""Reading JSON, and files that are the old ones or the new ones whatever happens in between."""

import hashlib
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from negas.files import (
    append_lines,
    check_file,
    check_folder,
    file_sha256,
    make_folder,
    read_json,
    whole_file,
    write_json,
    write_text,
)
from negas.files.locks import lock_file
from negas.files.npz import write_npz
from tests.helpers.yolo_world import ROOT


def test_json_is_read_with_and_without_a_byte_order_mark(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('\ufeff{"ä": [1, -2, 9223372036854775807, 2.5, null]}', encoding="utf-8")
    assert read_json(path) == {"ä": [1, -2, 2**63 - 1, 2.5, None]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Expecting value"),
        (b'{"a": ', "Expecting value"),
        (b'[{"id": 7, "x": NaN}]', """it holds NaN, near '[{"id": 7, "x": NaN')"""),
        (b"[-Infinity]", "it holds -Infinity, near"),
        (b"\xff\xfe[1]", "can't decode"),
        (b"[" * 100_000, "recursion"),
        (b"[9223372036854775808]", "number 9223372036854775808..., which needs more than 64 bits"),
        (b"1" * 5000, "limit"),
    ],
)
def test_what_is_no_json_is_said_in_one_sentence(tmp_path, content, reason):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(f"{path}: not valid JSON (")) as caught:
        read_json(path, "test again")
    assert reason in str(caught.value) and str(caught.value).endswith("); test again")
    with pytest.raises(ValueError, match=r"^the preset: not valid JSON \(.*\)$"):
        read_json(path, name="the preset")


def test_a_file_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"x\.json: there is no such file; get it$"):
        read_json(tmp_path / "x.json", "get it")


def test_whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "new" / "a.json"
    write_text(target, "ä\n")
    with pytest.raises(KeyboardInterrupt), whole_file(target) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text(encoding="utf-8") == "ä\n"
    assert [path.name for path in target.parent.iterdir()] == ["a.json"]
    with whole_file(target) as partial:
        partial.write_bytes(b"b" * 3_000_000)
    assert file_sha256(target) == hashlib.sha256(b"b" * 3_000_000).hexdigest()

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_text(target, "new")
    assert target.read_bytes()[:2] == b"bb" and os.listdir(target.parent) == ["a.json"]


def test_json_is_written_in_plain_types(tmp_path):
    value = {"ö": (np.float32(0.5), np.int64(3)), "none": [float("nan"), np.float64("inf")]}
    value |= {"array": np.arange(3), "path": Path("a/b"), "flag": np.bool_(True), "text": "x"}
    write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text.startswith('{\n "ö": [') and text.endswith("}\n")
    plain = {"ö": [0.5, 3], "none": [None, None], "array": [0, 1, 2], "path": "a/b"}
    assert json.loads(text) == plain | {"flag": True, "text": "x"}
    write_json(tmp_path / "b.json", [1, 2], indent=None)
    assert (tmp_path / "b.json").read_text() == "[1, 2]\n"


def test_arrays_come_back(tmp_path):
    write_npz(tmp_path / "x/a.npz", {"a": np.arange(3), "b": np.array("text")})
    with np.load(tmp_path / "x/a.npz", allow_pickle=False) as found:
        assert found["a"].tolist() == [0, 1, 2] and str(found["b"]) == "text"
    assert os.listdir(tmp_path / "x") == ["a.npz"]


def test_a_place_to_write_to_is_looked_at_before_the_work(tmp_path):
    target = tmp_path / "new/folder/a.json"
    assert check_file(target, "--out") == target
    assert check_folder(tmp_path / "x/y", "--out") == tmp_path / "x/y"
    assert list(target.parent.iterdir()) == list((tmp_path / "x/y").iterdir()) == []
    with pytest.raises(IsADirectoryError, match="--out: .* is a folder; name a file"):
        check_file(tmp_path, "--out")
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(NotADirectoryError, match="--out: .*file' is a file; name a folder"):
        check_folder(file, "--out")
    for check in (check_file, check_folder):
        with pytest.raises(OSError, match=r"--json: .*a' cannot be written \(.*\); choose another"):
            check(file / "a", "--json")


def test_an_output_below_a_file_names_that_file(tmp_path):
    file = tmp_path / "file"
    file.touch()
    says = re.escape(f"cannot be written ({str(file)!r} is a file, not a folder); choose another")
    for below in (file / "a", file / "a/b"):
        calls = [(check_file, "--out"), (check_folder, "--out"), (write_text, "x"),
                 (append_lines, [1]), (make_folder,)]  # fmt: skip
        for write, *more in calls:
            with pytest.raises(OSError, match=rf"'{below}' {says}"):
                write(below, *more)
    for make in (lambda: make_folder(file), lambda: lock_file(file / "lock", "a test")):
        with pytest.raises(NotADirectoryError, match=f"'{file}' is a file, where a folder is"):
            make()


def test_a_full_device_is_named():
    says = r"'/dev/full' cannot be written \(No space left on device\); free some space or choose"
    with pytest.raises(OSError, match=says):
        write_text("/dev/full", "x")
    with pytest.raises(OSError, match=says):
        append_lines("/dev/full", [1])
    with pytest.raises(NotADirectoryError, match="--out: '/dev/full' is a file; name a folder"):
        check_folder("/dev/full", "--out")


def test_nothing_is_put_beside_a_device(monkeypatch):
    def refuse(*args):
        raise AssertionError("a probe was written")

    monkeypatch.setattr("negas.files._probe", refuse)
    assert check_file("/dev/null", "--out") == Path("/dev/null")
    write_text("/dev/null", "x")
    monkeypatch.setattr(os, "access", lambda *args: False)
    with pytest.raises(PermissionError, match=r"--out: '/dev/null' cannot be written \(Permission"):
        check_file("/dev/null", "--out")


def test_each_of_these_sentences_is_written_once():
    files = [path for path in sorted((ROOT / "negas").rglob("*.py"))]
    for words in ("not valid JSON", "cannot be written ("):
        places = [path for path in files for _ in range(path.read_text("utf-8").count(words))]
        assert places == [ROOT / "negas/files/__init__.py"], words

"""What commands share: places to write to, and readers that leave early."""

import subprocess
import sys

import pytest

from negas.cli import check_target
from tests.helpers.yolo_world import ROOT


def test_a_place_to_write_to_is_looked_at_before_the_work(tmp_path):
    target = tmp_path / "new/folder/a.json"
    assert check_target(target, "--out") == target
    assert target.parent.is_dir() and not list(target.parent.iterdir())
    with pytest.raises(IsADirectoryError, match="--out: .* is a folder; name a file"):
        check_target(tmp_path, "--out")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="--json: .*a.json' cannot be written .*choose another place"):
        check_target(tmp_path / "file/a.json", "--json")


COMMAND = """
from negas.cli import user_errors

@user_errors
def main():
    for i in range(20000):
        print(i)
    return 3

raise SystemExit(main())
"""


@pytest.mark.parametrize("early", [True, False])
def test_a_reader_that_leaves_early_gets_no_error(early):
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "0\n"
    if not early:
        process.stdout.read()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == (141 if early else 3)

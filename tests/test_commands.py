"""``negas COMMAND``: one name for all commands, which stay the files of ``tools/``."""

import ast
import os
import re
import subprocess
import sys

import pytest

from negas.__main__ import GROUPS, commands, summary
from tests.helpers.fake_runs import fake_run
from tests.helpers.yolo_world import ROOT

OF_THE_CLONE = {"render_results"}  # fills pages of the repository


def negas(*arguments, cwd=ROOT, stdout=subprocess.PIPE, **env):
    keep = {key: value for key, value in os.environ.items() if key != "NEGAS_DEBUG"}
    return subprocess.run(
        [sys.executable, "-m", "negas", *map(str, arguments)],
        cwd=cwd,
        env=keep | dict(PYTHONPATH=os.pathsep.join([str(ROOT), *sys.path])) | env,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=240,
        check=False,
    )


def test_every_public_tool_is_a_command():
    tools = {path.stem for path in (ROOT / "tools").glob("*.py")} - OF_THE_CLONE
    named = {tool for group in GROUPS.values() for tool in group.values()}
    assert tools <= named
    assert {path.stem for path in commands().values()} == tools | {"doctor"}


def messages(path):
    """Texts of a file that are no docstrings, with the line that they begin on."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in own:
            yield node.lineno, node.value


def test_messages_name_commands_that_everybody_has():
    """Who installed a wheel has no ``tools/`` and nothing to install in editable mode."""
    files = [*(ROOT / "negas").rglob("*.py")]
    files += [path for path in (ROOT / "tools").glob("*.py") if path.stem not in OF_THE_CLONE]
    known, named = set(commands()), set()
    for path in files:
        for line, text in messages(path):
            where = f"{path.relative_to(ROOT)}:{line}: {text!r}"
            assert not re.search(r"tools/[\w/]+\.py|install -e|python -m negas", text), where
            found = re.findall(r"(?:`|\b(?:again|of|or|run|with:?) )negas ([a-z][a-z-]*)", text)
            assert known.issuperset(found), where
            named.update(found)
    assert len(named) > 7


def test_the_list_of_commands_fits_a_terminal_and_names_no_file():
    done = negas("--help")
    assert done.returncode == 0 and done.stderr == ""
    assert max(map(len, done.stdout.splitlines())) < 80
    for name, path in commands().items():
        assert f"\n  {name} " in done.stdout
        assert summary(path)[:20] in done.stdout
    assert "tools/" not in done.stdout and "``" not in done.stdout
    assert negas().stdout == done.stdout


LIGHT = """
import runpy, sys
sys.argv = ["negas", "--help"]
try:
    runpy.run_module("negas", run_name="__main__")
except SystemExit as end:
    assert not end.code
heavy = {"argparse", "torch", "numpy", "mmengine", "argcomplete"} & set(sys.modules)
assert not heavy, heavy
"""


def test_the_list_of_commands_needs_no_package():
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = [{str(ROOT)!r}]\n{LIGHT}"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_a_command_is_called_by_its_name(tmp_path):
    done = negas("audit-labels", "--help", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith("usage: negas audit-labels [-h]")
    done = negas("score", "nowhere", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: nowhere: no such folder")


@pytest.mark.parametrize(
    ("word", "hint"), [("trian", "; did you mean 'train'?"), ("xyzzy", ""), ("--quick", "")]
)
def test_an_unknown_command_is_one_sentence(word, hint):
    done = negas(word)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == f"error: there is no command {word!r}{hint} (`negas --help` has all)\n"


@pytest.mark.parametrize(
    ("line", "some", "none"),
    [
        ("negas aud", ["audit-labels "], ["test"]),
        ("negas score --pre", ["--preset "], ["--out"]),
        ("negas prepare owodb --var", ["--variant "], ["--val"]),
    ],
)
def test_the_shell_is_told_how_a_line_goes_on(tmp_path, line, some, none):
    answer = tmp_path / "answer"
    env = dict(
        _ARGCOMPLETE="1",
        _ARGCOMPLETE_STDOUT_FILENAME=str(answer),
        COMP_LINE=line,
        COMP_POINT=str(len(line)),
    )
    done = negas(*line.split()[1:], cwd=tmp_path, **env)
    assert done.returncode == 0, done.stderr
    found = answer.read_text().split("\013")
    assert set(some) <= set(found) and not set(none) & {each.strip() for each in found}


@pytest.mark.parametrize(
    ("line", "unbuffered"),
    [
        *(("--help", ""), ("--help", "1"), ("score --help", "")),
        *(("report RUN", ""), ("report RUN", "1"), ("doctor", "1")),
    ],
)
def test_a_reader_that_leaves_ends_a_command_without_a_word(tmp_path, line, unbuffered):
    if "RUN" in line:
        line = line.replace("RUN", str(fake_run(tmp_path / "run")))
    given, reader = os.pipe()
    os.close(given)
    with os.fdopen(reader, "w") as pipe:
        done = negas(*line.split(), stdout=pipe, PYTHONUNBUFFERED=unbuffered)
    assert (done.returncode, done.stderr) == (141, "")

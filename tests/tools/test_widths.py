"""What the commands print on a real terminal: nothing cut, no line wider than it."""

import os
import pty
import re
import subprocess
import sys
import threading

import pytest
from rich.cells import cell_len

from negas.reports.table import Column, Row, Section, Stat, Table, print_table
from tests.helpers.commands import ROOT, environment
from tests.helpers.fake_runs import fake_run

WIDTHS = (80, 100, 120)
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PRESETS = ("val_f1", "matched", "objects", "owod")
# one process for all: most of a command's time goes into its imports
SCRIPT = """
import fcntl, runpy, struct, sys, termios
commands = [
    ["report", "stock", "coop0", "coop1", "negas0", "negas1", "--shared-cut", "stock"],
    ["score", "negas0", "--preset", "val_f1", "vos", "objects", "--bootstrap", "4", "--open-set",
     "--against", "coop0"],
    ["compare", "coop0", "negas0", "--published", "voc"],
]
for width in map(int, sys.argv[2:]):
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    for name, *arguments in commands:
        print(f"#{width} {name}", flush=True)
        sys.argv = [name, *arguments]
        assert runpy.run_path(f"{sys.path[0]}/tools/{name}.py")["main"]() == 0
    print(f"#{width} test", flush=True)
    runpy.run_path(f"{sys.path[0]}/tools/test.py")["print_numbers"]("negas0")
"""


def said_on_a_terminal(script, cwd, *arguments):
    """What a Python script says whose standard input and output are a pseudo-terminal."""
    master, slave = pty.openpty()
    parts = []

    def read():
        while True:
            try:
                data = os.read(master, 1 << 16)
            except OSError:  # Linux: the other side is closed
                return
            if not data:
                return
            parts.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    env = environment(TERM="xterm-256color")
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        env.pop(name, None)
    code = f"import sys; sys.path.insert(0, sys.argv[1])\n{script}"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, str(ROOT), *map(str, arguments)],
            cwd=cwd,
            env=env,
            stdin=slave,
            stdout=slave,
            stderr=subprocess.PIPE,
            timeout=600,
            check=False,
        )
    finally:
        os.close(slave)
        reader.join()
        os.close(master)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return b"".join(parts).decode().replace("\r\n", "\n")


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """By width and command what is printed."""
    root = tmp_path_factory.mktemp("runs")
    fake_run(root / "stock", "stock_a.py", prompt=False, use_nega=False, presets=PRESETS)
    for seed in (0, 1):
        fake_run(root / f"coop{seed}", "coop_a.py", seed, use_nega=False, presets=PRESETS)
        fake_run(root / f"negas{seed}", "negas_a.py", seed, presets=PRESETS)
    text = ESCAPES.sub("", said_on_a_terminal(SCRIPT, root, *WIDTHS))
    parts = re.split(r"^#(\d+) (\w+)\n", text, flags=re.MULTILINE)[1:]
    return {
        (int(width), name): said
        for width, name, said in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    }


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["report", "score", "compare", "test"])
def test_no_line_is_wider_and_nothing_is_cut(printed, name, width):
    said = printed[width, name]
    lines = said.splitlines()
    assert "…" not in said
    assert [line for line in lines if cell_len(line.rstrip()) > width] == []
    assert max(cell_len(line.rstrip()) for line in lines) > width - 12, "the width is used"
    assert "FPR95" in said and "near" in said and "far" in said


@pytest.mark.slow
@pytest.mark.parametrize("name", ["report", "score", "compare", "test"])
def test_every_width_shows_the_same_numbers(printed, name):
    def numbers(width):
        # of one decimal: titles of sections, which each block repeats, tell cuts with more
        return sorted(re.findall(r"(?<![\d.])\d+\.\d(?!\d)", printed[width, name]))

    assert numbers(80) == numbers(100) == numbers(120) != []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["report", "score", "compare", "test"])
def test_the_headline_comes_last_with_what_it_says_and_where_the_rest_is(printed, name):
    said = printed[80, name]
    before, _, short = said.rpartition("Headline. ")
    assert before.strip() or name == "test", "the full tables stand above it"
    for words in ("taken", "as", "unknown", "FPR95", "AUROC", "AP50", "near", "far"):
        assert words in short
    assert re.search(r"(Nothing beats|Better than) [^.]*max sigmoid", " ".join(short.split()))
    if name != "compare":
        assert "negas html-report" in short and "    rotated" in short


def test_a_pipe_is_as_wide_as_it_is_told(monkeypatch, capsys):
    columns = [Column(f"c{i}", f"a heading {i}") for i in range(19)]
    rows = [Row("label", {f"c{i}": Stat(i / 100) for i in range(19)})]
    table = Table("title", columns, [Section("s", rows)])
    for given, widest in (("60", 60), ("", 200), ("x", 200)):
        monkeypatch.setenv("COLUMNS", given)
        print_table(table)
        lines = capsys.readouterr().out.splitlines()
        assert widest - 12 < max(map(len, lines)) <= widest
        assert sum(line.startswith("  label") for line in lines) == (4 if widest == 60 else 1)

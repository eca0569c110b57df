"""Jobs in processes: their order, errors, bars, and that none outlives the command."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from functools import partial

import pytest

from negas.experiments.jobs import Job, run_jobs
from tests.helpers import light_jobs
from tests.helpers.commands import environment
from tests.helpers.yolo_world import ROOT


def test_several_at_a_time_and_none_before_what_it_waits_for(tmp_path):
    lines = []
    calls = {name: partial(light_jobs.write, tmp_path / name) for name in "abcd"}
    calls["a"] = partial(calls["a"], after=(tmp_path / "c",))
    after = {"b": "a", "c": "d"}  # d stands behind c, which then does not wait
    jobs = [Job(key, key, call, lines.append, after.get(key)) for key, call in calls.items()]
    run_jobs(jobs, 2)
    assert sorted(lines) == [f"begin {name}" for name in "abcd"]
    a, b, c, d = (light_jobs.times(tmp_path / name) for name in "abcd")
    assert b[1] >= a[2], "b waits for a"
    assert c[1] < a[2], "c goes first"
    assert len({process for process, *_ in (a, b, c, d)} - {os.getpid()}) == 2


def test_one_at_a_time_needs_no_process(tmp_path):
    lines = []
    jobs = [Job(n, n, partial(light_jobs.write, tmp_path / n), lines.append) for n in "ab"]
    run_jobs(jobs, 1)
    run_jobs(jobs[:1], 4)
    assert lines == ["begin a", "begin b", "begin a"]
    assert {light_jobs.times(tmp_path / name)[0] for name in "ab"} == {os.getpid()}


def test_an_error_is_told_when_the_others_are_finished_and_nothing_more_begins(tmp_path):
    lines, long, told = [], tmp_path / "long", tmp_path / "told"

    def log(line):
        lines.append(line)
        if line.startswith("bad"):
            told.touch()

    calls = {
        "long": partial(light_jobs.write, long, after=(told,)),
        "bad": partial(light_jobs.fail, tmp_path / "missing"),
        "next": partial(light_jobs.write, tmp_path / "next"),
    }
    jobs = [Job(name, name, call, log) for name, call in calls.items()]
    with pytest.raises(FileNotFoundError) as caught:
        run_jobs(jobs, 2)
    assert caught.value.filename == str(tmp_path / "missing")
    assert "light_jobs.py" in str(caught.value.__cause__), "where it was, for tracebacks"
    assert long.exists() and not (tmp_path / "next").exists()
    failed, begun = sorted(lines)
    assert begun == "begin long"
    assert failed.startswith("bad: failed, ") and failed.endswith("is finished first")


def test_an_error_that_cannot_travel_is_its_sentence_and_a_death_one_of_its_own(tmp_path):
    jobs = [Job(n, n, light_jobs.fail_strangely, print) for n in "ab"]
    with pytest.raises(RuntimeError, match="^one and other$"):
        run_jobs(jobs, 2)
    jobs = [Job("a", "big", light_jobs.die, print)]
    jobs.append(Job("b", "b", partial(light_jobs.linger, tmp_path), print))
    with pytest.raises(RuntimeError, match=r"^big: its process has ended \(exit code -9\).*--jobs"):
        run_jobs(jobs, 2)
    assert len(list(tmp_path.glob("*.begun"))) == len(list(tmp_path.glob("*.cleaned")))


COMMAND = """
import sys
from functools import partial
from pathlib import Path
from negas.cli import user_errors
from negas.experiments.jobs import Job, run_jobs
from tests.helpers import light_jobs

@user_errors
def main():
    {calls}
    run_jobs([Job(i, str(i), call, partial(print, flush=True)) for i, call in enumerate(calls)], 2)

if __name__ == "__main__":
    sys.exit(main())
"""


def command(tmp_path, calls):
    """A file to run; processes read it again, as those of a command do."""
    (tmp_path / "command.py").write_text(COMMAND.format(calls=f"calls = {calls}"))
    return [sys.executable, str(tmp_path / "command.py")]


def ended(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def wait_until(true):
    """Forever, if it never is: then the test's own time runs out."""
    for _ in range(300):
        if true():
            return
        time.sleep(0.1)
    pytest.fail("it did not come")


@pytest.mark.parametrize(
    ("number", "send", "code", "said"),
    [
        (signal.SIGINT, os.killpg, 130, "interrupted\n"),  # as a terminal does
        (signal.SIGINT, os.kill, 130, "interrupted\n"),
        (signal.SIGTERM, os.kill, 143, "stopped (SIGTERM)\n"),
        (signal.SIGKILL, os.kill, -9, ""),
    ],
)
def test_no_process_outlives_the_command(tmp_path, number, send, code, said):
    calls = "[partial(light_jobs.linger, Path(sys.argv[1]))] * 2"
    process = subprocess.Popen(
        [*command(tmp_path, calls), tmp_path],
        cwd=ROOT,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # tests that a shell runs in its background ignore Ctrl-C, and so would this
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    begun = tmp_path.glob
    wait_until(lambda: len(list(begun("*.begun"))) == 2)
    children = [int(path.stem) for path in begun("*.begun")]
    send(process.pid, number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert error.split("\r")[-1].endswith(said) and "Traceback" not in error
    wait_until(lambda: all(map(ended, children)))
    assert len(list(begun("*.cleaned"))) == 2


def screen(text, height=24):
    """What a terminal shows of it, as far as bars and lines of the log need one."""
    rows, row, column = [""], 0, 0
    for part in re.findall(r"\r|\n|\x1b\[A|\x1b\[J|[^\r\n\x1b]+", text):
        if part == "\r":
            column = 0
        elif part == "\n":
            row += 1
            rows += [""] * (row + 1 - len(rows))
        elif part == "\x1b[A":
            row -= 1
        elif part == "\x1b[J":
            rows[row:] = [rows[row][:column]]
        else:
            old = rows[row].ljust(column)
            rows[row] = old[:column] + part + old[column + len(part) :]
            column += len(part)
    return [line.rstrip() for line in rows]


def test_bars_have_lines_of_their_own_on_a_terminal(tmp_path):
    files = [str(tmp_path / "one"), str(tmp_path / "two")]
    calls = f"[partial(light_jobs.draw, *map(Path, {files}[::step])) for step in (1, -1)]"
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with subprocess.Popen(
        command(tmp_path, calls), cwd=ROOT, env=environment(), stdout=child, stderr=child
    ) as process:
        os.close(child)
        shown = b""
        try:
            while part := os.read(parent, 4096):
                shown += part
        except OSError:  # the terminal's way to end
            pass
        os.close(parent)
    text = shown.decode().replace("\r\n", "\n\r")
    assert process.returncode == 0, text
    found = [line for line in screen(text) if line]
    assert sorted(found) == [
        f"{name}: {stage}" for name in ("one", "two") for stage in ("first", "second")
    ]
    both = [screen(text[: match.end()]) for match in re.finditer(r"\x1b\[A(?!\x1b\[A)", text)]
    bars = [[line for line in rows if "it/s" in line] for rows in both]
    assert any(len(lines) == 2 for lines in bars), "two at a time"
    for line in sum(bars, []):
        assert line.count("it/s") == 1 and re.match("(one|two) (first|second): ", line)

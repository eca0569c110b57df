"""Ctrl-C and SIGTERM: every command cleans up, says one line and tells its shell."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.helpers.commands import environment
from tests.helpers.yolo_world import ROOT

COMMAND = """
import os, sys, time
from negas.cli import user_errors
{importing}
@user_errors
def main():
    {before}
    try:
        print("ready", flush=True)
        time.sleep(20)
    finally:
        print("cleaned up", flush=True)
        {after}

sys.exit(main())
"""
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


def start(importing="", before="pass", after="pass"):
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND.format(importing=importing, before=before, after=after)],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", CODES)
def test_a_signal_cleans_up_and_says_one_line(number):
    process = start()
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == CODES[number] and out == "cleaned up\n"
    assert err.count("\n") == 1 and "Traceback" not in err


@pytest.mark.parametrize("number", CODES)
def test_an_error_that_a_library_makes_of_it_is_not_told(number):
    process = start(after="raise RuntimeError('a worker has left')")
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == CODES[number] and "worker" not in err


def test_schedulers_may_send_it_twice_and_people_may_insist():
    process = start(after="time.sleep(20 if sys.argv[1:] else 0.5); print('done')")
    process.terminate()
    assert process.stdout.readline() == "cleaned up\n"
    process.terminate()
    out, err = process.communicate(timeout=30)
    assert process.returncode == 143 and out == "done\n"
    process = start(after="time.sleep(20)")
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "cleaned up\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert process.returncode != 0 and err == ""


@pytest.mark.parametrize("number", CODES)
def test_forked_workers_say_nothing(number):
    fork = "pid = os.fork(); time.sleep(20) if not pid else None"
    process = start(before=fork)
    os.killpg(process.pid, number)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGTERM)  # what a parent does to its workers
    out, err = process.communicate(timeout=30)
    assert process.returncode == CODES[number]
    assert out == "cleaned up\n" and err.count("\n") == 1


@pytest.mark.parametrize("number", CODES)
def test_a_signal_where_python_drops_exceptions_is_not_lost(number):
    dropped = """
class Dropped:
    def __del__(self):
        print("ready", flush=True)
        time.sleep(5)
"""
    process = start(importing=dropped, before="Dropped(); time.sleep(0)")
    process.send_signal(number)
    out, err = process.communicate(timeout=15)
    assert process.returncode == CODES[number] and out.startswith("ready\ncleaned up")
    assert err.count("\n") == 1


def test_ctrl_c_while_a_tool_is_imported_is_one_line():
    process = start(importing='user_errors(lambda: 0)\nprint("ready", flush=True)\ntime.sleep(20)')
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode != 0 and err == "interrupted\n"


def test_a_command_that_is_not_to_be_hung_up_stays_so():
    ignoring = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
    process = start(importing=ignoring)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143


@pytest.mark.parametrize(
    "env", [{}, {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}]
)
def test_any_name_can_be_printed_and_errors_hold_no_escapes(env):
    code = """
import os, sys
from negas.cli import user_errors
@user_errors
def main():
    print(os.fsdecode(b"\\xff\\xc3\\xa9"), "\\u732b")
    raise ValueError("\\x1b[31mred\\n\\udcff" + "x" * 100_000)
sys.exit(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(**env), capture_output=True
    )
    assert done.returncode == 2 and b"\\udcff" in done.stdout
    assert rb"error: \x1b[31mred \udcff" in done.stderr and len(done.stderr) < 3000


@pytest.mark.parametrize("number", ["ENOSPC", "EACCES", "EROFS"])
def test_a_bare_error_of_the_system_names_its_file_and_what_to_do(number):
    code = f"""
import errno, os, sys
from negas.cli import user_errors
@user_errors
def main():
    raise OSError(errno.{number}, os.strerror(errno.{number}), "some/file")
sys.exit(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: 'some/file': ") and "; " in done.stderr
    assert "[Errno" not in done.stderr


def test_a_program_that_imports_negas_keeps_its_streams_hooks_and_signals():
    code = """
import signal, sys
def state():
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    return handlers, sys.stdout, sys.stderr, sys.excepthook, sys.unraisablehook
before = state()
import negas.cli, negas.doctor, negas.image_level.run.options, negas.labels.audit
assert state() == before
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), check=True)

"""Run the commands of ``tools/``: in this process (fast) or in one of their own."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from itertools import count
from pathlib import Path
from unittest.mock import patch

from .yolo_world import ROOT

_run = count()


def call_tool(tool: str, *args: object) -> int:
    """Exit code of ``tools/<tool>.py ARGS`` called in this process, as its user calls it."""
    argv = [str(ROOT / f"tools/{tool}.py"), *map(str, args)]
    keep = {key: value for key, value in os.environ.items() if key != "NEGAS_DEBUG"}
    main = runpy.run_path(argv[0])["main"]
    with patch.object(sys, "argv", argv), patch.dict(os.environ, keep, clear=True):
        return main()


def tool_said(capsys, tool: str, *args: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of :func:`call_tool`."""
    capsys.readouterr()
    return call_tool(tool, *args), *capsys.readouterr()


def run_tool(tool: str, *args: object, options: dict[str, object] | None = None) -> int:
    """Exit code of ``tools/<tool>.py ARGS --cfg-options OPTIONS`` called in this process."""
    # MMEngine names loggers and message hubs after the experiment and the second it started in.
    settings = {"experiment_name": f"run{next(_run)}"} | (options or {})
    argv = [str(ROOT / f"tools/{tool}.py"), *map(str, args), "--cfg-options"]
    argv += [f"{key}={value}" for key, value in settings.items()]
    main = runpy.run_path(argv[0])["main"]
    # MMEngine formats the config's text with yapf at every checkpoint: most of a tiny run's time.
    # The maintained fork imports it where it is used.
    plain = patch("mmengine.config.config.FormatCode", lambda text, **_: (text, False), create=True)
    with patch.object(sys, "argv", argv), plain:
        return main()


def environment(**extra: str) -> dict[str, str]:
    """Environment of a command as a user has it, with one thread per process."""
    keep = {key: value for key, value in os.environ.items() if key != "NEGAS_DEBUG"}
    fixed = dict(OMP_NUM_THREADS="1", PYTHON=sys.executable, PYTHONPATH=str(ROOT))
    return keep | fixed | extra


def run_command(*command: object, cwd: Path, **env: str) -> subprocess.CompletedProcess:
    """A command in a process of its own."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

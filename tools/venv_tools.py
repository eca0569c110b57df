"""A virtual environment handled from outside: run, inspect, create. Standard library only."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Runs inside the venv, for names and files of every installed distribution. A distribution
# without RECORD was interrupted while being installed.
INSPECT = """
import json, os
from importlib import metadata
report = []
for dist in metadata.distributions():
    files = dist.files
    gone = files is None or any(
        not os.path.exists(dist.locate_file(f)) for f in files if f.suffix != ".pyc")
    report.append([dist.metadata["Name"], dist.version if dist.metadata["Name"] else None,
                   bool(gone), files is None, str(dist._path)])
print(json.dumps(report))
"""


class SetupError(Exception):
    """A sentence for the user."""


def say(text: str) -> None:
    """Print at once, before the output of pip."""
    print(f"[setup] {text}", flush=True)


def call(*command: object, quiet: bool = False) -> subprocess.CompletedProcess:
    """Run a command without the user's site-packages; output is captured if ``quiet``."""
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "PIP_USER")}
    env["PYTHONNOUSERSITE"] = "1"
    return subprocess.run(
        [str(part) for part in command], capture_output=quiet, text=True, env=env, cwd=ROOT
    )


def pip(python: Path, *arguments: str) -> None:
    """Run pip in the venv.

    Raises:
        SetupError: if pip fails.
    """
    command = [python, "-m", "pip", "--disable-pip-version-check", *arguments]
    if call(*command).returncode:
        raise SetupError(
            f"`pip {' '.join(arguments)}` failed (see above); check the network and run again, "
            "what is installed already stays"
        )


def works(python: Path) -> bool:
    """Whether the venv's interpreter runs and has pip."""
    try:
        return call(python, "-c", "import pip, encodings", quiet=True).returncode == 0
    except OSError:
        return False


def inspect(python: Path) -> list[tuple[str, str, bool, bool, str]]:
    """(name, version, files missing, no RECORD, metadata folder) of each distribution."""
    # -I: only the venv, not the egg-info that an editable install leaves in the clone.
    done = call(python, "-I", "-c", INSPECT, quiet=True)
    if done.returncode:
        raise SetupError(
            f"cannot list what {python} has installed: {done.stderr.strip()[-200:]}; "
            "remove the venv and run again"
        )
    return [tuple(row) for row in json.loads(done.stdout)]


def create(venv: Path) -> None:
    """Make a fresh venv, replacing a broken one.

    Raises:
        SetupError: if this Python cannot, or the folder is something else.
    """
    if sys.version_info < (3, 10):  # noqa: UP036 - this script runs before pip can check
        raise SetupError(
            f"Python {sys.version.split()[0]} is too old; run `make setup PYTHON=python3.11`"
        )
    try:
        import ensurepip  # noqa: F401
        import venv as _  # noqa: F401
    except ImportError:
        raise SetupError(
            "this Python cannot make virtual environments; run "
            "`apt-get install python3-venv` (as root) and then make again"
        ) from None
    if venv.is_symlink() or venv.is_file():
        venv.unlink()
    elif venv.is_dir():
        if any(venv.iterdir()) and not ((venv / "pyvenv.cfg").is_file() or (venv / "bin").is_dir()):
            raise SetupError(f"{venv} exists but is no virtual environment; move it away")
        shutil.rmtree(venv)
    say(f"making {venv} from Python {sys.version.split()[0]}")
    if call(sys.executable, "-m", "venv", venv).returncode:
        raise SetupError(f"`python -m venv {venv}` failed; is the disk full or not writable?")

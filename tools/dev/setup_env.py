"""Make or repair ./.venv: PyTorch, then negas with its extras. Called by ``make setup``.

Uses the standard library only. Environment: TORCH (requirement), TORCH_INDEX_URL (its index),
CONSTRAINTS (versions of all else; empty: the newest). A stamp holds what was installed; when it
fits and no installed file is missing, nothing is done.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STAMP = "negas-setup.json"
OPENCV = ("opencv-python", "opencv-python-headless")
PROBE = """
import sys
from negas import compat
from negas.compat import startup
assert startup.Extension in sys.meta_path, "negas-startup.pth is not in site-packages"
compat.install()
import mmdet, mmyolo, pycocotools.mask, safetensors, transformers
"""
ROOT = Path(__file__).resolve().parents[2]
CONSTRAINTS = Path("tools/dev/constraints.txt")
# of an environment of its own: Gradio pins Pillow
APP, APP_CONSTRAINTS = "lite,app", Path("tools/dev/constraints_app.txt")
FROZEN = "# Versions beside PyTorch of the extras {}, by `make constraints` with Python {}.{}.\n"
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
# Runs inside the venv, with the extras: all that negas needs, but PyTorch and what it alone needs,
# which other versions of it pin otherwise.
FREEZE = """
import sys
from importlib import metadata
from pip._vendor.packaging.requirements import Requirement
todo = [("negas", extra) for extra in ("", *sys.argv[1].split(","))]
todo += [("opencv-python-headless", "")]
found = set(todo)
while todo:
    name, extra = todo.pop()
    try:
        needs = metadata.requires(name) or ()
    except metadata.PackageNotFoundError:  # one of the OpenCVs
        found.discard((name, extra))
        continue
    for need in map(Requirement, needs):
        applies = need.marker is None or need.marker.evaluate({"extra": extra})
        if applies and need.name != "torch":
            new = {(need.name, wanted) for wanted in ("", *need.extras)} - found
            found |= new
            todo += new
for name in {name for name, _ in found} - {"negas"}:
    print(f"{metadata.metadata(name)['Name']}=={metadata.version(name)}")
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


def reinstall_damaged(python: Path, torch_index: list[str]) -> None:
    """Reinstall distributions whose files are missing."""
    for name, version, gone, no_record, folder in inspect(python):
        if no_record or not name:
            # pip can neither uninstall nor believe it: forget it, it is installed anew below.
            say(f"removing remains of {name or folder}")
            shutil.rmtree(folder, ignore_errors=True)
        elif gone and name == "negas":
            continue  # installed anew in any case
        elif gone:
            say(f"files of {name} {version} are missing: reinstalling it")
            index = torch_index if name == "torch" else []
            wanted = f"{name}=={version}"
            pip(python, "install", "--force-reinstall", "--no-deps", *index, wanted)


def chosen_constraints() -> list[str]:
    """Options of pip for the versions, of CONSTRAINTS or the list of the repository.

    Raises:
        SetupError: there is no such list.
    """
    named = os.environ.get("CONSTRAINTS")
    path = ROOT / (CONSTRAINTS if named is None else named)
    if named == "":
        return []
    if not path.is_file():
        raise SetupError(f"{path} does not exist; `make setup CONSTRAINTS=` does without")
    if named is None and sys.version_info < frozen_with(path.read_text(encoding="utf-8")):
        say(f"{CONSTRAINTS} was made with a newer Python: taking the newest versions for this one")
        return []
    return ["-c", str(path)]


def frozen_with(text: str) -> tuple[int, ...]:
    """The Python that a list of constraints was made with, from its first line."""
    return tuple(map(int, text.splitlines()[0].split()[-1].rstrip(".").split(".")))


def renew(extras: str, path: Path = CONSTRAINTS) -> None:
    """Write constraints anew: the versions that a fresh environment gets today.

    Args:
        extras: of negas.
        path: of the list, in the repository.

    Raises:
        SetupError: with one sentence.
    """
    os.environ["CONSTRAINTS"] = ""
    with tempfile.TemporaryDirectory() as folder:
        python = setup(Path(folder) / "venv", extras)
        done = call(python, "-I", "-c", FREEZE, extras, quiet=True)
        if done.returncode:
            raise SetupError(f"cannot list the versions: {done.stderr.strip()[-200:]}")
    lines = set(done.stdout.splitlines())
    for line in done.stdout.splitlines():
        name, _, version = line.partition("==")
        if name in OPENCV:  # set-up chooses between the two, which are released together
            lines |= {f"{other}=={version}" for other in OPENCV}
    head = FROZEN.format(extras.replace(",", ", "), *sys.version_info)
    text = head + "\n".join(sorted(lines, key=str.lower)) + "\n"
    (ROOT / path).write_text(text, encoding="utf-8")
    say(f"{path}: {len(lines)} versions")


def keep_one_opencv(python: Path, constraints: list[str]) -> bool:
    """Leave one OpenCV that imports: the headless build where the desktop one lacks libGL.so.1.

    Returns:
        whether the headless build is in use.
    """
    names = {row[0] for row in inspect(python)}
    both = names.issuperset(OPENCV)  # pip adds the desktop one again, over the headless one
    if both or call(python, "-c", "import cv2", quiet=True).returncode:
        say("two OpenCVs" if both else "OpenCV's desktop build does not import here (no libGL?)")
        pip(python, "uninstall", "-y", *names.intersection(OPENCV))
        pip(python, "install", *constraints, "opencv-python-headless<5")
        return True
    return OPENCV[1] in names


def check(python: Path, headless: bool) -> None:
    """Ask pip and the imports whether all is well.

    Raises:
        SetupError: if not.
    """
    lines = call(python, "-m", "pip", "check", quiet=True).stdout.splitlines()
    known = ("No broken requirements",) if not headless else ("No broken requirements", "opencv-")
    troubles = [line for line in lines if not any(part in line for part in known)]
    if troubles:
        raise SetupError(f"pip check reports: {'; '.join(troubles[:3])}")
    probe = call(python, "-W", "ignore", "-c", PROBE, quiet=True)
    if probe.returncode:
        raise SetupError(
            f"installed, but importing fails: {probe.stderr.strip().splitlines()[-1]}; "
            f"`{python} -m negas.doctor` names the fix"
        )


def setup(venv: Path, extras: str) -> Path:
    """Bring the venv into the wanted state, or do nothing if it is.

    Returns:
        its interpreter.

    Raises:
        SetupError: with one sentence.
    """
    start = time.time()
    torch = os.environ.get("TORCH") or "torch"
    index = os.environ.get("TORCH_INDEX_URL") or ""
    torch_index = ["--index-url", index] if index else []
    constraints = chosen_constraints()
    files = ["pyproject.toml", "setup.py", "negas/compat/negas-startup.pth", __file__]
    key = hashlib.sha256()
    for part in (torch, index, extras, str(ROOT), str(venv)):
        key.update(part.encode() + b"\0")
    for file in files + constraints[1:]:
        key.update((ROOT / file).read_bytes())
    wanted = key.hexdigest()

    python, stamp = venv / "bin" / "python", venv / STAMP
    alive = works(python)
    if alive and stamp.is_file() and stamp.read_text() == wanted:
        if not any(row[2] for row in inspect(python)):
            say(f"{venv} is complete ({time.time() - start:.1f} s)")
            return python
    stamp.unlink(missing_ok=True)
    if not alive:
        create(venv)
    reinstall_damaged(python, torch_index)
    names = {row[0] for row in inspect(python)}
    if "mmcv" in names and "mmcv-lite" not in names:
        say("a full mmcv is installed: keeping it")
        extras = extras.replace("lite", "mm")
    if "torch" not in names and not index and not shutil.which("nvidia-smi"):
        say("no NVIDIA driver seen; a smaller CPU build of PyTorch comes with "
            "TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu make setup")  # fmt: skip
    pip(python, "install", *torch_index, torch)
    pip(python, "install", *constraints, "-e", f".[{extras}]")
    check(python, keep_one_opencv(python, constraints))
    stamp.write_text(wanted)
    say(f"{venv} is ready ({time.time() - start:.0f} s)")
    return python


def main() -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, default=Path(".venv"), metavar="DIR")
    parser.add_argument("--extras", default="lite,dev", help="extras of negas to install")
    parser.add_argument("--renew", action="store_true", help=f"write {CONSTRAINTS} anew instead")
    options = parser.parse_args()
    try:
        if options.renew:
            renew(options.extras)
            renew(APP, APP_CONSTRAINTS)
        else:
            setup(Path(os.path.abspath(options.venv)), options.extras)
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup: interrupted; run again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

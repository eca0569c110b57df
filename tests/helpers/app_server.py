"""The app in a process of its own, with Gradio, which the tests' environment cannot hold."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .yolo_world import ROOT

LISTS = [ROOT / f"tools/dev/{name}.txt" for name in ("constraints_app", "constraints")]


def app_packages() -> Path:
    """A folder with what the app needs beside or in place of the environment's packages.

    It is made once, in the clone's ``.cache``, with the versions of ``constraints_app.txt``.
    """
    wanted, there = ({*path.read_text().splitlines()[1:]} for path in LISTS)
    pins = sorted(wanted - there)
    key = hashlib.sha256("\n".join([sys.version, *pins]).encode()).hexdigest()[:12]
    folder = ROOT / ".cache" / f"app-{key}"
    folder.parent.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        if not folder.is_dir():
            part = Path(tempfile.mkdtemp(prefix="part-", dir=folder.parent))
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
            subprocess.run([*pip, "--target", part, *pins], check=True)
            part.rename(folder)
    return folder


class AppServer:
    """``negas app`` at a free port of this machine.

    Attributes:
        address: of the page.
    """

    def __init__(self, *arguments: object, cwd: Path) -> None:
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "NEGAS_"))}
        keep |= dict(PYTHONPATH=os.pathsep.join([str(app_packages()), str(ROOT)]))
        keep |= dict(OMP_NUM_THREADS="1", PYTHONUNBUFFERED="1")
        self._log = tempfile.TemporaryFile("w+")
        command = [sys.executable, "-m", "negas", "app", *arguments, "--port", "0"]
        self._process = subprocess.Popen(
            list(map(str, command)), cwd=cwd, env=keep, stdout=self._log, stderr=self._log
        )
        while not (found := re.search(r"the app is at (\S+)", self.log)):
            if self._process.poll() is not None:
                raise RuntimeError(f"the app has ended: {self.log}")
            try:
                self._process.wait(0.5)
            except subprocess.TimeoutExpired:
                continue
        self.address = found[1]

    @property
    def log(self) -> str:
        """What it has printed."""
        self._log.seek(0)
        return self._log.read()

    def __enter__(self) -> AppServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(60)
        self._log.close()


def copy_scene(split: str, folder: Path, number: int = 1) -> Path:
    """A scene of EmojiWorld under another name."""
    source = ROOT / f"data/emoji_world/scenes/{split}/{number:06d}.png"
    return Path(shutil.copyfile(source, folder / f"{split}_{number}.png"))

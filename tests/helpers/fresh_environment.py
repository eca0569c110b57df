"""An environment with some packages and no others, without a network; and a wheel for it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:  # yapf brings it along there
    import tomli as tomllib

import pytest
from packaging.requirements import Requirement

from .yolo_world import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def plain_name(distribution: str) -> str:
    """``PyYAML`` and ``pyyaml`` are one."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def requirements(*extras: str) -> list[Requirement]:
    """What ``pip install '.[EXTRAS]'`` asks for, those of extras in extras too."""
    found: list[Requirement] = []
    lists = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][e] for e in extras)]
    for requirement in (Requirement(text) for each in lists for text in each):
        if requirement.name == PROJECT["name"]:
            found += requirements(*requirement.extras)
        else:
            found.append(requirement)
    return found


def required(*extras: str) -> set[str]:
    """Names of the distributions among :func:`requirements`."""
    return {plain_name(requirement.name) for requirement in requirements(*extras)}


def with_dependencies(names: set[str]) -> set[str]:
    """The installed distributions among them, and all that these need in turn."""
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # of another platform
            found.discard(name)
            continue
        for need in map(Requirement, needs):
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                todo.append(plain_name(need.name))
    return found


class FreshEnvironment:
    """A virtual environment that links to the packages of the running one.

    Args:
        folder: of it.
        *extras: of negas, whose packages are in it.
        names: distributions in place of negas' own, with what these need.

    Attributes:
        names: distributions in it.
        seconds: that a command may take.
    """

    seconds = 240

    def __init__(self, folder: Path, *extras: str, names: Iterable[str] = ()) -> None:
        self.folder, self._path = folder, str(ROOT)
        self.names = with_dependencies(set(names) or required(*extras))
        venv.create(folder, with_pip=False, symlinks=True)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self._packages = folder / "lib" / version / "site-packages"
        for name in self.names:
            distribution = metadata.distribution(name)
            tops = {file.parts[0] for file in distribution.files if ".." not in file.parts}
            for top in tops - {"__pycache__"}:
                place = self._packages / top
                if not place.exists():
                    place.symlink_to(distribution.locate_file(top))

    def install(self, wheel: Path) -> None:
        """Put a wheel of negas in it, which is then used in place of the repository."""
        pip = [sys.executable, "-m", "pip", "--python", self.folder / "bin" / "python"]
        own = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        command = [*pip, "install", "--quiet", "--no-deps", "--no-index", wheel]
        subprocess.run(command, check=True, env=own)  # a negas on that path would be enough for pip
        self._path = ""

    def run(self, *command: object, cwd: Path) -> subprocess.CompletedProcess:
        """Python in it, with negas from the repository, or its wheel."""
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "NEGAS_"))}
        settings = dict(PYTHONPATH=self._path, PYTHONNOUSERSITE="1", OMP_NUM_THREADS="1")
        settings["PYTHONDONTWRITEBYTECODE"] = "1"
        return subprocess.run(
            [self.folder / "bin" / "python", *map(str, command)],
            cwd=cwd,
            env=keep | settings,
            capture_output=True,
            text=True,
            timeout=self.seconds,
            check=False,
        )


SOURCES = "negas configs tools data/labels data/wordnet data/emoji_world".split()
FILES = "setup.py pyproject.toml README.md LICENSE".split()
FILES += ["data/README.md", "data/published_owodb.csv"]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """Of the repository, with a file beside its data that must not be in it."""
    root, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    skip = shutil.ignore_patterns("__pycache__", "scenes", "scenes_*", "*.egg-info")
    for name in SOURCES:
        shutil.copytree(ROOT / name, root / name, ignore=skip)
    for name in FILES:
        shutil.copyfile(ROOT / name, root / name)
    (root / "data/VOC").mkdir()
    (root / "data/VOC/secret.jpg").write_text("the user's own")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--no-index", "-w", out, root], check=True)
    return next(out.glob("*.whl"))

"""tools/dist_train.sh: which Python it starts, and what it hands on."""

import os
import shutil
import subprocess

import pytest

from tests.helpers.yolo_world import ROOT


def program(path, name):
    """A stand-in for Python that says its name and its arguments."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\necho {name} "$@"\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def start(tmp_path):
    """The script in a tree with ./.venv, and another ``python`` on the path."""
    script = tmp_path / "tools/dist_train.sh"
    script.parent.mkdir()
    shutil.copy(ROOT / "tools/dist_train.sh", script)
    program(tmp_path / ".venv/bin/python", "venv")
    program(tmp_path / "bin/python", "path")

    def call(*args, **env):
        base = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
        return subprocess.run(
            ["bash", script, *args], env=base | env, capture_output=True, text=True, check=False
        )

    return call


@pytest.mark.parametrize(
    ("env", "name"),
    [
        (dict(), "venv"),
        (dict(VIRTUAL_ENV="/somewhere"), "path"),
        (dict(CONDA_PREFIX="/somewhere"), "path"),
    ],
)
def test_the_active_environment_comes_before_the_projects(start, env, name):
    done = start("config.py", "4", "--amp", **env)
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    assert words[0] == name
    assert "--nproc_per_node=4" in words
    assert words[-4:] == ["config.py", "--launcher", "pytorch", "--amp"]


def test_a_given_python_wins(start, tmp_path):
    mine = program(tmp_path / "mine", "mine")
    assert start("config.py", "2", PYTHON=str(mine)).stdout.startswith("mine ")


def test_without_the_projects_environment_python_is_taken_from_the_path(start, tmp_path):
    shutil.rmtree(tmp_path / ".venv")
    assert start("config.py", "2").stdout.startswith("path ")


def test_usage(start):
    done = start("config.py")
    assert done.returncode == 2 and "usage" in done.stderr

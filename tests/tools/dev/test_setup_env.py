import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import setup_env as script
from packaging.requirements import Requirement

from tests.helpers.fresh_environment import plain_name, requirements

ROOT = Path(__file__).parents[3]


@pytest.fixture
def pip_calls(monkeypatch):
    calls = []
    monkeypatch.setattr(script, "pip", lambda python, *arguments: calls.append(arguments))
    return calls


def test_damaged_packages_are_installed_anew(pip_calls, monkeypatch, tmp_path):
    rest = tmp_path / "half-1.dist-info"
    rest.mkdir()
    rows = [
        ("torch", "2.13.0", True, False, ""),
        ("numpy", "2.0", False, False, ""),
        ("rich", "15.0", True, False, ""),
        ("negas", "0.1.0", True, False, ""),
        ("half", "1", True, True, str(rest)),
    ]
    monkeypatch.setattr(script, "inspect", lambda python: rows)
    script.reinstall_damaged(Path("python"), ["--index-url", "URL"])
    install = ("install", "--force-reinstall", "--no-deps")
    assert pip_calls == [
        (*install, "--index-url", "URL", "torch==2.13.0"),
        (*install, "rich==15.0"),
    ]
    assert not rest.exists()


def fake_world(monkeypatch, names, alive=True):
    monkeypatch.setattr(script, "works", lambda python: alive)
    monkeypatch.setattr(
        script, "inspect", lambda python: [(name, "1", False, False, "") for name in names]
    )
    monkeypatch.setattr(script, "create", lambda venv: venv.mkdir(exist_ok=True))
    monkeypatch.setattr(script, "keep_one_opencv", lambda python, constraints: False)
    monkeypatch.setattr(script, "check", lambda python, headless: None)


@pytest.mark.parametrize(
    ("names", "extras"),
    [([], "lite,dev"), (["mmcv-lite"], "lite,dev"), (["mmcv"], "mm,dev")],
)
def test_a_full_mmcv_is_kept(pip_calls, monkeypatch, tmp_path, names, extras):
    fake_world(monkeypatch, names)
    monkeypatch.setenv("TORCH", "torch==2.4.1")
    monkeypatch.setenv("TORCH_INDEX_URL", "https://index")
    script.setup(tmp_path, "lite,dev")
    assert pip_calls == [
        ("install", "--index-url", "https://index", "torch==2.4.1"),
        ("install", "-c", str(ROOT / script.CONSTRAINTS), "-e", f".[{extras}]"),
    ]


def test_what_the_project_names_is_pinned_in_its_range():
    lines = (ROOT / script.CONSTRAINTS).read_text().splitlines()[1:]
    pinned = [Requirement(line) for line in lines]
    versions = {plain_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pinned}
    assert len(versions) == len(lines) > 100 and all(map(Requirement, lines))
    wanted = [need for need in requirements("lite", "dev", "mm") if need.name != "torch"]
    assert len(wanted) > 30
    for need in wanted:
        assert need.specifier.contains(versions[plain_name(need.name)]), need
    assert not versions.keys() & {"torch", "negas", "sympy", "torchvision"}
    assert len({versions[name] for name in script.OPENCV}) == 1


def test_the_newest_versions_where_they_are_asked_for_or_python_is_older(monkeypatch, tmp_path):
    assert script.chosen_constraints() == ["-c", str(ROOT / script.CONSTRAINTS)]
    mine = tmp_path / "mine.txt"
    monkeypatch.setenv("CONSTRAINTS", str(mine))
    with pytest.raises(script.SetupError, match="mine.txt does not exist"):
        script.chosen_constraints()
    mine.touch()
    assert script.chosen_constraints() == ["-c", str(mine)]
    monkeypatch.setenv("CONSTRAINTS", "")
    assert script.chosen_constraints() == []
    monkeypatch.delenv("CONSTRAINTS")
    monkeypatch.setattr(sys, "version_info", (3, 10, 12))
    assert script.chosen_constraints() == []


def test_constraints_are_renewed_from_a_fresh_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("CONSTRAINTS", "old.txt")
    monkeypatch.setattr(script, "ROOT", tmp_path)
    (tmp_path / script.CONSTRAINTS.parent).mkdir(parents=True)
    asked = []

    def setup(venv, extras):
        asked.append((venv.exists(), os.environ["CONSTRAINTS"]))
        return Path(sys.executable)

    monkeypatch.setattr(script, "setup", setup)
    script.renew("report", script.APP_CONSTRAINTS)
    lines = (tmp_path / script.APP_CONSTRAINTS).read_text().splitlines()
    assert script.frozen_with(lines[0]) == sys.version_info[:2]
    names = {line.partition("==")[0].lower() for line in lines[1:]}
    assert {"numpy", "jinja2", "referencing", "markdown-it-py"} <= names
    assert not names & {"torch", "sympy", "negas", "transformers", "pip"}
    assert f"numpy=={np.__version__}" in lines
    assert asked == [(False, "")] and not (tmp_path / script.CONSTRAINTS).exists()


def test_the_app_shares_the_versions_of_all_that_it_does_not_pin():
    """So its tests install only what the environment of all others lacks."""
    lists = [
        dict(line.split("==") for line in (ROOT / path).read_text().splitlines()[1:])
        for path in (script.CONSTRAINTS, script.APP_CONSTRAINTS)
    ]
    both = set(lists[0]) & set(lists[1])
    assert {name for name in both if lists[0][name] != lists[1][name]} == {"pillow"}


def test_a_complete_environment_is_left_alone_until_something_changes(
    pip_calls, monkeypatch, tmp_path
):
    fake_world(monkeypatch, ["torch"])
    monkeypatch.setenv("TORCH", "torch==2.4.1")
    script.setup(tmp_path, "dev")
    done = len(pip_calls)
    script.setup(tmp_path, "dev")
    assert len(pip_calls) == done
    monkeypatch.setenv("TORCH", "torch==2.4.2")
    script.setup(tmp_path, "dev")
    assert len(pip_calls) == 2 * done


def test_the_stamp_is_gone_while_work_is_under_way(monkeypatch, tmp_path):
    fake_world(monkeypatch, ["torch"], alive=False)
    (tmp_path / script.STAMP).write_text("old")

    def fail(python, *arguments):
        raise script.SetupError("no network")

    monkeypatch.setattr(script, "pip", fail)
    with pytest.raises(script.SetupError, match="no network"):
        script.setup(tmp_path, "dev")
    assert not (tmp_path / script.STAMP).exists()


def test_a_folder_that_is_no_venv_is_not_deleted(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    command = [sys.executable, str(ROOT / "tools/dev/setup_env.py"), "--venv", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "is no virtual environment; move it away" in done.stderr.splitlines()[-1]
    assert (tmp_path / "thesis.tex").exists()


def test_missing_venv_module_names_the_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(script.SetupError, match="apt-get install python3-venv"):
        script.create(tmp_path / "venv")


@pytest.mark.parametrize(
    ("names", "imports", "headless"),
    [
        (["opencv-python"], True, False),
        (["opencv-python-headless"], True, True),
        (["opencv-python"], False, True),
        (["opencv-python", "opencv-python-headless"], True, True),
    ],
)
def test_one_opencv_that_imports_is_left(pip_calls, monkeypatch, names, imports, headless):
    done = subprocess.CompletedProcess([], int(not imports), "", "libGL.so.1")
    monkeypatch.setattr(script, "call", lambda *command, quiet=False: done)
    monkeypatch.setattr(
        script, "inspect", lambda python: [(name, "4", False, False, "") for name in names]
    )
    assert script.keep_one_opencv(Path("python"), ["-c", "x.txt"]) is headless
    if imports and len(names) == 1:
        assert pip_calls == []
    else:
        assert pip_calls[0][:2] == ("uninstall", "-y") and set(pip_calls[0][2:]) == set(names)
        assert pip_calls[1:] == [("install", "-c", "x.txt", "opencv-python-headless<5")]


def test_files_that_are_missing_are_seen(monkeypatch, tmp_path):
    tools = script
    info = tmp_path / "toy-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1\n")
    (info / "RECORD").write_text("toy.py,,\ntoy-1.dist-info/METADATA,,\n__pycache__/toy.pyc,,\n")

    def seen():
        path = f"import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p] + " \
               f"[{str(tmp_path)!r}]\n"  # fmt: skip
        monkeypatch.setattr(tools, "INSPECT", path + INSPECT)
        return script.inspect(Path(sys.executable))

    INSPECT = tools.INSPECT
    assert seen()[0][:4] == ("toy", "1", True, False)
    (tmp_path / "toy.py").touch()
    assert seen()[0][:4] == ("toy", "1", False, False)
    os.remove(info / "RECORD")
    assert seen()[0][:4] == ("toy", "1", True, True)

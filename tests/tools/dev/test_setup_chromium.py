"""The browser for the tests: found, installed as root, or asked for in one sentence."""

import subprocess

import pytest
import setup_chromium as module


@pytest.fixture
def script(monkeypatch, tmp_path):
    """The script on a machine whose PATH is an empty folder, with apt-get's calls recorded."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("NEGAS_CHROMIUM", raising=False)
    monkeypatch.setattr(module, "asked", [], raising=False)

    def run(command, **options):
        if command != module.INSTALL:
            return real(command, **options)
        module.asked.append(options["env"]["DEBIAN_FRONTEND"])
        if module.works:
            program(tmp_path / "chromium")
        return subprocess.CompletedProcess(command, 0 if module.works else 100, "", "E: no network")

    real = subprocess.run
    monkeypatch.setattr(module, "works", True, raising=False)
    monkeypatch.setattr(module.subprocess, "run", run)
    return module


def program(path, code=0):
    path.write_text(f"#!/bin/sh\nexit {code}\n")
    path.chmod(0o755)
    return path


def become(script, monkeypatch, root):
    monkeypatch.setattr(script.os, "geteuid", lambda: 0 if root else 1000)


def test_one_that_starts_is_left_alone(script, tmp_path, monkeypatch, capsys):
    program(tmp_path / "chromium", code=1)  # a stub
    other = program(tmp_path / "google-chrome")
    assert script.find_chromium() == str(other)
    assert script.main() == 0 and not script.asked
    monkeypatch.setenv("NEGAS_CHROMIUM", str(program(tmp_path / "mine")))
    assert script.find_chromium() == str(tmp_path / "mine")
    assert capsys.readouterr() == ("", "")


def test_root_installs_a_missing_one(script, tmp_path, monkeypatch):
    become(script, monkeypatch, root=True)
    program(tmp_path / "apt-get")
    assert script.main() == 0 and script.asked == ["noninteractive"]


@pytest.mark.parametrize(("root", "apt"), [(False, True), (True, False)])
def test_others_are_told_the_command(script, tmp_path, monkeypatch, capsys, root, apt):
    become(script, monkeypatch, root)
    if apt:
        program(tmp_path / "apt-get")
    assert script.main() == 1 and not script.asked
    error = capsys.readouterr().err
    assert script.INSTALL in error and len(error.splitlines()) == 1


def test_a_failed_installation_is_told(script, tmp_path, monkeypatch, capsys):
    become(script, monkeypatch, root=True)
    program(tmp_path / "apt-get")
    script.works = False
    assert script.main() == 1 and len(script.asked) == 1
    error = capsys.readouterr().err
    assert "E: no network" in error and script.INSTALL in error

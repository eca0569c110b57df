"""tools/export.py and tools/verify_export.py: what is wrong is said before anything is built."""

import runpy
import sys

import pytest

from negas.compat.extras import missing_extra
from tests.helpers.shipped_emoji import CONFIG, WEIGHTS
from tests.helpers.yolo_world import ROOT


def run(monkeypatch, tool, *arguments):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [f"{tool}.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / "tools" / f"{tool}.py"), run_name="__main__")
    return end.value.code


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "model.bin"], "--out: the name must end in .onnx or .pt2, got 'model.bin'"),
        (["--out", "model.pt2", "--mode", "open"], "--mode open writes ONNX files"),
        (["--size", "160"], "--size: give a width and a height in pixels"),
        (["--size", "0", "160"], "--size must be at least 1, got 0"),
        (["--score-thr", "1.5"], "--score-thr must lie in [0, 1], got 1.5"),
        (["--out", "m.pt2", "--unknown=common"], "--unknown: unknown objects are not in a .pt2"),
        (["--unknown=none", "--unknown-thr", "0.5"], "--unknown=none finds no unknown objects"),
        (["--mode", "half"], "invalid choice: 'half'"),
    ],
)
def test_options_of_export(monkeypatch, capsys, arguments, said):
    assert run(monkeypatch, "export", CONFIG, WEIGHTS, *arguments) == 2
    assert said in capsys.readouterr().err


def test_a_file_of_somebody_else_stays(monkeypatch, capsys, tmp_path):
    other = tmp_path / "model.onnx"
    other.write_text("mine")
    assert run(monkeypatch, "export", CONFIG, WEIGHTS, "--out", other) == 2
    assert "exists and is no earlier result of this command" in capsys.readouterr().err
    assert other.read_text() == "mine"


def test_verification_wants_an_exported_file(monkeypatch, capsys, tmp_path):
    assert run(monkeypatch, "verify_export", tmp_path / "no.onnx", CONFIG, WEIGHTS) == 2
    assert "does not exist; make it with negas export" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_names_the_extra(monkeypatch, name):
    monkeypatch.setattr("negas.compat.extras.find_spec", lambda _: None)
    error = ModuleNotFoundError(f"No module named {name!r}", name=name)
    assert "the extra 'export': pip install \"negas[export]\"" in missing_extra(error)

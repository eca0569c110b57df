import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from negas import doctor
from negas.compat import versions


@pytest.fixture
def world(monkeypatch):
    """Pretend installed distributions, and answers of child processes by module name."""
    state = SimpleNamespace(installed={}, answers={})

    def probe(code, timeout=0):
        for word, answer in state.answers.items():
            if word in code:
                return answer
        raise AssertionError(f"unexpected probe: {code}")

    monkeypatch.setattr(
        doctor,
        "installed",
        lambda name: state.installed.get(name) or state.installed.get(versions.FORKS.get(name)),
    )
    monkeypatch.setattr(doctor, "exactly", state.installed.get)
    monkeypatch.setattr(doctor, "probe", probe)
    return state


@pytest.mark.parametrize(
    ("older", "newer"),
    [("2.0.0rc4", "2.0.0"), ("2.0.0", "2.0.1+cu118"), ("2.9", "2.13.0"), ("80.10.2", "81")],
)
def test_versions_are_ordered(older, newer):
    assert versions.parse(older) < versions.parse(newer)
    assert versions.parse("2.1") == versions.parse("2.1.0+cpu")


@pytest.mark.parametrize(
    ("packages", "status", "word"),
    [
        ({"mmcv-lite": "2.0.1"}, "ok", "mmcv-lite 2.0.1"),
        ({"mmcv": "2.0.1"}, "ok", "mmcv 2.0.1"),
        ({"mmcv": "2.0.1", "mmcv-lite": "2.0.1"}, "broken", "overwrite"),
        ({"mmcv": "2.2.0"}, "ok", "mmcv 2.2.0"),
        ({"mmcv": "3.0.0"}, "broken", "not below 3.0.0"),
        ({"mmcv": "1.7.0"}, "broken", "older than"),
        ({}, "broken", "neither"),
    ],
)
def test_mmcv(world, packages, status, word):
    world.installed.update(packages)
    finding = doctor.check_mmcv()
    assert finding.status == status and word in finding.value
    assert bool(finding.fix) == (status == "broken")


@pytest.mark.parametrize(
    ("packages", "found"),
    [
        ({}, []),
        ({"onedl-mmengine": "0.10.12"}, [("onedl-mmengine", "ok")]),
        ({"onedl-mmdetection": "3.5.1"}, [("onedl-mmdetection", "warn")]),
        ({"onedl-mmcv": "2.3.6", "mmcv-lite": "2.0.1"}, [("onedl-mmcv", "broken")]),
        ({"onedl-mmengine": "1", "mmengine": "1"}, [("onedl-mmengine", "broken")]),
    ],
)
def test_forks(world, packages, found):
    world.installed.update(packages)
    findings = doctor.check_forks()
    assert [(each.name, each.status) for each in findings] == found


def test_a_fork_counts_as_what_it_replaces(monkeypatch):
    has = {"onedl-mmcv": "2.3.6"}
    monkeypatch.setattr(versions, "exactly", has.get)
    assert versions.installed("mmcv") == "2.3.6" and versions.installed("mmdet") is None
    assert versions.installed("onedl-mmcv") == "2.3.6" and versions.installed("torch") is None


@pytest.mark.parametrize(
    ("version", "status"), [(None, "warn"), ("0.6.0", "ok"), ("0.5", "broken")]
)
def test_mmyolo_is_for_yolo_world_alone(world, version, status):
    world.installed["mmyolo"] = version
    finding = doctor.check_mmyolo()
    assert finding.status == status and bool(finding.fix) == (status != "ok")


@pytest.mark.parametrize(
    ("packages", "answer", "status"),
    [
        ({"mmcv": "2.0.1"}, (True, "compiled"), "ok"),
        ({"mmcv-lite": "2.0.1"}, (True, "stand-in"), "stand-in"),
        ({"mmcv": "2.0.1"}, (True, "stand-in"), "warn"),
        ({"onedl-mmcv": "2.3.6"}, (True, "stand-in"), "stand-in"),
        ({}, (False, "ImportError: mmcv"), "broken"),
    ],
)
def test_ops(world, packages, answer, status):
    world.installed.update(packages)
    world.answers["mmcv_ext"] = answer
    assert doctor.check_ops().status == status


@pytest.mark.parametrize(
    ("packages", "answer", "status", "fix"),
    [
        ({"opencv-python": "4.14"}, (True, "4.14.0"), "ok", ""),
        (
            {"opencv-python": "4.14", "opencv-python-headless": "4.14"},
            (True, "4.14.0"),
            "warn",
            "pip uninstall -y opencv-python opencv-python-headless && pip install",
        ),
        ({"opencv-python": "5.0"}, (True, "5.0.0"), "warn", "opencv-python-headless<5"),
        ({"opencv-python": "4.14"}, (False, "libGL.so.1"), "broken", "opencv-python-headless<5"),
        ({}, (False, "No module named 'cv2'"), "broken", "pip install"),
    ],
)
def test_opencv(world, packages, answer, status, fix):
    world.installed.update(packages)
    world.answers["cv2"] = answer
    finding = doctor.check_opencv()
    assert finding.status == status
    assert fix in finding.fix and bool(fix) == bool(finding.fix)


@pytest.mark.parametrize(
    ("packages", "answer", "status"),
    [
        ({}, (False, "ModuleNotFoundError: No module named 'torchvision'"), "ok"),
        ({"torchvision": "0.28"}, (True, "0.28"), "ok"),
        (
            {"torchvision": "0.28"},
            (False, "RuntimeError: operator torchvision::nms does not exist"),
            "broken",
        ),
    ],
)
def test_torchvision(world, packages, answer, status):
    world.installed.update(packages)
    world.answers["torchvision"] = answer
    finding = doctor.check_torchvision()
    assert finding.status == status
    assert finding.fix == ("pip uninstall -y torchvision" if status == "broken" else "")


@pytest.mark.parametrize(
    ("version", "status"), [("80.9.0", "ok"), ("81.0.0", "warn"), (None, "warn")]
)
def test_setuptools(world, version, status):
    world.installed["setuptools"] = version
    assert doctor.check_setuptools().status == status


@pytest.mark.parametrize(
    ("version", "status"), [("2.13.0+cpu", "ok"), ("2.0.1", "broken"), (None, "broken")]
)
def test_gates(world, version, status):
    world.installed["torch"] = version
    finding = doctor.check_gate(versions.REQUIRED[0])
    assert finding.status == status
    assert bool(finding.fix) == (status == "broken")


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ((True, "CUDA 12.4, H200"), "ok"),
        ((True, "none (CPU build of torch)"), "ok"),
        ((True, "none (torch built for CUDA 12.4)"), "warn"),
        ((False, "OSError: libcudart"), "broken"),
    ],
)
def test_cuda(world, answer, status):
    world.answers["torch"] = answer
    assert doctor.check_cuda().status == status


def test_disk(tmp_path):
    assert doctor.check_disk(tmp_path, 0).status == "ok"
    assert doctor.check_disk(tmp_path, 1e9).status == "warn"


def test_emoji_world(tmp_path):
    assert doctor.check_emoji_world(tmp_path / "none")[0].status == "warn"
    (tmp_path / "scenes" / "annotations").mkdir(parents=True)
    (tmp_path / "scenes" / "annotations" / "id_test.json").touch()
    (tmp_path / "atlas-noto.webp").touch()
    statuses = {f.name.split()[1]: f.status for f in doctor.check_emoji_world(tmp_path)}
    assert statuses == dict(glyphs="ok", weights="warn", scenes="ok")


def test_probe_survives_what_it_runs():
    assert doctor.probe("print('noise'); print(42)") == (True, "42")
    assert doctor.probe("raise RuntimeError('bang')") == (False, "RuntimeError: bang")
    assert doctor.probe("import os; os._exit(3)") == (False, "exit code 3")
    assert doctor.probe("import time; time.sleep(9)", timeout=0.2) == (False, "no answer in 0 s")


@pytest.mark.parametrize(
    ("status", "code"), [("ok", 0), ("warn", 0), ("stand-in", 0), ("broken", 1)]
)
def test_exit_code_and_output(monkeypatch, capsys, status, code):
    finding = doctor.Finding("thing", status, "value", 'pip install "negas[lite]"')
    monkeypatch.setattr(doctor, "examine", lambda: [finding])
    assert doctor.main(["--json"]) == code
    assert json.loads(capsys.readouterr().out) == [
        dict(name="thing", status=status, value="value", fix='pip install "negas[lite]"')
    ]
    assert doctor.main([]) == code
    assert "negas[lite]" in capsys.readouterr().out


def test_a_reader_that_leaves_early_is_no_error():
    """``doctor --json | head -1``: no traceback, also not when Python ends."""
    code = (
        "import sys; from negas import doctor; from negas.interrupts import until_reader_leaves; "
        "doctor.examine = lambda: [doctor.Finding('a', 'ok', 'b' * 99)] * 9999; "
        "sys.exit(until_reader_leaves(lambda: doctor.main(['--json'])))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "[\n"
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait(timeout=60) == 141


@pytest.mark.slow
def test_this_environment_is_not_broken():
    findings = {finding.name: finding for finding in doctor.examine()}
    assert findings["torch"].status == "ok"
    assert findings["mmcv ops"].status in ("ok", "stand-in", "warn")
    assert findings["negas.register"].status == "ok", findings["negas.register"]

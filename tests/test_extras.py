"""Each package is in the extra that needs it; scoring and reporting need no detector's packages."""

import sys

import pytest

from negas.cli import user_errors
from negas.compat.extras import EXTRA_OF, missing_extra
from tests.helpers.fake_runs import fake_run
from tests.helpers.fresh_environment import FreshEnvironment, required
from tests.helpers.yolo_world import ROOT
from tests.test_architecture import FILES, TOOLS, imported, relative, room_of, run_code

CORE = {"torch", "numpy", "pycocotools"}
DISTRIBUTION = {"PIL": "pillow", "cv2": "opencv-python", "yaml": "pyyaml", "mmcv": "mmcv-lite"}
DISTRIBUTION |= {"huggingface_hub": "huggingface-hub"}
ASKED_FOR = {"pandas"}  # by who calls Run.to_pandas, who has it
OF_CORE = {"scores", "metrics", "records", "boxes", "files", "coco_json", "token_labels", "options"}
TOOLS_OF_USERS = [path for path in TOOLS if path.parent.name == "tools"]


def packages(path):
    """Third-party packages that a file imports, anywhere in it."""
    names = {name.partition(".")[0] for name, _ in imported(path)}
    return names - {"negas", *sys.stdlib_module_names}


def test_every_package_is_a_dependency_or_in_an_extra():
    found = {path: packages(path) for path in [*FILES, *TOOLS_OF_USERS]}
    known = CORE | ASKED_FOR | set(EXTRA_OF)
    assert {relative(path): more - known for path, more in found.items() if more - known} == {}
    core = {path: more - CORE for path, more in found.items() if room_of_core(path)}
    assert {relative(path): more for path, more in core.items() if more} == {}


def room_of_core(path):
    return path in FILES and room_of(path) in OF_CORE


def test_the_project_lists_them_there():
    assert required() == CORE
    for name, extra in EXTRA_OF.items():
        assert DISTRIBUTION.get(name, name) in required(extra), (name, extra)
    assert required("mm") == required("lite") - {"mmcv-lite"}
    assert not any(name.startswith("mm") for name in required("image", "llm"))


def test_a_missing_extra_is_one_sentence(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.setattr(sys, "argv", ["tool"])

    @user_errors
    def main():
        import jinja2  # noqa: F401

    assert main() == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0] == (
        "error: this needs jinja2, which is not installed; it comes with the extra 'report': "
        'pip install "negas[report]"'
    )


def test_other_failed_imports_are_told_as_they_are():
    assert missing_extra(ImportError("cannot import name 'x'", name="numpy")) is None
    assert missing_extra(ModuleNotFoundError("No module named 'mmcv._ext'", name="mmcv._ext")) is (
        None
    )
    assert missing_extra(ValueError("x")) is None


BLOCKED = """
import contextlib, io, runpy, sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

blocked = set(sys.argv[1].split())
sys.meta_path.insert(0, Block())
folder, root = sys.argv[2:4]
for command in (
    f"score {folder}/negas --scores negs --bootstrap 5 --open-set --out {folder}/scores",
    f"report {folder}/negas {folder}/coop --brief",
    f"compare {folder}/negas {folder}/scores --published voc",
    f"html_report {folder}/negas --pictures 1",
):
    sys.argv = [f"{root}/tools/{command.split()[0]}.py", *command.split()[1:]]
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
        runpy.run_path(sys.argv[0], run_name="__main__")
    assert len(said.getvalue()) > 50, command
print(sorted(blocked & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    fake_run(folder / "coop", "coop_tiny.py", 0, use_nega=False)
    fake_run(folder / "negas", "negas_tiny.py", 1)
    return folder


@pytest.mark.slow
def test_scoring_and_reporting_load_nothing_of_a_detector(runs):
    blocked = {name for name, extra in EXTRA_OF.items() if extra != "report"}
    blocked |= {"sklearn", "scipy", "torchvision"}
    assert {"mmengine", "mmcv", "mmdet", "mmyolo", "transformers", "cv2"} <= blocked
    assert run_code(BLOCKED, " ".join(blocked), runs, ROOT).strip() == "[]"
    assert (runs / "negas" / "report.html").stat().st_size > 50_000


@pytest.mark.slow
def test_the_extra_is_enough_for_scoring_and_reporting(runs, tmp_path):
    fresh = FreshEnvironment(tmp_path / "venv", "report")
    assert not fresh.names & {"mmengine", "mmdet", "transformers", "scikit-learn", "opencv-python"}
    for name in ("mmengine", "transformers", "sklearn", "cv2"):
        assert fresh.run("-c", f"import {name}", cwd=tmp_path).returncode == 1
    for command in (
        ["score", runs / "negas", "--bootstrap", "5", "--out", tmp_path / "scores"],
        ["report", runs / "negas", runs / "coop", "--out", tmp_path],
        ["compare", runs / "negas", tmp_path / "scores", "--published", "voc"],
        ["html_report", runs / "negas", "--show-dir", tmp_path / "shown"],
    ):
        tool, *arguments = command
        done = fresh.run(ROOT / "tools" / f"{tool}.py", *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "negas" in done.stdout or "written" in done.stdout
    assert len(list((tmp_path / "shown" / "near").iterdir())) == 12
    done = fresh.run(ROOT / "tools" / "train.py", "x.py", cwd=tmp_path)
    assert done.returncode == 2 and 'pip install "negas[lite]"' in done.stderr.splitlines()[0]


@pytest.mark.slow
def test_scores_and_metrics_run_with_the_core(tmp_path):
    fresh = FreshEnvironment(tmp_path / "venv")
    code = """
import numpy as np
from negas.metrics import ood_metrics
from negas.records import BoxRecords
from negas.scores import get_score
values = get_score("negs")(np.array([[2.0, 0.0], [1.0, 3.0]]), np.array([[0.0], [-1.0]]))
print(ood_metrics(values, [0.0]).auroc)
import negas.labels
"""
    done = fresh.run("-c", code, cwd=tmp_path)
    assert done.stdout.strip() == "1.0", done.stderr
    assert "No module named 'tqdm'" in done.stderr

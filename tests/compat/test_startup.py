"""mmdet and mmyolo import as they are: negas-startup.pth and what it puts in place."""

import shutil
import subprocess
import sys
import zipfile

import pytest

from tests.helpers.commands import run_command
from tests.helpers.tiny_coco import EMOJI, EMOJI_GROUNDING_DINO, emoji_project
from tests.helpers.yolo_world import ROOT

PTH = "negas-startup.pth"
HERE = ROOT / "negas/compat"
START = f"import site; site.addpackage({str(HERE)!r}, {PTH!r}, None); "
GATED = """
import mmcv
assert mmcv.__version__.startswith("2.0"), f"MMCV=={mmcv.__version__} is used but incompatible"
"""


def said_by(code, folder, path=ROOT):
    """What a new process prints that starts as Python does where negas is installed."""
    done = run_command(sys.executable, "-c", START + code, cwd=folder, PYTHONPATH=str(path))
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("version", "fine"), [("2.0.1", True), ("2.1.0", True), ("2.2.0", True), ("2.3.6", True),
                          ("1.7.0", False), ("3.0.0", False)],
)  # fmt: skip
def test_only_needless_asserts_are_lifted(tmp_path, version, fine):
    for name, text in (("mmcv", f"__version__ = {version!r}"), ("mmdet", GATED), ("mmyolo", GATED)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(text)
    code = (
        "import sys; sys.path.insert(0, '.'); import mmcv, mmyolo, mmdet; "
        "loaders = {type(each.__spec__.loader).__name__ for each in (mmdet, mmyolo)}; "
        "print(mmcv.__version__, *loaders)"
    )
    said = said_by(code, tmp_path)
    assert said == (
        f"{version} SourceFileLoader" if fine else f"AssertionError: MMCV=={version} is used but "
        "incompatible"
    )  # fmt: skip


def test_a_compiled_extension_is_found_before_the_stand_in(tmp_path):
    (tmp_path / "mmcv").mkdir()
    (tmp_path / "mmcv/__init__.py").touch()
    (tmp_path / "mmcv/_ext.py").write_text("def nms(): pass")
    code = "import sys; sys.path.insert(0, '.'); import mmcv._ext as e; print(e.__file__[-7:])"
    assert said_by(code, tmp_path) == "_ext.py"


def test_starting_python_imports_nothing(tmp_path):
    heavy = "{'torch', 'numpy', 'importlib.metadata', 'negas.compat.mmcv_ext', 'negas.cli'}"
    said = said_by(f"import sys; print({heavy} & set(sys.modules), 'negas' in sys.modules)", "/")
    assert said == "set() True"


def test_where_negas_is_gone_python_starts_all_the_same(tmp_path):
    shutil.copy(HERE / PTH, tmp_path)
    code = f"import site; site.addsitedir({str(tmp_path)!r}); print('started')"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True, env={}
    )
    assert (done.stdout, done.stderr) == ("started\n", "")


@pytest.mark.slow
def test_wheels_and_editable_installs_bring_the_file(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "negas", source / "negas", ignore=shutil.ignore_patterns("__pycache__"))
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    alone = ("--no-deps", "--no-build-isolation", "--no-index")
    done = run_command(*pip, "wheel", *alone, "-w", tmp_path, source, cwd=tmp_path, PYTHONPATH="")
    assert done.returncode == 0, done.stderr
    assert PTH in zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    site = tmp_path / "site"
    into = ("install", *alone, "--target", site, "-e", source)
    done = run_command(*pip, *into, cwd=tmp_path, PYTHONPATH="")
    assert done.returncode == 0, done.stderr
    assert (site / PTH).read_text() == (HERE / PTH).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("version", ["2.0.1", "2.1.0", "2.2.0"])
def test_the_stack_imports_with_another_version_of_mmcv(tmp_path, version):
    code = (
        f"import mmcv; mmcv.__version__ = {version!r}; import mmdet.apis, mmyolo.models; "
        "import negas.register, torch; from mmcv.ops import nms; box = torch.ones(1, 4); "
        "print(mmcv.__version__, nms(box, torch.ones(1), 0.5)[1].tolist())"
    )
    assert said_by(code, tmp_path).splitlines()[-1] == f"{version} [0]"


RUN = """
import os, runpy, sys, mmdet
sys.argv[0] = os.path.join(os.path.dirname(mmdet.__file__), ".mim/tools", sys.argv[1])
del sys.argv[1]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.parametrize("base", [EMOJI, EMOJI_GROUNDING_DINO])
def test_commands_of_mmdetection_take_our_configs(tmp_path, base):
    config = emoji_project(tmp_path, count=2, base=base)

    def call(tool, *given):
        command = (sys.executable, "-c", START + RUN, f"{tool}.py", config, *given)
        done = run_command(*command, cwd=ROOT)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    call("test", tmp_path / "base.pth", "--work-dir", tmp_path / "work")
    assert (tmp_path / "work/ood_results.json").is_file()
    call("analysis_tools/browse_dataset", "--output-dir", tmp_path / "seen", "--not-show")
    assert len(list((tmp_path / "seen").iterdir())) == 2
    if base == EMOJI:  # torch.jit does not trace MMDetection's Grounding DINO
        said = call("analysis_tools/get_flops", "--num-images", 1)
        assert "Flops: " in said and "Params: " in said

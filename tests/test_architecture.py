"""The shape of the code: who may import whom, what stays light, how many files a room holds."""

import ast
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "negas"
PURE = {
    "coco_json",
    "options",
    "from_detectors",
    "scores",
    "metrics",
    "labels",
    "embeddings",
    "records",
    "token_labels",
    "boxes",
    "files",
    "pictures",
    "predictions",
    "runtime",
    "text",
    "unknown",
}
# Imports point downwards: a room may import its own level (without a circle) and lower ones.
LEVELS = [
    {"text", "interrupts", "command_line", "shipped"},
    {
        "boxes",
        "records",
        "from_detectors",
        "token_labels",
        "compat",
        "files",
        "cli",
        "options",
        "coco_json",
        "weights",
    },
    {"scores", "metrics", "pictures", "unknown"},
    {"embeddings"},
    {"labels"},
    {"models", "datasets", "visualization", "predictions"},
    {"runtime"},
    {"engine", "evaluation", "image_level"},
    {"register"},
    {"reports"},
    {"experiments"},
    {"apis", "doctor"},
    {"export", "app"},
]
ONLY = {  # rooms with a shorter list than their level gives
    "text": set(),
    "command_line": set(),
    "interrupts": set(),
    "shipped": set(),
    "compat": {"weights"},
    "weights": {"files", "shipped"},
    "boxes": set(),
    "records": {"files", "from_detectors", "token_labels"},
    "from_detectors": {"coco_json", "files"},
    "token_labels": set(),
    "files": set(),
    "pictures": set(),
    "coco_json": set(),
    "cli": {"command_line", "compat", "files", "interrupts", "options", "shipped"},
    "options": {"command_line", "files"},
    "scores": {"boxes", "records"},
    "unknown": {"boxes", "metrics", "options", "text"},
    "predictions": {"coco_json", "files", "metrics", "unknown"},
    "runtime": {"labels", "pictures", "predictions"},  # and no PyTorch: tests/runtime
    "visualization": {
        *("boxes", "coco_json", "compat", "files", "pictures", "records", "scores", "metrics"),
        "unknown",
    },
}
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
TOP = len(LEVELS)  # any other module of the package: imports what it likes, imported by none below
FILES = sorted(PACKAGE.rglob("*.py"))
TOOLS = sorted((ROOT / "tools").rglob("*.py"))


def relative(path):
    return path.relative_to(ROOT).as_posix()


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path):
    """Full names of all modules a file imports, anywhere in it, with line numbers."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = path.relative_to(ROOT).with_suffix("").parts[: -node.level]
                base = ".".join([*package, *([base] if base else [])])
            yield base, node.lineno
            if base == "negas":  # `from negas import scores` names a room
                yield from ((f"negas.{alias.name}", node.lineno) for alias in node.names)


def rooms_imported(path):
    for name, line in imported(path):
        parts = name.split(".")
        if parts[0] == "negas" and len(parts) > 1 and not parts[1].startswith("__"):
            yield parts[1], line


def test_pure_rooms_import_no_mm():
    found = [
        f"{relative(path)}:{line} imports {name}"
        for path in FILES
        if room_of(path) in PURE
        for name, line in imported(path)
        if name.startswith("mm")
    ]
    assert found == []


def test_nothing_imports_torchvision():
    """The stand-in for mmcv's ops tries it, by name, where it is needed."""
    found = [
        f"{relative(path)}:{line}"
        for path in [*FILES, *TOOLS]
        for name, line in imported(path)
        if name.split(".")[0] == "torchvision"
    ]
    assert found == []


def test_pure_rooms_import_transformers_only_inside_functions():
    found = []
    for path in (path for path in FILES if room_of(path) in PURE):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [relative(path) for name in names if name.split(".")[0] == "transformers"]
    assert found == []


def test_imports_point_downwards():
    found = []
    for path in FILES:
        room = room_of(path)
        for other, line in rooms_imported(path):
            if other in (room, "text"):  # the leaf that all messages need
                continue
            allowed = LEVEL.get(other, TOP) <= LEVEL.get(room, TOP)
            if room in ONLY:
                allowed = other in ONLY[room]
            if not allowed:
                found.append(f"{relative(path)}:{line}: {room} must not import {other}")
    assert found == []


def test_rooms_import_each_other_in_one_direction_only():
    edges = {(room_of(path), other) for path in FILES for other, _ in rooms_imported(path)}
    circles = sorted((a, b) for a, b in edges if a < b and (b, a) in edges)
    assert circles == []


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_no_modules_import_each_other_in_a_circle_types_included():
    files = {module_of(path): path for path in FILES}
    edges = {
        name: {other for other, _ in imported(path) if other in files} - {name}
        for name, path in files.items()
    }
    before = None
    while edges != before:  # take away what imports nothing that is left
        before = edges
        edges = {name: others & set(edges) for name, others in edges.items() if others}
    assert sorted(edges) == []


def test_the_package_itself_imports_nothing():
    assert list(imported(PACKAGE / "__init__.py")) == []


def test_no_room_holds_more_files_than_a_glance_takes_in():
    rooms = {path.parent for path in FILES}
    counts = {relative(room): len(list(room.glob("*.py"))) for room in rooms}
    counts["negas"] -= 1  # __main__, which is there for Python
    assert {room: count for room, count in counts.items() if count > 16} == {}
    assert counts["negas/apis"] <= 9


SUBPROCESS = """
import sys

PACKAGES = ("transformers", "cv2", "sklearn", "scipy", "ijson", "openai")

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"mmengine", "mmcv", "mmdet", "mmyolo", "torchvision", *PACKAGES}:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Block())
import negas
heavy = {"torch", "numpy", "sklearn", "transformers"} & set(sys.modules)
assert not heavy, f"import negas imports {heavy}"
for room in sys.argv[1:]:
    __import__(f"negas.{room}")
print(negas.__version__)
"""


def run_code(code, *arguments):
    """What a new process prints that runs the code from the root."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# what tools/{score,report,compare,html_report}.py stand on
OFFLINE = "evaluation.write_run evaluation.rescore reports.scores reports.methods reports.compare"
OFFLINE += " reports.html.report reports.object_list experiments.tables"


def test_pure_rooms_and_reports_work_without_mm_and_import_negas_is_light():
    present = sorted({room_of(path) for path in FILES} & PURE)
    assert {"scores", "metrics", "records", "boxes", "labels"} <= set(present)
    said = run_code(SUBPROCESS, *present, *OFFLINE.split())
    assert said.strip().count(".") == 2


HELP = """
import contextlib, io, runpy, sys

heavy = {"torch", "mmengine", "mmcv", "mmdet", "cv2", "PIL", "transformers", "pycocotools"}
for tool in sys.argv[1:]:
    sys.argv = [tool, "--help"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        runpy.run_path(tool, run_name="__main__")
    assert not heavy & set(sys.modules), f"{tool} --help imports {heavy & set(sys.modules)}"
"""


def test_help_of_commands_without_a_detector_is_there_at_once():
    names = "audit_labels compare html_report image_ood import_run mine_labels prepare_data"
    names += " render_results report score"
    tools = [str(ROOT / "tools" / f"{name}.py") for name in names.split()]
    run_code(HELP, *tools)

"""``negas doctor``: what is installed, what is stood in for, what is broken, the fix.

Looks at metadata first and imports only in child processes, so that a broken package cannot take
the report down. Exit code 1 if something is broken.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from negas.command_line import CommandLine
from negas.compat import versions
from negas.compat.versions import Gate, exactly, installed
from negas.interrupts import until_reader_leaves
from negas.shipped import HOME, RESTORE
from negas.text import counted, plain_console

OK, STAND_IN, WARN, BROKEN = "ok", "stand-in", "warn", "broken"
OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python",
          "opencv-contrib-python-headless")  # fmt: skip


DRAWN = Path("data/emoji_world")  # scenes of who has no clone, in the working directory


@dataclass(frozen=True)
class Finding:
    """One line of the report; ``fix`` is empty when there is nothing to do."""

    name: str
    status: str
    value: str
    fix: str = ""


def probe(code: str, timeout: float = 120) -> tuple[bool, str]:
    """Run Python code in a child process.

    Returns:
        (whether it succeeded, last line of what it printed: its error when it failed).
    """
    command = [sys.executable, "-W", "ignore", "-c", code]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return False, f"no answer in {timeout:.0f} s"
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return done.returncode == 0, lines[-1][:200] if lines else f"exit code {done.returncode}"


def check_python() -> Finding:
    """Python version and platform."""
    value = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if versions.parse(platform.python_version()) < versions.parse("3.10"):
        return Finding("python", BROKEN, value, "make clean; make setup PYTHON=python3.11")
    return Finding("python", OK, value)


def check_gate(gate: Gate) -> Finding:
    """Presence and range of one distribution."""
    version = installed(gate.distribution)
    if version is None:
        return Finding(gate.distribution, BROKEN, "not installed", gate.fix)
    problem = gate.problem(version)
    if problem:
        return Finding(gate.distribution, BROKEN, problem, gate.fix)
    return Finding(gate.distribution, OK, version)


def check_mmyolo() -> Finding:
    """Needed by YOLO-World alone."""
    if installed("mmyolo") is None:
        value = "not installed: Grounding DINO works, YOLO-World does not"
        return Finding("mmyolo", WARN, value, "pip install mmyolo==0.6.0")
    return check_gate(versions.MMYOLO)


def check_forks() -> list[Finding]:
    """The maintained forks, which lie in the folders of the packages that they replace."""
    findings = []
    for package, fork in versions.FORKS.items():
        version = exactly(fork)
        if version is None:
            continue
        both = [name for name in (package, f"{package}-lite") if exactly(name)]
        if both:
            value = f"{fork} and {both[0]} share one folder and overwrite each other"
            fix = f"pip uninstall -y {fork} {both[0]}, then install the one you want"
            findings.append(Finding(fork, BROKEN, value, fix))
        elif package == "mmdet":
            value = f"{version}: YOLO-World works, Grounding DINO may not (it says so)"
            findings.append(Finding(fork, WARN, value, "pip install mmdet==3.3.0 in its place"))
        else:
            findings.append(Finding(fork, OK, version))
    return findings


def check_cuda() -> Finding:
    """Whether torch sees a GPU."""
    good, said = probe(
        "import torch; c = torch.cuda; print(f'CUDA {torch.version.cuda}, {c.get_device_name()}' "
        "if c.is_available() else f'none (torch built for CUDA {torch.version.cuda})' "
        "if torch.version.cuda else 'none (CPU build of torch)')"
    )
    if not good:
        return Finding("cuda", BROKEN, said, "reinstall torch: docs/install.md")
    if said.startswith("none (torch built"):
        return Finding("cuda", WARN, said, "fine on CPU; else check the driver with nvidia-smi")
    return Finding("cuda", OK, said)


def check_mmcv() -> Finding:
    """One of mmcv and mmcv-lite, of a version that works."""
    full, lite = installed("mmcv"), installed("mmcv-lite")
    if full and lite:
        return Finding(
            "mmcv",
            BROKEN,
            f"mmcv {full} and mmcv-lite {lite} share one folder and overwrite each other",
            "pip uninstall -y mmcv mmcv-lite, then install the one you want",
        )
    if not full and not lite:
        return Finding("mmcv", BROKEN, "neither mmcv nor mmcv-lite is installed", versions.LITE)
    name = "mmcv" if full else "mmcv-lite"
    problem = versions.MMCV.problem(full or lite)
    if problem:
        return Finding("mmcv", BROKEN, f"{name} {problem}", versions.MMCV.fix)
    return Finding("mmcv", OK, f"{name} {full or lite}")


def check_ops() -> Finding:
    """Compiled ops, the stand-in, or neither."""
    good, said = probe(
        "from negas.compat import mmcv_ext; print('stand-in' if mmcv_ext.install() else 'compiled')"
    )
    if not good:
        return Finding("mmcv ops", BROKEN, said, "see the lines on mmcv, mmengine and opencv")
    if said == "compiled":
        return Finding("mmcv ops", OK, "compiled extension")
    if exactly("mmcv"):  # its fork may come without any
        return Finding(
            "mmcv ops",
            WARN,
            "stand-in: the compiled extension of mmcv does not fit this torch",
            "reinstall mmcv for this torch, or use mmcv-lite==2.0.1",
        )
    return Finding("mmcv ops", STAND_IN, "nms and ms_deform_attn in NumPy/PyTorch")


def check_opencv() -> Finding:
    """One OpenCV distribution that can be imported."""
    found = {name: installed(name) for name in OPENCV if installed(name)}
    listed = ", ".join(f"{name} {version}" for name, version in found.items()) or "not installed"
    remove = f"pip uninstall -y {' '.join(found)} && " if found else ""
    fix = f"{remove}pip install 'opencv-python-headless<5'"
    good, said = probe("import cv2; print(cv2.__version__)")
    if not good:
        return Finding("opencv", BROKEN, f"{listed}: {said}", fix)
    if len(found) > 1:
        return Finding("opencv", WARN, f"{listed} overwrite each other", fix)
    if versions.parse(said) >= versions.parse("5"):
        return Finding("opencv", WARN, f"{listed}: 5 is little tested", fix)
    return Finding("opencv", OK, listed if found else said)


def check_setuptools() -> Finding:
    """pkg_resources, which MMEngine needs for ``mmdet::`` base configs."""
    version = installed("setuptools")
    fix = "pip install 'setuptools<81' (needed only for configs with `mmdet::` bases)"
    if version is None:
        return Finding("setuptools", WARN, "not installed, so no pkg_resources", fix)
    if versions.parse(version) >= versions.parse("81"):
        return Finding("setuptools", WARN, f"{version}: pkg_resources deprecated or gone", fix)
    return Finding("setuptools", OK, version)


def check_torchvision() -> Finding:
    """Absent and working are both fine; present but broken takes transformers' models down."""
    version = installed("torchvision")
    good, said = probe("import torchvision; print(torchvision.__version__)")
    if good:
        return Finding("torchvision", OK, f"{said} (its nms is used where mmcv has none)")
    if version is None and "ModuleNotFoundError: No module named 'torchvision'" in said:
        return Finding("torchvision", OK, "absent (not needed)")
    return Finding(
        "torchvision",
        BROKEN,
        f"{version} does not import ({said}); transformers and MMEngine trip over it",
        "pip uninstall -y torchvision",
    )


def check_imports() -> Finding:
    """Whether every registered module of negas can be imported."""
    good, said = probe("import negas.register; print('negas.register imports')")
    fix = "fix the broken lines above, then run this again"
    return Finding("negas.register", OK if good else BROKEN, said, "" if good else fix)


def check_disk(folder: Path, needed_gb: float = 1.0) -> Finding:
    """Free space where work_dirs will be written."""
    free = shutil.disk_usage(folder).free / 2**30
    if free < needed_gb:
        return Finding("disk", WARN, f"{free:.1f} GB free at {folder}", "make room: 1 GB is used")
    return Finding("disk", OK, f"{free:.1f} GB free")


def check_emoji_world(folder: Path) -> list[Finding]:
    """The built-in benchmark: glyphs and weights (shipped), scenes (generated)."""
    if not folder.is_dir():
        return [Finding("EmojiWorld", WARN, f"{folder} not found", RESTORE)]
    findings = []
    for name, pattern, fix in (
        ("glyphs", "atlas*.webp", RESTORE),
        ("weights", "**/*.safetensors", RESTORE),
        ("scenes", "scenes/annotations/*.json", "negas emoji-world"),
    ):
        hits = [*folder.glob(pattern)]
        if name == "scenes" and not hits:
            hits = [*DRAWN.glob(pattern)]
        count = counted(len(hits), "file")
        status = OK if hits else WARN
        findings.append(Finding(f"EmojiWorld {name}", status, count, "" if hits else fix))
    return findings


def examine(root: Path | None = None) -> list[Finding]:
    """All findings; ``root`` is the clone (default: what is shipped)."""
    root = root or HOME
    findings = [check_python(), *map(check_gate, versions.REQUIRED)]
    findings += [check_cuda(), check_mmcv(), check_ops(), *map(check_gate, versions.MM)]
    findings += [check_mmyolo(), *check_forks()]
    findings += [check_opencv(), check_setuptools(), check_torchvision(), check_imports()]
    findings.append(check_disk(Path.cwd()))
    return findings + check_emoji_world(root / "data" / "emoji_world")


def is_broken(findings: Iterable[Finding]) -> bool:
    """Whether any finding stops negas from working."""
    return any(finding.status == BROKEN for finding in findings)


def print_table(findings: Iterable[Finding]) -> None:
    """Print with rich; as plain lines where rich is what is missing."""
    try:
        from rich.table import Table
    except ImportError:
        for finding in findings:
            print(f"{finding.status:9}{finding.name}: {finding.value}  {finding.fix}".rstrip())
        return
    from rich.text import Text

    table = Table("", "status", "found", "fix", title="negas doctor", title_justify="left")
    for finding in findings:
        # Text, not str: rich would read `.[lite]` as markup.
        table.add_row(finding.name, finding.status, Text(finding.value), Text(finding.fix))
    plain_console().print(table)


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = CommandLine(prog="negas doctor", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    options = parser.parse_args(arguments)
    findings = examine()
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        print_table(findings)
    return int(is_broken(findings))


if __name__ == "__main__":
    sys.exit(until_reader_leaves(main))

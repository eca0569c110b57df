"""``negas COMMAND``: the commands of ``tools/`` under one name, from any folder."""

from __future__ import annotations

import ast
import os
import re
import sys
from difflib import get_close_matches
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from textwrap import fill

from negas import __version__
from negas.interrupts import quiet_interrupt, until_reader_leaves
from negas.shipped import HOME

DOCTOR = "doctor"
#: heading -> command -> its file in ``tools/``; the doctor is a module
GROUPS = {
    "Start": {"demo": "demo", DOCTOR: "", "download": "download", "prepare": "prepare_data"},
    "Detectors": {
        "train": "train",
        "test": "test",
        "calibrate": "calibrate",
        "infer": "infer",
        "app": "app",
        "export": "export",
        "verify-export": "verify_export",
        "attention": "show_attention",
        "fiftyone": "to_fiftyone",
    },
    "Finished tests": {
        "score": "score",
        "report": "report",
        "html-report": "html_report",
        "compare": "compare",
        "import-run": "import_run",
    },
    "Negative labels": {
        "mine": "mine_labels",
        "audit-labels": "audit_labels",
        "choose-num-labels": "choose_num_labels",
    },
    "Experiments": {
        "reproduce": "reproduce",
        "seeds": "run_seeds",
        "image": "image_ood",
        "emoji-world": "make_emoji_world",
    },
}


def commands() -> dict[str, Path]:
    """The file of each command."""
    package = Path(__file__).parent
    found = {
        name: HOME / "tools" / f"{tool}.py" if tool else package / f"{name}.py"
        for group in GROUPS.values()
        for name, tool in group.items()
    }
    return {name: path for name, path in found.items() if path.is_file()}


def summary(path: Path) -> str:
    """What a command does: the start of its docstring, without the example of a call."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    text = re.sub(r"^``[^`]*``: ", "", " ".join(text.partition("\n\n")[0].split()))
    text = re.split(r":? ``(?:python|negas) |(?<=[.?])\s", text)[0].removesuffix(".")
    return text[:1].upper() + text[1:]


def usage() -> str:
    """What ``negas --help`` prints."""
    files = commands()
    wide = max(map(len, files)) + 4
    lines = ["usage: negas COMMAND ...", "", "Out-of-distribution object detection."]
    for heading, group in GROUPS.items():
        lines += ["", f"{heading}:"]
        lines += [
            fill(
                summary(files[name]),
                79,
                initial_indent=f"  {name}".ljust(wide),
                subsequent_indent=" " * wide,
            )
            for name in group
            if name in files
        ]
    lines += ["", "`negas COMMAND --help` tells its options; `negas --version`, the version."]
    return "\n".join(lines)


def main() -> int:
    """Run a command; what it ends with is the exit code."""
    sys.excepthook = quiet_interrupt
    return until_reader_leaves(_main)


def _main() -> int:
    _complete()
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print(usage())
        return 0
    if name == "--version":
        print(f"negas {__version__}")
        return 0
    files = commands()
    if name not in files:
        near = get_close_matches(name, files, 1, 0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        print(
            f"error: there is no command {name!r}{hint} (`negas --help` has all)", file=sys.stderr
        )
        return 2
    run(name, files[name], sys.argv[2:])
    return 0


def run(name: str, path: Path, arguments: list[str]) -> None:
    """Run the file of a command as the program that it is; leaves by :class:`SystemExit`."""
    sys.argv = [f"negas {name}", *arguments]  # argparse shows the first; runpy would change it
    spec = spec_from_file_location("__main__", path)
    sys.modules["__main__"] = module = module_from_spec(spec)
    module.__spec__ = None  # as of a script: processes it starts find its file
    spec.loader.exec_module(module)


def _complete() -> None:
    """Answer the shell that asks how a line may go on; returns if none does."""
    if "_ARGCOMPLETE" not in os.environ:
        return
    # What follows is an answer: of the command, whose own parser knows its options.
    from argparse import ArgumentParser

    import argcomplete

    _, before, _, words, _ = argcomplete.split_line(
        os.environ["COMP_LINE"], int(os.environ["COMP_POINT"])
    )
    start = int(os.environ["_ARGCOMPLETE"])
    files = commands()
    if len(words) > start and words[start] in files:
        os.environ["_ARGCOMPLETE"] = str(start + 1)  # the words from there on are the command's
        run(words[start], files[words[start]], [])
    parser = ArgumentParser(prog="negas")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("command", choices=list(files))
    argcomplete.autocomplete(parser)


if __name__ == "__main__":
    sys.exit(main())

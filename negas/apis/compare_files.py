"""Result files of a comparison: finding, reading, and saying what their numbers depend on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from negas.evaluation.provenance import complete
from negas.evaluation.results import write_results
from negas.files import file_sha256, write_atomically
from negas.visualization.tables import Table, to_markdown

from .report_check import read_json
from .report_runs import RESULTS_FILE
from .score import KIND

SCORES_FILE = "ood_scores.json"


def describe_results(paths: Sequence[str | Path]) -> list[dict]:
    """What the numbers of results depend on, and all their rows.

    Args:
        paths: as :func:`~.compare.compare` takes them.

    Returns:
        One description with the sections of :data:`negas.evaluation.provenance.KEYS` per run; a
        file of ``tools/score.py`` has one for each of its dumps.
    """
    described = []
    for path in paths:
        file = result_file(Path(path))
        data = read_json(file)
        for each in data["dumps"] if data.get("kind") == KIND else [data]:
            described.append(complete(each) | dict(file=str(file), file_sha256=file_sha256(file)))
    return described


def write_comparison(out: str | Path, table: Table, paths: Sequence[str | Path]) -> None:
    """Write the table: Markdown, or with a name in ``.json`` also :func:`describe_results`."""
    if Path(out).suffix == ".json":
        data = dict(kind="negas comparison", table=asdict(table), results=describe_results(paths))
        write_results(Path(out), data)
    else:
        write_atomically(out, to_markdown(table))


def result_file(path: Path) -> Path:
    """The result file of a folder, or the file itself.

    Raises:
        FileNotFoundError: there is none, or the folder holds both kinds.
    """
    file = path
    if path.is_dir():
        files = [path / each for each in (RESULTS_FILE, SCORES_FILE) if (path / each).is_file()]
        if len(files) != 1:
            found = "both" if files else "none of them"
            raise FileNotFoundError(
                f"{path}: expected {RESULTS_FILE} or {SCORES_FILE} in this folder, found {found}; "
                "give the work dir of tools/test.py, the --out of tools/score.py, or a file"
            )
        file = files[0]
    if not file.is_file():
        raise FileNotFoundError(f"{path}: no such result; give a folder or file of results")
    return file

"""Finished test runs on disk: reading, grouping by method, scoring again at another cut."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from negas.evaluation.results import TEXT_FEATS_FILE, Bank, Evaluation, evaluate_run
from negas.metrics.coco import load_coco
from negas.records import BoxRecords

from .report_check import check_results, load_records, read_feats, read_json

RESULTS_FILE = "ood_results.json"
_NAMES = {"stock": "(stock)", "coop": "+ CoOp prompts", "negas": "+ NegAS"}
# Detectors by the start of a config's second part; YOLO-World goes without saying in tuned rows.
_DETECTORS = {"grounding-dino": "Grounding DINO", "mm-grounding-dino": "MM-Grounding-DINO"}
_FIRST = "YOLO-World"


@dataclass
class Run:
    """One test run: ``ood_results.json`` and the records beside it.

    Attributes:
        path: the run's work dir.
        results: content of ``ood_results.json``.
        rows: rows of all cuts; ``cut_kind`` tells them apart.
    """

    path: Path
    results: dict
    rows: list[dict] = field(default_factory=list)

    def __post_init__(self) -> None:
        # null: a number that does not exist, such as the AUROC of an empty set
        self.rows = [
            {key: float("nan") if value is None else value for key, value in row.items()}
            for row in self.results["rows"]
            if row["cut_kind"] == "own"
        ]

    @property
    def info(self) -> dict:
        """Config, checkpoint, seed and versions of the run."""
        return self.results["run"]

    @property
    def key(self) -> str:
        """Runs with the same key are seeds of one method."""
        return Path(self.info.get("config") or self.path.name).stem

    @property
    def role(self) -> str:
        """``stock``, ``coop`` or ``negas``, from what was trained."""
        if self.info.get("use_nega"):
            return "negas"
        return "coop" if self.info.get("prompt") else "stock"

    @property
    def cut(self) -> float:
        """The run's own confidence cut."""
        return float(self.results["cut"])

    @cached_property
    def records(self) -> dict[str, BoxRecords]:
        """Kept boxes by set.

        Raises:
            FileNotFoundError: the run has no records.
        """
        names = list(self.results["sets"])
        return {name: load_records(self.path / "records" / f"{name}.npz") for name in names}

    def truth(self, name: str) -> dict:
        """COCO dict of a set.

        Raises:
            FileNotFoundError: the annotation file is not where it was during the test.
        """
        ann_file = self.records[name].meta.get("ann_file", "")
        if not Path(ann_file).is_file():
            raise FileNotFoundError(
                f"{self.path}: the annotations {ann_file!r} of the set {name!r} do not exist; "
                "run this where the test ran, with the data in place"
            )
        return load_coco(ann_file).dataset

    def banks(self) -> list[Bank]:
        """Label banks of the run with their text embeddings.

        Raises:
            ValueError: the run has several banks or rotations but its records hold no embeddings,
                or the file of the text embeddings cannot be read.
        """
        path = self.path / "records" / TEXT_FEATS_FILE
        feats = read_feats(path) if path.is_file() else {}
        described = self.results["banks"]
        rescored = set(described) - {"own"} or self.results["settings"]["rotations"]
        if described and rescored and (not feats or self.records["id"].embeddings is None):
            raise ValueError(
                f"{self.path}: the records hold no embeddings, so its label banks cannot be scored "
                "at a shared cut; test again with model.test_cfg.keep_embeddings=True"
            )
        return [Bank(name, list(b["labels"]), feats.get(name)) for name, b in described.items()]

    def add_cut(self, kind: str, cut: float) -> None:
        """Score the records again at another confidence cut and add the rows.

        Raises:
            ValueError: the records do not reach down to the cut, or lack embeddings.
            FileNotFoundError: records or annotations are missing.
        """
        settings = self.results["settings"]
        if cut < settings["min_score"]:
            raise ValueError(
                f"{self.path}: the shared cut {cut:.4g} is below the least confidence in its "
                f"records ({settings['min_score']}); choose a higher cut, or test again with a "
                "lower test_evaluator.min_score"
            )
        # A cut that is the run's own gives the same rows: most of a report's time is saved.
        if np.float32(cut) == np.float32(self.cut):
            fixed = dict(cut_kind=kind, cut_rule="fixed", cut_source="fixed")
            for row in [row for row in self.rows if row["cut_kind"] == "own"]:
                preset = "matched" if row["protocol"] == "matched" else "fixed"
                self.rows.append(row | fixed | dict(preset=preset))
            return
        truths = {name: self.truth(name) for name in self.records if name != "cut"}
        evaluation = Evaluation(
            records=self.records,
            truths=truths,
            scores=[s if isinstance(s, str) else (s[0], s[1]) for s in settings["scores"]],
            protocols=settings["protocols"],
            cuts={kind: cut},
            banks=self.banks(),
            rotations=settings["rotations"],
            seed=settings["seed"],
        )
        self.rows += evaluate_run(evaluation)["rows"]


@dataclass
class Method:
    """Runs of one method that differ in the seed only."""

    name: str
    role: str
    runs: list[Run]

    @property
    def is_plain(self) -> bool:
        """Whether this is one of the three methods of the paper's table, not an ablation."""
        return self.name in _plain_names()


def load_run(path: str | Path) -> Run:
    """Read a work dir of ``tools/test.py``.

    Raises:
        FileNotFoundError: it has no results.
        ValueError: the results cannot be read or were written by an older version.
    """
    folder = Path(path)
    file = folder / RESULTS_FILE
    if not file.is_file():
        raise FileNotFoundError(
            f"{folder}: no {RESULTS_FILE} in this folder; give the work dir of tools/test.py"
        )
    results = read_json(file, "run tools/test.py again")
    check_results(file, results)
    return Run(folder, results)


def run_name(path: str | Path) -> str:
    """How tables call a run: the folder, with the one above where its own name says little."""
    parts = Path(path).resolve().parts
    telling = not re.fullmatch(r"records|seed[_-]?\d+", parts[-1])
    return "/".join(parts[-1 if telling else -2 :])


def display_name(run: Run) -> str:
    """The row label of a run's method, from its config's name: ``negas-no-mask_...`` and so on."""
    method, *model = run.key.split("_")[:2]
    head, *variant = method.split("-", 1)
    if head not in _NAMES:
        return run.key
    found = [name for start, name in _DETECTORS.items() if model and model[0].startswith(start)]
    name = _method(found[0] if found else _FIRST, head)
    return name + (f", {variant[0].replace('-', ' ')}" if variant else "")


def _method(detector: str, head: str) -> str:
    tuned = detector == _FIRST and head != "stock"
    return _NAMES[head] if tuned else f"{detector} {_NAMES[head]}"


def _plain_names() -> set[str]:
    return {
        _method(detector, head) for detector in (_FIRST, *_DETECTORS.values()) for head in _NAMES
    }


def group_runs(runs: Sequence[Run], names: Sequence[str] | None = None) -> list[Method]:
    """Methods in order of appearance; runs with one name (or config) are seeds of one method.

    Args:
        runs: all runs.
        names: one per run, instead of names made from the configs.

    Raises:
        ValueError: as many names as runs are needed; runs that cannot stand in one table.
    """
    if names is not None and len(names) != len(runs):
        raise ValueError(f"--names: expected {len(runs)} names, one per run, got {len(names)}")
    check_comparable(runs)
    groups: dict[str, list[Run]] = {}
    for i, run in enumerate(runs):
        groups.setdefault(names[i] if names else display_name(run), []).append(run)
    for name, members in groups.items():
        if len({run.role for run in members}) > 1:
            raise ValueError(f"the runs called {name!r} are of different methods; rename them")
    return [Method(name, members[0].role, members) for name, members in groups.items()]


def check_comparable(runs: Iterable[Run]) -> None:
    """Refuse to compare runs on other classes, sets or scores.

    Raises:
        ValueError: naming the two runs and what differs.
    """
    first, *others = list(runs)
    for run in others:
        for what, get in (
            ("ID class names", lambda r: r.info.get("class_names")),
            ("data sets", lambda r: [name for name in r.results["sets"] if name != "cut"]),
            ("protocols", lambda r: list(r.results["settings"]["protocols"])),
            (
                "numbers of images",
                lambda r: {n: s["images"] for n, s in r.results["sets"].items() if n != "cut"},
            ),
        ):
            if get(run) != get(first):
                raise ValueError(
                    f"{run.path} and {first.path} have different {what} ({_short(get(run))} and "
                    f"{_short(get(first))}), so one table cannot hold both"
                )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) < 80 else text[:77] + "..."

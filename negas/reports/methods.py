"""The tables of a report: methods, NegA x NegS, scores on the same boxes, label banks.

Finished test runs on disk: reading, grouping by method, scoring again at another cut.

The comparison of several test runs: terminal tables, ``report.md`` and ``report.json``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from negas.evaluation.provenance import complete, leaks_of, write_results
from negas.evaluation.rows import Evaluation, evaluate_run
from negas.evaluation.run import TEXT_FEATS_FILE, Bank, load_records, read_feats, read_results
from negas.files import write_atomically
from negas.metrics.coco import load_coco
from negas.records import BoxRecords

from .table import Column, Row, Section, Stat, Table, print_table, to_markdown

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
    return Run(Path(path), read_results(path))


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


SCORE_NAMES = {
    "max_sigmoid": "max sigmoid",
    "max_logit": "max logit",
    "msp": "MSP",
    "energy": "energy",
    "joint_energy": "JointEnergy",
    "mcm": "MCM",
    "neglabel": "NegLabel",
    "eoe": "EOE",
    "negs": "NegS",
    "negs_product": "NegS product",
}
PROTOCOLS = {
    "vos": "VOS protocol: every box over the cut is a sample",
    "matched": "matched protocol: boxes on annotated objects only",
}
CUTS = {
    "own": "confidence cut: each method's own",
    "shared": "one shared confidence cut",
}
MAP_NAMES = {  # three definitions that published tables mix
    "coco_ap": "ID AP",
    "coco_ap50": "ID AP50",
    "voc07_ap50": "ID AP50 (VOC07)",
}
CONTROLS = {"rotated": "rotated", "no_leaks": "without leaks"}
_NOTE = (
    "FPR95 (lower is better), AUROC, AP in percent; ID is the positive class. Best of each block "
    "in bold."
)
ROTATED = (
    "rotated: the bank's embeddings turned at random (same geometry, no meaning), mean of several "
    "draws; a gain that survives it is not semantic."
)
_LEAKS = "leaks: how many of the bank's negatives name a class of the OOD set, synonyms included."
NO_LEAKS = "without leaks: the same without these negatives; empty where there are none."


class Picker:
    """Numbers of methods for one protocol and one kind of cut."""

    def __init__(self, protocol: str, cut_kind: str, ood_sets: Sequence[str]) -> None:
        self.protocol, self.cut_kind, self.ood_sets = protocol, cut_kind, list(ood_sets)

    def values(self, method: Method, score: str, bank: str, control: str) -> dict[str, Stat] | None:
        """Numbers by column key, over the method's seeds; ``None`` if it was not scored so."""
        found: dict[str, list[float]] = {}
        for run in method.runs:
            for row in run.rows:
                wanted = (score, bank, control, self.protocol, self.cut_kind)
                keys = ("score", "bank", "control", "protocol", "cut_kind")
                if tuple(row[key] for key in keys) != wanted:
                    continue
                name = row["ood_set"]
                for key in ("fpr95", "auroc", "num_ood"):
                    found.setdefault(f"{name}/{key}", []).append(row[key])
                if name == self.ood_sets[0]:
                    found.setdefault("num_id", []).append(row["num_id"])
                    found.setdefault("cut", []).append(row["cut"])
                    for key in MAP_NAMES:
                        value = run.results["map"].get(key)
                        found.setdefault(key, []).append(math.nan if value is None else value)
        return {key: Stat.of(values) for key, values in found.items()} or None

    def rows(self, label: str, method: Method, score: str) -> list[Row]:
        """The row of a score; with negatives (the method's own bank) its controls, too.

        The controls are the number of negatives that name an OOD class, in the row itself, and
        below it the bank without these and the rotated bank, if the run has them.
        """
        if values := self.values(method, score, "none", "none"):
            return [Row(label, values)]
        values = self.values(method, score, "own", "none")
        if not values:
            return []
        named = leaks_of(method.runs[0].results["banks"]["own"])
        values |= {f"{name}/leaks": Stat(len(words)) for name, words in named.items()}
        rows = [Row(label, values)]
        if clean := self.values(method, score, "own", "no_leaks"):
            rows.append(Row(f"{label}, {CONTROLS['no_leaks']}", per_set(clean), control=True))
        if turned := self.values(method, score, "own", "rotated"):
            rows.append(Row(f"{label}, {CONTROLS['rotated']}", per_set(turned), control=True))
        return rows

    def columns(self) -> list[Column]:
        """FPR95 and AUROC of each OOD set, ID AP, counts."""
        columns = []
        for name in self.ood_sets:
            columns.append(Column(f"{name}/fpr95", f"{name} FPR95", "lower"))
            columns.append(Column(f"{name}/auroc", f"{name} AUROC", "higher"))
        columns += [Column(key, title, "higher") for key, title in MAP_NAMES.items()]
        columns.append(Column("cut", "cut", percent=False, digits=3))
        counts = tuple(f"{name}/num_ood" for name in self.ood_sets)
        title = "boxes " + "/".join(["ID", *self.ood_sets])
        columns.append(Column("num_id", title, percent=False, more=counts))
        leaks, *others = (f"{name}/leaks" for name in self.ood_sets)
        title = "leaks " + "/".join(self.ood_sets)
        columns.append(Column(leaks, title, percent=False, more=tuple(others)))
        return columns


def ood_sets_of(methods: Sequence[Method]) -> list[str]:
    """Names of the OOD sets, in the order of the test."""
    sets = methods[0].runs[0].results["sets"]
    return [name for name in sets if name not in ("id", "cut")]


def scores_of(method: Method) -> list[str]:
    """Names of the scores of a run, those without negatives first."""
    return list(dict.fromkeys(row["score"] for row in method.runs[0].rows))


def by_role(methods: Sequence[Method], role: str) -> Method | None:
    """The first method of a role; ablations come after the full method."""
    candidates = [method for method in methods if method.role == role]
    plain = [method for method in candidates if method.is_plain]
    return next(iter(plain + candidates), None)


def bank_label(method: Method, bank: str) -> str:
    """``llm`` for the own bank if its file is known, else the bank's name."""
    source = method.runs[0].info.get("neg_labels")
    if bank == "own" and source:
        return source.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".json") + " (own)"
    return bank


def seeds_note(methods: Sequence[Method]) -> str:
    """How many runs stand behind each number."""
    counts = {len(method.runs) for method in methods}
    if counts == {1}:
        return "One run per method: differences of a few points may be chance."
    parts = [f"{method.name}: {len(method.runs)}" for method in methods]
    return "Mean ± standard deviation over seeds. Runs: " + ", ".join(parts) + "."


def main_table(methods: Sequence[Method], protocol: str, cut_kind: str) -> Table:
    """Methods, the NegA x NegS square, and other scores on the same boxes."""
    pick = Picker(protocol, cut_kind, ood_sets_of(methods))
    coop, negas = by_role(methods, "coop"), by_role(methods, "negas")
    shown = {"stock": ("max_sigmoid", "negs"), "coop": ("max_sigmoid",), "negas": ("negs",)}
    cells = [(_with(m.name, s), m, s) for m in methods for s in shown[m.role]]
    sections = [("methods", [row for cell in cells for row in pick.rows(*cell)])]
    if coop and negas:
        square = [
            (f"NegA {nega}, NegS {negs}", method, score)
            for nega, method in (("no", coop), ("yes", negas))
            for negs, score in (("no", "max_sigmoid"), ("yes", "negs"))
        ]
        sections.append(("NegA x NegS", [row for cell in square for row in pick.rows(*cell)]))
    boxes = negas or coop or methods[-1]
    found = [row for s in scores_of(boxes) for row in pick.rows(score_name(s), boxes, s)]
    found = [Row(row.label, per_set(row.values), row.control) for row in found]
    sections.append((f"scores on the boxes of {boxes.name}", found))
    notes = [_NOTE, seeds_note(methods)]
    labels = [row.label for _, rows in sections for row in rows if row.control]
    if any(label.endswith("rotated") for label in labels):
        notes.append(ROTATED)
    if any(method.runs[0].results["banks"] for method in methods):
        notes.append(_LEAKS)
    if any(label.endswith("without leaks") for label in labels):
        notes.append(NO_LEAKS)
    return Table(
        title=f"{PROTOCOLS.get(protocol, protocol)}; {CUTS[cut_kind]}",
        columns=pick.columns(),
        sections=[Section(title, rows) for title, rows in sections if rows],
        notes=notes,
    )


def per_set(values: dict[str, Stat]) -> dict[str, Stat]:
    """Without what is the same for all scores of the same boxes."""
    return {k: v for k, v in values.items() if "/" in k and "num" not in k}


def score_name(label: str) -> str:
    """How tables call a score: ``MCM (logits=cosine)`` for ``mcm(logits=cosine)``."""
    name, bracket, options = label.partition("(")
    shown = SCORE_NAMES.get(name, name)
    return f"{shown} ({options}" if bracket else shown


def _with(name: str, score: str) -> str:
    return f"{name} [{score_name(score)}]"


def bank_table(methods: Sequence[Method], protocol: str, cut_kind: str) -> Table | None:
    """Scores with every label bank beside the rotated-bank control; ``None`` without banks."""
    method = by_role(methods, "negas") or by_role(methods, "coop") or methods[-1]
    banks = method.runs[0].results["banks"]
    if not banks:
        return None
    pick = Picker(protocol, cut_kind, ood_sets_of(methods))
    needs_bank = [
        s for s in scores_of(method) if any(r["bank"] != "none" for r in _rows(method, s))
    ]
    columns = []
    for name in pick.ood_sets:
        columns.append(Column(f"{name}/fpr95", f"{name} FPR95", "lower"))
        columns.append(Column(f"rotated/{name}/fpr95", "rotated"))
        columns.append(Column(f"{name}/auroc", f"{name} AUROC", "higher"))
        columns.append(Column(f"rotated/{name}/auroc", "rotated"))
    sections = []
    if reference := pick.rows(SCORE_NAMES["max_sigmoid"], method, "max_sigmoid"):
        sections.append(Section("no negatives", reference))
    for score in needs_bank:
        rows = []
        for bank in banks:
            values = pick.values(method, score, bank, "none")
            if values:
                turned = pick.values(method, score, bank, "rotated") or {}
                values |= {f"rotated/{key}": stat for key, stat in turned.items()}
                rows.append(Row(bank_label(method, bank), values))
        sections.append(Section(score_name(score), rows))
    return Table(
        title=f"Label banks on the boxes of {method.name}. {PROTOCOLS.get(protocol, protocol)}; "
        f"{CUTS[cut_kind]}",
        columns=columns,
        sections=sections,
        notes=[
            ROTATED,
            *overlap_notes(method),
        ],
    )


def _rows(method: Method, score: str) -> list[dict]:
    return [row for row in method.runs[0].rows if row["score"] == score]


def overlap_notes(method: Method) -> list[str]:
    """One line per bank: size, and how many negatives name a class of each OOD set."""
    notes = []
    for bank, about in method.runs[0].results["banks"].items():
        named = [
            f"{name} {len(words)}" + (f" ({_some(words)})" if words else "")
            for name, words in leaks_of(about).items()
        ]
        notes.append(
            f"{bank_label(method, bank)}: {about['size']} negatives; of these name an OOD class: "
            + ", ".join(named)
        )
    return notes


def _some(words: Sequence[str], limit: int = 6) -> str:
    return ", ".join(words[:limit]) + (", ..." if len(words) > limit else "")


def shared_cut_of(runs: Sequence[Run], choice: str | float) -> float:
    """The shared confidence cut.

    Args:
        runs: all runs.
        choice: a number in (0, 1), or ``stock``: the own cut of the stock run (with several, of
            the first).

    Raises:
        ValueError: no stock run, or no number in (0, 1).
    """
    if choice == "stock":
        stock = next((run for run in runs if run.role == "stock"), None)
        if stock is None:
            raise ValueError(
                "--shared-cut stock: none of the runs is the stock detector; add its run or give "
                "a number"
            )
        return stock.cut
    try:
        value = float(choice)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise ValueError(f"--shared-cut: expected 'stock' or a number in (0, 1), got {choice!r}")
    return value


def make_report(
    paths: Sequence[str | Path],
    names: Sequence[str] | None = None,
    shared_cut: str | float | None = None,
    out: str | Path | None = None,
    progress: bool = True,
) -> list[Table]:
    """Read runs, build all tables, write them.

    Args:
        paths: work dirs of ``tools/test.py``; runs of one config are seeds of one method.
        names: row label per run; equal labels are seeds of one method.
        shared_cut: see :func:`shared_cut_of`; ``None``: tables of each method's own cut only.
        out: folder for ``report.md`` and ``report.json``; ``None``: nothing is written.
        progress: show a bar while records are scored again.

    Raises:
        FileNotFoundError: results, records or annotations are missing.
        ValueError: files that cannot be read, runs without OOD sets, or runs that cannot stand in
            one table.
    """
    from tqdm import tqdm

    runs = [load_run(path) for path in paths]
    for run in runs:
        if not set(run.results["sets"]) - {"id", "cut"}:
            raise ValueError(
                f"{run.path}: tested without OOD sets, so there is nothing to compare but its mAP "
                f"(AP {run.results['map'].get('coco_ap', float('nan')):.3f})"
            )
    methods = group_runs(runs, names)
    kinds = ["own"]
    if shared_cut is not None:
        cut = shared_cut_of(runs, shared_cut)
        kinds.append("shared")
        hidden = None if progress else True  # None: no bar where standard error is no terminal
        for run in tqdm(runs, desc=f"shared cut {cut:.3f}", leave=False, disable=hidden):
            run.add_cut("shared", cut)
    tables = []
    for protocol in runs[0].results["settings"]["protocols"]:
        for kind in kinds:
            tables.append(main_table(methods, protocol, kind))
            if banks := bank_table(methods, protocol, kind):
                tables.append(banks)
    if out is not None:
        write_report(Path(out), methods, tables)
    return tables


def write_report(out: Path, methods: Sequence[Method], tables: Sequence[Table]) -> None:
    """Write ``report.md`` (tables) and ``report.json``.

    The latter holds the same numbers, unrounded, and each run with all its rows and what it
    depends on (:data:`negas.evaluation.provenance.KEYS`).
    """
    parts = ["# OOD detection report", "", *[to_markdown(table) for table in tables]]
    parts += [
        "### Runs",
        "",
        *[_describe(method, run) for method in methods for run in method.runs],
    ]
    write_atomically(out / "report.md", "\n".join(parts) + "\n")
    runs = [
        dict(method=method.name, path=str(run.path)) | complete(run.results | dict(rows=run.rows))
        for method in methods
        for run in method.runs
    ]
    write_results(
        out / "report.json",
        dict(kind="negas report", tables=[asdict(table) for table in tables], runs=runs),
    )


def _describe(method: Method, run: Run) -> str:
    info = run.info
    return (
        f"- {method.name}: `{run.path}`, seed {info.get('seed')}, cut {run.cut:.3f} "
        f"({run.results.get('cut_source')}), config SHA-256 {str(info.get('config_sha256'))[:12]}, "
        f"checkpoint SHA-256 {str(info.get('checkpoint_sha256'))[:12]}"
    )


def print_report(tables: Sequence[Table], brief: bool = False) -> None:
    """Print tables; ``brief``: only those of each method's own cut."""
    for table in tables:
        if not brief or "each method's own" in table.title:
            print_table(table)

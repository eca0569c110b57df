"""The report of several test runs: methods over seeds, NegA x NegS, scores, label banks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pycocotools.coco import COCO
from tqdm import tqdm

from negas.evaluation.provenance import MAPS, complete, leaks_of
from negas.evaluation.recorded import MODEL_BANK, RESERVED_BANKS
from negas.evaluation.result_files import results_file
from negas.evaluation.rows import rows_by_preset, scoring_as_tested
from negas.evaluation.run import Run
from negas.files import write_json, write_text
from negas.labels.names import first_difference
from negas.metrics import PRESETS
from negas.records import VALIDATION_SETS
from negas.text import in_markdown

from . import columns
from .columns import BY_RULE, CONTROLS, Block, blocks_of, by_rule, score_title
from .few import boxes_of, few_note, interval_values, stats_over_seeds
from .headline import headline
from .long_rows import long_rows, write_long
from .objects import object_values, oscr_table, state_tables, with_intervals
from .owod import owod_table
from .table import Column, Row, Section, Stat, Table, headline_first, to_markdown
from .unknown import unknown_comparison

REPORT_FILES = ("report.md", "report.json")
_NAMES = {
    "stock": "(stock)",
    "coop": "+ CoOp prompts",
    "negas": "+ NegAS",
    "siren": "+ SIREN head",
}
# Detectors by the start of a config's second part; YOLO-World goes without saying in tuned rows.
_DETECTORS = {"grounding-dino": "Grounding DINO", "mm-grounding-dino": "MM-Grounding-DINO"}
_FIRST = "YOLO-World"
OSCR_TITLE = "Objects at equal recall of known ones"


@dataclass
class Method:
    """Runs of one method that differ in the seed only.

    Attributes:
        name: row label.
        runs: one per seed.
        rows: of each run: those of its test, and further ones scored for the report.
    """

    name: str
    runs: list[Run]
    rows: list[list[dict]]

    @property
    def role(self) -> str:
        """``stock``, ``coop``, ``negas`` or ``siren``, from what was trained."""
        return role_of(self.runs[0])

    @property
    def is_plain(self) -> bool:
        """Whether this is a method as published, not an ablation."""
        return self.name in _plain_names()


def config_name(run: Run) -> str:
    """Runs with the same one are seeds of one method."""
    return Path(run.info.get("config") or run.path.name).stem


def role_of(run: Run) -> str:
    """``stock``, ``coop``, ``negas`` or ``siren``, from what was trained."""
    trained = {"use_nega": "negas", "prompt": "coop", "score_head": "siren"}
    return next((role for key, role in trained.items() if run.info.get(key)), "stock")


def detector_of(run: Run) -> str:
    """The detector of a run, from its config's name."""
    model = config_name(run).split("_")[1:2]
    found = [name for start, name in _DETECTORS.items() if model and model[0].startswith(start)]
    return found[0] if found else _FIRST


def display_name(run: Run) -> str:
    """The row label of a run's method, from its config's name: ``negas-no-mask_...`` and so on."""
    head, *variant = config_name(run).split("_")[0].split("-", 1)
    if head not in _NAMES:
        return config_name(run)
    return _method(detector_of(run), head) + (
        f", {variant[0].replace('-', ' ')}" if variant else ""
    )


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
        if len({role_of(run) for run in members}) > 1:
            raise ValueError(f"the runs called {name!r} are of different methods; rename them")
    return [Method(name, runs, [run.tested_rows for run in runs]) for name, runs in groups.items()]


def check_comparable(runs: Iterable[Run]) -> None:
    """Refuse to compare runs on other classes, sets or presets.

    Raises:
        ValueError: naming the two runs and what differs.
    """
    first, *others = list(runs)
    for run in others:
        for what, get in (
            ("ID class names", lambda r: r.info.get("class_names")),
            ("data sets", lambda r: [name for name in r.sets if name not in VALIDATION_SETS]),
            ("presets", lambda r: list(r.results["settings"]["presets"])),
            (
                "numbers of images",
                lambda r: [
                    f"{n}: {s['images']}"
                    for n, s in r.results["sets"].items()
                    if n not in VALIDATION_SETS
                ],
            ),
        ):
            before, now = get(first), get(run)
            if before != now:
                raise ValueError(
                    f"{first.path} and {run.path} have different {what} ("
                    f"{first_difference(list(before or ()), list(now or ()))}), so one table "
                    "cannot hold both"
                )


@dataclass(frozen=True)
class BlockTable:
    """Numbers of methods in one block of rows."""

    block: Block
    ood_sets: Sequence[str]

    def values(self, method: Method, score: str, bank: str, control: str) -> dict[str, Stat] | None:
        """Numbers by column key, over the method's seeds; ``None`` if it was not scored so."""
        found: dict[str, list[float]] = {}
        for run, rows in zip(method.runs, method.rows, strict=True):
            for row in rows:
                # Block.of last: it takes longest
                if (
                    row["score"] != score
                    or row["bank"] != bank
                    or row["control"] != control
                    or Block.of(row) != self.block
                ):
                    continue
                name = row["ood_set"]
                numbers = by_rule(row) | dict(num_ood=row["num_ood"])
                numbers = {f"{name}/{key}": value for key, value in numbers.items()}
                numbers |= object_values(row) | interval_values(row, rule=True)
                for key, value in numbers.items():
                    found.setdefault(key, []).append(value)
                if name == self.ood_sets[0]:
                    found.setdefault("num_id", []).append(row["num_id"])
                    found.setdefault("cut", []).append(row["cut"])
                    for key in MAPS:
                        value = run.results["map"].get(key)
                        found.setdefault(key, []).append(math.nan if value is None else value)
        return stats_over_seeds(found) or None

    def rows(self, label: str, method: Method, score: str) -> list[Row]:
        """The row of a score; with negatives (of the model's bank) its controls, too.

        The controls are the number of negatives that name an OOD class, in the row itself, and
        below it the bank without these and the rotated bank, if the run has them.
        """
        if values := self.values(method, score, "none", "none"):
            return [Row(label, values)]
        values = self.values(method, score, MODEL_BANK, "none")
        if not values:
            return []
        named = leaks_of(method.runs[0].results["banks"][MODEL_BANK])
        values |= {f"{name}/leaks": Stat(len(words)) for name, words in named.items()}
        rows = [Row(label, values)]
        for control in ("no_leaks", "rotated"):
            if found := self.values(method, score, MODEL_BANK, control):
                title = f"{label}, {CONTROLS[control]}"
                rows.append(Row(title, same_boxes(found), control=True))
        return rows

    def columns(self) -> list[Column]:
        """Numbers of each OOD set, ID AP, counts."""
        return [
            *(columns.per_set(name, key) for name in self.ood_sets for key in BY_RULE),
            *(columns.COLUMNS[key] for key in (*MAPS, "cut")),
            columns.counts(self.ood_sets),
            columns.leaks(self.ood_sets),
        ]


def scores_of(method: Method) -> list[str]:
    """Names of the scores of a run, those without negatives first."""
    rows = method.rows[0]
    plain = [row["score"] for row in rows if row["bank"] == "none"]
    return list(dict.fromkeys([*plain, *(row["score"] for row in rows)]))


def by_role(methods: Sequence[Method], role: str) -> Method | None:
    """The first method of a role; ablations come after the full method."""
    candidates = [method for method in methods if method.role == role]
    plain = [method for method in candidates if method.is_plain]
    return next(iter(plain + candidates), None)


def bank_label(method: Method, bank: str) -> str:
    """``llm (model's)`` for the model's bank if its file is known, else the bank's name."""
    source = method.runs[0].info.get("neg_labels")
    if bank == MODEL_BANK and source:
        return source.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".json") + " (model's)"
    return bank


def seeds_note(methods: Sequence[Method]) -> str:
    """How many runs stand behind each number."""
    counts = {len(method.runs) for method in methods}
    if counts == {1}:
        return "One run per method: differences of a few points may be chance."
    parts = [f"{method.name}: {len(method.runs)}" for method in methods]
    return "Mean ± standard deviation over seeds. Runs: " + ", ".join(parts) + "."


def main_table(methods: Sequence[Method], block: Block) -> Table:
    """Methods, the NegA x NegS square, and other scores on the same boxes."""
    made = BlockTable(block, methods[0].runs[0].ood_sets)
    coop, negas = by_role(methods, "coop"), by_role(methods, "negas")
    shown = {"stock": ("max_sigmoid", "negs"), "coop": ("max_sigmoid",), "negas": ("negs",)}
    shown["siren"] = ("siren_vmf", "siren_knn")
    cells = [(f"{m.name} [{score_title(s)}]", m, s) for m in methods for s in shown[m.role]]
    sections = [("methods", [row for cell in cells for row in made.rows(*cell)])]
    if coop and negas:
        square = [
            (f"NegA {nega}, NegS {negs}", method, score)
            for nega, method in (("no", coop), ("yes", negas))
            for negs, score in (("no", "max_sigmoid"), ("yes", "negs"))
        ]
        sections.append(("NegA x NegS", [row for cell in square for row in made.rows(*cell)]))
    boxes = negas or coop or methods[-1]
    found = [row for s in scores_of(boxes) for row in made.rows(score_title(s), boxes, s)]
    found = [replace(row, values=same_boxes(row.values)) for row in found]
    sections.append((f"scores on the boxes of {boxes.name}", found))
    few = few_note(boxes_of([row for _, rows in sections for row in rows], made.ood_sets))
    notes = [columns.PERCENT, seeds_note(methods), *few]
    labels = [row.label for _, rows in sections for row in rows if row.control]
    if any(label.endswith(CONTROLS["rotated"]) for label in labels):
        notes.append(columns.ROTATED)
    if any(method.runs[0].results["banks"] for method in methods):
        notes.append(columns.LEAKS)
    if any(label.endswith(CONTROLS["no_leaks"]) for label in labels):
        notes.append(columns.NO_LEAKS)
    notes += columns.fit_notes(boxes.rows[0])
    found = [Section(title, rows) for title, rows in sections if rows]
    shown = made.columns()
    if few:
        shown = with_intervals(shown, found, [column.key for column in shown])
    return Table(block.title, shown, found, notes)


def report_headline(methods: Sequence[Method], blocks: Sequence[Block]) -> Table:
    """Methods in the first block, and what becomes of unknown objects in that of ``objects``."""
    made = [block for block in blocks if block.preset == "objects"][:1]
    sets = methods[0].runs[0].ood_sets
    tables = [main_table(methods, each) for each in (blocks[0], *made)]
    rows, *states = (table.sections[0].rows if table.sections else [] for table in tables)
    if len(methods) == 1 and methods[0].role == "negas":  # nothing to compare with
        label = f"{methods[0].name} [{score_title('max_sigmoid')}]"
        for found, block in zip((rows, *states), (blocks[0], *made), strict=True):
            found[:0] = BlockTable(block, sets).rows(label, methods[0], "max_sigmoid")
    return headline(blocks[0].title, rows, states[0] if states else [], sets)


def _owod_table(methods: Sequence[Method], block: Block) -> Table | None:
    """Numbers of open-world detection, where the runs were tested with that preset."""
    found = [
        [
            [
                (f"{method.name} [{score_title(row['score'])}]", row)
                for row in rows
                if Block.of(row) == block and row["bank"] in RESERVED_BANKS and "owod" in row
            ]
            for rows in method.rows
        ]
        for method in methods
    ]
    return owod_table("", found) if any(any(runs) for runs in found) else None


def same_boxes(values: dict[str, Stat]) -> dict[str, Stat]:
    """Without what is the same for all scores of the same boxes."""
    return {k: v for k, v in values.items() if "/" in k and "num" not in k}


def bank_table(methods: Sequence[Method], block: Block) -> Table | None:
    """Scores with every label bank beside the rotated-bank control; ``None`` without any."""
    method = by_role(methods, "negas") or by_role(methods, "coop") or methods[-1]
    banks = method.runs[0].results["banks"]
    if not banks:
        return None
    made = BlockTable(block, methods[0].runs[0].ood_sets)
    shown = []
    for name in made.ood_sets:
        for key in BY_RULE:
            shown.append(columns.per_set(name, key))
            title = CONTROLS["rotated"]
            shown.append(Column(f"rotated/{name}/{key}", title, beside=True))
    sections = []
    if reference := made.rows(score_title("max_sigmoid"), method, "max_sigmoid"):
        sections.append(Section("no negatives", reference))
    for score in scores_of(method):
        rows = []
        for bank in banks:
            if values := made.values(method, score, bank, "none"):
                turned = made.values(method, score, bank, "rotated") or {}
                values |= {f"rotated/{key}": stat for key, stat in turned.items()}
                rows.append(Row(bank_label(method, bank), values))
        if rows:
            sections.append(Section(score_title(score), rows))
    if not sections:
        return None
    title = f"Label banks on the boxes of {method.name}. {block.title}"
    return Table(title, shown, sections, [columns.ROTATED, *overlap_notes(method)])


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
        choice: a number in (0, 1), or ``stock``: the cut of the stock run (with several, of the
            first).

    Raises:
        ValueError: no stock run, or no number in (0, 1).
    """
    if check_shared_cut(choice) == "stock":
        stock = next((run for run in runs if role_of(run) == "stock"), None)
        if stock is None:
            raise ValueError(
                "--shared-cut stock: none of the runs is the stock detector; add its run or give "
                "a number"
            )
        return float(stock.results["cuts"]["run"]["value"])
    return float(choice)


def check_shared_cut(choice: str | float) -> str | float:
    """See that a shared cut is ``stock`` or a number in (0, 1), before runs are there; returns it.

    Raises:
        ValueError: it is neither.
    """
    try:
        fits = choice == "stock" or 0 < float(choice) < 1
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"--shared-cut: expected 'stock' or a number in (0, 1), got {choice!r}")
    return choice


def rows_at(run: Run, cut: float) -> list[dict]:
    """The test of a run again at another confidence cut: all boxes and, if tested, matched ones.

    Raises:
        ValueError: the records do not reach down to the cut, or lack embeddings.
        FileNotFoundError: records or annotations are missing.
    """
    presets = [PRESETS["fixed"]]
    presets += [PRESETS["matched"]] if "matched" in run.results["settings"]["presets"] else []
    scoring = scoring_as_tested(run)
    tables = rows_by_preset(run, [replace(preset, cut=cut) for preset in presets], scoring)
    return [row for table in tables for row in table]


def make_report(
    paths: Sequence[str | Path],
    names: Sequence[str] | None = None,
    shared_cut: str | float | None = None,
    out: str | Path | None = None,
    progress: bool = True,
    csv: str | Path | None = None,
) -> list[Table]:
    """Read runs, build all tables, the headline last; write them.

    Args:
        paths: work dirs of ``negas test``; runs of one config are seeds of one method.
        names: row label per run; equal labels are seeds of one method.
        shared_cut: see :func:`shared_cut_of`; ``None``: tables as tested only.
        out: folder for ``report.md`` and ``report.json``; ``None``: nothing is written.
        progress: show a bar while records are scored again.
        csv: file for all numbers, see :mod:`.long_rows`; ``None``: none.

    Raises:
        FileNotFoundError: results, records or annotations are missing.
        ValueError: files that cannot be read, runs without OOD sets, or runs that cannot stand in
            one table.
    """
    places = [Path(path).resolve() for path in paths]
    for i, place in enumerate(places):
        if place in places[:i]:
            raise ValueError(f"{paths[i]}: this run is given twice; give each once")
    runs = [load_tested(path) for path in paths]
    for run in runs:
        if not run.ood_sets:
            raise ValueError(
                f"{run.path}: tested without OOD sets, so there is nothing to compare but its mAP "
                f"(AP {run.results['map'].get('coco_ap', float('nan')):.3f})"
            )
    methods = group_runs(runs, names)
    if shared_cut is not None:
        cut = shared_cut_of(runs, shared_cut)
        pairs = [pair for method in methods for pair in zip(method.runs, method.rows, strict=True)]
        hidden = None if progress else True  # None: no bar where standard error is no terminal
        truths: dict[tuple, COCO] = {}  # runs on the same annotations read them once
        for run, rows in tqdm(pairs, desc=f"shared cut {cut:.3f}", leave=False, disable=hidden):
            tested = blocks_of(rows)  # perhaps at this very cut, too
            files = {name: _annotations(about) for name, about in run.results["sets"].items()}
            run.truths.update({n: truths[file] for n, file in files.items() if file in truths})
            rows += [row for row in rows_at(run, cut) if Block.of(row) not in tested]
            truths |= {files[name]: truth for name, truth in run.truths.items() if files[name]}
            run.forget()
    tables = []
    blocks = blocks_of(row for method in methods for rows in method.rows for row in rows)
    for block in blocks:
        tables.append(main := main_table(methods, block))
        if block == blocks[0]:  # OSCR looks at all boxes, so it is the same in all blocks
            if table := oscr_table(OSCR_TITLE, main.sections, runs[0].ood_sets):
                tables.append(table)
            about = [(m.name, [run.results.get("unknown", {}) for run in m.runs]) for m in methods]
            if table := unknown_comparison(about):
                tables.append(table)
        tables += state_tables(f"Objects. {block.title}", main.sections, runs[0].ood_sets)
        if owod := _owod_table(methods, block):
            tables.append(owod)
        if banks := bank_table(methods, block):
            tables.append(banks)
    tables.append(report_headline(methods, blocks))
    if out is not None:
        write_report(Path(out), methods, tables)
    if csv is not None:
        write_long(csv, _long_rows(methods))
    return tables


def _long_rows(methods: Sequence[Method]) -> Iterator[dict]:
    for method in methods:
        for run, rows in zip(method.runs, method.rows, strict=True):
            about = (method.name, str(run.path), run.info.get("seed"))
            yield from long_rows(*about, rows, run.results["map"], run.results.get("unknown"))


def _annotations(about: dict) -> tuple[str, str] | None:
    """What tells a set's annotation file from others; ``None``: the test could not see it."""
    file, digest = about.get("ann_file"), about.get("ann_sha256")
    return (file, digest) if file and digest else None


def load_tested(path: str | Path, annotations: Mapping[str, str] | None = None) -> Run:
    """A run that has results, not records only; ``annotations`` as :meth:`Run.load` has them.

    Raises:
        FileNotFoundError: it has none.
        ValueError: they cannot be read, or the test came to no numbers.
    """
    results_file(path)  # first: records may be missing, too
    run = Run.load(path, annotations)
    if run.results.get("unscored"):
        raise ValueError(
            f"{path}: these boxes are not scored yet, as the test did not come to its end; run "
            f"negas score {path}, or negas test again"
        )
    return run


def write_report(out: Path, methods: Sequence[Method], tables: Sequence[Table]) -> None:
    """Write ``report.md`` (tables) and ``report.json``.

    The latter holds the same numbers, unrounded, and each run with all its rows and what it
    depends on (:data:`negas.evaluation.provenance.KEYS`).
    """
    runs = [
        (method, *pair) for method in methods for pair in zip(method.runs, method.rows, strict=True)
    ]
    tables = headline_first(tables)
    parts = ["# OOD detection report", "", *[to_markdown(table) for table in tables]]
    parts += ["### Runs", "", *[_describe(method, run) for method, run, _ in runs]]
    page, data = (out / name for name in REPORT_FILES)
    write_text(page, "\n".join(parts) + "\n")
    described = [
        dict(method=method.name, path=str(run.path)) | complete(run.results | dict(rows=rows))
        for method, run, rows in runs
    ]
    tables = [asdict(table) for table in tables]
    write_json(data, dict(kind="negas report", tables=tables, runs=described))


def _describe(method: Method, run: Run) -> str:
    info, cut = run.info, run.results["cuts"]["run"]
    place = f"{in_markdown(method.name)}: {in_markdown(run.path, 400)}"
    return (
        f"- {place}, seed {info.get('seed')}, cut {cut['value']:.3f} "
        f"({cut['source']}), config SHA-256 {str(info.get('config_sha256'))[:12]}, "
        f"checkpoint SHA-256 {str(info.get('checkpoint_sha256'))[:12]}"
    )

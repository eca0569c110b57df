"""From class names to a bank of negative labels: candidates, similarities, selection, bank.

Every stage writes what it found into the work directory and is read from there the next time, as
long as its inputs are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import negas
from negas.files import check_file, check_folder, file_sha256
from negas.labels import NegativeLabelBank
from negas.labels.generate.prompts import safe_name
from negas.metrics.coco import category_ids, load_coco
from negas.text import escaped, plain_console, shown_text

from .candidates import CandidateSet, candidates_stage, find_candidates
from .options import MiningOptions, turn_plan
from .select import refine_candidates, select
from .similarity import templates, with_vectors


@dataclass(frozen=True)
class MiningReport:
    """What a run did.

    Attributes:
        bank: the bank, as written.
        counts: how many names each step left, in order, by what people call the step.
        kept: a row per negative with its scores.
        warnings: what the user should know.
        files: where the stages and the bank are.
    """

    bank: NegativeLabelBank
    counts: dict[str, int]
    kept: list[dict[str, Any]]
    warnings: list[str]
    files: list[str]


def mine(options: MiningOptions, notify: Callable[[str], None] = lambda line: None) -> MiningReport:
    """Mine a bank and write it to ``options.out``.

    Args:
        options: checked here, except for an existing ``out``, which is replaced.
        notify: told in one line of waits, and of stages that are made anew.

    Raises:
        ChatError: a language model could not be asked; run again to go on.
        ValueError: options, files or candidates that cannot work.
        FileNotFoundError: a file is missing.
        OSError: ``out`` or ``work_dir`` cannot be written; found out before any work.
    """
    options.check(overwrite=True)
    check_folder(options.work_dir, "--work-dir")
    check_file(options.out, "--out")
    if options.needs_encoder:
        templates(options)
    if options.needs_images:
        # what is wrong with the annotations must not come out after paid answers or long work
        category_ids(load_coco(options.ann_file), options.class_names)
    found = find_candidates(options, notify)
    counts = {"names refused": found.refused, "candidates": len(found.names)}
    left, refinement = refine_candidates(options, found, notify)
    if refinement is not None:
        counts["after refining"] = len(left.names)
    if options.has_text_vectors:
        left = with_vectors(options, left)
        counts["with a vector"] = len(left.names)
    chosen = select(options, left, notify)
    if chosen["settings"].get("prototypes"):
        counts["after the visual filter"] = chosen["settings"]["survivors"]
    counts["negative labels"] = len(chosen["kept"])
    told = [line for line in (found.warning, chosen["settings"].get("warning")) if line]
    provenance = _provenance(options, found, left, refinement, chosen, told)
    bank = NegativeLabelBank(
        options.class_names, [row["label"] for row in chosen["kept"]], provenance
    )
    bank.save(options.out)
    names = ["candidates"]
    names += ["refined"] if refinement is not None else []
    names += ["similarities"] if options.needs_encoder else []
    files = [str(options.work_dir / f"{name}.json") for name in (*names, "selection")]
    return MiningReport(bank, counts, chosen["kept"], told, [*files, str(options.out)])


def describe(options: MiningOptions) -> list[str]:
    """What :func:`mine` would do, in lines; nothing is asked, loaded or written."""
    shown = ", ".join(map(safe_name, options.class_names))
    lines = [f"{len(options.class_names)} ID classes: {shown}"]
    stage = candidates_stage(options, lambda line: None)
    state = {"none": "will be made", "kept": "is there: read, and gone on with if unfinished"}
    state["outdated"] = "was made from other inputs: moved aside and made anew"
    lines.append(f"1. candidates ({options.source}): {stage.path} {state[stage.state()]}")
    if options.source in ("llm", "local"):
        plan = turn_plan(options)
        goal = f"until {plan.target}" if plan.target else f"{len(options.class_names)} turns"
        lines.append(f"   {stage.inputs['model']}; {plan.asked} per turn, {goal}; the first turn:")
        focus = options.class_names[0] if plan.style.per_class else None
        messages = plan.style.messages(plan.id_labels, [], plan.asked, plan.context, focus)
        for message in messages:
            lines += [f"   {message['role']}: {message['content']}".replace("\n", "\n   ")]
    elif options.source == "file":
        lines.append(f"   {len(stage.inputs['file'])} names in {options.candidates_file}")
    if options.refine != "none":
        lines.append(f"   refined with {options.refine}: {options.work_dir / 'refined.json'}")
    if options.needs_encoder:
        lines.append(f"2. similarities: {options.work_dir / 'similarities.json'} (and .npz)")
        lines.append(f"   encoder {options.encoder}, sentences {templates(options)[0]}")
        images = f"{options.img_dir}, boxes of {options.ann_file}"
        lines.append(f"   images: {images if options.needs_images else 'none'}")
    share = f"{options.fraction:.0%} of each part of speech"
    keep = options.keep or ("all" if options.select == "none" else share)
    lines.append(f"3. selection ({options.select}, {keep}): {options.work_dir / 'selection.json'}")
    exists = " (replaces the one there)" if options.out.exists() else ""
    lines.append(f"4. bank: {options.out}{exists}")
    return lines


def _provenance(
    options: MiningOptions,
    found: CandidateSet,
    left: CandidateSet,
    refinement: dict[str, Any] | None,
    chosen: dict[str, Any],
    told: list[str],
) -> dict[str, Any]:
    candidates = {**found.summary, "candidates": len(found.names)}
    provenance: dict[str, Any] = {"tool": f"negas {negas.__version__}, mine"}
    provenance |= {"date": date.today().isoformat(), "candidates": candidates}
    if refinement is not None:
        provenance["refinement"] = refinement
    provenance["selection"] = {k: v for k, v in chosen["settings"].items() if k != "warning"}
    if options.needs_encoder:
        provenance["encoder"] = options.encoder
        if options.has_text_vectors:
            file = Path(options.encoder)
            provenance["encoder"] = {"text vectors": file.name, "SHA-256": file_sha256(file)}
            candidates["with a vector"] = len(left.names)
        else:
            provenance["templates"] = list(templates(options)[0])
        images: Any = "none used by this selection"
        if options.needs_images:
            images = {"annotations": options.ann_file, "images": options.img_dir}
            images |= {"max per class": options.max_per_class, "seed": options.seed}
        elif options.select == "visual":
            images = "left out on request (--no-prototypes): no visual filter"
        provenance["prototypes"] = images
        scores = [{k: v for k, v in row.items() if k != "label"} for row in chosen["kept"]]
        labels = [row["label"] for row in chosen["kept"]]
        provenance["similarities"] = dict(zip(labels, scores, strict=True))
    provenance["options"] = options.changed()
    if told:
        provenance["warnings"] = told
    return provenance


_SHOWN = 50  # negative labels in the table on the terminal


def print_report(report: MiningReport) -> None:
    """Counts of every step, the negative labels with their scores, and the files."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = plain_console(120)
    steps = Table("step", title="Names", title_justify="left", box=box.SIMPLE_HEAD)
    steps.add_column("left", justify="right")
    for step, count in report.counts.items():
        steps.add_row(step, str(count))
    console.print(steps)
    scores = [key for key in report.kept[0] if key != "label"]
    scores = [key for key in scores if any(row[key] is not None for row in report.kept)]
    labels = Table("negative label", title_justify="left", box=box.SIMPLE_HEAD)
    labels.title = "Negative labels"
    for key in scores:
        text = isinstance(report.kept[0][key], str)
        labels.add_column(key.replace("_", " "), justify="left" if text else "right")
    for row in report.kept[:_SHOWN]:
        # Text, not str: names are data and may hold what rich reads as markup
        cells = [row[key] if isinstance(row[key], str) else f"{row[key]:.3f}" for key in scores]
        labels.add_row(*(Text(shown_text(cell)) for cell in (row["label"], *cells)))
    console.print(labels)
    if len(report.kept) > _SHOWN:
        console.print(Text(f"... and {len(report.kept) - _SHOWN} more"))
    for warning in report.warnings:
        console.print(Text(f"note: {shown_text(warning, 400)}"))
    for file in report.files:
        console.print(Text(f"written: {escaped(str(file))}"), soft_wrap=True)

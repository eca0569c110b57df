"""Scores of dumped boxes again, without model or GPU: rows, intervals, comparisons, files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from negas.evaluation.provenance import package_versions
from negas.evaluation.results import NamedScore, name_scores, write_results
from negas.files import write_atomically
from negas.metrics import Preset
from negas.scores import SCORES
from negas.visualization.tables import to_markdown

from .score_controls import control_rows, count_rotations
from .score_describe import describe_dump
from .score_dump import OWN_BANK, Dump, check_pair, load_dump
from .score_open_set import open_set_row
from .score_paired import paired_rows
from .score_presets import parse_score
from .score_rows import banks_of, score_rows, take_samples
from .score_table import score_tables

KIND = "negas scores"  # of the file, so that tools/compare.py knows it


@dataclass(frozen=True)
class ScoreOptions:
    """What is computed.

    Attributes:
        presets: protocols, each with its cut.
        scores: as on the command line; ``None``: all, with the options of the test where it has
            them, those with negatives if there are any.
        banks: label banks of the dump for scores with negatives.
        draws: of the bootstrap over images; 0: no intervals.
        seed: of the bootstrap and of the rotations.
        open_set: add A-OSE, U-Recall and so on (needs annotations).
        rotations: draws of the rotated-bank control; ``None``: five where a dump holds embeddings.
    """

    presets: Sequence[Preset]
    scores: Sequence[str] | None = None
    banks: Sequence[str] = (OWN_BANK,)
    draws: int = 1000
    seed: int = 0
    open_set: bool = False
    rotations: int | None = 0


def score_dumps(
    paths: Sequence[str | Path],
    options: ScoreOptions,
    against: str | Path | None = None,
    annotations: Mapping[str, str] | None = None,
    progress: bool = True,
) -> dict:
    """Score dumps; see :class:`ScoreOptions`.

    Args:
        paths: work dirs of ``tools/test.py``, or folders of records.
        options: what is computed.
        against: a dump of the same images; each dump is compared with it, image by image.
        annotations: COCO jsons by set, where the paths in the records no longer hold.
        progress: show a bar.

    Returns:
        ``dumps`` (rows, sets, what the run depended on), ``paired`` rows, settings and versions.

    Raises:
        FileNotFoundError: a dump or annotations do not exist.
        ValueError: dumps that cannot be read, scored or compared.
    """
    from tqdm import tqdm

    if options.draws < 0:
        raise ValueError(f"--bootstrap must be 0 or more draws, got {options.draws}")
    if against is not None and not options.draws:
        raise ValueError("--against needs the bootstrap; leave out --bootstrap 0")
    for name, value in (("--seed", options.seed), ("--rotations", options.rotations or 0)):
        if value < 0:
            raise ValueError(f"{name} must be 0 or more, got {value}")
    specs = None if options.scores is None else [parse_score(text) for text in options.scores]
    if specs is not None:
        name_scores(specs)  # a wrong score is told before files are read
    dumps = [load_dump(path, annotations) for path in paths]
    other = load_dump(against, annotations) if against is not None else None
    for dump in dumps if other else ():
        check_pair(dump, other)
    chosen = [_scores(dump, specs) for dump in dumps]
    rotations = [
        count_rotations(dump, options.banks, options.rotations)
        if any(score.needs_negatives for score in scores)
        else 0
        for dump, scores in zip(dumps, chosen, strict=True)
    ]
    once = 1 + (other is not None) + options.open_set
    total = sum(
        len(banks_of(score, options.banks))
        * len(dump.ood_sets)
        * len(options.presets)
        * (once + score.needs_negatives * turns)
        for dump, scores, turns in zip(dumps, chosen, rotations, strict=True)
        for score in scores
    )
    # disable=None: no bar where standard error is no terminal
    bar = tqdm(total=total, desc="scores", leave=False, disable=None if progress else True)
    described, paired = [], []
    for dump, scores, turns in zip(dumps, chosen, rotations, strict=True):
        seeds = dict(bootstrap=options.seed, rotations=options.seed)
        rows = _rows(dump, scores, options, turns, bar.update)
        described.append(describe_dump(dump, rows, seeds))
        if other is not None:
            again = (dump, other, options.presets, scores, options.banks, options.draws)
            paired += paired_rows(*again, options.seed, bar.update)
    bar.close()
    settings = dict(
        presets=[preset.name for preset in options.presets],
        bootstrap=options.draws,
        rotations=options.rotations,
        seed=options.seed,
        open_set=options.open_set,
        id_is_positive=True,
    )
    return dict(
        kind=KIND, dumps=described, paired=paired, settings=settings, versions=package_versions()
    )


def write_scores(out: str | Path, report: dict) -> list[Path]:
    """Write ``ood_scores.json`` and its tables, ``ood_scores.md``; returns the paths."""
    folder = Path(out)
    write_results(folder / "ood_scores.json", report)
    text = "\n".join(["# OOD scores", "", *[to_markdown(table) for table in score_tables(report)]])
    write_atomically(folder / "ood_scores.md", text)
    return [folder / "ood_scores.json", folder / "ood_scores.md"]


def _scores(dump: Dump, specs: Sequence | None) -> list[NamedScore]:
    if specs is not None:
        return name_scores(specs)
    # As the test had them, so that a name stands for one number; then what it left out.
    tested = dump.results["settings"]["scores"] if dump.results else []
    chosen = []
    for name in SCORES:
        chosen += [one for one in tested if name in (one, one[0])] or [name]
    has_negatives = dump.records["id"].neg_logits is not None
    return [s for s in name_scores(chosen) if has_negatives or not s.needs_negatives]


def _rows(
    dump: Dump, scores: Sequence[NamedScore], options: ScoreOptions, rotations: int, on_row
) -> list[dict]:
    rows = []
    for preset in options.presets:
        samples = take_samples(dump, preset)
        more = (options.banks, options.draws, options.seed, on_row)
        made = score_rows(dump, samples, scores, *more)
        if options.open_set:
            by_label = {score.label: score for score in scores}
            for row in made:
                on_row()
                if row["num_id"]:
                    where = (by_label[row["score"]], row["bank"], row["ood_set"])
                    row["open_set"] = open_set_row(dump, samples, *where, row["threshold"])
        controls = (options.banks, rotations, options.seed, on_row)
        rows += made + control_rows(dump, samples, scores, *controls)
    return rows

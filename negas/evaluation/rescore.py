"""Scores of dumped boxes again, without model or GPU: rows, intervals, comparisons, files.

What a dump is and what its run depended on, for the result file of a re-scoring.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from negas.metrics import Preset, coco_map, records_to_coco, voc07_ap50
from negas.records import BoxRecords
from negas.scores import SCORES

from .cuts import parse_score
from .open_set_rows import open_set_row
from .paired_rows import paired_rows
from .provenance import MAPS, complete, describe_bank, describe_sets, leaks_of, package_versions
from .rows import (
    NamedScore,
    banks_of,
    control_rows,
    count_rotations,
    name_scores,
    score_rows,
    take_samples,
)
from .run import OWN_BANK, Dump, check_pair, load_dump


def describe_dump(dump: Dump, rows: list[dict], seeds: dict[str, int]) -> dict:
    """A description with all sections of :data:`negas.evaluation.provenance.KEYS`.

    What the test did not record is ``None``; mAP is computed from the records where it is missing
    and the annotations are there (``map_from_records`` names those numbers).

    Args:
        dump: boxes of one run.
        rows: its rows.
        seeds: of the re-scoring, by use; the run's own is added.
    """
    results = dump.results or {}
    run = dict(results.get("run", {}))
    run.setdefault("class_names", dump.id_labels)
    banks = {name: dict(about) for name, about in results.get("banks", {}).items()}
    own = dump.bank_labels(OWN_BANK)
    if own and OWN_BANK not in banks:
        banks[OWN_BANK] = describe_bank(OWN_BANK, list(own), run.get("neg_labels"))
    maps = {key: value for key, value in results.get("map", {}).items() if value is not None}
    computed = _maps(dump, [name for name in MAPS if name not in maps])
    return complete(
        dict(
            name=dump.name,
            path=str(dump.path),
            id_labels=dump.id_labels,
            neg_labels=own,
            sets=_sets(dump),
            records_sha256={name: _digest(each) for name, each in dump.records.items()},
            map=maps | computed,
            map_from_records=list(computed),
            banks=banks,
            leaks={bank: leaks_of(about) for bank, about in results.get("banks", {}).items()},
            run=run,
            seeds=dict(run=run.get("seed")) | seeds,
            rows=rows,
        )
    )


def _sets(dump: Dump) -> dict[str, dict]:
    """Sets with the checksum of their annotations: of the file, or as the test recorded it."""
    described = describe_sets(dump.records, dump.annotations)
    recorded = (dump.results or {}).get("sets", {})
    for name, about in described.items():
        old = recorded.get(name, {})
        if about["ann_sha256"] is None and about["ann_file"] == old.get("ann_file"):
            about["ann_sha256"] = old.get("ann_sha256")
    return described


def _maps(dump: Dump, names: list[str]) -> dict[str, float]:
    """MAP (ID) by name from the recorded boxes, one label each; empty without annotations."""
    if not names or "id_labels" not in dump.records["id"].meta:
        return {}
    try:
        truth = dump.truth("id")
    except FileNotFoundError:
        return {}
    found = records_to_coco(dump.records["id"], truth)
    values = {}
    if {"coco_ap", "coco_ap50"} & set(names):
        result = coco_map(truth, found, dump.id_labels)
        values = dict(coco_ap=result.ap, coco_ap50=result.ap50)
    values["voc07_ap50"] = voc07_ap50(truth, found, dump.id_labels)
    return {name: values[name] for name in names}


def _digest(records: BoxRecords) -> str:
    """SHA-256 over boxes, labels and logits: equal for equal dumps, however compressed."""
    digest = hashlib.sha256()
    parts = (records.bboxes, records.labels, records.scores, records.id_logits)
    for array in (*parts, records.neg_logits):
        if array is not None:
            digest.update(array.data)
    return digest.hexdigest()


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

"""Re-scoring: every score, preset and control from the records of finished tests.

The same rows as those of a test (:mod:`.rows`), with intervals over images, open-set metrics and
paired comparisons where they are asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from negas.metrics import Preset, average_precision, evaluate_coco, records_to_coco, voc07_ap50
from negas.records import ID, BoxRecords
from negas.scores import SCORES

from .objects.open_set_rows import open_set_row
from .objects.owod_rows import add_owod
from .paired_rows import paired_rows
from .provenance import MAPS, complete, describe_bank, describe_sets, leaks_of, package_versions
from .recorded import MODEL_BANK, Recorded, check_pair
from .rows import (
    DEFAULT_ROTATIONS,
    NamedScore,
    Scoring,
    banks_of,
    count_rows,
    name_scores,
    rows_by_preset,
    take_samples,
    usable,
)
from .score_options import ScoreOptions
from .unknown.boxes import unknown_boxes_of
from .unknown.rows import unknown_section

KIND = "negas scores"  # of the file, so that negas compare knows it


def score_runs(
    runs: Sequence[Recorded],
    options: ScoreOptions,
    other: Recorded | None = None,
    progress: bool = True,
) -> dict:
    """Score runs; see :class:`ScoreOptions`.

    Args:
        runs: to be scored.
        options: what is computed.
        other: a run on the same images; each run is compared with it, image by image.
        progress: show a bar.

    Returns:
        ``runs`` (rows, sets, what they depend on), ``paired`` rows, settings and versions.

    Raises:
        FileNotFoundError: annotations do not exist.
        ValueError: runs that cannot be scored or compared.
    """
    from tqdm import tqdm

    for run in runs if other else ():
        check_pair(run, other)
    for run in [*runs, *([other] if other else [])]:
        run.fit_set = options.fit_set
    plans = [
        Scoring(
            options.specs or scores_of(run),
            options.banks,
            options.rotations,
            draws=options.bootstrap,
            seed=options.seed,
        )
        for run in runs
    ]
    presets = [_distinct(run, options.presets) for run in runs]
    total = 0
    for run, plan, chosen in zip(runs, plans, presets, strict=True):
        plain = sum(len(banks_of(score, plan.banks)) for score in plan.scores) * len(run.ood_sets)
        more = plain * ((other is not None) + options.open_set)
        total += len(chosen) * (count_rows(run, plan) + more)
    # disable=None: no bar where standard error is no terminal
    bar = tqdm(total=total, desc="scores", leave=False, disable=None if progress else True)
    described, paired = [], []
    for run, plan, chosen in zip(runs, plans, presets, strict=True):
        rows = []
        for preset, made in zip(chosen, rows_by_preset(run, chosen, plan, bar.update), strict=True):
            if options.open_set:
                _add_open_set(run, preset, plan.scores, made, bar.update)
            add_owod(run, preset, plan.scores, made)
            rows += made
        about = describe_run(run, rows, dict.fromkeys(("bootstrap", "rotations"), plan.seed))
        turns = DEFAULT_ROTATIONS if plan.rotations is None else plan.rotations
        if found := unknown_section(run, plan.draws, turns, plan.seed):
            about["unknown"] = dict(threshold=run.results["unknown"]["threshold"]) | found
        described.append(about)
        if other is not None:
            again = (run, other, chosen, plan.scores, plan.banks, plan.draws, plan.seed)
            paired += paired_rows(*again, bar.update)
    bar.close()
    settings = options.record() | dict(
        preset=[preset.name for preset in options.presets], id_is_positive=True
    )
    return dict(
        kind=KIND, runs=described, paired=paired, settings=settings, versions=package_versions()
    )


def _distinct(run: Recorded, presets: Sequence[Preset]) -> list[Preset]:
    """Without a preset at a cut that another one has, too: its rows would stand there twice."""
    found: dict[tuple, Preset] = {}
    for preset in presets:
        found.setdefault((preset.name, take_samples(run, preset).cut), preset)
    return list(found.values())


def scores_of(run: Recorded) -> list[NamedScore]:
    """Scores as the test had them, so that a name stands for one number; then what it left out.

    Fitted scores that the test left out stay out.
    """
    tested = run.results["settings"]["scores"] if run.results else []
    chosen = []
    for name, kind in SCORES.items():
        other = [] if kind.needs_fit else [name]  # these take long, and are asked for
        chosen += [one for one in tested if name in (one, one[0])] or other
    return usable(run, name_scores(chosen))


def _add_open_set(
    run: Recorded,
    preset: Preset,
    scores: Sequence[NamedScore],
    rows: list[dict],
    on_row: Callable[[], None],
) -> None:
    by_label = {score.label: score for score in scores}
    for row in rows:
        if row["control"] == "none":
            on_row()
            if row["num_id"]:
                where = (by_label[row["score"]], row["bank"], row["ood_set"])
                at = (run, take_samples(run, preset), *where, row["threshold"])
                row["open_set"] = open_set_row(*at)
                if more := unknown_boxes_of(run):
                    row["open_set_with_words"] = open_set_row(*at, unknown=more)


def describe_run(run: Recorded, rows: list[dict], seeds: dict[str, int]) -> dict:
    """A description with all sections of :data:`negas.evaluation.provenance.KEYS`.

    What the test did not record is ``None``; mAP is computed from the records where it is missing
    and the annotations are there (``map_from_records`` names those numbers).

    Args:
        run: detections of one run.
        rows: of the re-scoring.
        seeds: of the re-scoring, by use; the run's own is added.
    """
    results = run.results or {}
    info = dict(run.info)
    info.setdefault("class_names", run.id_labels)
    banks = {name: dict(about) for name, about in results.get("banks", {}).items()}
    words = run.bank_labels(MODEL_BANK)
    if words and MODEL_BANK not in banks:
        banks[MODEL_BANK] = describe_bank(MODEL_BANK, list(words), info.get("neg_labels"))
    maps = {key: value for key, value in results.get("map", {}).items() if value is not None}
    computed = _maps(run, [name for name in MAPS if name not in maps])
    return complete(
        dict(
            name=run.name,
            path=str(run.path),
            id_labels=run.id_labels,
            neg_labels=words,
            sets=_sets(run),
            files=results.get("files"),
            records_sha256={name: _digest(each) for name, each in run.records.items()},
            map=maps | computed,
            map_from_records=list(computed),
            banks=banks,
            leaks={bank: leaks_of(about) for bank, about in results.get("banks", {}).items()},
            run=info,
            seeds=dict(run=info.get("seed")) | seeds,
            rows=rows,
        )
    )


def _sets(run: Recorded) -> dict[str, dict]:
    """Sets with the checksum of their annotations: of the file, or as the test recorded it."""
    described = describe_sets(run.records, run.annotations)
    recorded = (run.results or {}).get("sets", {})
    for name, about in described.items():
        old = recorded.get(name, {})
        if about["ann_sha256"] is None and about["ann_file"] == old.get("ann_file"):
            about["ann_sha256"] = old.get("ann_sha256")
    return described


def _maps(run: Recorded, names: list[str]) -> dict[str, float]:
    """MAP (ID) by name from the recorded boxes, one label each; empty without annotations."""
    if not names or "id_labels" not in run.records[ID].meta:
        return {}
    try:
        truth = run.truth(ID)
    except FileNotFoundError:
        return {}
    found = records_to_coco(run.records[ID], truth)
    values = {}
    if {"coco_ap", "coco_ap50"} & set(names):
        result = average_precision(evaluate_coco(truth, found, run.id_labels))
        values = dict(coco_ap=result.ap, coco_ap50=result.ap50)
    values["voc07_ap50"] = voc07_ap50(truth, found, run.id_labels)
    return {name: values[name] for name in names}


def _digest(records: BoxRecords) -> str:
    """SHA-256 over boxes, labels and logits: equal for equal records, however compressed."""
    digest = hashlib.sha256()
    parts = (records.bboxes, records.labels, records.scores)
    for array in (*parts, records.id_logits, records.neg_logits):
        if array is not None:
            digest.update(array.data)
    return digest.hexdigest()

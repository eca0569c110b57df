"""A whole run folder from records: ``ood_results.json`` and ``records``, as a test leaves them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from negas.files import check_folder
from negas.metrics import Cut, Preset, average_precision, evaluate_coco, f1_cut, voc07_ap50
from negas.metrics.coco import records_to_coco
from negas.metrics.protocol import ScoreSpec
from negas.records import ID, ID_SETS, ID_VAL, BoxRecords, check_set_names

from .collect import RunFolder
from .cuts import choose_presets, f1_rule_cut
from .fitting import save_states
from .objects.owod_rows import add_owod
from .provenance import describe_sets, package_versions
from .recorded import MODEL_BANK, Recorded, check_sets
from .result_files import find_results, read_results
from .rows import (
    DEFAULT_ROTATIONS,
    count_rows,
    describe_banks,
    name_scores,
    rows_by_preset,
    scoring_as_tested,
    usable,
)
from .run import Run

DEFAULT_SCORES = (
    "max_sigmoid",
    "msp",
    "energy",
    "joint_energy",
    "mcm",
    "neglabel",
    "negs",
    "negs_product",
)
IMPORTED = "imported"  # key of a run that no test of this toolkit has made


def write_run(
    folder: str | Path,
    records: Mapping[str, BoxRecords],
    presets: Sequence[str] = ("val_f1",),
    scores: Sequence[ScoreSpec] = DEFAULT_SCORES,
    min_score: float = 0.0,
    neg_text_feats: np.ndarray | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> Run:
    """Evaluate records of any detector and write what ``negas test`` would have written.

    After that every command that reads runs reads this one: ``negas score``, ``report``,
    ``compare``, ``html-report``. AP and the F1 cuts are those of the recorded boxes.

    Args:
        folder: of the run; its name is what tables call it.
        records: by set: ``id``, perhaps ``id_val`` (ID validation, where cuts are found), and at
            least one OOD set of any name. Each names its ``ann_file`` in ``meta``; that of an OOD
            set may hold images only.
        presets: of :data:`negas.metrics.PRESETS`; those with F1 cuts need no number.
        scores: names, or name and options; those whose inputs the records lack are left out.
        min_score: least confidence that the detector was asked for, in [0, 1): no cut may be lower.
        neg_text_feats: embeddings of the negative labels ``[M, E - 1]``, from which and from the
            records' ``embeddings`` ``[n, E]`` their logits follow: rows of the rotated bank, the
            control of scores with negatives, stand in the tables then.
        seed: of the rotations.
        overwrite: replace the run of a test, too, not only one that was written like this.

    Returns:
        The run, read again.

    Raises:
        ValueError: sets that do not belong together or lack annotations, an unknown preset or
            score, no F1 cut on the ID set, or text embeddings that do not give the logits.
        FileNotFoundError: annotations do not exist.
        FileExistsError: a test's results are there.
    """
    home, named = Path(folder), name_scores(list(scores))
    chosen = _presets(presets)
    _check(home, records, overwrite)
    order = [ID, *(name for name in records if name != ID)]
    sets = {n: replace(records[n], meta=records[n].meta | dict(set=n)) for n in order}
    feats = {} if neg_text_feats is None else {MODEL_BANK: np.asarray(neg_text_feats)}
    run = Recorded.of(home, sets, feats, dict(sets=describe_sets(sets)))
    if feats:
        _check_feats(run)
    for name in sets:
        run.truth(name)  # all are there
    possible = usable(run, named)
    specs = [spec for spec, one in zip(scores, named, strict=True) if one in possible]
    if not specs:
        raise ValueError("none of the scores can be computed from these records")
    cuts, maps = _cuts_and_maps(run)
    about = dict(config=None, class_names=run.id_labels, score=possible[0].name, seed=None)
    about |= {IMPORTED: True, "versions": package_versions()}
    settings = dict(scores=specs, presets=[preset.name for preset in chosen])
    rotations = DEFAULT_ROTATIONS if feats else 0
    settings |= dict(rotations=rotations, seed=seed, min_score=min_score)
    words = sets[ID].meta.get("neg_labels") if run.has_negatives else None
    banks = {MODEL_BANK: list(words)} if words else {}
    run.results = unscored_results(sets, banks, maps, cuts, about, settings)
    run.results["banks"] = describe_banks(run, dict.fromkeys(banks))
    rows = score_presets(run, chosen)
    writer = RunFolder(home)
    try:
        for name, each in sets.items():
            writer.add(name, each)
        writer.add_feats(feats)
        writer.finish(dict(rows=rows) | run.results)
        save_states(run, home)
    finally:
        writer.release()
    return Run.load(home)


def _cuts_and_maps(run: Recorded) -> tuple[dict[str, Cut], dict[str, float]]:
    """F1 cuts by rule and mAP (ID) by name; one evaluation a set serves both."""
    cuts: dict[str, Cut] = {}
    for name in [name for name in (ID_VAL, ID) if name in run.records]:
        truth = run.truth(name)
        found = records_to_coco(run.records[name], truth)
        evaluation = evaluate_coco(truth, found, run.id_labels)
        if "val_f1" not in cuts:
            cuts["val_f1"] = f1_rule_cut("val_f1", f1_cut(evaluation).threshold, name)
    cuts["test_f1"] = f1_rule_cut("test_f1", f1_cut(evaluation, vos=True).threshold, ID)
    result = average_precision(evaluation)
    maps = dict(coco_ap=result.ap, coco_ap50=result.ap50, coco_ap75=result.ap75)
    maps["voc07_ap50"] = voc07_ap50(truth, found, run.id_labels)
    return cuts | dict(run=cuts["val_f1"]), maps


def unscored_results(
    records: Mapping[str, BoxRecords],
    banks: Mapping[str, Sequence[str]],
    maps: Mapping[str, float],
    cuts: Mapping[str, Cut],
    about: Mapping[str, object],
    settings: Mapping[str, object],
) -> dict:
    """All of ``ood_results.json`` but the rows; the words of banks are still without leakage.

    Args:
        records: detections by set.
        banks: words by bank.
        maps: mAP (ID) by name.
        cuts: by rule, the run's among them.
        about: detector, versions and the seed of the run.
        settings: what repeats the evaluation from the records.
    """
    return dict(
        banks={name: dict(labels=words) for name, words in banks.items()},
        sets=describe_sets(records),
        map=maps,
        cuts={rule: asdict(cut) for rule, cut in cuts.items()},
        run=about,
        seeds=dict(run=about["seed"], rotations=settings["seed"]),
        settings=settings,
    )


def score_presets(run: Recorded, presets: Sequence[Preset]) -> list[dict]:
    """Rows of a run as its settings say, under each preset, with a bar."""
    scoring = scoring_as_tested(run)
    # disable=None: no bar where standard error is no terminal
    total = len(presets) * count_rows(run, scoring)
    with tqdm(total=total, desc="scores", leave=False, disable=None) as bar:
        tables = rows_by_preset(run, presets, scoring, bar.update)
    for preset, table in zip(presets, tables, strict=True):
        add_owod(run, preset, scoring.scores, table)
    return [row for table in tables for row in table]


def _presets(names: Sequence[str]) -> list[Preset]:
    if "fixed" in names:
        raise ValueError(
            "the preset 'fixed' has no confidence cut of its own; score the finished run with "
            "negas score RUN --preset fixed --cut NUMBER"
        )
    return choose_presets(list(dict.fromkeys(names)))


def _check(home: Path, sets: Mapping[str, BoxRecords], overwrite: bool) -> None:
    """Before any work: the sets belong together, and nobody else's run is replaced."""
    ood = [name for name in sets if name not in ID_SETS]
    if ID not in sets or not ood:
        raise ValueError(
            f"a run needs the set 'id' and at least one OOD set, got {', '.join(sets) or 'none'}"
        )
    check_set_names(ood)
    check_sets(home, sets)
    for name, each in sets.items():
        if not each.meta.get("ann_file"):
            raise ValueError(
                f"the set {name!r} names no annotations; make its records with ann_file=FILE, a "
                "COCO json (that of an OOD set may hold images only)"
            )
        if each.neg_logits is not None and not each.meta.get("neg_labels"):
            raise ValueError(
                f"the set {name!r} has negative logits without names; make its records with "
                "neg_labels"
            )
    check_folder(home, "the run's folder")
    found = find_results(home)
    if found and not overwrite and not read_results(home)["run"].get(IMPORTED):
        raise FileExistsError(
            f"{str(home)!r} holds the results of a test; name another folder, or replace them with "
            "--overwrite"
        )


def _check_feats(run: Recorded) -> None:
    """The text embeddings give the negative logits that the records hold."""
    for name, made in run.rescore(MODEL_BANK, run.feats[MODEL_BANK]).items():
        held = run.records[name].neg_logits
        fits = held is not None and held.shape == made.neg_logits.shape
        if not fits or not np.allclose(held, made.neg_logits, rtol=0.01, atol=0.05):
            raise ValueError(
                f"the set {name!r}: embeddings[:, :-1] @ neg_text_feats.T + embeddings[:, -1:] are "
                "not its neg_logits; give the embeddings that the detector compares"
            )

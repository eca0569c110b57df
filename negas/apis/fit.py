"""Fit the thresholds of a detector on ID validation images."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner
from pycocotools.coco import COCO
from torch import Tensor, nn
from tqdm import tqdm

from negas.evaluation.collect import files_of, read_truths, to_arrays, to_coco_results, to_records
from negas.evaluation.cuts import deployed_tau
from negas.evaluation.fitting import FittedState, fit_state
from negas.evaluation.recorded import Recorded
from negas.evaluation.result_files import read_set
from negas.evaluation.unknown import find_threshold
from negas.experiments.config_check import check_config
from negas.experiments.preflight import check_data
from negas.labels.names import first_difference
from negas.metrics import f1_threshold, records_to_coco
from negas.metrics.coco import category_ids
from negas.models.base import detector_class
from negas.models.unknown import WHERE, UnknownFinder, own_test_cfg
from negas.options import check_number
from negas.records import ID_VAL, ID_VAL_CLEAN, SET_TITLES, BoxRecords
from negas.scores import FittedScore, Score
from negas.unknown import CALIBRATED
from negas.unknown.thresholds import ThresholdOptions

from .calibration import Calibration, identity, search_of, words_digest
from .inferencer import Inferencer

MIN_SCORE = 0.01  # boxes of lower confidence are never recorded


def calibrate(
    cfg: Config,
    checkpoint: str | Path,
    tpr: float = 0.95,
    cut: float | None = None,
    records: str | Path | None = None,
    device: str | None = None,
    negatives: Sequence[str] | str | None = None,
    limits: ThresholdOptions | None = None,
    classes: Sequence[str] | str | None = None,
    state_file: str | Path | None = None,
) -> Calibration:
    """Confidence cut (best F1) and tau (a share ``tpr`` of the ID detections is known).

    With ``model.test_cfg.unknown`` also the threshold of unknown objects and the words that stay,
    from ``test_cfg.id_val_clean_dataloader`` where there is one; ID boxes over the cut hide them.

    Args:
        cfg: config; its ID validation set is ``test_cfg.id_val_dataloader`` or ``val_dataloader``.
        checkpoint: of the detector.
        tpr: wanted share, in (0, 1].
        cut: a fixed confidence cut in place of the best F1.
        records: recorded boxes of the ID validation set (``records/id_val.npz``), for unknown
            objects with the run's cells; ``None``: run the detector.
        device: for the detector; ``None``: an accelerator if there is one.
        negatives: in place of the config's, as in :class:`~negas.apis.Inferencer`.
        limits: what unknown objects may cost; ``None``: the defaults.
        classes: ID names in place of the config's; the validation set's categories are matched by
            name, others do not count.
        state_file: of a score that was fitted already, on ``id_train`` say; ``None``: one that has
            to be is fitted on the detections of the validation set, each of which is judged without
            its own image.

    Raises:
        ValueError: there is no validation set or no detection on it, it lacks a class, the records
            are of another detector, or no threshold of unknown objects keeps to the limits.
        FileNotFoundError: a file does not exist.
    """
    check_number("tpr", tpr, gt=0, le=1)
    if cut is not None:
        check_number("cut", cut, ge=0, le=1)
    check_config(cfg)
    model = relabelled(cfg.model, classes, negatives)
    if classes is not None:
        cfg = copy.deepcopy(cfg)
        _take_classes(cfg, model.class_names)
    recorded, tested = (None, {}) if records is None else read_set(records)
    seeks = bool((cfg.model.get("test_cfg") or {}).get("unknown"))
    loader = validation_loader(cfg) if recorded is None else None
    clean = (cfg.get("test_cfg") or {}).get("id_val_clean_dataloader") if seeks else None
    if loader is not None:
        # under the keys that they have, for errors
        read = dict.fromkeys(("val_evaluator", "test_evaluator"), dict(type="OODMetric"))
        read["test_cfg"] = dict(id_val_clean_dataloader=clean)
        if loader is cfg.get("val_dataloader"):
            read["val_dataloader"] = loader
        else:
            read["test_cfg"]["id_val_dataloader"] = loader
        check_data(Config(dict(model=model) | read), ("val_dataloader", "test_dataloader"))
    detector = Inferencer(
        cfg, checkpoint, device, classes=classes, negatives=negatives, calibration=None
    )
    model = detector.model
    fitted_for = identity(model, checkpoint)
    fitted_for.pop("unknown", None)  # has a section of its own
    score = model.postprocessor.score
    model.bbox_head.test_cfg["keep_embeddings"] = score.needs_embeddings  # tau is fitted on records
    floor = max(MIN_SCORE, model.bbox_head.test_cfg.get("score_thr", 0))
    if cut is not None and cut < floor:
        raise ValueError(
            f"cut={cut} is below {floor}, so boxes would be missing; take a larger cut or lower "
            "model.test_cfg.score_thr"
        )
    if recorded is None:
        if seeks:  # a word that cannot be encoded shows before the detector runs
            # the detector's own texts go first, as in a test: the last digits of a text depend on
            # those that it is encoded with
            model.text_feats()
            word_feats = model.finder.encode_with(model.bank_feats)
        seen = _run(model, loader, cut, ID_VAL, seeks and not clean)
        recorded, found = seen.records, seen.cut
    else:
        _check_records(recorded, tested, fitted_for, Path(records))
        found = _cut_of_records(recorded, tested, Path(records)) if cut is None else cut
    unknown = None
    if seeks:
        if records is not None:
            run = _run_of_cells(model.finder, Path(records))
        else:
            seen = _run(model, clean, found, ID_VAL_CLEAN, True) if clean else seen
            run = _as_run(model, seen, word_feats)
        unknown = _fit_unknown(model.finder, run, limits, found)
    state = None
    if score.needs_fit:
        state = _state_of(score, state_file, recorded, found, fitted_for, model.score_head())
        score = score.with_state(state.tensors)
    tau, reached, count = fit_tau(recorded, score, found, tpr)
    source = dict(
        ann_file=recorded.meta.get("ann_file"),
        records=str(records) if records is not None else None,
        bank=negatives if isinstance(negatives, str) else _bank_file(cfg, negatives),
        cut_rule="best F1" if cut is None else "fixed",
        checkpoint=Path(checkpoint).name,
        test_cfg=json.loads(json.dumps(dict(model.bbox_head.test_cfg), default=str)),
    )
    counts = dict(images=len(recorded.images), detections=count)
    made = Calibration(found, tau, tpr, reached, counts, fitted_for, source, unknown)
    return made.with_state(state)


def _state_of(
    score: FittedScore,
    file: str | Path | None,
    records: BoxRecords,
    cut: float,
    fitted_for: dict[str, Any],
    head: dict[str, Tensor],
) -> FittedState:
    """The state of a file, which must be the detector's, or one of ID validation boxes."""
    if file is None:
        return fit_state(score, records, cut, fitted_for, head=head)
    state = FittedState.load(file)
    state.check(score, fitted_for, f"state {str(file)!r}")
    return state


def validation_loader(cfg: Config) -> dict:
    """The dataloader of a config's ID validation set.

    Raises:
        ValueError: it has none.
    """
    loader = (cfg.get("test_cfg") or {}).get("id_val_dataloader") or cfg.get("val_dataloader")
    if not loader:
        raise ValueError(
            "the config names no ID validation set (test_cfg.id_val_dataloader or val_dataloader); "
            "give --ann-file and --img-dir"
        )
    return loader


def relabelled(
    model: ConfigDict,
    classes: Sequence[str] | str | None,
    negatives: Sequence[str] | str | None,
) -> ConfigDict:
    """A copy of a config's ``model`` with other labels.

    Raises:
        ValueError: they are not sound, or do not fit each other.
        FileNotFoundError: a file of them does not exist.
    """
    own = copy.deepcopy(model)
    detector_class(own).set_labels(own, classes, negatives)
    return own


def _take_classes(cfg: Config, names: Sequence[str]) -> None:
    """Let the validation sets label these classes alone."""
    loaders = [cfg.get("val_dataloader")]
    for key in ("id_val_dataloader", "id_val_clean_dataloader"):
        loaders.append((cfg.get("test_cfg") or {}).get(key))
    for loader in filter(None, loaders):
        loader.dataset.metainfo = dict(classes=list(names))


def use_images(cfg: Config, ann_file: str, img_dir: str) -> None:
    """Make other annotated images the ID validation set of a config.

    Raises:
        ValueError: the config has no data set whose classes and pipeline they could take.
    """
    base = cfg.get("val_dataloader") or cfg.get("test_dataloader")
    if not base or "dataset" not in base:
        raise ValueError("the config has no test_dataloader to take the pipeline from")
    # A copy of all of it: MMDetection's inferencer takes a key out of the test set's pipeline.
    loader = copy.deepcopy(Config(dict(loader=base)).loader)
    loader.dataset.update(data_root="", ann_file=ann_file, data_prefix=dict(img=img_dir))
    cfg.val_dataloader = loader
    for key in ("id_val_dataloader", "id_val_clean_dataloader"):
        if cfg.get("test_cfg"):
            cfg.test_cfg.pop(key, None)


def seek_unknown(cfg: Config, vocabulary: str | Sequence[str] | None) -> None:
    """Make a config seek unknown objects with a vocabulary; its other settings of that stay.

    Args:
        cfg: changed in place.
        vocabulary: as in ``model.test_cfg.unknown``; ``None``: seek none.
    """
    test_cfg = own_test_cfg(cfg.model)
    if vocabulary is None:
        test_cfg["unknown"] = None
        return
    given = dict(test_cfg.get("unknown") or {})
    test_cfg["unknown"] = given | dict(vocabulary=vocabulary, score_thr=CALIBRATED)


def fit_tau(records: BoxRecords, score: Score, cut: float, tpr: float) -> tuple[float, float, int]:
    """Tau, the share of detections that is known with it, and the number of detections.

    Args:
        records: boxes of ID images.
        score: of :data:`negas.scores.SCORES`.
        cut: least confidence of a detection.
        tpr: wanted share.

    Raises:
        ValueError: no box is over the cut.
    """
    kept = records.select(records.scores >= np.float32(cut))
    values = kept.score_with(score)
    tau = deployed_tau(values, tpr)
    return tau, float((values >= tau).mean()), len(values)


def see_validation(inferencer: Inferencer, num: int | None = None) -> BoxRecords:
    """Boxes of ID validation images as the detector sees them now, with their embeddings.

    Args:
        inferencer: with the labels that boxes are to have.
        num: of the first images; ``None``: all.

    Returns:
        Detections over the inferencer's threshold.

    Raises:
        ValueError: its config names no ID validation set, or that has no images.
        FileNotFoundError: annotations or images are not there.
    """
    model, cfg = inferencer.model, inferencer.cfg
    loader = copy.deepcopy(validation_loader(cfg))
    loader["dataset"]["indices"] = num
    check_data(Config(dict(model=cfg.model, val_dataloader=loader)), ("val_dataloader",))
    test_cfg = model.bbox_head.test_cfg
    before = {key: test_cfg.get(key) for key in ("keep_embeddings", "keep_cells")}
    test_cfg["keep_embeddings"] = True
    try:
        seen = _run(model, loader, inferencer.threshold, ID_VAL, False)
    finally:
        test_cfg.update(before)
    return seen.records.select(seen.records.scores >= np.float32(inferencer.threshold))


@dataclass(frozen=True, eq=False)
class _Seen:
    """A validation set as the detector saw it.

    Attributes:
        name: of :data:`negas.records.VALIDATION_SETS`.
        truth: its annotations.
        records: boxes.
        cells: that may be unknown objects; ``None`` where they were not wanted.
        cut: the given one, or the confidence of the best F1.
    """

    name: str
    truth: COCO
    records: BoxRecords
    cells: BoxRecords | None
    cut: float


@torch.no_grad()
def _run(model: nn.Module, loader: dict, cut: float | None, name: str, with_cells: bool) -> _Seen:
    """Run the detector on a validation set."""
    data = Runner.build_dataloader(loader, seed=0)
    names = list(model.class_names)
    truth = read_truths({name: data.dataset}, names)[name]
    ids = category_ids(truth, names)
    model.bbox_head.test_cfg["keep_cells"] = with_cells
    parts, cells, images, detections = [], [], [], []
    # disable=None: no bar where standard error is no terminal
    for batch in tqdm(data, desc=SET_TITLES[name], leave=False, disable=None):
        for output in model.test_step(batch):
            sample = output.to_dict()
            parts.append(to_arrays(sample, MIN_SCORE))
            if with_cells:
                cells.append(to_arrays(sample, 0.0, part="unknown_cells"))
            images.append(sample["img_id"])
            if cut is None:
                detections += to_coco_results(sample, ids)
    if not parts:
        raise ValueError("the ID validation set has no images; give --ann-file and --img-dir")
    meta = dict(set=name, id_labels=names, neg_labels=list(model.neg_labels))
    meta |= files_of(data.dataset)
    records = to_records(parts, images, meta)
    if model.token_reduce:  # labels are sets of tokens
        meta["token_reduce"] = model.token_reduce
    found = to_records(cells, images, meta | dict(neg_labels=[])) if with_cells else None
    if cut is None:
        cut = _checked(f1_threshold(truth, detections, class_names=names).threshold)
    return _Seen(name, truth, records, found, cut)


def _as_run(model: nn.Module, seen: _Seen, word_feats: Tensor) -> Recorded:
    """What the detector has just seen, as the search for thresholds reads a test."""
    finder, name = model.finder, seen.name
    about = dict(words=list(finder.words), options=finder.options.record())
    results = dict(sets={name: {}}, unknown=about)
    path = Path(str(seen.records.meta["ann_file"]))
    run = Recorded.of(path, {name: seen.records}, results=results, truths={name: seen.truth})
    run.cells = {name: seen.cells}
    run.word_feats = word_feats.cpu().numpy()
    return run


def _run_of_cells(finder: UnknownFinder, records: Path) -> Recorded:
    """The test that recorded boxes are of, with cells and these words.

    Raises:
        ValueError: it kept no cells, or sought unknown objects otherwise.
        FileNotFoundError: it is no whole test.
    """
    run = Recorded.load(records.parent)
    about = (run.results or {}).get("unknown")
    if about is None or not run.has_cells:
        raise ValueError(
            f"records {str(records)!r} are of a test without cells, so the threshold of unknown "
            "objects cannot be found; test with model.test_cfg.unknown and keep_cells=True, leave "
            "--records out, or give --unknown none"
        )
    wanted, words = finder.options.record(), list(finder.words)
    if about["words"] != words:
        raise ValueError(
            f"records {str(records)!r} were made with other words of a vocabulary than the "
            f"config's ({first_difference(about['words'], words)}); test again with this config, "
            "or leave --records out"
        )
    for key in ("min_size", "share"):  # of the cells; the rest is chosen now
        old, new = about["options"].get(key), wanted[key]
        if old != new:
            raise ValueError(
                f"records {str(records)!r} were made with another {WHERE}.{key} ({old!r} instead "
                f"of {new!r}); test again with this config, or leave --records out"
            )
    run.results["unknown"] = dict(words=words, options=wanted)
    return run


def _fit_unknown(
    finder: UnknownFinder, run: Recorded, limits: ThresholdOptions | None, cut: float
) -> dict[str, Any]:
    """The section ``unknown`` of a calibration."""
    try:
        found = find_threshold(run, limits, cut)
    except ValueError as error:
        raise ValueError(
            f"{error}; to calibrate without unknown objects, give --unknown none"
        ) from error
    source = finder.options.vocabulary
    about = dict(
        source=source if isinstance(source, str) else "words of the config",
        words=len(finder.words),
        sha256=words_digest(finder.words),
    )
    return found.record() | dict(vocabulary=about, fitted_for=search_of(finder))


def _checked(cut: float) -> float:
    if not math.isfinite(cut) or cut < MIN_SCORE:
        raise ValueError(
            f"the confidence of the best F1 is {cut:.4f}, below what is recorded ({MIN_SCORE}): "
            "the detector hardly finds these classes; give a fixed --cut"
        )
    return cut


def _check_records(records: BoxRecords, results: dict, fitted_for: dict, path: Path) -> None:
    """Records must be of ID validation, the same labels and, if known, the same checkpoint."""
    kind = records.meta.get("set", ID_VAL)
    if kind != ID_VAL:
        raise ValueError(
            f"records {str(path)!r} are of the set {kind!r}; cut and tau come from the ID "
            "validation set alone: give its records/id_val.npz, or leave --records out"
        )
    for key, name in (("id_labels", "class_names"), ("neg_labels", "neg_labels")):
        made = list(records.meta.get(key) or ())
        if made != fitted_for[name]:
            raise ValueError(
                f"records {str(path)!r} were made with other {name} than the config's "
                f"({first_difference(made, fitted_for[name])}); test again with this config, or "
                "leave --records out"
            )
    run = results.get("run", {})
    for key in ("checkpoint_sha256", "base_sha256"):
        if run.get(key) and fitted_for[key] and run[key] != fitted_for[key]:
            raise ValueError(
                f"records {str(path)!r} were made with another {key.removesuffix('_sha256')} "
                f"({run.get('checkpoint')!r}); give that one, or leave --records out"
            )


def _cut_of_records(records: BoxRecords, results: dict, path: Path) -> float:
    """The cut that the test found on these records; else the best F1 of one label per box."""
    cut = results.get("cuts", {}).get("val_f1", {})
    if path.stem == ID_VAL and cut.get("source") == ID_VAL:
        return _checked(cut["value"])
    truth = records.meta.get("ann_file")
    if not truth or not Path(truth).is_file():
        raise ValueError(
            f"records {str(path)!r} name no annotations that exist ({truth!r}), so there is no F1; "
            "give a fixed --cut"
        )
    names = list(records.meta["id_labels"])
    found = f1_threshold(truth, records_to_coco(records, truth), class_names=names).threshold
    return _checked(found)


def _bank_file(cfg: Config, negatives: object) -> str | None:
    bank = cfg.model.get("neg_labels") if negatives is None else None
    return bank if isinstance(bank, str) else None

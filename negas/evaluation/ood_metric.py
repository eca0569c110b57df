"""The metric behind ``OODTestLoop``: mAP on the ID set, FPR95/AUROC of every score and OOD set."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.registry import METRICS
from mmengine.runner import Runner

from negas.files import check_names
from negas.labels.bank import NegativeLabelBank
from negas.labels.text_tower import seen_by_text_tower
from negas.metrics import (
    PRESETS,
    Cut,
    Preset,
    average_precision,
    evaluate_coco,
    f1_cut,
    find_presets,
    voc07_ap50,
)
from negas.metrics.coco import category_ids
from negas.options import check_value
from negas.records import ID, ID_TRAIN, ID_VAL, VALIDATION_SETS, BoxRecords
from negas.scores import get_score
from negas.text import shown

from .collect import RunFolder, files_of, read_truths, to_arrays, to_coco_results, to_records
from .cuts import F1_RULES, f1_rule_cut
from .fitting import fitted_score, save_states
from .objects.owod_rows import OWOD, refuse_shared_images
from .provenance import run_info, text_tower_of
from .recorded import MODEL_BANK, RESERVED_BANKS, VOCABULARY, Recorded
from .rows import (
    NamedScore,
    describe_banks,
    leakage_lines,
    name_scores,
)
from .unknown import threshold_lines, threshold_of
from .unknown.rows import unknown_section
from .write_run import DEFAULT_SCORES, score_presets, unscored_results

if TYPE_CHECKING:
    from negas.models.interface import OODDetector


@METRICS.register_module()
class OODMetric(BaseMetric):
    """Collects detections of the ID set and of OOD sets; scores them all at the end.

    Args:
        scores: names of :data:`negas.scores.SCORES`, or ``dict(type=name, **options)``; that of the
            detector's verdicts is added;
            ``logits="cosine"`` scores cosines in place of head logits (needs embeddings). Fitted
            ones (``knn``) are fitted on the ID validation boxes over the cut; their states are
            written to ``<work_dir>/fitted``.
        presets: protocols by :data:`~negas.metrics.PRESETS`, the names of ``negas score``; the
            first one's numbers head the log. ``vos`` and ``siren`` bring their own cuts,
            ``val_f1`` and ``matched`` use the run's, ``fixed`` is ``shared_cut``.
        cut: the run's confidence cut. ``f1``: of the best F1 on the loop's ``id_val_dataloader``
            (ID validation), or on the ID test set if there is none; or a fixed number.
        shared_cut: a second cut, the same for all methods to be compared: adds the preset
            ``fixed``, and ``matched`` at this cut where that is among the presets.
        min_score: boxes of lower confidence are not recorded; must be at most the cuts.
        banks: further label banks (name -> file) to score the same boxes with; needs
            ``test_cfg.keep_embeddings``. ``model`` is the name of the model's own bank.
        rotations: draws of the rotated-bank control (same geometry, no meaning), and of the rotated
            vocabulary of unknown objects; needs embeddings.
        seed: of the rotations.
        dump: write the records of every set to ``<work_dir>/records/<set>.npz``.
        plots: draw histograms and ROC curves.

    Raises:
        ValueError: an unknown preset, a cut below ``min_score``, a bank with a reserved name, a
            score that is listed twice, or a number that cannot be.
    """

    default_prefix = ""  # the metrics name their set themselves

    def __init__(
        self,
        scores: Sequence[str | dict] = DEFAULT_SCORES,
        presets: Sequence[str] = ("val_f1",),
        cut: str | float = "f1",
        shared_cut: float | None = None,
        min_score: float = 0.01,
        banks: dict[str, str] | None = None,
        rotations: int = 0,
        seed: int = 0,
        dump: bool = True,
        plots: bool = True,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if not (cut == "f1" or isinstance(cut, int | float)):
            raise ValueError(f"OODMetric: cut must be 'f1' or a number in [0, 1], got {cut!r}")
        check_value("OODMetric: rotations", rotations, int, ge=0)
        check_value("OODMetric: seed", seed, int, ge=0)
        # two of them name the model's own rows
        check_names(banks or {}, "OODMetric: banks: the bank", RESERVED_BANKS)
        if bad := [one for one in scores if isinstance(one, dict) and "type" not in one]:
            raise ValueError(f"OODMetric: scores: {shown(bad[0])} has no type, the score's name")
        self.scores = [
            name
            if isinstance(name, str)
            else (name["type"], {k: v for k, v in name.items() if k != "type"})
            for name in scores
        ]
        # finds what is wrong with them before any inference
        self.named_scores: list[NamedScore] = name_scores(self.scores)
        self.presets = _presets(presets, shared_cut)
        self.cut_rule = cut
        self.min_score = min_score
        for key, value in [
            ("cut", cut),
            ("shared_cut", shared_cut),
            *((f"preset {preset.name!r}: cut", preset.cut) for preset in self.presets),
        ]:
            if isinstance(value, int | float) and value < min_score:
                raise ValueError(
                    f"OODMetric: {key}={value} is below min_score={min_score}, so boxes would be "
                    "missing; lower min_score (and test_cfg.score_thr)"
                )
        self.bank_files = dict(banks or {})
        self.banks = {name: _load_bank(name, path) for name, path in self.bank_files.items()}
        self.rotations = rotations
        self.seed = seed
        self.dump = dump
        self.plots = plots

    # --- collecting ---------------------------------------------------------------------------
    def begin_run(
        self,
        model: OODDetector,
        runner: Runner,
        datasets: Mapping[str, object],
        stage: Literal["test", "val"] = "test",
    ) -> None:
        """Start anew with a model; called by the loops before any inference.

        Args:
            model: a NegAS detector.
            runner: of the loop.
            datasets: ``id``, perhaps others of :data:`negas.records.ID_SETS`, and every OOD set,
                with the paths of their jsons.
            stage: ``val`` writes to ``<work_dir>/val`` and does not stop a training.

        Raises:
            ValueError: the jsons of the sets do not fit, see :func:`~.collect.read_truths`, or the
                model keeps no embeddings although banks, rotations or cosines need them, or
                an image stands in the ID set and in an OOD set under the preset ``owod``.
            FileNotFoundError: a json does not exist.
            BlockingIOError: another process tests in this work dir.
        """
        self.stage = stage
        self.out_dir = Path(runner.work_dir) / ("val" if stage == "val" else "")
        self.folder = RunFolder(self.out_dir, self.dump) if is_main_process() else None
        self.records: dict[str, BoxRecords] = {}
        self.cells: dict[str, BoxRecords] = {}  # that may be unknown objects
        self.run: Recorded | None = None  # the finished test
        self.maps: dict[str, float] = {}
        self.cuts: dict[str, Cut] = {}  # by rule: "run", "val_f1", "test_f1"
        if self.cut_rule != "f1":
            self.cuts["run"] = Cut(float(self.cut_rule), source="config")
        self.class_names = list(model.class_names)
        self.neg_labels = list(model.neg_labels)
        self.token_reduce = model.token_reduce
        self.truths = read_truths(datasets, self.class_names)
        self.files = {name: files_of(dataset) for name, dataset in datasets.items()}
        if any(preset.name == OWOD for preset in self.presets):
            folders = {name: about["img_dir"] for name, about in self.files.items()}
            sets = [name for name in folders if name not in VALIDATION_SETS]
            for name in sets[1:]:
                refuse_shared_images(self.truths, folders, (sets[0], name), "preset 'owod'")
        judge = model.postprocessor
        if judge and judge.score_name not in {score.name for score in self.named_scores}:
            self.scores.append((judge.score_name, judge.options))  # what gives the verdicts
            self.named_scores = name_scores(self.scores)
        test_cfg = model.bbox_head.test_cfg
        read = any(score.needs_embeddings for score in self.named_scores)
        needed = self.banks or self.rotations or read
        if needed and test_cfg and not test_cfg.get("keep_embeddings"):
            raise ValueError(
                "OODMetric: banks, rotations, logits='cosine' and scores of embeddings need the "
                "boxes' embeddings; set "
                "model.test_cfg.keep_embeddings=True"
            )
        fitted = [score.label for score in self.named_scores if score.needs_fit]
        if fitted and stage == "test" and ID_VAL not in datasets:
            raise ValueError(
                f"OODMetric: the score {fitted[0]!r} is fitted on ID validation boxes; set "
                "test_cfg.id_val_dataloader, or leave the score out"
            )
        self.run_info = run_info(runner, model)
        self.score = judge.score if judge else get_score("max_sigmoid")
        self.tau: float | None = judge.tau if judge else None
        self.head = {key: value.cpu().numpy() for key, value in model.score_head().items()}
        self.feats = {}
        id_feats, neg_feats = model.text_feats()
        if neg_feats is not None:
            self.feats[MODEL_BANK] = neg_feats.cpu().numpy()
        for name, bank in self.banks.items():
            self.feats[name] = model.bank_feats(bank.neg_labels).detach().cpu().numpy()
        self.finder = model.finder if keeps_cells(model, stage) else None
        if self.finder is not None:
            self.word_feats = self.finder.encode_with(model.bank_feats).cpu().numpy()
            tower = text_tower_of(runner.cfg)
            self.seen_words = seen_by_text_tower(self.finder.words, tower) if tower else None

    def begin_set(self, name: str) -> None:
        """Start collecting ``id_val``, ``id_val_clean``, ``id`` or the OOD set of a name."""
        self.set_name = name
        if name in (ID, ID_VAL):
            self.category_ids = category_ids(self.truths[name], self.class_names)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Record one batch of predictions."""
        need_coco = self.set_name in (ID, ID_VAL)
        for sample in data_samples:
            arrays = to_arrays(sample, self.min_score)
            coco = to_coco_results(sample, self.category_ids) if need_coco else []
            cells = None
            if self._with_cells:
                cells = to_arrays(sample, 0.0, part="unknown_cells")
            self.results.append((sample["img_id"], arrays, coco, cells))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Finish the current set; mAP for ID sets."""
        ids, parts, coco, cells = zip(*results, strict=True)
        meta = dict(set=self.set_name, id_labels=self.class_names, neg_labels=self.neg_labels)
        meta.update(self.files[self.set_name])
        if self.token_reduce:  # labels are sets of tokens
            meta["token_reduce"] = self.token_reduce
        self.records[self.set_name] = to_records(parts, ids, meta)
        self.folder.add(self.set_name, self.records[self.set_name])
        if self._with_cells:
            self.cells[self.set_name] = to_records(cells, ids, meta | dict(neg_labels=[]))
            self.folder.add_cells(self.set_name, self.cells[self.set_name])
        if self.set_name not in (ID, ID_VAL):  # the cut never comes from another set
            return {}
        truth = self.truths[self.set_name]
        detections = [d for image in coco for d in image]
        # One evaluation of a set serves its cuts and its mAP: it takes most of the time.
        evaluation = evaluate_coco(truth, detections, self.class_names)
        if "val_f1" not in self.cuts:
            needed = "run" not in self.cuts
            self._find_cut("val_f1", evaluation, needed)
            if needed and "val_f1" in self.cuts:
                self.cuts["run"] = self.cuts["val_f1"]
        if self.set_name == ID_VAL:
            return {}
        self._find_cut("test_f1", evaluation, any(p.cut == "test_f1" for p in self.presets))
        result = average_precision(evaluation)
        self.maps = dict(coco_ap=result.ap, coco_ap50=result.ap50, coco_ap75=result.ap75)
        self.maps["voc07_ap50"] = voc07_ap50(truth, detections, self.class_names)
        return {f"id/{key}": value for key, value in self.maps.items()}

    @property
    def _with_cells(self) -> bool:
        """Whether the current set's cells are kept; those of training images have no use."""
        return self.finder is not None and self.set_name != ID_TRAIN

    @property
    def cut(self) -> float | None:
        """The run's confidence cut; ``None`` until it is found."""
        return self.cuts["run"].value if "run" in self.cuts else None

    def _find_cut(self, rule: str, evaluation: object, needed: bool) -> None:
        """Find a cut; where it is ``needed`` and there is none, end the test."""
        try:
            with warnings.catch_warnings():
                if not needed:  # nobody waits for this cut
                    warnings.simplefilter("ignore")
                value = f1_cut(evaluation, vos=rule == "test_f1").threshold
        except ValueError as error:
            if needed:
                self._refuse(str(error))
            return
        if value < self.min_score and needed:
            self._refuse(
                f"OODMetric: the cut {value:.4f} is below min_score={self.min_score}, so boxes are "
                "missing; lower min_score (and test_cfg.score_thr)"
            )
            return
        self.cuts[rule] = f1_rule_cut(rule, value, self.set_name)

    def _refuse(self, problem: str) -> None:
        """End a test; in a training, go on without OOD numbers."""
        if self.stage == "val":
            print_log(f"no OOD numbers in this validation: {problem}", "current", logging.WARNING)
            return
        kept = f" The boxes are kept in {self.folder.part}." if self.dump else ""
        raise ValueError(problem + kept)

    # --- summary ------------------------------------------------------------------------------
    def summarize(self) -> dict[str, float]:
        """Score all sets, write ``ood_results.json``, the records and the plots."""
        metrics: list[dict | None] = [None]
        if is_main_process():
            try:
                metrics = [self._summarize()]
            finally:
                self.folder.release()
        broadcast_object_list(metrics)
        return metrics[0]

    def _summarize(self) -> dict[str, float]:
        from .run_plots import plot_run, remove_plots

        words = {VOCABULARY: self.word_feats} if self.finder is not None else None
        self.folder.add_feats(self.feats, words, self.head)
        if self.cut is None:
            self.folder.finish(None)
            return {}
        try:
            run = self.run = self._recorded()
            rows = self._score(run)
            if self.score.needs_fit and run.fit_set in run.records:
                self.score = fitted_score(run, self.score, run.records)
        except Exception:
            if self.dump:
                part = self.folder.part
                text = f"scoring failed; the boxes are kept: negas score {part}"
                print_log(text, "current", logging.WARNING)
            raise
        report = dict(rows=rows) | run.results
        remove_plots(self.out_dir)
        self.folder.finish(report)
        save_states(run, self.out_dir)
        if self.plots:
            plot_run(run, run.results.get("unknown", {}), self.out_dir)
        for line in leakage_lines(report):
            print_log(line, "current")
        print_log(f"OOD results, records and plots are in {self.out_dir}", "current")
        found = {"id/cut": self.cut} | logged_numbers(rows, self.presets)
        return found | (object_numbers(rows) if self.stage == "test" else {})

    def _score(self, run: Recorded) -> list[dict]:
        files = {MODEL_BANK: self.run_info["neg_labels"]} | self.bank_files
        run.results["banks"] = describe_banks(run, {n: files[n] for n in self.feats})
        self.folder.add_results(run.results)
        if self.finder is not None:
            self._find_threshold(run)
            results = run.results["unknown"]
            results |= unknown_section(run, rotations=self.rotations, seed=self.seed)
        # a validation goes on without a preset whose F1 cut there is not
        presets = [p for p in self.presets if p.cut not in F1_RULES or p.cut in self.cuts]
        return score_presets(run, presets)

    def _find_threshold(self, run: Recorded) -> None:
        """Say where unknown objects begin, if ID validation tells; a test goes on without."""
        try:
            found = threshold_of(run)
        except ValueError as error:
            print_log(str(error), "current", logging.WARNING)
            return
        for line in threshold_lines(found):
            print_log(line, "current")

    def _recorded(self) -> Recorded:
        """The boxes as the engine reads those of a finished test."""
        banks = {MODEL_BANK: self.neg_labels}
        banks |= {name: list(bank.neg_labels) for name, bank in self.banks.items()}
        settings = dict(  # what repeats this evaluation from the records
            scores=self.scores,
            presets=list(dict.fromkeys(preset.name for preset in self.presets)),
            rotations=self.rotations,
            seed=self.seed,
            min_score=self.min_score,
        )
        found = (self.maps, self.cuts, self.run_info, settings)
        results = unscored_results(self.records, banks, *found)
        run = Recorded.of(self.out_dir, self.records, self.feats, results, self.truths)
        run.head = self.head
        if self.finder is not None:
            words = list(self.finder.words)
            results["unknown"] = dict(words=words, options=self.finder.options.record())
            if self.seen_words is not None:
                results["unknown"]["seen_by_text_tower"] = list(self.seen_words)
            run.cells, run.word_feats = self.cells, self.word_feats
        return run


def _load_bank(name: str, path: str) -> NegativeLabelBank:
    try:
        return NegativeLabelBank.load(path)
    except (ValueError, OSError) as error:
        raise type(error)(f"banks.{name}: {error}") from error


def keeps_cells(model: OODDetector, stage: str = "test") -> bool:
    """Whether the cells that may be unknown objects are part of a run's records."""
    kept = stage == "test" and bool(model.bbox_head.test_cfg.get("keep_cells"))
    return kept and model.finder is not None


def _presets(names: Sequence[str], shared_cut: float | None) -> list[Preset]:
    """Presets with their cuts.

    Raises:
        ValueError: there is no such preset, or ``fixed`` has no cut.
    """
    try:
        found = find_presets(names)
    except ValueError as error:
        raise ValueError(f"OODMetric: {error}") from error
    if not found:
        raise ValueError(f"OODMetric: presets must name at least one of {', '.join(PRESETS)}")
    if shared_cut is None:
        if "fixed" in names:
            raise ValueError(
                "OODMetric: the preset 'fixed' needs a confidence cut; set shared_cut to a number"
            )
        return found
    at = [PRESETS["fixed"], *(preset for preset in found if preset.protocol == "matched")]
    found = [preset for preset in found if preset.name != "fixed"]
    return found + [replace(preset, cut=float(shared_cut)) for preset in at]


def logged_numbers(rows: Sequence[dict], presets: Sequence[Preset]) -> dict[str, float]:
    """FPR95 and AUROC for a training log, without controls and further banks.

    Rows of the first preset are called ``near/negs_fpr95``, those of another ``vos/near/...``;
    FPR95 by the preset's rule.
    """
    metrics = {}
    for row in rows:
        if row["bank"] in RESERVED_BANKS and row["control"] == "none":
            key = f"{row['ood_set']}/{row['score']}"
            key = key if row["preset"] == presets[0].name else f"{row['preset']}/{key}"
            closest = row["rule"] == "closest"
            metrics[f"{key}_fpr95"] = row["fpr95_closest" if closest else "fpr95"]
            metrics[f"{key}_auroc"] = row["auroc"]
    return metrics


def object_numbers(rows: Sequence[dict]) -> dict[str, float]:
    """What becomes of unknown objects, without controls and further banks.

    ``near/negs_taken_at_60``, and of the preset ``objects`` the share of each state,
    ``near/negs_taken`` and so on; see :mod:`negas.metrics.objects`.
    """
    metrics = {}
    for row in rows:
        if row["bank"] in RESERVED_BANKS and row["control"] == "none":
            key = f"{row['ood_set']}/{row['score']}"
            metrics[f"{key}_taken_at_60"] = row["taken_at_60"]
            counts = row["objects"]["unknown"] if "objects" in row else {}
            for state, count in counts.items():
                metrics[f"{key}_{state}"] = count / max(sum(counts.values()), 1)
    return metrics

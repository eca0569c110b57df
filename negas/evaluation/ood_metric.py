"""The metric behind ``OODTestLoop``: mAP on the ID set, FPR95/AUROC of every score and OOD set.

What :class:`~.ood_metric.OODMetric` refuses when the config is read, before any inference.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.registry import METRICS
from mmengine.runner import Runner

from negas.labels.bank import NegativeLabelBank
from negas.metrics import PRESETS, Cut, coco_map, f1_threshold, voc07_ap50
from negas.metrics.coco import category_ids
from negas.metrics.presets import find_presets
from negas.records import BoxRecords
from negas.scores import get_score

from .collect import (
    ID_SETS,
    RecordDump,
    files_of,
    read_truths,
    to_arrays,
    to_coco_results,
    to_records,
)
from .provenance import run_info, write_results
from .rows import Evaluation, evaluate_run, leakage_lines, logged_numbers, name_scores
from .run import RESERVED_BANKS, Bank

if TYPE_CHECKING:
    from negas.models.interface import OODDetector

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
OWN_ROWS = {"own": "vos", "matched": "matched"}  # presets at the run's own cut -> their samples


def check_options(
    cut: str | float,
    shared_cut: float | None,
    min_score: float,
    protocols: Sequence[str],
    presets: Sequence[str],
    banks: Iterable[str],
    rotations: int = 0,
    seed: int = 0,
) -> None:
    """See :class:`~.ood_metric.OODMetric` for the arguments.

    Raises:
        ValueError: in one sentence.
    """
    if not (cut == "f1" or isinstance(cut, int | float)):
        raise ValueError(f"OODMetric: cut must be 'f1' or a number in [0, 1], got {cut!r}")
    unknown = set(protocols) - {"vos", "matched"}
    if unknown:
        raise ValueError(f"OODMetric: unknown protocols {sorted(unknown)}; use vos, matched")
    try:
        find_presets(presets)
    except ValueError as error:
        raise ValueError(f"OODMetric: {error}") from error
    if "fixed" in presets and shared_cut is None:
        raise ValueError(
            "OODMetric: the preset 'fixed' needs a confidence cut; set shared_cut to a number"
        )
    for key, value in (("rotations", rotations), ("seed", seed)):
        if not isinstance(value, int) or value < 0:
            raise ValueError(f"OODMetric: {key} must be an integer of at least 0, got {value!r}")
    taken = sorted({*RESERVED_BANKS} & {*banks})
    if taken:
        raise ValueError(
            f"OODMetric: banks: the name {taken[0]!r} is reserved for the model's own rows; "
            "choose another"
        )
    cuts = [("cut", cut), ("shared_cut", shared_cut)]
    cuts += [(f"preset {name!r}: cut", PRESETS[name].cut) for name in presets]
    for key, value in cuts:
        if isinstance(value, int | float) and value < min_score:
            raise ValueError(
                f"OODMetric: {key}={value} is below min_score={min_score}, so boxes would be "
                "missing; lower min_score (and test_cfg.score_thr)"
            )


def own_protocols(protocols: Sequence[str], presets: Sequence[str]) -> tuple[str, ...]:
    """Samples of the rows at the run's own cut: ``protocols``, and what ``presets`` adds."""
    return tuple(dict.fromkeys([*protocols, *(OWN_ROWS[p] for p in presets if p in OWN_ROWS)]))


@METRICS.register_module()
class OODMetric(BaseMetric):
    """Collects kept boxes of the ID set and of OOD sets; scores them all at the end.

    Args:
        scores: names of :data:`negas.scores.SCORES`, or ``dict(type=name, **options)``;
            ``logits="cosine"`` scores cosines in place of head logits (needs embeddings).
        protocols: samples of the rows at the run's own cut: ``vos`` (every box over it) and/or
            ``matched`` (boxes that hit ground truth; OOD sets need annotations).
        presets: further rows by :data:`~negas.metrics.PRESETS`, the names of ``tools/score.py``:
            ``vos`` and ``siren`` bring their own cuts, ``own`` and ``matched`` use the run's,
            ``fixed`` is ``shared_cut``.
        cut: ``f1``: confidence of the best F1 on the loop's ``cut_dataloader`` (ID validation), or
            on the ID test set if there is none, as in VOS; or a fixed number.
        shared_cut: a second cut, the same for all methods to be compared.
        min_score: boxes of lower confidence are not recorded; must be at most the cuts.
        banks: further label banks (name -> file) to score the same boxes with; needs
            ``test_cfg.keep_embeddings``. ``own`` is the name of the model's bank.
        rotations: draws of the rotated-bank control (same geometry, no meaning); needs embeddings.
        seed: of the rotations.
        dump: write the records of every set to ``<work_dir>/records/<set>.npz``.
        plots: draw histograms and ROC curves.
    """

    default_prefix = ""  # the metrics name their set themselves

    def __init__(
        self,
        scores: Sequence[str | dict] = DEFAULT_SCORES,
        protocols: Sequence[str] = ("vos",),
        presets: Sequence[str] = (),
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
        check_options(cut, shared_cut, min_score, protocols, presets, banks or {}, rotations, seed)
        self.scores = [
            name
            if isinstance(name, str)
            else (name["type"], {k: v for k, v in name.items() if k != "type"})
            for name in scores
        ]
        named = name_scores(self.scores)  # finds what is wrong with them before any inference
        self.needs_embeddings = bool(banks or rotations or any(score.cosine for score in named))
        self.protocols = own_protocols(protocols, presets)
        self.presets = tuple(presets)
        self.cut_rule = cut
        self.shared_cut = shared_cut
        self.min_score = min_score
        self.bank_files = dict(banks or {})
        self.banks = {name: NegativeLabelBank.load(path) for name, path in self.bank_files.items()}
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
            datasets: ``id``, perhaps ``cut``, and every OOD set, with the paths of their jsons.
            stage: ``val`` writes to ``<work_dir>/val`` and does not stop a training.

        Raises:
            ValueError: the jsons of the sets do not fit, see :func:`~.sets.read_truths`, or the
                model keeps no embeddings although banks, rotations or cosines need them.
            FileNotFoundError: a json does not exist.
        """
        self.stage = stage
        self.out_dir = Path(runner.work_dir) / ("val" if stage == "val" else "")
        self.records: dict[str, BoxRecords] = {}
        self.maps: dict[str, float] = {}
        self.cuts: dict[str, Cut] = {}  # "own", and presets with a cut of their own
        if self.cut_rule != "f1":
            self.cuts["own"] = Cut(float(self.cut_rule))
        if "siren" in self.presets:
            self.cuts["siren"] = Cut(PRESETS["siren"].cut)
        self.class_names = list(model.class_names)
        self.neg_labels = list(model.neg_labels)
        self.token_reduce = model.token_reduce
        self.truths = read_truths(datasets, self.class_names)
        self.files = {name: files_of(dataset) for name, dataset in datasets.items()}
        self.dumped = RecordDump(self.out_dir) if self.dump else None
        test_cfg = model.bbox_head.test_cfg
        if self.needs_embeddings and test_cfg and not test_cfg.get("keep_embeddings"):
            raise ValueError(
                "OODMetric: banks, rotations and logits='cosine' need the boxes' embeddings; set "
                "model.test_cfg.keep_embeddings=True"
            )
        self.run_info = run_info(runner, model)
        judge = model.postprocessor
        self.score = judge.score if judge else get_score("max_sigmoid")
        self.tau: float | None = judge.tau if judge else None
        self.feats = {}
        id_feats, neg_feats = model.text_feats()
        if neg_feats is not None:
            self.feats["own"] = neg_feats.cpu().numpy()
        for name, bank in self.banks.items():
            self.feats[name] = model.bank_feats(bank.neg_labels).detach().cpu().numpy()

    def begin_set(self, name: str) -> None:
        """Start collecting a set: ``cut``, ``id`` or the name of an OOD set."""
        self.set_name = name
        if name in ID_SETS:
            self.category_ids = category_ids(self.truths[name], self.class_names)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Record one batch of predictions."""
        need_coco = self.set_name in ID_SETS
        for sample in data_samples:
            arrays = to_arrays(sample, self.min_score)
            coco = to_coco_results(sample, self.category_ids) if need_coco else []
            self.results.append((sample["img_id"], arrays, coco))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Finish the current set; mAP for ID sets."""
        ids, parts, coco = zip(*results, strict=True)
        meta = dict(set=self.set_name, id_labels=self.class_names, neg_labels=self.neg_labels)
        meta.update(self.files[self.set_name])
        if self.token_reduce:  # labels are sets of tokens
            meta["token_reduce"] = self.token_reduce
        self.records[self.set_name] = to_records(parts, ids, meta)
        if self.dumped:
            self.dumped.add(self.set_name, self.records[self.set_name])
        if self.set_name not in ID_SETS:
            return {}
        detections = [d for image in coco for d in image]
        truth = self.truths[self.set_name]
        if "own" not in self.cuts:
            self._find_cut("own", truth, detections)
        if self.set_name == "cut":
            return {}
        if "vos" in self.presets:
            self._find_cut("vos", truth, detections)
        result = coco_map(truth, detections, self.class_names)
        self.maps = dict(coco_ap=result.ap, coco_ap50=result.ap50, coco_ap75=result.ap75)
        self.maps["voc07_ap50"] = voc07_ap50(truth, detections, self.class_names)
        return {f"id/{key}": value for key, value in self.maps.items()}

    @property
    def cut(self) -> float | None:
        """The run's own confidence cut; ``None`` until it is found."""
        return self.cuts["own"].value if "own" in self.cuts else None

    def _find_cut(self, name: str, truth: dict, detections: list[dict]) -> None:
        vos = name == "vos"
        try:
            cut = f1_threshold(truth, detections, vos, self.class_names).threshold
        except ValueError as error:
            self._refuse(str(error))
            return
        if cut < self.min_score:
            self._refuse(
                f"OODMetric: the cut {cut:.4f} is below min_score={self.min_score}, so boxes are "
                "missing; lower min_score (and test_cfg.score_thr)"
            )
            return
        source = "id_val" if self.set_name == "cut" else "id_test"
        self.cuts[name] = Cut(cut, "f1-test" if vos else "f1", source)

    def _refuse(self, problem: str) -> None:
        """End a test; in a training, go on without OOD numbers."""
        if self.stage == "val":
            print_log(f"no OOD numbers in this validation: {problem}", "current", logging.WARNING)
            return
        kept = f" The boxes are kept in {self.dumped.part}." if self.dumped else ""
        raise ValueError(problem + kept)

    # --- summary ------------------------------------------------------------------------------
    def summarize(self) -> dict[str, float]:
        """Score all sets, write ``ood_results.json``, the records and the plots."""
        from mmengine.dist import broadcast_object_list, is_main_process

        metrics: list[dict | None] = [None]
        if is_main_process():
            metrics = [self._summarize()]
        broadcast_object_list(metrics)
        return metrics[0]

    def _summarize(self) -> dict[str, float]:
        if self.dumped:  # first: whatever fails later, the inference is not lost
            self.dumped.finish(self.feats)
        if self.cut is None:
            return {}
        banks = [
            Bank("own", self.neg_labels, self.feats.get("own"), self.run_info["neg_labels"]),
            *(
                Bank(name, list(bank.neg_labels), self.feats[name], self.bank_files[name])
                for name, bank in self.banks.items()
            ),
        ]
        shared = {} if self.shared_cut is None else dict(shared=Cut(float(self.shared_cut)))
        own = self.cuts["own"]
        report = evaluate_run(
            Evaluation(
                records=self.records,
                truths=self.truths,
                scores=self.scores,
                protocols=self.protocols,
                cuts=dict(own=own) | shared,
                presets={name: cut for name, cut in self.cuts.items() if name != "own"},
                banks=banks,
                rotations=self.rotations,
                seed=self.seed,
            )
        )
        report |= dict(map=self.maps, cut=own.value, cut_rule=own.rule, cut_source=own.source)
        report["run"] = self.run_info
        report["seeds"] = dict(run=self.run_info["seed"], rotations=self.seed)
        report["settings"] = dict(  # what repeats this evaluation from the records
            scores=self.scores,
            protocols=self.protocols,
            presets=self.presets,
            rotations=self.rotations,
            seed=self.seed,
            min_score=self.min_score,
        )
        write_results(self.out_dir / "ood_results.json", report)
        if self.plots:
            self._plot()
        for line in leakage_lines(report):
            print_log(line, "current")
        print_log(f"OOD results, records and plots are in {self.out_dir}", "current")
        logged = logged_numbers(report["rows"], self.protocols[0], self.presets)
        return {"id/cut": own.value} | logged

    def _plot(self) -> None:
        from negas.visualization.curves import plot_scores

        main = self.run_info["score"]
        scores = {name: get_score(name) for name in ("max_sigmoid", "energy")} | {main: self.score}
        values = {}
        for name, records in self.records.items():
            kept = records.select(records.scores >= self.cut)
            values[name] = {n: s(kept.id_logits, kept.neg_logits) for n, s in scores.items()}
        ood = {n: v for n, v in values.items() if n not in ("id", "cut")}
        plot_scores(values["id"], ood, main, self.out_dir)

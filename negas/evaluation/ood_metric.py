"""The metric behind ``OODTestLoop``: mAP on the ID set, FPR95/AUROC of every score and OOD set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.registry import METRICS
from mmengine.runner import Runner
from torch import nn

from negas.labels.bank import NegativeLabelBank
from negas.metrics import coco_map, f1_threshold
from negas.models.checkpoint import file_sha256
from negas.records import BoxRecords
from negas.scores import get_score

from .collect import to_arrays, to_coco_results, to_records
from .results import TEXT_FEATS_FILE, Bank, Evaluation, evaluate_run, write_results

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


@METRICS.register_module()
class OODMetric(BaseMetric):
    """Collects kept boxes of the ID set and of OOD sets; scores them all at the end.

    Args:
        scores: names of :data:`negas.scores.SCORES`, or ``dict(type=name, **options)``;
            ``logits="cosine"`` scores cosines in place of head logits (needs embeddings).
        protocols: ``vos`` (every box over the cut is a sample) and/or ``matched`` (boxes that hit
            ground truth; OOD sets need annotations).
        cut: ``f1``: confidence of the best F1 on the loop's ``cut_dataloader`` (ID validation), or
            on the ID test set if there is none, as in VOS; or a fixed number.
        shared_cut: a second cut, the same for all methods to be compared.
        min_score: boxes of lower confidence are not recorded; must be at most the cuts.
        banks: further label banks (name -> file) to score the same boxes with; needs
            ``test_cfg.keep_embeddings``.
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
        unknown = set(protocols) - {"vos", "matched"}
        if unknown:
            raise ValueError(f"OODMetric: unknown protocols {sorted(unknown)}; use vos, matched")
        self.scores = [
            name
            if isinstance(name, str)
            else (name["type"], {k: v for k, v in name.items() if k != "type"})
            for name in scores
        ]
        self.protocols = tuple(protocols)
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
    def begin_run(self, model: nn.Module, runner: Runner) -> None:
        """Start anew with a model; called by the loops."""
        self.records: dict[str, BoxRecords] = {}
        self.truths: dict[str, dict] = {}
        self.maps: dict[str, float] = {}
        self.files: dict[str, dict[str, str]] = {}
        self.cut: float | None = None if self.cut_rule == "f1" else float(self.cut_rule)
        self.cut_source = "fixed" if self.cut is not None else None
        self.out_dir = Path(runner.work_dir)
        self.run_info = run_info(runner, model)
        self.class_names = list(model.class_names)
        self.neg_labels = list(getattr(model, "neg_labels", ()))
        self.feats = {}
        id_feats, neg_feats = model.text_feats()
        if neg_feats is not None:
            self.feats["own"] = neg_feats.cpu().numpy()
        for name, bank in self.banks.items():
            self.feats[name] = model.bank_feats(bank.neg_labels).detach().cpu().numpy()

    def begin_set(self, name: str, dataset) -> None:
        """Start collecting a set: ``cut``, ``id`` or the name of an OOD set."""
        self.set_name = name
        with open(dataset.ann_file, encoding="utf-8") as file:
            self.truths[name] = json.load(file)
        by_name = {c["name"]: c["id"] for c in self.truths[name]["categories"]}
        self.category_ids = [by_name.get(label, -1) for label in self.class_names]
        images = (getattr(dataset, "data_prefix", None) or {}).get("img", "")
        self.files[name] = dict(ann_file=str(dataset.ann_file), img_dir=str(images))

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Record one batch of predictions."""
        need_coco = self.set_name in ("id", "cut")
        for sample in data_samples:
            arrays = to_arrays(sample, self.min_score)
            coco = to_coco_results(sample, self.category_ids) if need_coco else []
            self.results.append((sample["img_id"], arrays, coco))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Finish the current set; mAP for ID sets."""
        ids, parts, coco = zip(*results, strict=True)
        meta = dict(set=self.set_name, id_labels=self.class_names, neg_labels=self.neg_labels)
        meta.update(self.files[self.set_name])
        self.records[self.set_name] = to_records(parts, ids, meta)
        if self.set_name not in ("id", "cut"):
            return {}
        detections = [d for image in coco for d in image]
        truth = self.truths[self.set_name]
        if self.cut is None:
            self.cut = f1_threshold(truth, detections).threshold
            self.cut_source = "id_val" if self.set_name == "cut" else "id_test"
        if self.set_name == "cut":
            return {}
        result = coco_map(truth, detections)
        self.maps = dict(coco_ap=result.ap, coco_ap50=result.ap50, coco_ap75=result.ap75)
        return {f"id/{key}": value for key, value in self.maps.items()}

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
        if self.dump:  # first: whatever fails later, the inference is not lost
            for name, records in self.records.items():
                records.save(self.out_dir / "records" / f"{name}.npz")
            np.savez_compressed(self.out_dir / "records" / TEXT_FEATS_FILE, **self.feats)
        lowest = min(c for c in (self.cut, self.shared_cut) if c is not None)
        if lowest < self.min_score:
            raise ValueError(
                f"OODMetric: the cut {lowest:.4f} is below min_score={self.min_score}; lower "
                "min_score (and test_cfg.score_thr)"
            )
        banks = [Bank("own", self.neg_labels, self.feats.get("own"))]
        banks += [Bank(n, list(b.neg_labels), self.feats[n]) for n, b in self.banks.items()]
        evaluation = Evaluation(
            records=self.records,
            truths=self.truths,
            scores=self.scores,
            protocols=self.protocols,
            cuts={"own": self.cut}
            | ({"shared": self.shared_cut} if self.shared_cut is not None else {}),
            banks=banks,
            rotations=self.rotations,
            seed=self.seed,
        )
        report = evaluate_run(evaluation)
        report.update(map=self.maps, cut=self.cut, cut_source=self.cut_source, run=self.run_info)
        report["settings"] = dict(  # what repeats this evaluation from the records
            scores=self.scores,
            protocols=self.protocols,
            rotations=self.rotations,
            seed=self.seed,
            min_score=self.min_score,
        )
        write_results(self.out_dir / "ood_results.json", report)
        if self.plots:
            self._plot()
        print_log(f"OOD results, records and plots are in {self.out_dir}", "current")
        metrics = {"id/cut": float(self.cut)}
        for row in report["rows"]:
            if row["protocol"] == self.protocols[0] and row["cut_kind"] == "own":
                if row["bank"] in ("own", "none") and row["control"] == "none":
                    key = f"{row['ood_set']}/{row['score']}"
                    metrics[f"{key}_fpr95"] = row["fpr95"]
                    metrics[f"{key}_auroc"] = row["auroc"]
        return metrics

    def _plot(self) -> None:
        from negas.visualization.curves import plot_scores

        names = list(dict.fromkeys(["max_sigmoid", "energy", self.run_info["score"]]))
        values = {}
        for name, records in self.records.items():
            kept = records.select(records.scores >= self.cut)
            values[name] = {n: get_score(n)(kept.id_logits, kept.neg_logits) for n in names}
        ood = {n: v for n, v in values.items() if n not in ("id", "cut")}
        plot_scores(values["id"], ood, self.run_info["score"], self.out_dir)


def run_info(runner: Runner, model: nn.Module) -> dict:
    """What a number depends on: config, checkpoint, seed, post-processing, package versions."""
    import hashlib

    import mmdet
    import mmengine
    import mmyolo
    import transformers

    import negas

    checkpoint = str(runner.cfg.get("load_from") or "")
    test_cfg = dict(model.bbox_head.test_cfg)
    postprocessor = getattr(model, "postprocessor", None)
    versions = {m.__name__: m.__version__ for m in (mmdet, mmengine, mmyolo, transformers, negas)}
    return dict(
        config=str(getattr(runner.cfg, "filename", None) or ""),
        config_sha256=hashlib.sha256(runner.cfg.pretty_text.encode()).hexdigest(),
        checkpoint=checkpoint,
        checkpoint_sha256=file_sha256(checkpoint) if Path(checkpoint).is_file() else None,
        base_sha256=getattr(model, "base_sha256", None),
        seed=runner.seed,
        test_cfg=json.loads(json.dumps(test_cfg, default=str)),
        score=getattr(postprocessor, "score_name", "max_sigmoid"),
        prompt=getattr(model, "prompt", None) is not None,
        use_nega=bool(getattr(model, "use_nega", False)),
        class_names=list(model.class_names),
        neg_labels=_source(runner.cfg.get("model", {}).get("neg_labels")),
        versions=versions | dict(torch=torch.__version__, numpy=np.__version__),
    )


def _source(neg_labels: object) -> str | None:
    """The bank's file, if the config names one."""
    return neg_labels if isinstance(neg_labels, str) else None

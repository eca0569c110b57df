"""Test and validation loops that run the ID set, then every OOD set."""

from __future__ import annotations

from functools import partial

import torch
from mmengine.dist import is_main_process
from mmengine.registry import LOOPS
from mmengine.runner import Runner, TestLoop, ValLoop
from mmengine.runner.amp import autocast
from torch.utils.data import DataLoader
from tqdm import tqdm

from negas.evaluation.ood_metric import OODMetric, keeps_cells
from negas.models.base import as_detector
from negas.records import ID, ID_TRAIN, ID_VAL, ID_VAL_CLEAN, check_set_names


class _OODLoopMixin:
    """What the test and the validation loop share."""

    stage: str  # names the hooks

    def __init__(
        self,
        runner: Runner,
        dataloader: dict | DataLoader,
        evaluator: dict | list,
        ood_dataloaders: dict | None = None,
        id_val_dataloader: dict | None = None,
        id_val_clean_dataloader: dict | None = None,
        id_train_dataloader: dict | None = None,
        fp16: bool = False,
    ) -> None:
        super().__init__(runner, dataloader, evaluator, fp16)
        check_set_names(ood_dataloaders or {})
        build = partial(runner.build_dataloader, seed=runner.seed or 0)
        self.ood_dataloaders = {name: build(cfg) for name, cfg in (ood_dataloaders or {}).items()}
        more = {ID_VAL: id_val_dataloader, ID_VAL_CLEAN: id_val_clean_dataloader}
        more[ID_TRAIN] = id_train_dataloader
        self.more_id_dataloaders = {name: build(cfg) for name, cfg in more.items() if cfg}
        found = [m for m in self.evaluator.metrics if isinstance(m, OODMetric)]
        if len(found) != 1:  # two would write the same files
            raise ValueError(
                f"{type(self).__name__} needs one OODMetric among its evaluators, got "
                f"{[type(m).__name__ for m in self.evaluator.metrics]}"
            )
        self.ood_metric = found[0]

    def run(self) -> dict:
        """Run all sets; returns mAP, the cut and every OOD metric."""
        self.runner.call_hook(f"before_{self.stage}")
        self.runner.call_hook(f"before_{self.stage}_epoch")
        self._begin()
        for idx, data_batch in enumerate(self.dataloader):
            self.run_iter(idx, data_batch)
        metrics = self._finish(self.evaluator.evaluate(len(self.dataloader.dataset)))
        self.runner.call_hook(f"after_{self.stage}_epoch", metrics=metrics)
        self.runner.call_hook(f"after_{self.stage}")
        return metrics

    @torch.no_grad()
    def _run_set(self, name: str, loader: DataLoader) -> None:
        """Collect the detections of one more set (only the OOD metric sees it)."""
        self.ood_metric.begin_set(name)
        # disable=None: no bar where standard error is no terminal
        bar = tqdm(loader, desc=name, leave=False, disable=None if is_main_process() else True)
        for data_batch in bar:
            with autocast(enabled=self.fp16):
                outputs = self.runner.model.test_step(data_batch)
            samples = [sample.to_dict() for sample in outputs]
            self.ood_metric.process(data_batch, samples)
        self.ood_metric.evaluate(len(loader.dataset))

    def _begin(self) -> None:
        model = as_detector(self.runner.model)
        model.eval()
        validation = dict(self.more_id_dataloaders)
        if not keeps_cells(model, self.stage):  # the set has no other use
            validation.pop(ID_VAL_CLEAN, None)
        loaders = {ID: self.dataloader, **validation, **self.ood_dataloaders}
        sets = {name: loader.dataset for name, loader in loaders.items()}
        self.ood_metric.begin_run(model, self.runner, sets, self.stage)
        for name, loader in validation.items():
            self._run_set(name, loader)
        self.ood_metric.begin_set(ID)

    def _finish(self, metrics: dict) -> dict:
        for name, loader in self.ood_dataloaders.items():
            self._run_set(name, loader)
        return metrics | self.ood_metric.summarize()


@LOOPS.register_module()
class OODTestLoop(_OODLoopMixin, TestLoop):
    """ID test set first, then each OOD set with the same model and post-processing.

    Args:
        ood_dataloaders: name of the OOD set -> dataloader config.
        id_val_dataloader: ID validation set from which :class:`OODMetric` takes the confidence cut
            and tau; without it they come from the ID test set, as in VOS's protocol.
        id_val_clean_dataloader: ID validation set in which every object is annotated. Only the
            threshold of unknown objects comes from it, where ``model.test_cfg`` has ``unknown`` and
            ``keep_cells``; without it that comes from ``id_val_dataloader``.
        id_train_dataloader: ID training images, as in a test (pipeline, no augmentation): their
            boxes are recorded, so that ``negas score --fit-set id_train`` can fit scores on
            them.
    """

    stage = "test"


@LOOPS.register_module()
class OODValLoop(_OODLoopMixin, ValLoop):
    """:class:`OODTestLoop` during training; writes to ``<work_dir>/val``.

    Give it ID validation and held-out sets: choosing a checkpoint by the OOD test sets would be
    tuning on them.
    """

    stage = "val"

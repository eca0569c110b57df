"""SIREN on YOLO-World: a head on the embeddings of the frozen detector's cells.

Du et al., "SIREN: Shaping Representations for Detecting Out-of-Distribution Objects", NeurIPS 2022.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.structures import SampleList
from mmengine.config import ConfigDict
from mmengine.dist import all_reduce
from mmengine.registry import MODELS
from torch import Tensor

from negas.labels.names import read_names
from negas.models.base import distinct_names
from negas.models.freeze import freeze_except
from negas.scores.fitted.siren_head import SIRENHead, class_sums

from .negas_detector import NegASYOLOWorldDetector


@MODELS.register_module()
class SIRENYOLOWorldDetector(NegASYOLOWorldDetector):
    """YOLO-World whose boxes ``siren_vmf`` and ``siren_knn`` judge by a trained head.

    Training moves the head and nothing else, so detections stay those of the stock detector.

    Args:
        siren_dim: of the sphere.
        *args, **kwargs: of :class:`.negas_detector.NegASYOLOWorldDetector`; it has no learnable
            prompt and no OOD branch.

    Raises:
        ValueError: a prompt is to be trained, too, or an OOD branch.
    """

    def __init__(
        self, *args, siren_dim: int = 64, use_nega: bool = False, prompt: None = None, **kwargs
    ) -> None:
        if use_nega or prompt is not None:
            raise ValueError(
                f"{type(self).__name__} trains its head alone; set model.prompt=None, "
                "model.use_nega=False and a template"
            )
        super().__init__(*args, use_nega=False, **kwargs)
        start = torch.Generator().manual_seed(torch.initial_seed())  # the run's seed
        size = self.bbox_head.head_module.embed_dims
        self.siren = SIRENHead(size, len(self.class_names), siren_dim, start)
        self.trained = freeze_except(self, ("siren.",))

    @classmethod
    def set_labels(
        cls,
        cfg: ConfigDict,
        classes: Sequence[str] | str | None = None,
        negatives: Sequence[str] | str | None = None,
    ) -> None:
        """Put labels into a config's ``model``; see the interface. The classes stay."""
        own = read_names(cfg.class_names, "model.class_names")
        if classes is not None and tuple(distinct_names(classes, "classes")) != tuple(own):
            raise ValueError(
                f"model.type={cfg.type!r} has a head for the classes that it was trained with; "
                "use a stock config for other classes"
            )
        super().set_labels(cfg, classes, negatives)

    def score_head(self) -> dict[str, Tensor]:
        """What ``siren_vmf`` and ``siren_knn`` read of the head; empty before its training."""
        return self.siren.state() if self.siren.is_started else {}

    def optional_keys(self) -> tuple[str, ...]:
        """Stock weights have no head."""
        return (*super().optional_keys(), "siren.")

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """``loss_siren`` of the cells that the frozen detector assigns to objects."""
        with torch.no_grad():
            id_text = self.text_feats()[0][None]
            levels = self.neck(self.image_feats(batch_inputs), self.guide(id_text))
        gt = [sample.gt_instances for sample in batch_data_samples]
        feats, labels = self.bbox_head.positives(levels, id_text, gt)
        head = self.siren
        with torch.autocast(feats.device.type, enabled=False):
            if not head.is_started:
                norms = torch.stack([feats.norm(dim=1).sum(), feats.new_tensor(len(feats))])
                all_reduce(norms)  # all processes see one scale, and below one mean direction
                if norms[1]:
                    head.start(norms[0] / norms[1])
            units = head.project(feats)
            # without objects there is still a graph, which distributed training waits for
            loss = head.loss(units, labels) if len(feats) else _nothing(head)
            sums = class_sums(units.detach(), labels, len(self.class_names))
            all_reduce(sums)
            head.move(sums)
        return dict(loss_siren=loss)


def _nothing(head: SIRENHead) -> Tensor:
    """Zero that hangs on all parameters."""
    return sum(0 * parameter.sum() for parameter in head.parameters())

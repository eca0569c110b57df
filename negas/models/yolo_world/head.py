"""YOLO-World's head: losses of the ID branch and boxes that carry every label's logit.

Shapes: B images, N cells of all levels (fine to coarse, row-major), n detections, K labels,
M negative labels, D text channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from mmcv.ops import batched_nms
from mmdet.models.utils import filter_scores_and_topk
from mmdet.utils import reduce_mean
from mmengine.config import ConfigDict
from mmengine.dist import get_world_size
from mmengine.registry import MODELS
from mmengine.structures import InstanceData
from mmyolo.models.dense_heads import YOLOv8Head
from mmyolo.models.utils import gt_instances_preprocess
from torch import Tensor

from negas.models.traced import flatten_levels
from negas.models.unknown import Cells
from negas.unknown import agreement_of_neighbors

# YOLOv8Head's own, spelled with their scope so that the head builds under any ``default_scope``.
_DEFAULTS = dict(
    bbox_coder=dict(type="mmyolo.DistancePointBBoxCoder"),
    loss_bbox=dict(
        type="mmyolo.IoULoss",
        iou_mode="ciou",
        bbox_format="xyxy",
        reduction="sum",
        loss_weight=7.5,
        return_iou=False,
    ),
    train_cfg=dict(
        assigner=dict(
            type="mmyolo.BatchTaskAlignedAssigner",
            num_classes=80,
            use_ciou=True,
            topk=10,
            alpha=0.5,
            beta=6.0,
            eps=1e-9,
        )
    ),
    test_cfg=dict(),
)


@dataclass
class Assignment:
    """Classification and box targets of one batch.

    Attributes:
        scores: soft classification targets in [0, 1], [B, N, K].
        bboxes: xyxy in input pixels, [B, N, 4].
        foreground: positive cells, bool [B, N].
        avg_factor: sum of the assigner's scores, at least 1, mean over processes.
    """

    scores: Tensor
    bboxes: Tensor
    foreground: Tensor
    avg_factor: Tensor

    def normalize(self, loss_sum: Tensor) -> Tensor:
        """``loss_sum / avg_factor * batch size``, YOLO's normalisation."""
        return loss_sum / self.avg_factor * len(self.scores) * get_world_size()


@MODELS.register_module()
class YOLOWorldHead(YOLOv8Head):
    """YOLOv8's losses and decoding for logits against any number of texts.

    Args:
        head_module: config of a :class:`~.head_module.YOLOWorldHeadModule`.
        soft_target_thr: if given, a cell assigned to text k also gets the target
            ``q * max(0, (cos(t_j, t_k) - thr) / (1 - thr))`` for the other texts j of the image, so
            that related words are not taught to be opposites (used in open-vocabulary
            pre-training; not part of YOLO-World).
        **kwargs: of :class:`mmyolo.models.YOLOv8Head`, with the same defaults.
    """

    def __init__(
        self, head_module: dict, soft_target_thr: float | None = None, **kwargs: dict | None
    ) -> None:
        given = {key: value for key, value in kwargs.items() if value is not None}
        super().__init__(head_module, **ConfigDict(_DEFAULTS | given))
        self.soft_target_thr = soft_target_thr

    def priors(self, featmap_sizes: Sequence[tuple[int, int]], like: Tensor) -> Tensor:
        """Cell centres and strides (x, y, stride, stride) in input pixels, [N, 4]."""
        return torch.cat(
            self.prior_generator.grid_priors(
                [torch.Size(size) for size in featmap_sizes],
                dtype=torch.float32,
                device=like.device,
                with_stride=True,
            )
        )

    def assign(
        self,
        logits: Tensor,
        bboxes: Tensor,
        priors: Tensor,
        gt_instances: Sequence[InstanceData],
        text_feats: Tensor | None = None,
    ) -> Assignment:
        """Task-aligned assignment.

        Args:
            logits: [B, N, K].
            bboxes: decoded boxes, xyxy in input pixels, [B, N, 4].
            priors: :meth:`priors`.
            gt_instances: ``bboxes`` [n, 4] and ``labels`` [n] per image.
            text_feats: [1 or B, K, D], needed for ``soft_target_thr``.
        """
        num_images, _, num_labels = logits.shape
        gt = gt_instances_preprocess(list(gt_instances), num_images)
        gt_labels, gt_bboxes = gt[..., :1], gt[..., 1:]
        valid = (gt_bboxes.sum(-1, keepdim=True) > 0).float()
        self.assigner.num_classes = num_labels
        result = self.assigner(
            bboxes.detach(), logits.detach().sigmoid(), priors, gt_labels, gt_bboxes, valid
        )
        scores = result["assigned_scores"]
        # at least 1 over the whole batch, whatever the number of processes it is spread over
        total = reduce_mean(scores.sum()).clamp(min=1 / get_world_size())
        if self.soft_target_thr is not None and text_feats is not None:
            unit = F.normalize(text_feats.detach().float(), dim=-1)
            related = unit @ unit.transpose(1, 2)
            related = (related - self.soft_target_thr).clamp(min=0) / (1 - self.soft_target_thr)
            scores = scores @ related.expand(num_images, -1, -1).clamp(max=1)
        return Assignment(
            scores=scores,
            bboxes=result["assigned_bboxes"],
            foreground=result["fg_mask_pre_prior"].bool(),
            avg_factor=total,
        )

    def loss_by_texts(
        self,
        feats: Sequence[Tensor],
        text_feats: Tensor,
        gt_instances: Sequence[InstanceData],
    ) -> tuple[dict[str, Tensor], Assignment]:
        """Losses of the ID branch.

        Args:
            feats: neck levels, [B, C_l, h_l, w_l].
            text_feats: [1 or B, K, D]; labels of ``gt_instances`` index them.
            gt_instances: ground truth per image, boxes xyxy in input pixels.

        Returns:
            ``loss_cls``, ``loss_bbox``, ``loss_dfl`` and the targets they were computed from.
        """
        cls_maps, distances, distributions = self.head_module(feats, text_feats)
        logits, bboxes, priors = self._decode(cls_maps, distances)
        dists = torch.cat(distributions, 1).float()
        stride = priors[:, 2:3]
        target = self.assign(logits, bboxes, priors, gt_instances, text_feats)

        loss_cls = self.loss_cls(logits, target.scores).sum()
        foreground = target.foreground
        if foreground.any():
            weight = target.scores.amax(-1)[foreground].unsqueeze(-1)
            grid_boxes = target.bboxes / stride
            loss_bbox = self.loss_bbox(
                (bboxes / stride)[foreground], grid_boxes[foreground], weight=weight
            )
            wanted = self.bbox_coder.encode(
                priors[:, :2] / stride,
                grid_boxes,
                max_dis=self.head_module.reg_max - 1,
                eps=0.01,
            )[foreground]
            loss_dfl = self.loss_dfl(
                dists[foreground].reshape(-1, self.head_module.reg_max),
                wanted.reshape(-1),
                weight=weight.expand(-1, 4).reshape(-1),
                avg_factor=1.0,
            )
        else:
            loss_bbox = loss_dfl = bboxes.sum() * 0
        losses = dict(
            loss_cls=target.normalize(loss_cls),
            loss_bbox=target.normalize(loss_bbox),
            loss_dfl=target.normalize(loss_dfl),
        )
        return losses, target

    @torch.no_grad()
    def positives(
        self,
        feats: Sequence[Tensor],
        text_feats: Tensor,
        gt_instances: Sequence[InstanceData],
    ) -> tuple[Tensor, Tensor]:
        """Cells that are assigned to an object, as :meth:`loss_by_texts` assigns them.

        Returns:
            Their region embeddings [P, D], without gradient, and their objects' labels [P].
        """
        hidden = self.head_module.hidden(feats)
        cls_maps = self.head_module.classify(hidden, text_feats)
        logits, bboxes, priors = self._decode(cls_maps, self.head_module.regress(feats)[0])
        target = self.assign(logits, bboxes, priors, gt_instances)
        embeddings = [
            self.head_module.embed_cells(hidden, i, cells.nonzero()[:, 0])[:, :-1]
            for i, cells in enumerate(target.foreground)
        ]
        return torch.cat(embeddings), target.scores[target.foreground].argmax(dim=1)

    def logits(self, feats: Sequence[Tensor], text_feats: Tensor) -> Tensor:
        """Logits [B, N, K] of neck levels against texts [1 or B, K, D], without boxes."""
        return flatten_levels(self.head_module.classify(self.head_module.hidden(feats), text_feats))

    def predict_by_texts(
        self,
        feats: Sequence[Tensor],
        text_feats: Tensor,
        img_metas: Sequence[dict],
        neg_text_feats: Tensor | None = None,
        rescale: bool = True,
        embeddings: bool = False,
        cells: list[Cells] | None = None,
    ) -> list[InstanceData]:
        """Detections with the logits of all labels.

        NMS and every cut look at the ID scores only: negatives never change the set of boxes. The
        negative logits are computed for detections only, from the same region embeddings.

        Args:
            feats: neck levels of the ID branch.
            text_feats: ID texts [1, K, D].
            img_metas: ``ori_shape``, ``scale_factor`` and, after letterboxing, ``pad_param``.
            neg_text_feats: negative texts [M, D].
            rescale: return boxes in original-image pixels instead of input pixels.
            embeddings: return the boxes' embeddings, too.
            cells: what all cells are is appended to it, image by image; words are encoded by
                :meth:`~.head_module.YOLOWorldHeadModule.merge_words`.

        Returns:
            Per image ``bboxes [n,4]`` xyxy, ``scores [n]`` in (0,1), ``labels [n]``,
            ``prior_inds [n]``, ``id_logits [n,K]``, ``neg_logits [n,M]`` if negatives were given,
            and ``embeddings [n,D+1]`` if asked for: the logit against any text w of unit length is
            ``embeddings[:, :-1] @ w + embeddings[:, -1]``.
        """
        module = self.head_module
        hidden = module.hidden(feats)
        cls_maps = module.classify(hidden, text_feats)
        logits, bboxes, _ = self._decode(cls_maps, module.regress(feats)[0])
        agreement = None
        if cells is not None:
            agreement = agreement_of_neighbors(bboxes, [m.shape[-2:] for m in cls_maps])
        if neg_text_feats is not None:
            neg_text_feats = F.normalize(neg_text_feats.float(), dim=-1)

        results = []
        for i, meta in enumerate(img_metas):
            boxes = self._to_original(bboxes[i], meta) if rescale else bboxes[i]
            kept = self._select(logits[i], boxes, meta, rescale)
            where = kept.prior_inds
            kept.id_logits = logits[i, where]
            if neg_text_feats is not None or embeddings:
                embeds = module.embed_cells(hidden, i, where)
                if neg_text_feats is not None:
                    kept.neg_logits = embeds[:, :-1] @ neg_text_feats.T + embeds[:, -1:]
                if embeddings:
                    kept.embeddings = embeds
            results.append(kept)
            if cells is not None:
                size = meta["ori_shape"][:2] if rescale else meta["img_shape"][:2]
                word_logits = partial(module.word_logits, hidden, i)
                embed = partial(module.embed_cells, hidden, i)
                parts = (word_logits, embed, agreement[i])
                cells.append(Cells(boxes, logits[i], size, kept, *parts))
        return results

    def _decode(
        self, cls_maps: Sequence[Tensor], distances: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits [B, N, K], boxes [B, N, 4] xyxy in input pixels, and :meth:`priors`."""
        logits = flatten_levels(cls_maps).float()
        priors = self.priors([m.shape[-2:] for m in cls_maps], logits)
        ltrb = torch.cat(distances, 1).float()
        return logits, self.bbox_coder.decode(priors[:, :2], ltrb, priors[:, 2]), priors

    @staticmethod
    def _to_original(bboxes: Tensor, meta: dict) -> Tensor:
        """Boxes [n, 4] in pixels of the original image."""
        if meta.get("pad_param") is not None:
            top, _, left, _ = meta["pad_param"]
            bboxes = bboxes - bboxes.new_tensor([left, top, left, top])
        return bboxes / bboxes.new_tensor(meta["scale_factor"]).repeat(2)

    def _select(self, logits: Tensor, bboxes: Tensor, meta: dict, rescale: bool) -> InstanceData:
        """Threshold, top-k and class-wise NMS of one image's cells."""
        cfg = self.test_cfg
        score_thr, topk = cfg.get("score_thr", 0.001), cfg.get("nms_pre", 30000)
        probs = logits.sigmoid()
        if cfg.get("multi_label", True) and probs.shape[1] > 1:
            scores, labels, inds, _ = filter_scores_and_topk(probs, score_thr, topk)
        else:
            best, best_label = probs.max(1, keepdim=True)
            scores, _, inds, _ = filter_scores_and_topk(best, score_thr, topk)
            labels = best_label[inds, 0]
        bboxes = bboxes[inds]
        kept = InstanceData(bboxes=bboxes, scores=scores, labels=labels, prior_inds=inds)
        if len(kept):
            nms_cfg = dict(cfg.get("nms", dict(type="nms", iou_threshold=0.7)))
            agnostic = nms_cfg.pop("class_agnostic", False)
            dets, keep = batched_nms(bboxes, scores, labels, nms_cfg, class_agnostic=agnostic)
            keep = keep[: cfg.get("max_per_img", 300)]
            kept = kept[keep]
            kept.scores = dets[: len(keep), 4]
        height, width = meta["ori_shape"][:2] if rescale else meta["img_shape"][:2]
        limit = kept.bboxes.new_tensor([width, height, width, height])
        kept.bboxes = torch.minimum(kept.bboxes.clamp(min=0), limit)
        return kept

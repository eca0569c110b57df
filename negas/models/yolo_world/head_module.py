"""Layers of YOLO-World v2's head: box distances, region embeddings, contrastive classifier.

Shapes: B images, K labels, D text channels, (h, w) a feature map, N cells of all levels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from mmyolo.models.dense_heads import YOLOv8HeadModule
from torch import Tensor, nn


class BNContrastiveHead(BaseModule):
    """Batch-normalised region embeddings against L2-normalised texts.

    ``logit = exp(logit_scale) * <BN(x), w / |w|> + bias``: no cosine, as ``BN(x)`` has no unit
    length. Names as in the released checkpoints.
    """

    def __init__(self, embed_dims: int, eps: float = 1e-3, momentum: float = 0.03) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(embed_dims, momentum=momentum, eps=eps)
        self.bias = nn.Parameter(torch.zeros([]))
        self.logit_scale = nn.Parameter(-1.0 * torch.ones([]))

    def embed(self, x: Tensor) -> Tensor:
        """Scaled region embeddings [B, D, h, w]: logits are ``<embed, w> + bias``."""
        return self.norm(x) * self.logit_scale.exp()

    def forward(self, x: Tensor, text_feats: Tensor, conv: nn.Conv2d | None = None) -> Tensor:
        """Logits against texts [1 or B, K, D].

        Args:
            x: what ``norm`` takes, [B, D, h, w]; with ``conv`` what that takes, [B, C, h, w].
            text_feats: any length; normalised here.
            conv: the 1x1 convolution before ``norm``. With frozen statistics all from it to the
                logits is linear, so it is merged with the texts: K products per cell in place of D.

        Returns:
            [B, K, h, w].
        """
        weights = F.normalize(text_feats, dim=-1)
        bias = self.bias
        if conv is not None and not self.norm.training:
            with torch.autocast(x.device.type, enabled=False):  # constants of all cells: exact
                matrix, shift = self.affine(conv)
                weights = weights.float()
                bias = bias + (weights @ shift)[:, None]  # [1 or B, 1, K]
                weights = weights @ matrix  # [1 or B, K, C]
        else:
            x = self.embed(x if conv is None else conv(x))
        height, width = x.shape[-2:]
        # Cells first: in channels_last memory this is a view, and so is its gradient.
        logits = torch.matmul(x.permute(0, 2, 3, 1).flatten(1, 2), weights.transpose(1, 2)) + bias
        return logits.transpose(1, 2).unflatten(-1, (height, width))

    def affine(self, conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
        """``embed(conv(x))`` of a cell in eval mode as matrix [D, C] and shift [D]."""
        norm = self.norm
        factor = norm.weight * torch.rsqrt(norm.running_var + norm.eps) * self.logit_scale.exp()
        shift = norm.bias * self.logit_scale.exp() + factor * (conv.bias - norm.running_mean)
        return conv.weight.flatten(1) * factor[:, None], shift


@MODELS.register_module()
class YOLOWorldHeadModule(YOLOv8HeadModule):
    """YOLOv8's decoupled head with text embeddings in place of class weights.

    Args:
        embed_dims: D.
        num_classes: only sets the width of the classification tower (``max(C_0, num_classes)``)
            and the prior; the number of labels comes with the texts.
        prior_size: image side in pixels for which the classification bias is initialised.
    """

    def __init__(
        self,
        *args,
        embed_dims: int = 512,
        num_classes: int = 80,
        prior_size: int = 640,
        **kwargs,
    ) -> None:
        self.embed_dims = embed_dims
        self.prior_size = prior_size
        super().__init__(*args, num_classes=num_classes, **kwargs)

    def _init_layers(self) -> None:
        super()._init_layers()
        for tower in self.cls_preds:
            tower[-1] = nn.Conv2d(tower[-1].in_channels, self.embed_dims, 1)
        norm = self.norm_cfg or {}
        self.cls_contrasts = nn.ModuleList(
            BNContrastiveHead(
                self.embed_dims, eps=norm.get("eps", 1e-3), momentum=norm.get("momentum", 0.03)
            )
            for _ in range(self.num_levels)
        )

    def init_weights(self, prior_prob: float = 0.01) -> None:
        """Box bias 1; contrastive bias so that about five objects per image fire at start."""
        BaseModule.init_weights(self)
        for reg_pred, contrast, stride in zip(
            self.reg_preds, self.cls_contrasts, self.featmap_strides, strict=True
        ):
            reg_pred[-1].bias.data[:] = 1.0
            cells = (self.prior_size / stride) ** 2
            contrast.bias.data.fill_(math.log(5 / self.num_classes / cells))

    def hidden(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """The classification towers up to their last, linear layer, [B, C, h_l, w_l] per level."""
        return [tower[:-1](x) for x, tower in zip(feats, self.cls_preds, strict=True)]

    def classify(self, hidden: Sequence[Tensor], text_feats: Tensor) -> list[Tensor]:
        """Logits [B, K, h_l, w_l] per level of :meth:`hidden` against texts [1 or B, K, D]."""
        return [
            contrast(x, text_feats, tower[-1])
            for x, tower, contrast in zip(hidden, self.cls_preds, self.cls_contrasts, strict=True)
        ]

    def merge_words(self, text_feats: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Texts [V, D] of any length, merged with each level's last layers (in eval mode).

        Returns:
            Per level [V, C_l] and [V]: a cell x has the logits ``weights @ x + bias``.
        """
        unit = F.normalize(text_feats.float(), dim=-1)
        merged = []
        for tower, contrast in zip(self.cls_preds, self.cls_contrasts, strict=True):
            matrix, shift = contrast.affine(tower[-1])
            merged.append((unit @ matrix, unit @ shift + contrast.bias))
        return merged

    def word_logits(
        self,
        hidden: Sequence[Tensor],
        image: int,
        cells: Tensor,
        words: Sequence[tuple[Tensor, Tensor]],
    ) -> Tensor:
        """Logits [n, V] of some cells, see :meth:`embed_cells`, against :meth:`merge_words`."""
        out = hidden[0].new_empty((len(cells), len(words[0][1])), dtype=torch.float32)
        with torch.autocast(out.device.type, enabled=False):
            for level, here, regions in self._regions(hidden, image, cells):
                weights, bias = words[level]
                out[here] = torch.addmm(bias, regions, weights.T)
        return out

    def embed_cells(self, hidden: Sequence[Tensor], image: int, cells: Tensor) -> Tensor:
        """Scaled region embeddings and biases of some cells of an image (in eval mode).

        Args:
            hidden: :meth:`hidden` of the batch.
            image: index into the batch.
            cells: [n], indices over all levels (fine to coarse, row-major).

        Returns:
            [n, D + 1]: the logit against a text w of unit length is ``e[:-1] @ w + e[-1]``.
        """
        out = hidden[0].new_zeros((len(cells), self.embed_dims + 1), dtype=torch.float32)
        for level, here, regions in self._regions(hidden, image, cells):
            contrast = self.cls_contrasts[level]
            matrix, shift = contrast.affine(self.cls_preds[level][-1])
            with torch.autocast(out.device.type, enabled=False):
                out[here, :-1] = regions @ matrix.T + shift
            out[here, -1] = contrast.bias
        return out

    @staticmethod
    def _regions(
        hidden: Sequence[Tensor], image: int, cells: Tensor
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """By level: which of the cells lie there, bool [n], and their features [n_l, C]."""
        start = 0
        for level, x in enumerate(hidden):
            count = x.shape[-2] * x.shape[-1]
            here = (cells >= start) & (cells < start + count)
            yield level, here, x[image].flatten(1).T[cells[here] - start].float()
            start += count

    def regress(self, feats: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Box distances.

        Returns:
            ``ltrb`` [B, h_l*w_l, 4] per level in units of the level's stride, and the
            distributions' logits [B, h_l*w_l, 4, reg_max].
        """
        distances, distributions = [], []
        for x, reg_pred in zip(feats, self.reg_preds, strict=True):
            dist = reg_pred(x).flatten(2).unflatten(1, (4, self.reg_max)).permute(0, 3, 1, 2)
            distributions.append(dist)
            distances.append(dist.softmax(-1).matmul(self.proj.to(dist.dtype)))
        return distances, distributions

    def forward(self, feats: Sequence[Tensor], text_feats: Tensor) -> tuple[list, list, list]:
        """Logits, distances and distributions per level (:meth:`classify`, :meth:`regress`)."""
        distances, distributions = self.regress(feats)
        return self.classify(self.hidden(feats), text_feats), distances, distributions

"""Text-guided path aggregation network of YOLO-World v2.

Shapes: B images, R guiding branches, K labels, D text channels, (h_l, w_l) the map of level l.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.registry import MODELS
from mmyolo.models.necks import YOLOv8PAFPN
from mmyolo.models.utils import make_divisible, make_round
from torch import Tensor, nn

from .layers import TextGuidedCSPLayer


@MODELS.register_module()
class YOLOWorldPAFPN(YOLOv8PAFPN):
    """PAFPN whose CSP layers attend to text embeddings.

    Args:
        in_channels: channels of the backbone's levels before ``widen_factor``.
        out_channels: channels of the output levels before ``widen_factor``.
        guide_channels: D.
        embed_channels: attention channels per level before ``widen_factor``.
        num_heads: attention heads per level before ``widen_factor``.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: Sequence[int],
        guide_channels: int = 512,
        embed_channels: Sequence[int] = (128, 256, 512),
        num_heads: Sequence[int] = (4, 8, 16),
        deepen_factor: float = 1.0,
        widen_factor: float = 1.0,
        num_csp_blocks: int = 3,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        self.guide_channels = guide_channels
        self.embed_channels = list(embed_channels)
        self.num_heads = list(num_heads)
        super().__init__(
            in_channels=list(in_channels),
            out_channels=list(out_channels),
            deepen_factor=deepen_factor,
            widen_factor=widen_factor,
            num_csp_blocks=num_csp_blocks,
            norm_cfg=norm_cfg or dict(type="BN", momentum=0.03, eps=0.001),
            act_cfg=act_cfg or dict(type="SiLU", inplace=True),
            init_cfg=init_cfg,
        )

    def _build_csp(self, in_channels: int, level: int) -> nn.Module:
        return TextGuidedCSPLayer(
            make_divisible(in_channels, self.widen_factor),
            make_divisible(self.out_channels[level], self.widen_factor),
            guide_channels=self.guide_channels,
            embed_channels=make_divisible(self.embed_channels[level], self.widen_factor),
            num_heads=make_round(self.num_heads[level], self.widen_factor),
            num_blocks=make_round(self.num_csp_blocks, self.deepen_factor),
            norm_cfg=self.norm_cfg,
            act_cfg=self.act_cfg,
        )

    def build_top_down_layer(self, idx: int) -> nn.Module:
        """CSP layer that merges level ``idx`` into level ``idx - 1``."""
        return self._build_csp(self.in_channels[idx - 1] + self.in_channels[idx], idx - 1)

    def build_bottom_up_layer(self, idx: int) -> nn.Module:
        """CSP layer that merges level ``idx`` into level ``idx + 1``."""
        return self._build_csp(self.out_channels[idx] + self.out_channels[idx + 1], idx + 1)

    def forward(
        self, img_feats: Sequence[Tensor], txt_feats: Tensor | Sequence[Tensor]
    ) -> tuple[Tensor, ...] | list[tuple[Tensor, ...]]:
        """Fuse image levels under the guidance of texts.

        Args:
            img_feats: image features, [B, C_l, h_l, w_l] per level, fine to coarse.
            txt_feats: text embeddings [1 or B, K, D], or R of them: one per branch. All branches
                share the parameters and the convolutions that do not depend on the texts.

        Returns:
            Levels [B, C'_l, h_l, w_l]; one such tuple per branch if several texts were given.
        """
        single = isinstance(txt_feats, Tensor)
        guides = [txt_feats] if single else list(txt_feats)
        if len(img_feats) != len(self.in_channels):
            raise ValueError(
                f"expected {len(self.in_channels)} feature levels, got {len(img_feats)}"
            )
        # The first merge sees image features only: all branches share what precedes the texts.
        # From there each runs on its own, as larger batches would fit caches less.
        firsts = self._top_down(0, img_feats[-1], img_feats, guides)
        outs = [
            self._rest(img_feats, first, guide) for first, guide in zip(firsts, guides, strict=True)
        ]
        return outs[0] if single else outs

    def _top_down(
        self, step: int, coarse: Tensor, img_feats: Sequence[Tensor], guides: Sequence[Tensor]
    ) -> list[Tensor]:
        fine = img_feats[len(img_feats) - 2 - step]
        merged = torch.cat([self.upsample_layers[step](coarse), fine], 1)
        return self.top_down_layers[step](merged, guides)

    def _rest(
        self, img_feats: Sequence[Tensor], first: Tensor, guide: Tensor
    ) -> tuple[Tensor, ...]:
        """Output levels of one branch after its first merge."""
        inner = [first, img_feats[-1]]  # fine to coarse
        for step in range(1, len(img_feats) - 1):
            inner.insert(0, *self._top_down(step, inner[0], img_feats, [guide]))
        outs = [inner[0]]
        for idx, coarse in enumerate(inner[1:]):
            merged = torch.cat([self.downsample_layers[idx](outs[-1]), coarse], 1)
            outs += self.bottom_up_layers[idx](merged, [guide])
        return tuple(outs)

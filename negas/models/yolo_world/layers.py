"""Text-guided layers of YOLO-World v2.

Shapes: B images, R guiding branches (1 in a stock model, 2 with NegA), K labels, D text channels,
H heads, c channels of one head, (h, w) a feature map.

Reference: Cheng et al., "YOLO-World: Real-Time Open-Vocabulary Object Detection", CVPR 2024.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmyolo.models.layers import CSPLayerWithTwoConv
from torch import Tensor, nn


class MaxSigmoidAttnBlock(BaseModule):
    """Per-head attention of a feature map to its best matching text.

    ``a = sigmoid(max_k <x, guide_k> / sqrt(c) + bias)`` and ``y = a * conv(x)``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        guide_channels: int,
        embed_channels: int,
        num_heads: int = 1,
        norm_cfg: dict | None = None,
    ) -> None:
        super().__init__()
        if out_channels % num_heads or embed_channels % num_heads:
            raise ValueError(
                f"out_channels ({out_channels}) and embed_channels ({embed_channels}) must be "
                f"multiples of num_heads ({num_heads})"
            )
        self.num_heads = num_heads
        self.head_channels = embed_channels // num_heads
        norm_cfg = norm_cfg or dict(type="BN", momentum=0.03, eps=0.001)
        if embed_channels != in_channels:
            self.embed_conv = ConvModule(
                in_channels, embed_channels, 1, norm_cfg=norm_cfg, act_cfg=None
            )
        else:
            self.embed_conv = None
        self.guide_fc = nn.Linear(guide_channels, embed_channels)
        self.bias = nn.Parameter(torch.zeros(num_heads))
        self.project_conv = ConvModule(
            in_channels, out_channels, 3, padding=1, norm_cfg=norm_cfg, act_cfg=None
        )

    def attention(self, embed: Tensor, guide: Tensor) -> Tensor:
        """Attention map of one branch.

        Args:
            embed: image embedding [B, H*c, h, w].
            guide: text embeddings [1 or B, K, D].

        Returns:
            Values in (0, 1), [B, H, h, w].
        """
        height, width = embed.shape[-2:]
        heads = (self.num_heads, self.head_channels)
        keys = self.guide_fc(guide).unflatten(-1, heads).permute(0, 2, 3, 1)
        # Cells first, as they lie in channels_last memory: so does the gradient then.
        queries = embed.permute(0, 2, 3, 1).flatten(1, 2).unflatten(-1, heads).transpose(1, 2)
        # [B, H, h*w, c] @ [1 or B, H, c, K]: shared texts are projected once, not per image
        similarity = torch.matmul(queries, keys)
        best = similarity.amax(dim=-1).unflatten(-1, (height, width))
        best = best / math.sqrt(self.head_channels) + self.bias[None, :, None, None]
        return best.sigmoid()

    def forward(self, x: Tensor, guides: Sequence[Tensor]) -> list[Tensor]:
        """Attend ``x`` to the texts of each branch.

        Args:
            x: [B, C, h, w].
            guides: R tensors [1 or B, K_r, D].

        Returns:
            R tensors [B, C', h, w].
        """
        embed = self.embed_conv(x) if self.embed_conv is not None else x
        values = self.project_conv(x).unflatten(1, (self.num_heads, -1))
        maps = [self.attention(embed, guide) for guide in guides]
        return [(values * weights.unsqueeze(2)).flatten(1, 2) for weights in maps]


class TextGuidedCSPLayer(CSPLayerWithTwoConv):
    """YOLOv8's CSP layer with one more path through :class:`MaxSigmoidAttnBlock`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        guide_channels: int,
        embed_channels: int,
        num_heads: int = 1,
        expand_ratio: float = 0.5,
        num_blocks: int = 1,
        add_identity: bool = False,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
    ) -> None:
        norm_cfg = norm_cfg or dict(type="BN", momentum=0.03, eps=0.001)
        act_cfg = act_cfg or dict(type="SiLU", inplace=True)
        super().__init__(
            in_channels,
            out_channels,
            expand_ratio=expand_ratio,
            num_blocks=num_blocks,
            add_identity=add_identity,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
        )
        self.final_conv = ConvModule(
            (3 + num_blocks) * self.mid_channels,
            out_channels,
            1,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
        )
        self.attn_block = MaxSigmoidAttnBlock(
            self.mid_channels,
            self.mid_channels,
            guide_channels=guide_channels,
            embed_channels=embed_channels,
            num_heads=num_heads,
            norm_cfg=norm_cfg,
        )

    def forward(self, x: Tensor, guides: Sequence[Tensor]) -> list[Tensor]:
        """Run the layer for each branch.

        Only the attention and what follows it depend on the texts: the convolutions before it run
        once for all branches.

        Args:
            x: [B, C, h, w].
            guides: R tensors [1 or B, K_r, D].

        Returns:
            R tensors [B, C', h, w].
        """
        parts = list(self.main_conv(x).split((self.mid_channels, self.mid_channels), 1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        return [
            self.final_conv(torch.cat([*parts, attended], 1))
            for attended in self.attn_block(parts[-1], guides)
        ]

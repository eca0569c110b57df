"""NegA's dual-branch neck (NegAS, training only).

Shapes: B images, K ID labels, M negative labels, D text channels.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from .nega_noise import StepNoise

_INNER = "neck."


@MODELS.register_module()
class NegANeck(BaseModule):
    """A text-guided neck, and while training its twin guided by noisy negative texts.

    Both branches are the same module: ``P_id = Neck(X, T_id)``, ``P_ood = Neck(X, T_neg + n)`` with
    ``n ~ N(0, sigma^2)`` fresh in each step. The wrapper adds no parameters, and its state dict has
    the wrapped neck's own names, so stock checkpoints load.

    Args:
        neck: config of a neck with ``forward(img_feats, txt_feats)`` that accepts several texts.
        sigma: standard deviation of the noise per element; 0 switches it off.
        relative: scale ``sigma`` by the embeddings' root mean square.
        renormalize: bring noisy embeddings back to unit length.
        seed: of the noise; the draw of a step depends on (seed, step) only, so a resumed run sees
            the noise of an uninterrupted one. ``None``: the run's ``randomness.seed``.
    """

    def __init__(
        self,
        neck: dict,
        sigma: float = 0.05,
        relative: bool = False,
        renormalize: bool = False,
        seed: int | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.neck: nn.Module = MODELS.build(neck)
        self.noise = StepNoise(sigma, relative, renormalize, seed, owner="NegANeck")
        self._register_state_dict_hook(_strip_inner)
        self._register_load_state_dict_pre_hook(_add_inner, with_module=False)

    def forward(
        self,
        img_feats: Sequence[Tensor],
        id_text_feats: Tensor,
        neg_text_feats: Tensor | None = None,
        step: int = 0,
    ) -> tuple[Tensor, ...] | tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Neck levels of the ID branch, and of the OOD branch if negatives are given.

        Args:
            img_feats: backbone levels [B, C_l, h_l, w_l].
            id_text_feats: [1 or B, K, D].
            neg_text_feats: [1, M, D] to run both branches, in one pass.
            step: training step, seeds the noise.
        """
        if neg_text_feats is None:
            return self.neck(img_feats, id_text_feats)
        id_feats, ood_feats = self.neck(
            img_feats, [id_text_feats, self.noise(neg_text_feats, step)]
        )
        return id_feats, ood_feats


def _strip_inner(module: nn.Module, state_dict: dict, prefix: str, metadata: dict) -> None:
    inner = prefix + _INNER
    for key in [key for key in state_dict if key.startswith(inner)]:
        state_dict[prefix + key[len(inner) :]] = state_dict.pop(key)


def _add_inner(state_dict: dict, prefix: str, *_: object) -> None:
    # A loader may call with the same dict for every module: rename once, and only our own names.
    inner = prefix + _INNER
    for key in [key for key in state_dict if key.startswith(prefix)]:
        if not key.startswith(inner):
            state_dict[inner + key[len(prefix) :]] = state_dict.pop(key)

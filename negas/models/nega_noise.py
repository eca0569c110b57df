"""The noise on negative text embeddings (NegA, training only)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from negas.embeddings.noise import gaussian_noise

_NOISE_STREAM = 0x6E656761  # keeps the noise apart from what else is seeded with (seed, number)


class StepNoise(nn.Module):
    """``n ~ N(0, sigma^2)`` per element, fresh in each step; a module without parameters.

    The draw of a step depends on (seed, step) only, so a resumed run sees the noise of an
    uninterrupted one.

    Args:
        sigma: standard deviation per element; 0 switches the noise off.
        relative: scale ``sigma`` by the embeddings' root mean square.
        renormalize: bring noisy embeddings back to unit length.
        seed: of the noise; ``None``: the run's ``randomness.seed``.
        owner: name for the error message.

    Raises:
        ValueError: if sigma is negative.
    """

    def __init__(
        self,
        sigma: float = 0.05,
        relative: bool = False,
        renormalize: bool = False,
        seed: int | None = None,
        owner: str = "StepNoise",
    ) -> None:
        super().__init__()
        if sigma < 0:
            raise ValueError(f"{owner}: sigma must be >= 0, got {sigma}")
        self.sigma = sigma
        self.relative = relative
        self.renormalize = renormalize
        self._follows_run = seed is None
        # The runner seeds PyTorch before it builds the model; EpochSeedHook confirms it, as a
        # resumed run may learn its seed from the checkpoint only.
        self.seed = torch.initial_seed() if seed is None else seed

    def set_run_seed(self, seed: int) -> None:
        """Take the run's seed unless the config gave one; called when a training starts."""
        if self._follows_run:
            self.seed = seed

    def forward(self, neg_text_feats: Tensor, step: int) -> Tensor:
        """Negative texts [..., M, D] with the noise of step ``step``."""
        if self.sigma == 0:
            return neg_text_feats
        mixed = np.random.SeedSequence(self.seed, spawn_key=(_NOISE_STREAM, step))
        generator = torch.Generator().manual_seed(int(mixed.generate_state(1)[0]))
        return gaussian_noise(
            neg_text_feats,
            sigma=self.sigma,
            generator=generator,
            relative=self.relative,
            renormalize=self.renormalize,
        )

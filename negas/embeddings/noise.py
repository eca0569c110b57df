"""Noise on the negative text embeddings of the OOD branch (paper: n ~ N(0, 0.05^2)).

Shapes: M negative labels, D channels.
"""

import torch
from torch import Tensor


def gaussian_noise(
    text_feats: Tensor,
    sigma: float = 0.05,
    generator: torch.Generator | None = None,
    relative: bool = False,
    renormalize: bool = False,
) -> Tensor:
    """Add fresh Gaussian noise to text embeddings.

    CHOICE: the paper does not say how sigma relates to the embedding. On unit 512-vectors sigma
    0.05 is a noise of norm 1.13, larger than the signal; `relative=True` measures sigma in units
    of each embedding's root mean square instead.

    Args:
        text_feats: [..., D] embeddings, usually L2-normalised.
        sigma: Standard deviation per element, >= 0; 0 returns `text_feats` itself.
        generator: Source of randomness; its device may differ from that of `text_feats`, so a CPU
            generator gives the same noise on every device.
        relative: Scale sigma by the root mean square of each embedding.
        renormalize: L2-normalise the sum.

    Returns:
        [..., D] noisy embeddings; gradients flow to `text_feats` through the sum.

    Raises:
        ValueError: If sigma is negative, or positive without a generator.
    """
    if not sigma >= 0:
        raise ValueError(f"gaussian_noise: sigma must be >= 0, got {sigma}; use 0 for no noise.")
    if sigma == 0:
        return text_feats
    if generator is None:
        raise ValueError(
            "gaussian_noise: sigma > 0 needs a generator; pass torch.Generator().manual_seed(seed)."
        )
    # float32 draws whatever the precision of the features: the stream does not depend on amp
    noise = torch.randn(text_feats.shape, generator=generator, device=generator.device)
    noise = noise.to(text_feats) * sigma
    if relative:
        noise = noise * text_feats.detach().square().mean(-1, keepdim=True).sqrt()
    noisy = text_feats + noise
    return torch.nn.functional.normalize(noisy, dim=-1) if renormalize else noisy

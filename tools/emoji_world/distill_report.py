"""What a distillation log says beside `quality`: names held out, and what templates change."""

from collections.abc import Callable
from pathlib import Path

import torch
from distill import DistillOptions, TextPairs, encode_template, quality, train_text
from torch import Tensor, nn


def split_names(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return the indices of a random tenth of the names (at least one) and of the others."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed + 2))
    tenth = max(1, count // 10)
    return order[:tenth], order[tenth:]


def held_out(
    pairs: TextPairs,
    options: DistillOptions,
    build: Callable[[Tensor], tuple[nn.Module, float]],
    work: Path,
) -> dict:
    """Train on 90% of the names for a third of the steps and measure the other 10%.

    Args:
        pairs: All names.
        options: Schedule of the full run.
        build: Makes a new tower from the indices of the names it will see.
        work: Folder of the checkpoint.
    """
    unseen, seen = split_names(len(pairs.directions), options.seed)
    model, _ = build(seen)
    short = DistillOptions(**{**vars(options), "steps": max(1, options.steps // 3)})
    train_text(model, pairs, seen, short, work / "held_out.pth", "10% held out")
    feats = encode_template(model, pairs, "a photo of {}")
    return {
        "note": "centred on all names; targets of the held-out names were never trained",
        "steps": short.steps,
        "seen": quality(feats, pairs.directions, seen),
        "unseen": quality(feats, pairs.directions, unseen),
    }


def prompt_shift(model: nn.Module, pairs: TextPairs) -> dict[str, float]:
    """Mean cosine of a template's features to those of "a photo of": 1 means words do nothing."""
    base = encode_template(model, pairs, "a photo of {}")
    return {
        template: round((encode_template(model, pairs, template) * base).sum(-1).mean().item(), 4)
        for template in pairs.templates
    }

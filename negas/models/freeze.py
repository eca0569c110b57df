"""Train the prompt, keep the rest exactly as it is."""

from __future__ import annotations

from torch import nn


def freeze_except(model: nn.Module, trained: tuple[str, ...]) -> list[str]:
    """Let only parameters whose name starts with one of ``trained`` have a gradient.

    Returns:
        Names of the trained parameters.
    """
    names = []
    for name, param in model.named_parameters():
        param.requires_grad_(name.startswith(trained))
        if param.requires_grad:
            names.append(name)
    return names


def eval_children(model: nn.Module) -> None:
    """Put all children in eval mode: batch-norm statistics and dropout stand still."""
    for child in model.children():
        child.train(False)

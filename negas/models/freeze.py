"""Train the prompt, keep the rest exactly as it is."""

from __future__ import annotations

from collections.abc import Sequence

from mmcv.cnn import ConvModule, fuse_conv_bn
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


def merge_norms_in_eval(model: nn.Module) -> None:
    """Let mmcv multiply frozen batch norms into the weights of their convolutions.

    It spares a pass over the feature map forwards and backwards. Norms in training mode, parameters
    and their names stay as they are.
    """
    _merge_norms(model, True)


def fuse_norms(model: nn.Module) -> nn.Module:
    """Put batch norms into the weights of their convolutions for good, and return the model."""
    _merge_norms(model, False)
    return fuse_conv_bn(model)


def _merge_norms(model: nn.Module, merge: bool) -> None:
    for module in model.modules():
        # mmcv 2.0.1 calls it "fast", later versions "efficient", and 2.0.0 does not have it.
        for name in ("turn_on_fast_conv_bn_eval", "turn_on_efficient_conv_bn_eval"):
            if isinstance(module, ConvModule) and module.with_norm and hasattr(module, name):
                getattr(module, name)(merge)


def eval_children(model: nn.Module) -> None:
    """Put all children in eval mode: batch-norm statistics and dropout stand still."""
    for child in model.children():
        child.train(False)


def freeze_children(detector: nn.Module, names: Sequence[str] | str) -> tuple[str, ...]:
    """Take the gradients from children of the detector.

    Returns:
        Their names.

    Raises:
        ValueError: for one that the detector does not have.
    """
    names = (names,) if isinstance(names, str) else tuple(names)
    parts = dict(detector.named_children())
    for name in names:
        if name not in parts:
            known = ", ".join(parts)
            raise ValueError(f"frozen: {name!r} is no part of the detector; it has {known}")
        parts[name].requires_grad_(False)
    return names

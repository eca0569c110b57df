"""Smaller forms of an exported file, whose numbers differ and whose tau is fitted anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .write import quiet


def half(source: Path, target: Path) -> None:
    """Float16 throughout, but for NMS and the choice of rows; inputs and outputs stay."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True), target)


def int8(source: Path, target: Path) -> None:
    """Weights in 8 bits, activations quantised as they come (dynamic quantisation)."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with quiet():
        quantize_dynamic(source, target, weight_type=QuantType.QUInt8)


VARIANTS: dict[str, Callable[[Path, Path], None]] = dict(fp16=half, int8=int8)

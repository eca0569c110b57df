"""A model in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def load_session(
    path: Path, providers: Sequence[str] | None = None, threads: int | None = None
) -> Any:
    """A session of ONNX Runtime.

    Args:
        path: of the model.
        providers: of ONNX Runtime; ``None``: the CPU.
        threads: of an operator; ``None``: ONNX Runtime's choice.

    Raises:
        ValueError: the file cannot be loaded.
        ImportError: ONNX Runtime is not installed.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # what it did to the graph is no news to the user
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(
            str(path), options, providers=list(providers or ["CPUExecutionProvider"])
        )
    except Exception as error:  # its exceptions have no common class but this
        reason = str(error).splitlines()[0][:200]
        raise ValueError(f"ONNX Runtime cannot load {str(path)!r}: {reason}") from error

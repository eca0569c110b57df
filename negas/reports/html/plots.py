"""Plots as SVG in ``data:`` URIs."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

_METADATA = re.compile(rb"<metadata>.*?</metadata>", re.DOTALL)  # the time of drawing


def data_uri(content: bytes, kind: str) -> str:
    """A ``data:`` URI; ``kind`` is a media type such as ``image/png``."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def svg_uri(draw: Callable[[Path], None]) -> str:
    """Draw into a file and give its content; equal plots give equal bytes.

    Args:
        draw: writes an SVG to the path it is called with, by matplotlib.
    """
    from matplotlib import rc_context

    with TemporaryDirectory() as folder, rc_context({"svg.hashsalt": "negas"}):
        path = Path(folder) / "plot.svg"
        draw(path)
        return data_uri(_METADATA.sub(b"", path.read_bytes()), "image/svg+xml")

"""Checkpoints are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from negas.files import whole_file


@register_backend("local", prefixes="", force=True)
class WholeFiles(LocalBackend):
    """MMEngine's writer of local files, without its half-written ones after a kill.

    MMEngine writes the same checkpoint again when it turns out to be the best one.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes."""
        with whole_file(filepath) as partial:
            super().put(obj, partial)

"""Records on disk: set by set while a run goes on, in their place when all sets are through."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from negas.records import BoxRecords

from .results import TEXT_FEATS_FILE


class RecordDump:
    """Writes ``<out_dir>/records``; until :meth:`finish` the files lie in ``records.part``.

    So a run that fails halfway loses no inference, and never mixes its files with an older run's.
    """

    def __init__(self, out_dir: Path) -> None:
        self.part, self.final = out_dir / "records.part", out_dir / "records"
        self.names: list[str] = []

    def add(self, name: str, records: BoxRecords) -> None:
        """Keep the boxes of one finished set."""
        if not self.names:
            shutil.rmtree(self.part, ignore_errors=True)  # of a run that failed
        records.save(self.part / f"{name}.npz")
        self.names.append(name)

    def finish(self, feats: Mapping[str, np.ndarray]) -> None:
        """Put all sets in their place, with the text embeddings [M, D] of every bank."""
        self.part.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(self.part / TEXT_FEATS_FILE, **feats)
        self.final.mkdir(parents=True, exist_ok=True)
        for file in (*[f"{name}.npz" for name in self.names], TEXT_FEATS_FILE):
            os.replace(self.part / file, self.final / file)
        shutil.rmtree(self.part, ignore_errors=True)

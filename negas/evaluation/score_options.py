"""What re-scoring can be told; ``--help`` is there before PyTorch is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from negas.options import Options, brief_option, csv_option, option, overwrite_option

if TYPE_CHECKING:
    from negas.metrics import Preset

    from .rows import NamedScore


@dataclass(frozen=True)
class ScoreOptions(Options):
    """Every score, protocol, cut and interval from the records of test runs."""

    runs: tuple[str, ...] = option(
        (), help="work dir of negas test, or a records folder", positional=True, metavar="RUN"
    )
    preset: tuple[str, ...] = option(
        ("val_f1",),
        help="protocols: val_f1, vos, siren, matched, objects, owod, fixed",
        metavar="NAME",
    )
    cut: tuple[str, ...] | None = option(
        None,
        help="confidence cuts in place of the preset's: run, val_f1, test_f1 or numbers",
        metavar="VALUE",
    )
    scores: tuple[str, ...] | None = option(
        None,
        help="names, or 'negs(weight=0.5)' with options (default: all; of those that are fitted "
        "on ID boxes, the ones of the test)",
        metavar="SCORE",
    )
    banks: tuple[str, ...] = option(
        ("model",),  # recorded.MODEL_BANK
        help="label banks of the run",
        metavar="BANK",
    )
    bootstrap: int = option(
        1000, help="draws of whole images for the intervals; 0: none", ge=0, metavar="N"
    )
    fit_set: Literal["id_val", "id_train"] = option(
        "id_val", help="ID boxes of the run that fitted scores, such as knn, are fitted on"
    )
    rotations: int | None = option(
        None,
        help="draws of the rotated-bank control; 0: none (default: 5 if the run has embeddings)",
        ge=0,
        metavar="N",
    )
    seed: int = option(0, help="of the bootstrap and the rotations", ge=0)
    open_set: bool = option(False, help="add A-OSE, nOSE, WI, AP_U, U-Recall (annotations)")
    against: str | None = option(
        None, help="a run on the same images: intervals of differences", metavar="OTHER"
    )
    ann: tuple[str, ...] = option(
        (),
        help="annotation files, where the paths of the test no longer hold",
        metavar="SET=FILE",
    )
    out: str | None = option(
        None, help="write ood_scores.json, .md and the pictures there", metavar="DIR", output=True
    )
    csv: str | None = csv_option()
    brief: bool = brief_option()
    overwrite: bool = overwrite_option()

    def __post_init__(self) -> None:
        """Check what needs more than one option.

        Raises:
            ValueError: no run, an unknown preset, cut or score, or a comparison without draws.
        """
        super().__post_init__()
        if not self.runs:
            raise ValueError("no run given; name the work dir of a negas test run")
        if self.against is not None and not self.bootstrap:
            raise ValueError("--against needs the bootstrap; leave out --bootstrap 0")
        self.presets, self.specs  # noqa: B018  a wrong one is told before files are read

    @property
    def presets(self) -> list[Preset]:
        """Presets, each at each cut."""
        from .cuts import choose_presets

        return choose_presets(self.preset, self.cut)

    @property
    def specs(self) -> list[NamedScore] | None:
        """The wanted scores; ``None``: those of the run."""
        from .rows import name_scores, parse_score

        return None if self.scores is None else name_scores([parse_score(s) for s in self.scores])

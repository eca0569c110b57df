"""What an unknown object is: the options of ``model.test_cfg.unknown``."""

from __future__ import annotations

from dataclasses import dataclass

from negas.options import Options, option

CALIBRATED = "calibrated"


@dataclass(frozen=True)
class UnknownOptions(Options):
    """Objects that a word of the vocabulary names better than every ID name.

    A detector may have other defaults, see its ``unknown_defaults``. With
    ``score_thr="calibrated"`` it finds none until a calibration or a test has said where the
    threshold lies.
    """

    vocabulary: str | tuple[str, ...] = option(
        "common", help="'common', a vocabulary or bank (.json), a text file, or words"
    )
    score_thr: float | str = option(CALIBRATED, help="least score, or 'calibrated'", ge=0, lt=1)
    id_score_thr: float = option(
        0.3,
        help="ID boxes of this confidence hide what they lie on; in inference those that are shown "
        "do, in a test those over its cut",
        ge=0,
        le=1,
    )
    id_weight: float = option(
        0.25, help="of the largest ID logit, which is taken off a word's", ge=0
    )
    agreement_weight: float = option(
        12, help="of the share in which neighbouring cells disagree about the box", ge=0
    )
    id_overlap: float = option(
        0.5, help="least IoU with such a box for being hidden by it", gt=0, le=1
    )
    nms: float = option(0.5, help="largest IoU of two unknown objects", ge=0, le=1)
    max_per_img: int = option(100, help="most unknown objects of an image", ge=1)
    min_size: float = option(4, help="least side in pixels of the image", ge=0)
    share: float = option(
        1.0, help="of the cells, those of the largest ID score, that meet words", gt=0, le=1
    )
    record_cells: int = option(
        2000,
        help="most cells of an image in the records of a test, 1 KB each; with fewer than meet "
        "words the records miss objects that the detector finds",
        ge=1,
    )
    without_ood: tuple[str, ...] = option(
        (), help="files of names, or names, of OOD classes whose words are left out"
    )

    def __post_init__(self) -> None:
        """Check what types do not tell.

        Raises:
            ValueError: ``score_thr`` is another word, or there is no vocabulary.
        """
        super().__post_init__()
        if isinstance(self.score_thr, str) and self.score_thr != CALIBRATED:
            raise ValueError(
                f"{self.called('score_thr')} must be a number in [0, 1) or {CALIBRATED!r}, "
                f"got {self.score_thr!r}"
            )
        if not self.vocabulary:
            raise ValueError(
                f"{self.called('vocabulary')} is empty; give 'common', a file or words, or leave "
                "unknown out"
            )

    @property
    def is_calibrated(self) -> bool:
        """Whether the threshold is a number."""
        return not isinstance(self.score_thr, str)

"""Unknown objects: cells on which a word of a general vocabulary beats every ID name.

Torch and numpy only. Detectors and the re-scoring of records choose boxes with the same functions.
"""

from negas.text import UNKNOWN_LABEL, UNKNOWN_NAME

from .options import CALIBRATED, UnknownOptions
from .select import (
    agreement_of_neighbors,
    best_words,
    distinct,
    fit_the_image,
    largest_cells,
    pick_cells,
    suppress,
    unknown_rows,
    unknown_scores,
)

__all__ = [
    "CALIBRATED",
    "UNKNOWN_LABEL",
    "UNKNOWN_NAME",
    "UnknownOptions",
    "agreement_of_neighbors",
    "best_words",
    "distinct",
    "fit_the_image",
    "largest_cells",
    "pick_cells",
    "suppress",
    "unknown_rows",
    "unknown_scores",
]

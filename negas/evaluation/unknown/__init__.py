"""Unknown objects of a finished test, from the cells in its records."""

from .boxes import (
    UnknownBoxes,
    best_of_words,
    chosen_unknown,
    find_by_groups,
    find_unknown,
    id_cut_of,
    options_of,
    unknown_boxes_of,
    word_logits,
)
from .threshold import Validation, find_threshold, kept_words, threshold_lines, threshold_of

__all__ = [
    "Validation",
    "UnknownBoxes",
    "best_of_words",
    "chosen_unknown",
    "find_by_groups",
    "find_threshold",
    "find_unknown",
    "id_cut_of",
    "kept_words",
    "options_of",
    "threshold_lines",
    "threshold_of",
    "unknown_boxes_of",
    "word_logits",
]

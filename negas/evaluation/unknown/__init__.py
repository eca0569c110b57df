"""Unknown objects of a finished test, from the cells in its records."""

from .boxes import (
    UnknownBoxes,
    best_of_words,
    chosen_unknown,
    find_unknown,
    options_of,
    word_logits,
)
from .threshold import find_threshold, kept_words, threshold_lines, threshold_of

__all__ = [
    "UnknownBoxes",
    "best_of_words",
    "chosen_unknown",
    "find_threshold",
    "find_unknown",
    "kept_words",
    "options_of",
    "threshold_lines",
    "threshold_of",
    "word_logits",
]

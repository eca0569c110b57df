"""Scores by name: ``get_score("negs", weight=0.5)``."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import fields

from .base import Score


class ScoreRegistry(dict[str, type[Score]]):
    """A dict ``name -> score class`` whose misses list what there is."""

    def register(self, name: str) -> Callable[[type[Score]], type[Score]]:
        """Class decorator that files a score under a name; overwriting one warns."""

        def decorate(score: type[Score]) -> type[Score]:
            known = self.get(name)
            if known is not None:
                warnings.warn(
                    f"score '{name}' was {known.__module__}.{known.__qualname__} and is now "
                    f"{score.__module__}.{score.__qualname__}.",
                    stacklevel=2,
                )
            score.name = name
            if "title" not in vars(score):
                score.title = name  # not its parent's
            self[name] = score
            return score

        return decorate

    def __missing__(self, name: str) -> type[Score]:
        raise KeyError(f"there is no score '{name}'; choose one of: {', '.join(sorted(self))}.")


SCORES = ScoreRegistry()


def get_score(name: str, **options: object) -> Score:
    """Build the score of that name.

    Args:
        name: a key of :data:`SCORES`.
        **options: of that score, e.g. ``temperature``; the class lists them.

    Raises:
        KeyError: no score has that name; the message lists the names.
        ValueError: the score has no such option, or not with that value.
    """
    score = SCORES[name]
    allowed = [field.name for field in fields(score)]
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        raise ValueError(
            f"score '{name}' has no option {', '.join(map(repr, unknown))}; "
            f"it takes: {', '.join(allowed)}."
        )
    return score(**options)

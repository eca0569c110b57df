"""All image-level methods by name. A new one is its own file and a line here."""

from __future__ import annotations

from negas.scores import SCORES

from . import adaneg, ants, interneg, tanl
from .method import Method
from .scorers import OFFLINE, of_score

METHODS: dict[str, Method] = {
    method.name: method
    for method in (*OFFLINE, adaneg.METHOD, interneg.METHOD, ants.METHOD, tanl.METHOD)
}


def find_method(name: str) -> Method:
    """The method of that name, or the score of ``negas.scores`` on CLIP's logits.

    Scores that read the embedding of a box are no methods.

    Raises:
        ValueError: there is neither.
    """
    if name in METHODS:
        return METHODS[name]
    of_logits = {score for score, kind in SCORES.items() if not kind.needs_embeddings}
    if name in of_logits:
        return of_score(name)
    extra = sorted(of_logits - set(METHODS))
    raise ValueError(
        f"there is no method {name!r}; there are {', '.join(METHODS)} (and the scores "
        f"{', '.join(extra)})."
    )

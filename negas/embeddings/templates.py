"""Sentences around a label for text encoders, by name, as the methods' codes use them."""

from __future__ import annotations

from collections.abc import Sequence

PHOTO = ("a photo of a {}.",)
TEMPLATES: dict[str, tuple[str, ...]] = {
    # the bare label
    "plain": ("{}",),
    # CLIP's single template; MCM and EOE use it without the full stop
    "clip": PHOTO,
    "mcm": ("a photo of a {}",),
    # NegLabel's best of many: labels and nouns; adjectives
    "neglabel": ("the nice {}",),
    "neglabel-adjective": ("This is a {} photo",),
    # the same two as OpenOOD-VLM, InterNeg and ANTS write them
    "openood": ("The nice {}.",),
    "openood-adjective": ("This is a {} photo.",),
    # CSP: labels and nouns; adjectives, after a super-class noun was put behind them
    "csp": (
        "a close-up photo of the nice {}.",
        "a photo with the nice {}.",
        "a good photo with the nice {}.",
        "a photo of the nice {}.",
        "{}",
        "the {}",
        "the good {}",
        "the nice {}",
    ),
    "csp-adjective": (
        "{}",
        "a nice photo of {}",
        "a good photo of {}",
        "a close-up photo of {}",
    ),
    # YOLO-World's and NegAS's starting prompt
    "negas": ("a photo of {}",),
    # ours: viewpoints and qualities of ordinary photographs
    "photos": (
        "a photo of a {}.",
        "a photo of one {}.",
        "a photo of several {}.",
        "a close-up of a {}.",
        "a {} seen from far away.",
        "a small {} in a photo.",
        "a large {} in a photo.",
        "a dark photo of a {}.",
        "a bright photo of a {}.",
        "a blurry photo of a {}.",
        "a {} that is partly hidden.",
        "a photo with a {} in it.",
    ),
}

# Ensembles whose embeddings are averaged before they are normalised
RAW_MEAN = frozenset({"csp", "csp-adjective"})


def resolve_templates(template: None | str | Sequence[str]) -> tuple[str, ...]:
    """Sentences with one ``{}`` each.

    Args:
        template: ``None`` (the bare label), a name of :data:`TEMPLATES`, a sentence with one
            ``{}``, or a list of such sentences (an ensemble).

    Raises:
        ValueError: an unknown name, an empty list, or a sentence without exactly one ``{}``.
    """
    if template is None:
        return TEMPLATES["plain"]
    if isinstance(template, str):
        if template in TEMPLATES:
            return TEMPLATES[template]
        if "{}" not in template:
            raise ValueError(
                f"template {template!r} is neither a sentence with one '{{}}' nor one of the names "
                f"{', '.join(TEMPLATES)}."
            )
        template = (template,)
    if not template:
        raise ValueError("the list of templates is empty; give at least one sentence with '{}'.")
    for sentence in template:
        if not isinstance(sentence, str) or sentence.count("{}") != 1:
            raise ValueError(f"template {sentence!r} must contain exactly one '{{}}'.")
    return tuple(template)

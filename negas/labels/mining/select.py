"""Refining and choosing in a mining run: who stays, who goes, and why."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from negas.labels.selection.ranking import Selection

from .candidates import CandidateSet, Notify, lazy_chat, model_key
from .options import MiningOptions
from .similarity import Features, embed
from .stages import Stage, digest


def refine_candidates(
    options: MiningOptions, found: CandidateSet, notify: Notify
) -> tuple[CandidateSet, dict[str, Any] | None]:
    """Drop synonyms and sub-categories of ID labels and proper nouns, if that is wanted.

    Returns:
        The candidates that stay, and the settings of the filter (None: not wanted).

    Raises:
        ValueError: no candidate stays.
        ChatError: the model that judges could not be asked; its answers so far are kept.
    """
    if options.refine == "none":
        return found, None
    inputs = {
        "candidates": digest(found.names),
        "classes": list(options.class_names),
        "refine": options.refine,
        "model": model_key(options) if options.refine != "wordnet" else None,
    }
    stage = Stage(options.work_dir, "refined", inputs, notify)
    stored = stage.load()
    if stored is None:
        from negas.labels.selection.refine import refine
        from negas.labels.wordnet import WordNet

        wordnet = None if options.refine == "llm" else WordNet.load()
        judge = None if options.refine == "wordnet" else _judge(options, stage.key, notify)
        result = refine(found.names, options.class_names, wordnet, judge)
        dropped = {found.names[i]: why for i, why in result.dropped.items()}
        stored = {"kept": list(result.chosen), "dropped": dropped, "settings": result.settings}
        stage.save(**stored)
    kept = stored["kept"]
    if not kept:
        raise ValueError(
            f"the filter --refine {options.refine} leaves no candidate; see {stage.path}, and "
            f"generate more candidates or refine less"
        )
    parts = None if found.parts is None else [found.parts[i] for i in kept]
    names = [found.names[i] for i in kept]
    left = replace(found, names=names, parts=parts)
    return left, {**stored["settings"], "dropped": len(stored["dropped"])}


def select(options: MiningOptions, found: CandidateSet, notify: Notify) -> dict[str, Any]:
    """Run the last stage, or read what an earlier run left of it.

    Returns:
        The content of ``selection.json``: ``kept`` and ``dropped`` rows, ``settings``.

    Raises:
        ValueError: no candidate is chosen.
    """
    features, inputs = None, {"candidates": digest(found.names)}
    if options.needs_encoder:
        features, similarities = embed(options, found, notify)
        inputs = {"similarities": similarities.key}
    inputs |= {"select": options.select, "num": options.keep}
    if options.select == "visual":
        inputs |= {"min similarity": options.min_similarity, "scale": options.scale}
        inputs |= {"keep fraction": options.keep_fraction}
    elif options.select == "random":
        inputs |= {"seed": options.seed}
    elif options.select in ("neglabel", "csp"):
        inputs |= {"percentile": options.percentile, "fraction": options.fraction}
    stage = Stage(options.work_dir, "selection", inputs, notify)
    stored = stage.load()
    if stored is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # it stands in the settings too
            result = _choose(options, found, features)
        stored = _readable(result, found.names, options.class_names)
        stage.save(**stored)
    if not stored["kept"]:
        raise ValueError(
            f"--select {options.select} keeps none of {len(found.names)} candidates; see "
            f"{stage.path}, and give more or other candidates"
        )
    return stored


def _judge(options: MiningOptions, key: str, notify: Notify) -> Callable[[str], str]:
    from negas.labels.selection.refine import remember

    model = lazy_chat(options, notify)

    def ask(question: str) -> str:
        return model.chat([{"role": "user", "content": question}], options.seed)

    return remember(ask, options.work_dir / f"judge-{key}.jsonl")


def _choose(options: MiningOptions, found: CandidateSet, features: Features | None) -> Selection:
    if options.select == "random":
        return _drawn(len(found.names), options.keep, options.seed)
    if features is None:
        return _first(len(found.names), options.keep)
    texts = (features.candidates, features.id_labels)
    if options.select == "visual":
        from negas.labels.selection.visual import select_visual

        return select_visual(
            *texts,
            features.prototypes,
            num=options.keep,
            min_similarity=options.min_similarity,
            scale=options.scale,
            keep_fraction=options.keep_fraction,
        )
    if options.select == "interneg":
        from negas.labels.selection.interneg import select_interneg

        return select_interneg(*texts, features.prototypes, found.parts, options.keep)
    from negas.labels.selection.csp import select_csp
    from negas.labels.selection.neglabel import select_neglabel

    chooser = select_csp if options.select == "csp" else select_neglabel
    mode = "fraction" if options.keep is None else "top"
    settings = {"percentile": options.percentile, "fraction": options.fraction}
    return chooser(*texts, found.parts, mode=mode, num=options.keep, **settings)


def _first(count: int, num: int | None) -> Selection:
    """No selection at all: the candidates in their order, cut at M."""
    num = count if num is None else min(num, count)
    dropped = {i: f"only the first {num} are kept" for i in range(num, count)}
    return Selection(tuple(range(num)), dropped, settings={"method": "none", "num": num})


def _drawn(count: int, num: int, seed: int) -> Selection:
    """M candidates by lot, the baseline of any other selection."""
    order = random.Random(seed).sample(range(count), count)
    dropped = {i: f"not among the {num} drawn" for i in order[num:]}
    settings = {"method": "random", "num": num, "seed": seed}
    return Selection(tuple(order[:num]), dropped, settings=settings)


def _readable(result: Selection, names: list[str], classes: tuple[str, ...]) -> dict[str, Any]:
    def row(i: int) -> dict[str, Any]:
        values = {}
        for score, column in result.scores.items():
            value = column[i]
            if score == "looks_like":
                values[score] = None if math.isnan(value) else classes[int(value)]
            else:
                values[score] = None if math.isnan(value) else round(float(value), 4)
        return {"label": names[i], **values}

    return {
        "settings": result.settings,
        "kept": [row(i) for i in result.chosen],
        "dropped": [{**row(i), "why": why} for i, why in sorted(result.dropped.items())],
    }

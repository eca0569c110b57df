"""Labels given at run time: any class names and negative words on the weights at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from negas.labels.bank import NegativeLabelBank
from negas.labels.names import read_names

WITHOUT_NEGATIVES = "max_sigmoid"  # the score of a detector that has no negatives


def set_labels(
    cfg: Config,
    classes: Sequence[str] | str | None = None,
    negatives: Sequence[str] | str | None = None,
) -> None:
    """Put labels into a config's model, which is then only good for inference.

    Args:
        cfg: changed in place.
        classes: ID names, or a file of them; ``None``: the config's.
        negatives: words, a text file of them, or a bank (``.json``); empty: none, boxes are then
            scored without; ``None``: the config's.

    Raises:
        ValueError: the names are not sound, the model cannot take them, or the config's negatives
            were made for other classes.
        FileNotFoundError: a file does not exist.
    """
    model = cfg.model
    takes_negatives = str(model.type).split(".")[-1].startswith("NegAS")
    old = model.get("class_names")
    if takes_negatives:
        model.use_nega = False  # a training matter; it would demand negatives
    if classes is not None or negatives is not None:
        (model.get("postprocessor") or {}).pop("tau", None)  # chosen for the config's own labels
    if classes is not None:
        model.class_names = _names(classes, "classes")
    if negatives is not None:
        if not takes_negatives:
            raise ValueError(
                f"model.type={model.type!r} takes no negative labels; use a config with "
                "'NegASYOLOWorldDetector' or 'NegASGroundingDINO'"
            )
        _set_negatives(model, negatives)
    elif classes is not None and model.get("neg_labels"):
        before = read_names(old, "model.class_names") if old else ()
        if set(before) != set(model.class_names):
            raise ValueError(
                "the config's negative labels were made for its own classes; give negatives for "
                "yours, too (words or a bank), or 'none' to score without"
            )


def read_negatives(given: Sequence[str] | None) -> list[str] | str | None:
    """What :func:`set_labels` takes, from the words of a command line.

    Args:
        given: one file (bank ``.json`` or list ``.txt``), the word ``none``, or words, also with
            commas between them; ``None`` stays.
    """
    if given is None:
        return None
    if len(given) == 1 and Path(given[0]).suffix.lower() in (".json", ".txt"):
        return given[0]
    words = [word.strip() for text in given for word in text.split(",") if word.strip()]
    return [] if words == ["none"] else words


def _set_negatives(model: dict, negatives: Sequence[str] | str) -> None:
    if isinstance(negatives, str) and Path(negatives).suffix == ".json":
        bank = NegativeLabelBank.load(negatives)
        bank.check_id_labels(read_names(model.class_names, "model.class_names"))
        model.neg_labels = negatives
        return
    model.neg_labels = _names(negatives, "negatives") if negatives else []
    if not model.neg_labels:
        model.postprocessor = dict(type="NegSPostProcessor", score=WITHOUT_NEGATIVES)


def _names(source: Sequence[str] | str, key: str) -> list[str]:
    names = list(read_names(source, key))
    if not names:
        raise ValueError(f"{key}: no names; give at least one")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{key}: {twice[0]!r} stands there twice; remove one")
    return names

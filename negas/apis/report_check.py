"""Are result files what they claim to be? Looked at before any number is taken from them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np

from negas.files import probe_folder
from negas.records import BoxRecords

_TEXT, _NUMBER, _COUNT = {"type": "string"}, {"type": "number"}, {"type": "integer", "minimum": 0}
_NUMBER_OR_NONE, _TEXT_OR_NONE = {"type": ["number", "null"]}, {"type": ["string", "null"]}
_TEXTS = {"type": "array", "items": _TEXT}
_TEXTS_OR_NONE = {"type": ["array", "null"], "items": _TEXT}
_OBJECT_OR_NONE = {"type": ["object", "null"]}


def _object(required: dict, **more: object) -> dict:
    """Schema of an object: keys that must be there, and what further ones are, if there."""
    return {"type": "object", "required": [*required], "properties": required | more}


def _values(schema: dict, **more: object) -> dict:
    return {"type": "object", "additionalProperties": schema} | more


_TELLING = ("ood_set", "score", "bank", "protocol")
_NUMBERS = dict(cut=_NUMBER, fpr95=_NUMBER_OR_NONE, auroc=_NUMBER_OR_NONE, num_id=_COUNT)
_ROW = _object(
    dict.fromkeys(_TELLING, _TEXT) | _NUMBERS | dict(num_ood=_COUNT, control=_TEXT),
    fpr95_closest=_NUMBER_OR_NONE,
    preset=_TEXT,
)
_MAP = _values(_NUMBER_OR_NONE)
_SETS = _values(_object(dict(images=_COUNT), boxes=_COUNT), required=["id"])
_BANK = _object(dict(size=_COUNT, labels=_TEXTS), file=_TEXT_OR_NONE) | {
    "anyOf": [
        _object(dict(leakage=_values(_object(dict(leaks=_TEXTS))))),
        _object(dict(overlap=_values(_TEXTS))),
    ]
}
_RUN = _object(
    {},
    config=_TEXT_OR_NONE,
    class_names=_TEXTS_OR_NONE,
    neg_labels=_TEXT_OR_NONE,
    score=_TEXT_OR_NONE,
    config_sha256=_TEXT_OR_NONE,
    nms=_OBJECT_OR_NONE,
    test_cfg=_OBJECT_OR_NONE,
    versions=_OBJECT_OR_NONE,
)
_SCORE = {
    "anyOf": [
        _TEXT,
        {"type": "array", "prefixItems": [_TEXT, {"type": "object"}], "minItems": 2, "maxItems": 2},
    ]
}
_SETTINGS = _object(
    dict(
        scores={"type": "array", "items": _SCORE},
        protocols={"type": "array", "items": {"enum": ["vos", "matched"]}, "minItems": 1},
        rotations=_COUNT,
        seed=_COUNT,
        min_score=_NUMBER,
    )
)
_TEST_ROW = _object(dict(cut_kind=_TEXT))
TEST_RESULTS = _object(
    dict(
        rows={"type": "array", "items": {"allOf": [_ROW, _TEST_ROW]}},
        banks=_values(_BANK),
        sets=_SETS,
        map=_MAP,
        cut=_NUMBER,
        run=_RUN,
        settings=_SETTINGS,
    ),
    seeds={"type": "object"},
)
_SCORED_ROW = _object(dict(preset=_TEXT, rule=_TEXT, cut_source=_TEXT, pair_floor=_NUMBER_OR_NONE))
_DUMP = _object(
    dict(
        name=_TEXT,
        rows={"type": "array", "items": {"allOf": [_ROW, _SCORED_ROW]}},
        map=_MAP,
        sets=_SETS,
        id_labels=_TEXTS,
    ),
    run=_RUN,
    banks=_values({"type": "object"}),
    seeds={"type": "object"},
)
SCORES = _object(dict(dumps={"type": "array", "items": _DUMP, "minItems": 1}))


def check_results(file: Path, results: object) -> None:
    """Refuse content that is not of the form that ``tools/test.py`` writes.

    Raises:
        ValueError: naming the place in the file.
    """
    _check(file, results, _validator("test"), "run tools/test.py again")


def check_scores(file: Path, scores: object) -> None:
    """Refuse content that is not of the form that ``tools/score.py`` writes.

    Raises:
        ValueError: naming the place in the file.
    """
    _check(file, scores, _validator("score"), "run tools/score.py again")


@cache
def _validator(kind: str):
    from jsonschema import Draft202012Validator

    return Draft202012Validator(TEST_RESULTS if kind == "test" else SCORES)


def _check(file: Path, content: object, validator, advice: str) -> None:
    from jsonschema.exceptions import best_match

    error = best_match(validator.iter_errors(content))
    if error is None:
        return
    place = error.json_path.removeprefix("$").removeprefix(".")
    if error.validator == "required":
        lost = next(key for key in error.validator_value if key not in error.instance)
        inside = f" in {place}" if place else ""
        raise ValueError(f"{file}: the key {lost!r} is missing{inside}; {advice}")
    shown = repr(error.instance)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    raise ValueError(f"{file}: {place or 'the content'} cannot be {shown}; {advice}")


def read_json(file: Path, advice: str = "write the file again") -> object:
    """Content of a json file.

    Raises:
        ValueError: it is none, or holds NaN or infinity, which our files never do.
    """

    def refuse(name: str) -> None:
        raise ValueError(f"it holds {name}")

    try:
        return json.loads(file.read_text(encoding="utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: not valid JSON ({error}); {advice}") from error


def load_records(file: Path) -> BoxRecords:
    """Read one set of a dump, with the ``meta`` that scoring and reports rely on.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no record file, or its ``meta`` holds something else than it should.
    """
    try:
        records = BoxRecords.load(file)
    except (TypeError, AttributeError) as error:  # meta that is no dict, labels that are no list
        raise ValueError(f"{file}: its meta cannot be read ({error}); test again") from error
    for key, kind in (("id_labels", list), ("neg_labels", list), ("ann_file", str)):
        value = records.meta.get(key)
        wrong = value is not None and not isinstance(value, kind)
        if wrong or (kind is list and not all(isinstance(name, str) for name in value or ())):
            what = "a text" if kind is str else "a list of names"
            raise ValueError(f"{file}: meta[{key!r}] must be {what}, got {value!r}; test again")
    return records


def read_feats(file: Path) -> dict[str, np.ndarray]:
    """Text embeddings by bank, as a test left them beside the records.

    Raises:
        ValueError: the file cannot be read.
    """
    try:
        with np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # zip, zlib and numpy each have their own
        raise ValueError(f"{file}: not a readable npz file ({error}); test again") from error


def check_out_folder(out: str | Path) -> Path:
    """Before long work: make the folder of ``--out``, and see that files can be written there.

    Raises:
        OSError: they cannot.
    """
    folder = Path(out)
    if folder.is_file():
        raise NotADirectoryError(f"--out: {str(folder)!r} is a file; name a folder")
    try:
        probe_folder(folder)
    except OSError as error:
        raise OSError(
            f"--out: {str(folder)!r} cannot be written ({error.strerror}); choose another place"
        ) from error
    return folder

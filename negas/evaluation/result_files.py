"""Are result files what they claim to be? Looked at before any number is taken from them.

``ood_results.json`` comes from a test, ``ood_scores.json`` from re-scoring.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from negas.files import read_json
from negas.metrics import PRESETS
from negas.metrics.protocol import ROW_METRICS
from negas.options import shown
from negas.records import BoxRecords

RESULTS_FILE = "ood_results.json"
SCORES_FILE = "ood_scores.json"
TEXT_FEATS_FILE = "text_feats.npz"  # beside the records: embeddings [M, D] of every bank

_TEXT, _NUMBER, _COUNT = {"type": "string"}, {"type": "number"}, {"type": "integer", "minimum": 0}
_NUMBER_OR_NONE, _TEXT_OR_NONE = {"type": ["number", "null"]}, {"type": ["string", "null"]}
_TEXTS = {"type": "array", "items": _TEXT}
_TEXTS_OR_NONE = {"type": ["array", "null"], "items": _TEXT}
_OBJECT_OR_NONE = {"type": ["object", "null"]}
_PRESET = {"enum": [*PRESETS]}


def _object(required: dict, **more: object) -> dict:
    """Schema of an object: keys that must be there, and what further ones are, if there."""
    return {"type": "object", "required": [*required], "properties": required | more}


def _values(schema: dict, **more: object) -> dict:
    return {"type": "object", "additionalProperties": schema} | more


_ROW = _object(
    dict.fromkeys(("ood_set", "score", "bank", "control", "protocol", "rule"), _TEXT)
    | dict(cut=_NUMBER, cut_rule=_TEXT, cut_source=_TEXT, pair_floor=_NUMBER_OR_NONE)
    | dict(preset=_PRESET)
    | dict.fromkeys(ROW_METRICS, _NUMBER_OR_NONE)
    | dict(num_id=_COUNT, num_ood=_COUNT)
)
_ROWS = {"type": "array", "items": _ROW}
_MAP = _values(_NUMBER_OR_NONE)
_SETS = _values(_object(dict(images=_COUNT), boxes=_COUNT), required=["id"])
_BANK = _object(
    dict(size=_COUNT, labels=_TEXTS, leakage=_values(_object(dict(leaks=_TEXTS)))),
    file=_TEXT_OR_NONE,
)
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
        presets={"type": "array", "items": _PRESET, "minItems": 1},
        rotations=_COUNT,
        seed=_COUNT,
        min_score=_NUMBER,
    )
)
_CUT = _object(dict(value=_NUMBER, rule=_TEXT, source=_TEXT))
TEST_RESULTS = _object(
    dict(
        rows=_ROWS,
        banks=_values(_BANK),
        sets=_SETS,
        map=_MAP,
        cuts=_values(_CUT, required=["run"]),
        run=_RUN,
        settings=_SETTINGS,
    ),
    seeds={"type": "object"},
)
_SCORED_RUN = _object(
    dict(name=_TEXT, rows=_ROWS, map=_MAP, sets=_SETS, id_labels=_TEXTS),
    run=_RUN,
    banks=_values({"type": "object"}),
    seeds={"type": "object"},
)
SCORES = _object(dict(runs={"type": "array", "items": _SCORED_RUN, "minItems": 1}))


def results_file(folder: str | Path) -> Path:
    """A work dir's ``ood_results.json``.

    Raises:
        FileNotFoundError: it has none.
    """
    file = Path(folder) / RESULTS_FILE
    if not file.is_file():
        raise FileNotFoundError(
            f"{folder}: no {RESULTS_FILE} in this folder; give the work dir of tools/test.py"
        )
    return file


def read_results(folder: str | Path) -> dict:
    """Content of :func:`results_file`.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it cannot be read, or a place in it is not of the form that tests write.
    """
    file = results_file(folder)
    results = read_json(file, "run tools/test.py again")
    _check(file, results, _validator("test"), "run tools/test.py again")
    for bank in {row["bank"] for row in results["rows"]} - {"none", *results["banks"]}:
        raise ValueError(
            f"{file}: rows of the bank {bank!r}, which is missing in banks; run tools/test.py again"
        )
    return results


def results_beside(records_file: str | Path) -> dict:
    """``ood_results.json`` of the test that wrote a record file; empty if it is not there.

    Raises:
        ValueError: as :func:`read_results`.
    """
    home = Path(records_file).resolve().parent.parent
    return read_results(home) if (home / RESULTS_FILE).is_file() else {}


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
    raise ValueError(
        f"{file}: {place or 'the content'} cannot be {shown(error.instance)}; {advice}"
    )


def load_records(file: Path) -> BoxRecords:
    """Read one set of a run, with the ``meta`` that scoring and reports rely on.

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

"""Are result files what they claim to be? Looked at before any number is taken from them.

``ood_results.json`` comes from a test, ``ood_scores.json`` from re-scoring. A test's results list
the files of its ``records`` by their SHA-256 (``files``): whatever else lies there is another
test's. A test without that list (an older one, or records without results) is read as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np

from negas.files import file_sha256, read_json
from negas.files.npz import read_npz
from negas.labels.names import first_difference
from negas.metrics import PRESETS
from negas.metrics.objects import OBJECT_COUNTS, OSCR_METRICS
from negas.metrics.protocol import ROW_METRICS
from negas.records import ID, ID_SETS, BoxRecords
from negas.text import shown

RESULTS_FILE = "ood_results.json"
SCORES_FILE = "ood_scores.json"
TEXT_FEATS_FILE = "text_feats.npz"  # beside the records: embeddings [M, D] of every bank
HEAD_FILE = "score_head.npz"  # beside the records: what the detector was trained with for scores
NO_SETS = frozenset(Path(name).stem for name in (TEXT_FEATS_FILE, HEAD_FILE))
CELLS = "cells"  # folder in that of the records: cells that may be unknown objects, by set
RECORDS, PART, OLD = "records", "records.part", "records.old"  # see collect.RunFolder

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


def _list(items: dict, **more: object) -> dict:
    return {"type": "array", "items": items} | more


_POINT = _list(_NUMBER, minItems=2, maxItems=2)
_POINTS = _list(_POINT)
_ROW = _object(
    dict.fromkeys(("ood_set", "score", "bank", "control", "protocol", "rule"), _TEXT)
    | dict(cut=_NUMBER, cut_rule=_TEXT, cut_source=_TEXT, pair_floor=_NUMBER_OR_NONE)
    | dict(preset=_PRESET)
    | dict.fromkeys((*ROW_METRICS, *OSCR_METRICS), _NUMBER_OR_NONE)
    | dict(num_id=_COUNT, num_ood=_COUNT),
    **dict.fromkeys(OBJECT_COUNTS, _COUNT),
    owod={"type": "object"},
    objects=_object(
        dict.fromkeys(("known", "unknown"), _values(_COUNT)),
        unknown_by_class=_values(_values(_COUNT)),
        unknown_seen=_values(_COUNT),
        unknown_unseen=_values(_COUNT),
    ),
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
_UNKNOWN_ROW = _object(
    dict.fromkeys(("ood_set", "vocabulary", "control"), _TEXT)
    | dict.fromkeys(("words", "score_thr"), _NUMBER)
    | dict.fromkeys(("recall", "recall_seen", "recall_unseen"), _NUMBER_OR_NONE)
    | dict.fromkeys(("id_known", "id_unknown", "id_elsewhere"), _NUMBER_OR_NONE)
    | dict(num_unknown=_COUNT),
    interval=_OBJECT_OR_NONE,
)
_CURVES = _object(
    dict(
        false_boxes=_list(
            _object(dict(ood_set=_TEXT, vocabulary=_TEXT, points=_POINTS, at=_POINT))
        ),
        words=_list(
            _object(dict(words=_COUNT, recall=_values(_NUMBER_OR_NONE), false_boxes=_NUMBER))
        ),
    )
)
_UNKNOWN = _object(
    {},
    words=_TEXTS,
    options={"type": "object"},
    threshold=_object(dict(score_thr=_NUMBER, words=_TEXTS, found_on=_TEXT)),
    seen_by_text_tower=_list({"type": "boolean"}),
    rows=_list(_UNKNOWN_ROW),
    curves=_CURVES,
)
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
    files=_values(_TEXT),
    unscored={"type": "boolean"},
    unknown=_UNKNOWN | dict(required=["words", "options"]),
)
_SCORED_RUN = _object(
    dict(name=_TEXT, rows=_ROWS, map=_MAP, sets=_SETS, id_labels=_TEXTS),
    run=_RUN,
    banks=_values({"type": "object"}),
    seeds={"type": "object"},
    path=_TEXT,
    files={"type": ["object", "null"], "additionalProperties": _TEXT},
    unknown=_UNKNOWN,
)
SCORES = _object(dict(runs={"type": "array", "items": _SCORED_RUN, "minItems": 1}))


def records_folder(path: str | Path) -> Path:
    """Where the records of a work dir are; the folder itself if it has no such folder."""
    found = (Path(path) / name for name in (RECORDS, OLD))  # the latter: a swap was cut off
    return next((folder for folder in found if folder.is_dir()), Path(path))


def find_results(path: str | Path, above: bool = False) -> Path | None:
    """``ood_results.json`` of a work dir; ``None``: it has none.

    Args:
        path: the work dir.
        above: ``path`` may also be its folder of records.
    """
    path = Path(path)
    folder = records_folder(path)
    homes = [folder, path]  # those among the records are newer, where a swap was cut off
    if above and records_folder(path.parent) == folder:
        homes.append(path.parent)
    return next((home / RESULTS_FILE for home in homes if (home / RESULTS_FILE).is_file()), None)


def results_file(folder: str | Path) -> Path:
    """:func:`find_results`, which must be there.

    Raises:
        FileNotFoundError: there are none.
    """
    file = find_results(folder)
    if file is None:
        raise FileNotFoundError(
            f"{folder}: no {RESULTS_FILE} in this folder; give the work dir of negas test"
            + unfinished(Path(folder))
        )
    return file


def unfinished(folder: Path) -> str:
    """What is left in a work dir that lacks results or records, and what to do with it."""
    part, kept = folder / PART, {file.stem for file in records_folder(folder).glob("*.npz")}
    if (part / RESULTS_FILE).is_file():
        return f" (a test was cut off; negas score {part} reads its boxes)"
    if find_results(folder, above=True):
        return "" if ID in kept else " (there are results, but the records were not kept)"
    if ID in kept and kept - {*ID_SETS, *NO_SETS}:
        return f" (it has boxes without results; negas score {folder} reads them)"
    return " (a test was cut off; run it again)" if part.is_dir() else ""


def read_results(folder: str | Path) -> dict:
    """Content of :func:`results_file`.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it cannot be read, or a place in it is not of the form that tests write.
    """
    file = results_file(folder)
    results = read_json(file, "run negas test again")
    _check(file, results, _validator("test"), "run negas test again")
    banks, sets = {"none", *results["banks"]}, set(results["sets"])
    files = [name for name in results.get("files") or () if not name.startswith(f"{CELLS}/")]
    listed = {name.removesuffix(".npz") for name in files} - NO_SETS
    for what, names, key, known in (
        ("rows of the bank", {row["bank"] for row in results["rows"]}, "banks", banks),
        ("rows of the set", {row["ood_set"] for row in results["rows"]}, "sets", sets),
        ("a file of the set", listed, "sets", sets),
        ("the set", sets if listed else set(), "files", listed),
    ):
        for name in sorted(names - known):
            raise ValueError(
                f"{file}: {what} {shown(name)}, which is missing in {key}; run negas test again"
            )
    return results


def read_set(file: str | Path) -> tuple[BoxRecords, dict]:
    """One set of a run by its file, and the results of the run; empty if there are none.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: as :func:`load_records` and :func:`read_results`.
    """
    file = Path(file)
    home = file.parent.parent if file.parent.name == RECORDS else file.parent
    if (home / OLD).is_dir() and not file.parent.exists():  # a swap was cut off
        file = home / OLD / file.name
    if not file.is_file():
        raise FileNotFoundError(
            f"{file}: no such record file; run negas test, which writes it" + unfinished(home)
        )
    found = find_results(file.resolve().parent, above=True)
    results = read_results(found.parent) if found else {}
    records = load_records(file, results)
    check_labels(str(file), records, results)
    return records, results


def check_labels(where: str, records: BoxRecords, results: dict) -> None:
    """Refuse records of other labels than those of the results.

    Raises:
        ValueError: in one sentence that begins with ``where``.
    """
    banks = results.get("banks", {})
    for key, what, tested in (
        ("id_labels", "ID labels", results.get("run", {}).get("class_names")),
        ("neg_labels", "negative labels", banks.get("model", {}).get("labels")),
    ):
        same_labels(f"{where} and {RESULTS_FILE}", what, records.meta.get(key), tested)


def check_listed(file: Path, results: dict) -> None:
    """Refuse a file of another test than the one that the results tell of.

    Raises:
        ValueError: in one sentence.
    """
    listed = results.get("files")
    others = [*NO_SETS, *results["sets"]]
    old = [f"{name}.npz" for name in others]  # without checksums
    name = f"{CELLS}/{file.name}" if file.parent.name == CELLS else file.name
    if name not in (old if listed is None else listed):
        raise ValueError(
            f"{file}: not of the test that {RESULTS_FILE} tells of, which has no such file; name "
            "one of its sets, or move the file to a folder of its own"
        )
    if listed is not None and file_sha256(file) != listed[name]:
        raise ValueError(
            f"{file}: not as the test left it that {RESULTS_FILE} tells of (it is another test's, "
            f"or was changed); run negas test again, or read the records without {RESULTS_FILE}"
        )


def check_scores(file: Path, scores: object) -> None:
    """Refuse content that is not of the form that ``negas score`` writes, or out of date.

    Raises:
        ValueError: naming the place in the file, or the work dir that was tested again since.
    """
    _check(file, scores, _validator("score"), "run negas score again")
    for home in file.resolve().parents[:2]:  # the work dir, or a folder in it
        tested = read_results(home).get("files") if find_results(home) else None
        for run in scores["runs"] if tested is not None else ():
            here = Path(run.get("path", "")).resolve() in (home, home / RECORDS)
            if here and run.get("files") not in (None, tested):
                raise ValueError(
                    f"{file}: scores of an earlier test in {home}; run negas score again"
                )


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


def load_records(file: Path, results: dict | None = None) -> BoxRecords:
    """Read one set of a run.

    Args:
        file: of the set.
        results: of its test; ``None`` or empty: there are none.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no record file, or another test's than the results.
    """
    if results and file.is_file():
        check_listed(file, results)
    return BoxRecords.load(file)


def read_beside(file: Path, results: dict | None = None) -> dict[str, np.ndarray]:
    """Arrays that a test left beside the records; empty without the file.

    Args:
        file: :data:`TEXT_FEATS_FILE`, by bank, or :data:`HEAD_FILE`.
        results: of the test; ``None`` or empty: there are none.

    Raises:
        ValueError: the file cannot be read, or is another test's.
    """
    if not file.is_file():
        return {}
    if results:
        check_listed(file, results)
    try:
        return read_npz(file)
    except (ValueError, OSError) as error:
        raise ValueError(f"{file}: not a readable npz file ({error}); test again") from error


def same_labels(where: str, what: str, first: Iterable | None, second: Iterable | None) -> None:
    """Refuse two lists of labels that differ, in words or order; ``None``: not known.

    Raises:
        ValueError: in one sentence that begins with ``where``.
    """
    if first is None or second is None or list(first) == list(second):
        return
    which = f"the same {what} in different orders"
    if sorted(first) != sorted(second):
        which = f"different {what}"
    raise ValueError(
        f"{where} have {which} ({first_difference(list(first), list(second))}), so their columns "
        "of logits do not agree; they must come from one list"
    )

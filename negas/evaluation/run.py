"""Dumps of kept boxes on disk: reading them, and refusing what does not belong together.

Are result files what they claim to be? Looked at before any number is taken from them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from negas.files import probe_folder
from negas.metrics import Cut, LabeledBoxes, Preset
from negas.metrics.coco import CocoSource, load_coco
from negas.records import BoxRecords

RESULTS_FILE = "ood_results.json"


def run_name(path: str | Path) -> str:
    """How tables call a run: the folder, with the one above where its own name says little."""
    parts = Path(path).resolve().parts
    telling = not re.fullmatch(r"records|seed[_-]?\d+", parts[-1])
    return "/".join(parts[-1 if telling else -2 :])


TEXT_FEATS_FILE = "text_feats.npz"  # beside the records: embeddings [M, D] of every bank
RESERVED_BANKS = ("own", "none")  # the model's own bank, and rows without any


@dataclass
class Bank:
    """Negative labels and their text embeddings [M, D] (``None`` if the run has none).

    ``file`` is where the labels were read from, ``None`` if the config lists them.
    """

    name: str
    labels: list[str]
    feats: np.ndarray | None
    file: str | None = None


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


def read_results(folder: str | Path) -> dict:
    """Content of a work dir's ``ood_results.json``.

    Raises:
        FileNotFoundError: it has none.
        ValueError: it cannot be read or was written by an older version.
    """
    folder = Path(folder)
    file = folder / RESULTS_FILE
    if not file.is_file():
        raise FileNotFoundError(
            f"{folder}: no {RESULTS_FILE} in this folder; give the work dir of tools/test.py"
        )
    results = read_json(file, "run tools/test.py again")
    check_results(file, results)
    return results


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


OWN_BANK = "own"


@dataclass
class Dump:
    """Kept boxes of one run: the ID set, OOD sets, perhaps the set of the confidence cut.

    Attributes:
        path: what the user gave.
        records: boxes by set; ``id`` and at least one OOD set.
        results: content of ``ood_results.json``, or ``None`` where only records are left.
        annotations: COCO jsons by set, instead of the paths in the records.
    """

    path: Path
    records: dict[str, BoxRecords]
    results: dict | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """How tables call it."""
        return run_name(self.path)

    @property
    def ood_sets(self) -> list[str]:
        """Names of the OOD sets."""
        return [name for name in self.records if name not in ("id", "cut")]

    @property
    def id_labels(self) -> list[str]:
        """ID label names, or numbers where the records name none."""
        records = self.records["id"]
        return list(records.meta.get("id_labels") or map(str, range(records.num_ids)))

    @cached_property
    def truths(self) -> dict[str, CocoSource]:
        """Ground truths read so far, by set."""
        return {}

    @cached_property
    def cuts(self) -> dict[str, Cut]:
        """F1 cuts found so far, by rule: each costs an evaluation of all boxes."""
        return {}

    @cached_property
    def samples(self) -> dict[Preset, Any]:
        """:class:`~.score_rows.Samples` taken so far, by preset."""
        return {}

    @cached_property
    def rescored(self) -> dict[str, dict[str, BoxRecords]]:
        """Records with the negative logits of other banks, by bank, as far as asked for."""
        return {}

    def truth(self, name: str) -> CocoSource:
        """Ground truth of a set.

        Raises:
            FileNotFoundError: the annotation file is not where it was during the test.
        """
        if name not in self.truths:
            file = self.annotations.get(name) or self.records[name].meta.get("ann_file", "")
            if not Path(file).is_file():
                raise FileNotFoundError(
                    f"{self.path}: the annotations {file!r} of the set {name!r} do not exist; give "
                    f"their place with --ann {name}=FILE"
                )
            self.truths[name] = load_coco(file)
        return self.truths[name]

    @cached_property
    def objects(self) -> dict[str, LabeledBoxes]:
        """Annotated objects for the open-set metrics, by set, as far as asked for."""
        return {}

    def with_bank(self, bank: str) -> dict[str, BoxRecords]:
        """Records whose negative logits are those of a bank of the run.

        Raises:
            ValueError: the run has no such bank, or its records hold no embeddings.
        """
        if bank == OWN_BANK:
            return self.records
        if bank not in self.rescored:
            self.rescored[bank] = self._rescore(bank)
        return self.rescored[bank]

    @cached_property
    def feats(self) -> dict[str, np.ndarray]:
        """Text embeddings by bank, as the test left them; empty without its file."""
        file = _records_folder(self.path) / TEXT_FEATS_FILE
        return read_feats(file) if file.is_file() else {}

    def bank_labels(self, bank: str) -> list[str] | None:
        """The words of a bank, where the dump names them."""
        labels = (self.results or {}).get("banks", {}).get(bank, {}).get("labels")
        if labels is None and bank == OWN_BANK:
            labels = self.records["id"].meta.get("neg_labels")
        return labels

    def _rescore(self, bank: str) -> dict[str, BoxRecords]:
        if bank not in self.feats:
            known = ", ".join(self.feats) or "none, as there is no text_feats.npz"
            raise ValueError(f"{self.path}: there is no bank {bank!r}; the dump has: {known}")
        return self.rescore(bank, self.feats[bank])

    def rescore(
        self, bank: str, feats: np.ndarray, names: Iterable[str] | None = None
    ) -> dict[str, BoxRecords]:
        """Records (of all sets, or the named ones) with negative logits from other embeddings.

        Args:
            bank: whose labels the embeddings stand for.
            feats: ``[M, D]`` text embeddings.
            names: of sets; ``None``: all.

        Raises:
            ValueError: the records hold no embeddings, or of another size.
        """
        labels = self.bank_labels(bank)
        try:
            return {n: self.records[n].rescore(feats, labels) for n in names or self.records}
        except ValueError as error:
            raise ValueError(f"{self.path}: bank {bank!r}: {error}") from error


def load_dump(path: str | Path, annotations: Mapping[str, str] | None = None) -> Dump:
    """Read a run's work dir or a folder of record files.

    Raises:
        FileNotFoundError: there is no such folder, or nothing to score in it.
        ValueError: a file cannot be read, or its sets do not belong together.
    """
    path = Path(path)
    folder = _records_folder(path)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{path}: no such folder; give the work dir of tools/test.py or its records folder"
        )
    files = [file for file in sorted(folder.glob("*.npz")) if file.name != TEXT_FEATS_FILE]
    stems = [file.stem for file in files]
    if "id" not in stems or not set(stems) - {"id", "cut"}:
        raise FileNotFoundError(
            f"{path}: expected id.npz and one file per OOD set, found "
            f"{', '.join(stems) or 'no records'}; run tools/test.py with OOD sets"
        )
    results = None
    for home in (path, path.parent):
        if _records_folder(home) == folder and (home / RESULTS_FILE).is_file():
            results = read_results(home)
            break
    order = list((results or {}).get("sets", {}))  # as tested, not by name
    files.sort(key=lambda file: order.index(file.stem) if file.stem in order else len(order))
    records = {file.stem: load_records(file) for file in files}
    unknown = sorted(set(annotations or {}) - set(records))
    if unknown:
        raise ValueError(f"--ann: there is no set {unknown[0]!r}; sets: {', '.join(records)}")
    dump = Dump(path, records, results, annotations or {})
    check_sets(dump)
    return dump


def check_sets(dump: Dump) -> None:
    """Refuse sets of other vocabularies, mixed label orders and an ID set without boxes.

    Raises:
        ValueError: in one sentence.
    """
    first = dump.records["id"]
    if not len(first):
        raise ValueError(f"{dump.path}: the ID set holds no box, so there is nothing to score")
    for name, records in dump.records.items():
        for key, what in (("id_labels", "ID labels"), ("neg_labels", "negative labels")):
            _same_labels(
                f"{dump.path}: the sets 'id' and {name!r}",
                what,
                first.meta.get(key),
                records.meta.get(key),
            )
        if records.num_ids != first.num_ids:
            raise ValueError(
                f"{dump.path}: the sets 'id' and {name!r} have {first.num_ids} and "
                f"{records.num_ids} ID labels; all sets must come from one test"
            )
        if (records.neg_logits is None) != (first.neg_logits is None) or (
            first.neg_logits is not None
            and records.neg_logits.shape[1] != first.neg_logits.shape[1]
        ):
            raise ValueError(
                f"{dump.path}: the sets 'id' and {name!r} were scored with different negative "
                "labels; all sets must come from one test"
            )


def check_pair(dump: Dump, other: Dump) -> list[str]:
    """The OOD sets that both dumps have.

    Raises:
        ValueError: other ID labels or images, so the runs cannot be compared.
    """
    _same_labels(f"{dump.path} and {other.path}", "ID labels", dump.id_labels, other.id_labels)
    shared = [name for name in dump.ood_sets if name in other.ood_sets]
    if not shared:
        raise ValueError(
            f"{dump.path} and {other.path} have no OOD set in common "
            f"({', '.join(dump.ood_sets)} and {', '.join(other.ood_sets)})"
        )
    for name in ("id", *shared):
        mine, theirs = dump.records[name].images, other.records[name].images
        if not np.array_equal(mine, theirs):
            raise ValueError(
                f"{dump.path} and {other.path}: the set {name!r} has other images ({len(mine)} and "
                f"{len(theirs)}); a paired comparison needs the same ones"
            )
    return shared


def _same_labels(where: str, what: str, first: Iterable | None, second: Iterable | None) -> None:
    if first is None or second is None or list(first) == list(second):
        return
    if sorted(first) == sorted(second):
        raise ValueError(
            f"{where} have the same {what} in different orders, so their columns of logits do not "
            "agree; test again with one order"
        )
    lost = sorted(set(first) ^ set(second))[0]
    raise ValueError(
        f"{where} have different {what} ({lost!r} is in one of them only); they must come from one "
        "vocabulary"
    )


def _records_folder(path: Path) -> Path:
    return path / "records" if (path / "records").is_dir() else path

"""Files that came to harm: a reader takes them, or says in one error which file is wrong.

Valid files are mutated, as JSON values and as bytes. Each reader may return, or raise ValueError or
OSError naming the file, soon and in little memory; what it takes must serve the work that follows.

The fast tests draw a few fixed examples, 200 in all. ``HYPOTHESIS_PROFILE=long pytest
tests/test_fuzz.py`` draws 20,000 new ones; a failure prints the file's content.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from negas.apis.calibration import _IDENTITY, Calibration
from negas.datasets.coco_check import read_coco_json
from negas.evaluation.result_files import check_scores, load_records, read_beside, read_results
from negas.files import read_json
from negas.image_level.image_sets import detected_crops
from negas.labels.bank import NegativeLabelBank
from negas.labels.names import read_names, read_ood_names
from negas.metrics import coco_map
from negas.records import BoxRecords
from tests.datasets.prepare.official_files import coco
from tests.helpers.fake_runs import bare_results, unknown_section

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
READERS = 10
EXAMPLES = (20_000 if LONG else 200) // READERS
SECONDS, MEGABYTES = 5, 1000

examples = settings(
    max_examples=EXAMPLES,
    derandomize=not LONG,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


# --- readers, and a valid file of each ------------------------------------------------------------
@dataclass(frozen=True)
class Reader:
    """How a file is read, and what it holds when it is sound."""

    read: Callable[[Path], object]
    sound: object
    name: str = "file.json"


def _coco(path: Path) -> None:
    data = read_coco_json(path, "val_dataloader.dataset", ["cat", "dog"])
    image, category = data["images"][0]["id"], data["categories"][0]["id"]
    box = dict(image_id=image, category_id=category, bbox=[1, 1, 9, 9], score=0.5)
    result = coco_map(data, [box], ["cat", "dog"])  # what is sound can be evaluated
    assert -1 <= result.ap <= 1


def _bank(path: Path) -> None:
    bank = NegativeLabelBank.load(path)
    assert len(bank) == len(set(bank.neg_labels)) > 0


def _calibration(path: Path) -> None:
    found = Calibration.load(path)
    assert 0 <= found.cut <= 1 and found.tau > -np.inf
    for other in (found.fitted_for, dict.fromkeys(_IDENTITY)):
        with suppress(ValueError):  # of another detector
            found.check(other)
    if found.unknown is not None:
        assert 0 <= found.unknown["score_thr"] < 1 and len(found.unknown["words"])
        with suppress(ValueError):  # of another search
            found.check(found.fitted_for | dict(unknown=dict(nms=0.5)))


def _results(path: Path) -> None:
    read_results(path.parent)


def _scores(path: Path) -> None:
    check_scores(path, read_json(path))


def _crops(path: Path) -> None:
    detected_crops("near", path, {1: "a.jpg"}, 0.1, 1.0)


def _bank_file() -> dict:
    return dict(id_labels=["cat", "dog"], neg_labels=["kite", "fork"], provenance=dict(seed=1))


def _calibration_file() -> dict:
    fitted_for = dict.fromkeys(_IDENTITY) | dict(class_names=["cat"], neg_labels=["kite"])
    numbers = dict(cut=0.1, tau=0.5, wanted_tpr=0.95, reached_tpr=0.96)
    more = dict(counts=dict(images=3, detections=9), fitted_for=fitted_for, source={})
    return dict(version=1) | numbers | more | dict(unknown=unknown_section())


def _scores_file() -> dict:
    run = dict(name="a", rows=[], map={}, sets=dict(id=dict(images=3)), id_labels=["cat"])
    return dict(kind="negas scores", runs=[run])


READ = {
    "coco": Reader(_coco, coco({3: ["cat", "dog"], 9: ["cat"], 4: []}, ["cat", "dog"])),
    "bank": Reader(_bank, _bank_file()),
    "calibration": Reader(_calibration, _calibration_file()),
    "results": Reader(_results, bare_results(banks=dict(model=["kite"])), "ood_results.json"),
    "scores": Reader(_scores, _scores_file(), "ood_scores.json"),
    "names": Reader(lambda path: read_names(str(path)), ["cat", ["dog", "hound"]]),
    "ood names": Reader(read_ood_names, [["kite"], ["fork", "cutlery"]]),
    "detections": Reader(_crops, [dict(image_id=1, bbox=[1, 2, 30, 40], score=0.5)]),
}


# --- mutations ------------------------------------------------------------------------------------
odd_numbers = st.sampled_from(
    [0, -1, 1, 2**31, 2**63, -(2**64), 2**128, 10**400, 0.5, -0.0, 1e-300, 1e300]
    + [float("nan"), float("inf"), float("-inf"), True, None]
)
leaves = odd_numbers | st.integers() | st.floats() | st.text(max_size=8)
leaves |= st.sampled_from(["", "../x", "\x00", "\ud800", "\x1b[31m", "0", "x" * 10_000])
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


def _places(tree: object, place: tuple = ()) -> list[tuple]:
    children = tree.items() if isinstance(tree, dict) else ()
    if isinstance(tree, list):
        children = enumerate(tree)
    found = [place]
    for key, child in children:
        found += _places(child, (*place, key))
    return found


def _change(draw: Callable, tree: object) -> object:
    """One value replaced, left out or put twice."""
    tree = json.loads(json.dumps(tree))
    place = draw(st.sampled_from(_places(tree)))
    if not place:
        return draw(values)
    parent = tree
    for key in place[:-1]:
        parent = parent[key]
    how = draw(st.sampled_from(["replace", "replace", "replace", "drop", "twice"]))
    if how == "replace":
        parent[place[-1]] = draw(values)
    elif how == "drop":
        del parent[place[-1]]
    elif isinstance(parent, list):
        parent.append(parent[place[-1]])
    else:
        parent[draw(st.text(max_size=4))] = parent[place[-1]]
    return tree


def _damage(draw: Callable, content: bytes) -> bytes:
    """Bytes cut, changed or put in."""
    start = draw(st.integers(0, len(content)))
    end = draw(st.integers(start, min(len(content), start + 20)))
    return content[:start] + draw(st.binary(max_size=20)) + content[end:]


@st.composite
def texts(draw: Callable, sound: object) -> bytes:
    """A JSON file."""
    tree = sound
    for _ in range(draw(st.integers(0, 2))):
        tree = _change(draw, tree)
    content = json.dumps(tree).encode()
    how = draw(st.sampled_from(["", "", "", "damage", "nest", "exponent"]))
    if how == "damage":
        content = _damage(draw, content)
    if how == "nest":
        content = b"[" * 100_000 + content
    if how == "exponent":  # Python reads it as infinity
        content = content.replace(b"0.5", b"1e999").replace(b": 1", b": 1e999", 1)
    return content


@cache
def _records() -> dict[str, np.ndarray]:
    """The arrays of a sound record file."""
    boxes = np.float32([[1, 2, 30, 40], [3, 4, 50, 60]])
    logits = np.float32([[1, -1], [0, 2]])
    scores = 1 / (1 + np.exp(-logits.max(1)))
    record = BoxRecords(np.int64([1, 2]), boxes, np.int64([0, 1]), scores, logits, logits)
    arrays = {key: value for key, value in vars(record).items() if value is not None}
    meta = json.dumps(dict(id_labels=["cat", "dog"], neg_labels=["kite", "fork"], set="id"))
    return arrays | dict(meta=np.array(meta), version=np.array(1))


odd_arrays = st.sampled_from(
    [np.array(1), np.zeros(0), np.zeros((2, 0, 3)), np.array(["a", "b"]), np.array([None, 1])]
    + [np.array([2**63], np.uint64), np.full((2, 2), np.nan), np.array(b"x"), np.array([1, 2, 3])]
    + [np.array("[1]"), np.array("{"), np.array('{"id_labels": 5}'), np.array('{"set": [1]}')]
    + [np.array('{"neg_labels": "ab"}'), np.array("1" * 400), np.complex64([[1, 2], [3, 4]])]
)


@st.composite
def archives(draw: Callable, folder: Path) -> bytes:
    """A record file."""
    arrays = dict(_records())
    for _ in range(draw(st.integers(0, 2))):
        key = draw(st.sampled_from(sorted(arrays)))
        if draw(st.booleans()):
            arrays[key] = draw(odd_arrays)
        else:
            del arrays[key]
        if not arrays:
            break
    np.savez_compressed(folder / "made.npz", **arrays)
    content = (folder / "made.npz").read_bytes()
    return _damage(draw, content) if draw(st.booleans()) else content


# --- the property ---------------------------------------------------------------------------------
def survives(read: Callable[[Path], object], path: Path, content: bytes) -> None:
    """The reader takes the content, or names the file in an error; soon, in little memory."""
    path.write_bytes(content)
    # The process's own time: the machine may be busy with other things.
    used, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        read(path)
    except (ValueError, OSError) as error:
        assert not isinstance(error, UnicodeError), error
        assert path.name in str(error) or str(path.parent) in str(error), error
        assert len(str(error)) < 2000
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used
    assert time.process_time() - start < SECONDS
    assert grown / (1024 if sys.platform == "linux" else 1024**2) < MEGABYTES


@pytest.mark.parametrize("kind", READ)
def test_json_files(kind, tmp_path_factory):
    reader = READ[kind]
    path = tmp_path_factory.mktemp("fuzz") / reader.name
    survives(reader.read, path, json.dumps(reader.sound).encode())

    @examples
    @given(texts(reader.sound))
    def check(content):
        survives(reader.read, path, content)

    reader.read(path)  # the sound one, still there
    check()


@pytest.mark.parametrize("read", [load_records, read_beside], ids=["records", "text features"])
def test_record_files(read, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    np.savez(folder / "sound.npz", **_records())
    read(folder / "sound.npz")

    @examples
    @given(archives(folder))
    def check(content):
        survives(read, folder / "file.npz", content)

    check()

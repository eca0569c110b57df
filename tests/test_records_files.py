"""Record files that are not what they claim: one sentence with the file's name."""

import json
import zipfile
from io import BytesIO

import numpy as np
import pytest
from numpy.lib import format as npy

from negas.evaluation.result_files import read_beside
from negas.files import npz
from negas.files.locks import lock_file, unlock_file
from negas.files.npz import read_npz
from negas.records import BoxRecords


def arrays(**changes):
    """Two boxes of two labels, as a file holds them."""
    meta = dict(id_labels=["cat", "dog"], neg_labels=["fox"])
    whole = dict(
        version=np.array(1),
        meta=np.array(json.dumps(meta)),
        image_ids=np.array([1, 2]),
        images=np.array([1, 2]),
        bboxes=np.array([[0, 0, 5, 5], [1, 1, 1, 4]], np.float32),
        labels=np.array([0, 1]),
        scores=np.array([0.0, 1.0], np.float32),
        id_logits=np.zeros((2, 2), np.float32),
        neg_logits=np.zeros((2, 1), np.float32),
    )
    return {key: value for key, value in (whole | changes).items() if value is not None}


def meta(value):
    return dict(meta=np.array(json.dumps(value)))


def test_the_file_itself_is_right(tmp_path):
    np.savez(tmp_path / "near.npz", **arrays())
    assert len(BoxRecords.load(tmp_path / "near.npz")) == 2


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (meta([]), "meta .*must be an object"),
        (meta("text"), "meta .*must be an object"),
        (meta(None), "meta .*must be an object"),
        (dict(meta=np.array("{not json")), "its meta: not valid JSON"),
        (dict(meta=np.array("[" * 100_000)), "its meta: not valid JSON"),
        (dict(meta=np.array('{"a": NaN}')), "NaN"),
        (meta(dict(id_labels=5)), "id_labels.* list of names"),
        (meta(dict(neg_labels=[1])), "neg_labels.* list of names"),
        (meta(dict(set=["near"])), "set.* text"),
        (meta(dict(ann_file=3)), "ann_file.* text"),
        (meta(dict(working_dir=3)), "working_dir.* text"),
        (dict(scores=np.array([0.5, 1.5])), r"scores .*\[0, 1\], got 1.5 in row 1"),
        (dict(scores=np.array([-0.5, 0.5])), r"scores .*\[0, 1\], got -0.5 in row 0"),
        (dict(scores=np.array([0.5, np.nan])), "scores holds NaN"),
        (dict(bboxes=np.array([[0, 0, 5, 5], [9, 0, 5, 5]])), "bboxes must be xyxy.* row 1"),
        (dict(bboxes=np.array([[0, 9, 5, 5], [0, 0, 5, 5]])), "bboxes must be xyxy.* row 0"),
        (dict(bboxes=np.array([[0, 0, 1e300, 5]] * 2)), "bboxes holds NaN or infinity"),
        (dict(bboxes=np.array([["a"] * 4] * 2)), "bboxes must hold numbers"),
        (dict(labels=np.array([0j, 1])), "labels must hold numbers"),
        (dict(id_logits=np.zeros((2, 3))), "id_labels.* 2 names for 3 columns"),
        (dict(neg_logits=np.zeros((2, 3))), "neg_labels.* 1 names for 3 columns"),
        (dict(version=np.array([1, 2])), "version"),
        (dict(version=np.array("one")), "version"),
        (dict(scores=None), "'scores' is missing"),
    ],
)
def test_values(tmp_path, changes, says):
    path = tmp_path / "near.npz"
    np.savez(path, **arrays(**changes))
    with pytest.raises(ValueError, match=rf"near\.npz: .*{says}") as error:
        BoxRecords.load(path)
    assert len(str(error.value)) < 400


# --- files that unpack to more than the memory ----------------------------------------------------
def entry(shape, dtype="<f4"):
    """Bytes of an npy header."""
    file = BytesIO()
    npy.write_array_header_1_0(file, dict(descr=dtype, fortran_order=False, shape=shape))
    return file.getvalue()


def zeros(path, count):
    """A small file whose scores are ``count`` zeros."""
    chunk = bytes(1 << 20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("scores.npy", "w", force_zip64=True) as file:
            file.write(entry((count,)))
            for _ in range(4 * count >> 20):
                file.write(chunk)


def declared(path, shape, dtype="<f4"):
    """A small file that says it is large."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("scores.npy", entry(shape, dtype) + bytes(8))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: zeros(path, 2**22), "would unpack to"),
        (lambda path: declared(path, (2**60,)), "not as large as it says"),
        (lambda path: declared(path, (2**40, 2**40)), "not as large as it says"),
        (lambda path: declared(path, (1,)), "not as large as it says"),
        (lambda path: declared(path, (2,), "|O"), "[Oo]bject"),
        (lambda path: path.write_bytes(b""), "not a zip"),
        (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(50)), "not a zip"),
    ],
)
def test_no_file_fills_the_memory(tmp_path, monkeypatch, make, says):
    monkeypatch.setattr(npz, "_FREE", 2**23)
    path = tmp_path / "near.npz"
    make(path)
    assert path.stat().st_size < 1e6
    with pytest.raises(ValueError, match=f"near.npz: .*{says}"):
        BoxRecords.load(path)
    with pytest.raises(ValueError, match=f"near.npz: not a readable npz file .*{says}"):
        read_beside(path)


def test_what_compresses_well_is_still_read(tmp_path):
    np.savez_compressed(tmp_path / "zeros.npz", a=np.zeros(10**6, np.float32))
    assert len(read_npz(tmp_path / "zeros.npz")["a"]) == 10**6


# --- locks ----------------------------------------------------------------------------------------
def test_a_lock_belongs_to_the_process(tmp_path):
    path = tmp_path / "below" / "lock"
    for _ in range(2):
        lock_file(path, "somebody")
    unlock_file(path)
    unlock_file(path)
    lock_file(path, "somebody")
    unlock_file(path)


def test_relative_places_lead_there_from_every_folder(tmp_path, monkeypatch):
    """A test ran in one folder; its report is made in another, where such a path means less."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    (home / "data" / "pictures").mkdir(parents=True)
    (elsewhere / "data").mkdir(parents=True)
    for folder in (home, elsewhere):
        (folder / "data" / "ann.json").touch()
    np.savez(tmp_path / "as_made.npz", **arrays())
    made = BoxRecords.load(tmp_path / "as_made.npz")
    made.meta.update(ann_file="data/ann.json", img_dir="data/pictures/")
    monkeypatch.chdir(home)
    made.save(tmp_path / "near.npz")
    assert BoxRecords.load(tmp_path / "near.npz").meta == made.meta
    monkeypatch.chdir(elsewhere)
    records = BoxRecords.load(tmp_path / "near.npz")
    np.testing.assert_array_equal(records.image_keys, made.image_keys)  # of the same images
    found = records.meta
    assert found["ann_file"] == str(home / "data" / "ann.json")
    assert found["img_dir"] == str(home / "data" / "pictures")
    (home / "data" / "ann.json").unlink()  # what has moved is sought here, as it was said
    assert BoxRecords.load(tmp_path / "near.npz").meta["ann_file"] == "data/ann.json"

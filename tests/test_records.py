"""Records: round trip, joining, selecting, another bank, and what they refuse."""

import json
from dataclasses import replace

import numpy as np
import pytest

from negas.evaluation.collect import RunFolder
from negas.records import BoxRecords
from negas.scores import get_score


def make(n=5, strings=False, **changes):
    rng = np.random.default_rng(n)
    ids = rng.integers(0, 3, n)
    values = {
        "image_ids": np.array([f"{i:06d}" for i in ids]) if strings else ids,
        "images": np.array(["000000", "000001", "000002", "hex9"]) if strings else np.arange(4),
        "bboxes": np.sort(rng.uniform(0, 99, (n, 4)), axis=1),
        "labels": rng.integers(0, 2, n),
        "scores": rng.uniform(0, 1, n),
        "id_logits": rng.normal(size=(n, 2)),
        "neg_logits": rng.normal(size=(n, 3)),
        "embeddings": rng.normal(size=(n, 9)).astype(np.float16),
        "query_inds": np.arange(n),
        "id_cosines": rng.uniform(-1, 1, (n, 2)),
        "neg_cosines": rng.uniform(-1, 1, (n, 3)),
        "meta": {"dataset": "toy", "id_labels": ["cat", "dog"], "neg_labels": ["x", "y", "z"]},
    }
    return BoxRecords(**{**values, **changes})


FIELDS = (
    "image_ids bboxes labels scores id_logits neg_logits embeddings query_inds images "
    "id_cosines neg_cosines"
).split()


def assert_same(first, second):
    for name in FIELDS:
        a, b = getattr(first, name), getattr(second, name)
        assert (a is None) == (b is None), name
        if a is not None:
            assert a.dtype == b.dtype, name
            np.testing.assert_array_equal(a, b)
    assert first.meta == second.meta


@pytest.mark.parametrize("strings", [False, True])
@pytest.mark.parametrize("n", [0, 5])
def test_round_trip(tmp_path, strings, n):
    records = make(n, strings)
    records.save(tmp_path / "new" / "dump.npz")
    assert_same(BoxRecords.load(tmp_path / "new" / "dump.npz"), records)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["dump.npz"]


def test_boxes_and_cells_are_written_as_they_are(tmp_path):
    records = BoxRecords(
        image_ids=np.zeros(100, int),
        bboxes=np.zeros((100, 4)),
        labels=np.zeros(100, int),
        scores=np.zeros(100),
        id_logits=np.zeros((100, 20)),
    )
    folder = RunFolder(tmp_path / "run")
    folder.add("id", records)
    folder.add_cells("id", records)
    boxes, cells = folder.part / "id.npz", folder.part / "cells/id.npz"
    assert boxes.read_bytes() == cells.read_bytes()
    assert boxes.stat().st_size > 100 * 20 * 4, "nothing is compressed"
    assert len(BoxRecords.load(boxes)) == len(BoxRecords.load(cells)) == 100


def test_round_trip_without_optional_fields(tmp_path):
    records = make(neg_logits=None, embeddings=None, query_inds=None, images=None)
    records.save(tmp_path / "dump")  # the name is kept as given
    assert_same(BoxRecords.load(tmp_path / "dump"), records)
    np.testing.assert_array_equal(records.images, np.unique(records.image_ids))


def test_types_are_settled():
    records = make()
    kinds = [getattr(records, name).dtype.name for name in FIELDS]
    assert kinds == (
        "int64 float32 int64 float32 float32 float32 float16 int64 int64 float32 float32".split()
    )
    assert make(embeddings=np.zeros((5, 9))).embeddings.dtype == np.float32
    assert len(records) == 5 and records.num_ids == 2


def test_select_by_mask_and_index():
    records = make()
    mask = np.array([True, False, True, False, False])
    chosen = records.select(mask)
    np.testing.assert_array_equal(chosen.neg_logits, records.neg_logits[[0, 2]])
    np.testing.assert_array_equal(chosen.images, records.images)
    assert_same(records.select([0, 2]), chosen)
    assert len(records.select(np.zeros(5, bool))) == 0
    with pytest.raises(ValueError, match=r"mask must have the shape \(5,\)"):
        records.select(mask[:3])


def test_rescore_equals_the_stated_product():
    records = make(embeddings=np.random.default_rng(1).normal(size=(5, 9)))
    bank = np.random.default_rng(2).normal(size=(4, 8))
    other = records.rescore(bank, ["a", "b", "c", "d"])
    for i in range(5):
        for j in range(4):
            logit = records.embeddings[i, :-1] @ bank[j] + records.embeddings[i, -1]
            assert other.neg_logits[i, j] == pytest.approx(logit, abs=1e-5)
    assert other.meta["neg_labels"] == ["a", "b", "c", "d"]
    assert records.neg_logits.shape == (5, 3), "the original stays"
    assert "neg_labels" not in records.rescore(bank).meta
    np.testing.assert_array_equal(other.id_logits, records.id_logits)


def test_rescore_refusals():
    with pytest.raises(ValueError, match="hold no embeddings"):
        make(embeddings=None).rescore(np.zeros((2, 8)))
    message = r"must have the shape \[M, 8\] or \[M, T, 8\], got \(2, 9\)"
    with pytest.raises(ValueError, match=message):
        make().rescore(np.zeros((2, 9)))


def nan_boxes():
    boxes = np.zeros((5, 4))
    boxes[3, 1] = np.nan
    return boxes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bboxes": nan_boxes()}, "bboxes holds NaN or infinity in row 3"),
        ({"bboxes": np.zeros((5, 5))}, r"bboxes must be \[N, 4\]"),
        ({"bboxes": np.zeros(5)}, "bboxes must have 2 axes"),
        ({"labels": [0, 1]}, "labels has 2 rows, expected 5"),
        ({"labels": [0, 1, 2, 0, 0]}, r"labels must lie in 0\.\.1"),
        ({"neg_logits": np.zeros((4, 3))}, "neg_logits has 4 rows, expected 5"),
        ({"neg_logits": np.zeros((5, 2))}, r"meta\['neg_labels'\] has 3 names for 2 columns"),
        ({"image_ids": [0.5] * 5}, "image_ids must be a list of integers or of strings"),
        ({"image_ids": ["a"] * 5}, "must both be integers or both strings"),
        ({"images": [0]}, "has boxes but is not in images"),
        ({"scores": [np.inf] * 5}, "scores holds NaN or infinity in row 0"),
    ],
)
def test_refusals_name_the_field(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_load_refusals_name_the_file(tmp_path):
    path = tmp_path / "dump.npz"
    with pytest.raises(FileNotFoundError, match=r"dump\.npz: no such record file"):
        BoxRecords.load(path)
    path.write_text("hello")
    with pytest.raises(ValueError, match=r"dump\.npz: not a readable record file"):
        BoxRecords.load(path)
    make().save(path)
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(ValueError, match=r"dump\.npz: not a readable record file"):
        BoxRecords.load(path)
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"array\.npy: not a readable record file"):
        BoxRecords.load(tmp_path / "array.npy")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": np.array(99)}, "format version 99, this code reads version 1"),
        ({"bboxes": nan_boxes()}, r"dump\.npz: records: bboxes holds NaN"),
        ({"bboxes": None}, r"dump\.npz: the field 'bboxes' is missing"),
        ({"labels": np.zeros(2)}, r"dump\.npz: records: labels has 2 rows"),
        ({"meta": np.array("{")}, r"dump\.npz: "),
        ({"scores": np.array([object()])}, r"dump\.npz: not a readable record file"),
    ],
)
def test_damaged_files(tmp_path, change, message):
    path = tmp_path / "dump.npz"
    make().save(path)
    data = {**dict(np.load(path)), **change}
    np.savez(path, **{key: value for key, value in data.items() if value is not None})
    with pytest.raises(ValueError, match=message):
        BoxRecords.load(path)


def test_a_failed_save_keeps_the_old_file(tmp_path):
    path = tmp_path / "dump.npz"
    make().save(path)
    before = path.read_bytes()
    broken = make()
    broken.meta["oops"] = object()
    with pytest.raises(TypeError):
        broken.save(path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1
    assert json.loads(str(np.load(path)["meta"]))["dataset"] == "toy"


def test_cosines_are_logits_without_bias_over_the_length_of_the_embedding():
    rng = np.random.default_rng(0)
    texts = rng.normal(size=(5, 8))
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    regions, bias = rng.normal(size=(4, 8)) * 7, rng.normal(size=(4, 1))
    logits = regions @ texts.T + bias
    records = BoxRecords(
        image_ids=[1, 1, 2, 2],
        bboxes=np.zeros((4, 4)),
        labels=[0] * 4,
        scores=[0.5] * 4,
        id_logits=logits[:, :3],
        neg_logits=logits[:, 3:],
        embeddings=np.concatenate([regions, bias], 1).astype(np.float32),
    )
    want = regions @ texts.T / np.linalg.norm(regions, axis=1, keepdims=True)
    cosines = records.as_cosines()
    np.testing.assert_allclose(cosines.id_logits, want[:, :3], atol=1e-5)
    np.testing.assert_allclose(cosines.neg_logits, want[:, 3:], atol=1e-5)
    with pytest.raises(ValueError, match="embeddings"):
        replace(records, embeddings=None).as_cosines()


def test_labels_of_several_tokens_have_the_logit_of_their_mean_probability():
    records = make(embeddings=np.random.default_rng(1).normal(size=(5, 9)))
    rng = np.random.default_rng(2)
    bank = rng.normal(size=(3, 2, 8))
    bank[1, 1] = np.nan  # a label of one token
    other = records.rescore(bank, ["a", "b", "c"])
    for i, region in enumerate(records.embeddings):
        for j, tokens in enumerate(([0, 1], [0], [0, 1])):
            probs = [1 / (1 + np.exp(-(region[:-1] @ bank[j, t] + region[-1]))) for t in tokens]
            mean = np.mean(probs)
            assert other.neg_logits[i, j] == pytest.approx(np.log(mean / (1 - mean)), abs=1e-4)
            cosines = [
                region[:-1] @ bank[j, t] / np.linalg.norm(region[:-1]) / np.linalg.norm(bank[j, t])
                for t in tokens
            ]
            assert other.as_cosines().neg_logits[i, j] == pytest.approx(np.mean(cosines), abs=1e-5)
    largest = make(embeddings=records.embeddings, meta={"token_reduce": "max"}).rescore(bank)
    both = 1 / (1 + np.exp(-(records.embeddings[:, :-1] @ bank[0].T + records.embeddings[:, -1:])))
    np.testing.assert_allclose(1 / (1 + np.exp(-largest.neg_logits[:, 0])), both.max(1), atol=1e-5)


def test_recorded_cosines_are_taken_and_follow_the_negatives():
    records = make()
    np.testing.assert_array_equal(records.as_cosines().id_logits, records.id_cosines)
    kept = records.select_negatives([2, 0])
    np.testing.assert_array_equal(kept.neg_logits, records.neg_logits[:, [2, 0]])
    np.testing.assert_array_equal(kept.as_cosines().neg_logits, records.neg_cosines[:, [2, 0]])
    assert kept.meta["neg_labels"] == ["z", "x"]
    other = records.with_neg_logits(np.zeros((5, 1)), ["new"])
    assert other.neg_cosines is None, "cosines of other negatives must not stay"
    with pytest.raises(ValueError, match="rescore the records first"):
        other.as_cosines()
    with pytest.raises(ValueError, match="label 1 of the bank has no token"):
        records.rescore(np.stack([np.ones((2, 8)), np.full((2, 8), np.nan)]))


def test_scores_of_rows_are_those_of_all_boxes(monkeypatch):
    """In any order, a box as often as it is named, and however many are scored at a time."""
    records = make(7)
    seen = []

    def score(id_logits, neg_logits, embeddings):
        seen.append(len(id_logits))
        return id_logits.max(1) - neg_logits.max(1) + embeddings[:, 0]

    whole = records.score_with(score)
    assert whole.dtype == np.float64 and seen == [7]
    np.testing.assert_array_equal(
        whole, score(records.id_logits, records.neg_logits, records.embeddings)
    )
    monkeypatch.setattr("negas.records.CHUNK", 3)
    rows = np.array([6, 0, 0, 3])
    np.testing.assert_array_equal(records.score_with(score, rows), whole[rows])
    assert seen[-2:] == [3, 1]
    assert records.score_with(score, rows[:0]).shape == (0,)


def test_scores_see_none_where_records_hold_nothing():
    bare = make(neg_logits=None, neg_cosines=None, embeddings=None, meta={})
    held = bare.score_with(lambda *inputs: np.full(5, sum(each is not None for each in inputs)))
    np.testing.assert_array_equal(held, 1)
    with pytest.raises(ValueError, match="neg"):
        bare.score_with(get_score("negs"))
    plain = get_score("max_sigmoid")
    np.testing.assert_array_equal(bare.score_with(plain), plain(bare.id_logits, None))

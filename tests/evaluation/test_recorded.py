"""What a test left behind: read late and once, and refused where it does not belong together."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest

from negas.evaluation import recorded
from negas.evaluation.recorded import Recorded, check_pair, check_sets
from negas.evaluation.result_files import read_results
from negas.files import write_json
from negas.records import BoxRecords
from tests.helpers.fake_runs import ID_NAMES, bare_results, fake_run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return fake_run(tmp_path_factory.mktemp("runs") / "one")


@pytest.fixture
def folder(made, tmp_path):
    """A copy to break; the annotations stay where they are."""
    return shutil.copytree(made, tmp_path / "one")


def change(folder, name="near", **changes):
    file = folder / f"records/{name}.npz"
    old = BoxRecords.load(file)
    changes["meta"] = old.meta | changes.get("meta", {})
    replace(old, **changes).save(file)


# --- reading --------------------------------------------------------------------------------------
def test_nothing_but_the_results_is_read_before_it_is_asked_for(folder, monkeypatch):
    opened = []

    def watch(name):
        read = getattr(recorded, name)
        monkeypatch.setattr(recorded, name, lambda *what: opened.append(what) or read(*what))

    for name in ("load_records", "read_beside", "load_coco"):
        watch(name)
    run = Recorded.load(folder)
    assert run.sets == ["id_val", "id", "near", "far"] and run.ood_sets == ["near", "far"]
    assert run.info["score"] == "negs" and len(run.tested_rows) > 0
    assert run.bank_labels("oracle") == ["pizza", "clock"]
    assert opened == []
    for _ in range(2):
        assert list(run.records) == run.sets, "in the order of the test"
        assert sorted(run.feats) == ["model", "oracle"]
        assert len(run.truth("near").imgs) == 12
        assert run.with_bank("model") is run.records
        wide = run.with_bank("oracle")
    assert len(opened) == 4 + 1 + 1, "each file once"
    wanted = run.records["near"].rescore(run.feats["oracle"]).neg_logits
    np.testing.assert_array_equal(wide["near"].neg_logits, wanted)
    assert run.with_bank("oracle") is wide


def test_a_broken_file_is_told_when_it_is_needed(folder):
    (folder / "records/near.npz").write_bytes(b"PK broken")
    (folder / "records/text_feats.npz").write_bytes(b"PK broken")
    run = Recorded.load(folder)
    assert run.sets == ["id_val", "id", "near", "far"]
    with pytest.raises(ValueError, match="near.npz"):
        run.records  # noqa: B018
    with pytest.raises(ValueError, match="text_feats.npz: not a readable npz file"):
        run.feats  # noqa: B018


def test_a_folder_of_records_finds_the_results_above_it(folder):
    inside = Recorded.load(folder / "records")
    assert inside.results == read_results(folder) and inside.name == "one/records"
    (folder / "ood_results.json").unlink()
    for path in (folder, folder / "records"):
        alone = Recorded.load(path)
        assert alone.results is None and alone.info == {} and alone.tested_rows == []
        assert alone.sets == ["far", "id", "id_val", "near"], "by name"
        assert alone.id_labels == ID_NAMES and alone.has_negatives
    moved = shutil.move(folder / "records", folder.parent / "elsewhere")
    assert Recorded.load(moved).ood_sets == ["far", "near"]


def test_where_there_are_no_embeddings_of_texts_there_are_no_other_banks(folder):
    (folder / "records/text_feats.npz").unlink()
    run = Recorded.load(folder)
    assert run.feats == {}
    with pytest.raises(ValueError, match="no bank 'oracle'; the run has: none, as .* text_feats"):
        run.with_bank("oracle")


def test_a_bank_needs_embeddings_of_boxes_of_its_size(folder):
    run = Recorded.load(folder)
    run.records = {n: replace(each, embeddings=None) for n, each in run.records.items()}
    with pytest.raises(ValueError, match="one: bank 'oracle': .*embeddings"):
        run.with_bank("oracle")
    with pytest.raises(ValueError, match="bank 'mine': "):
        Recorded.load(folder).rescore("mine", np.ones((2, 3)))


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("negas_coco",), "negas_coco"),
        (("negas_coco", "seed_1"), "negas_coco/seed_1"),
        (("negas_coco", "seed-12"), "negas_coco/seed-12"),
        (("negas_coco", "records"), "negas_coco/records"),
    ],
)
def test_a_run_is_called_by_its_folder(tmp_path, parts, name):
    assert Recorded(tmp_path.joinpath(*parts)).name == name


def test_a_number_that_does_not_exist_is_nan_in_rows(folder):
    results = read_results(folder)
    results["rows"][0] |= dict(auroc=None, pair_floor=None)
    write_json(folder / "ood_results.json", results)
    row = Recorded.load(folder).tested_rows[0]
    assert math.isnan(row["auroc"]) and row["pair_floor"] is None
    assert row["fpr95"] == results["rows"][0]["fpr95"]


def test_words_and_labels_that_nobody_wrote_down(folder):
    run = Recorded.load(folder)
    for each in run.records.values():
        each.meta.pop("id_labels")
    assert run.id_labels == ["0", "1", "2"]
    run.results["banks"] = {}
    assert run.bank_labels("model") is None
    run.records["id"].meta["neg_labels"] = ["fox", "kite"]
    assert run.bank_labels("model") == ["fox", "kite"] and run.bank_labels("oracle") is None


# --- refusals -------------------------------------------------------------------------------------
def test_what_is_no_run(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder; give the work dir"):
        Recorded.load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="expected id.npz .* found no records"):
        Recorded.load(tmp_path / "empty")
    (folder / "ood_results.json").unlink()
    for name in ("near", "far"):
        (folder / f"records/{name}.npz").unlink()
    with pytest.raises(FileNotFoundError, match="found id, id_val; run negas test with OOD"):
        Recorded.load(folder)


def test_results_and_records_must_be_of_one_test(folder):
    (folder / "records/far.npz").unlink()
    with pytest.raises(FileNotFoundError, match="the records of the set 'far' are missing"):
        Recorded.load(folder).records  # noqa: B018
    write_json(folder / "ood_results.json", dict(rows=[]))
    with pytest.raises(ValueError, match="ood_results.json: the key 'banks' is missing"):
        Recorded.load(folder)


def test_annotations_that_have_moved(folder, made, tmp_path):
    change(folder, "near", meta=dict(ann_file="gone/near.json"))
    with pytest.raises(FileNotFoundError, match="'gone/near.json' of the set 'near'.*--ann near="):
        Recorded.load(folder).truth("near")
    file = shutil.copy(made.parent / "data/near.json", tmp_path / "moved.json")
    run = Recorded.load(folder, dict(near=str(file)))
    assert len(run.truth("near").anns) == 12
    with pytest.raises(
        ValueError, match="--ann: there is no set 'nar' in .*; sets: id_val, id, ne"
    ):
        Recorded.load(folder, dict(nar=str(file)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            dict(meta=dict(id_labels=["dog", "cat", "car"])),
            "the same ID labels in different orders",
        ),
        (dict(meta=dict(id_labels=["cat", "dog", "cow"])), "different ID labels .*'car'"),
        (dict(meta=dict(neg_labels=["zebra", "fox"])), "different negative labels .*'fork'"),
        (
            dict(id_logits=np.zeros((24, 2)), labels=np.zeros(24), meta=dict(id_labels=None)),
            "have 3 and 2 ID labels",
        ),
        (dict(neg_logits=None), "scored with different negative labels"),
        (
            dict(neg_logits=np.zeros((24, 5)), meta=dict(neg_labels=None)),
            "scored with different negative labels",
        ),
    ],
)
def test_sets_of_other_tests(folder, changes, message):
    change(folder, "id", meta=dict(neg_labels=["zebra", "fork"]))
    for name in ("id_val", "near", "far"):
        change(folder, name, meta=dict(neg_labels=["zebra", "fork"]))
    check_sets(folder, Recorded.load(folder).records)
    change(folder, "near", **changes)
    with pytest.raises(ValueError, match=f"one: the sets 'id' and 'near' .*{message}"):
        Recorded.load(folder).records  # noqa: B018


def test_an_id_set_without_a_box(folder):
    file = folder / "records/id.npz"
    BoxRecords.load(file).select([]).save(file)
    with pytest.raises(ValueError, match="the ID set holds no box"):
        Recorded.load(folder).records  # noqa: B018


def test_runs_that_cannot_be_compared(folder, made):
    run, other = Recorded.load(made), Recorded.load(folder)
    assert check_pair(run, other) == ["near", "far"]
    whole = other.records
    other.records = {n: r for n, r in whole.items() if n != "near"}
    other.results = bare_results(("id", "far"))
    assert check_pair(run, other) == ["far"]
    other.results = bare_results(("id", "sky"))
    other.records = dict(id=whole["id"], sky=whole["far"])
    with pytest.raises(ValueError, match=r"no OOD set in common \(near, far and sky\)"):
        check_pair(run, other)
    for name in ("id", "far"):
        fewer = replace(whole[name].select([0]), images=np.arange(11))
        other.records, other.results = whole | {name: fewer}, bare_results(("id", "far"))
        with pytest.raises(ValueError, match=f"the set '{name}' has other images .12 and 11"):
            check_pair(run, other)
    other.records = {
        n: replace(r, meta=dict(id_labels=["cat", "dog", "cow"])) for n, r in whole.items()
    }
    with pytest.raises(ValueError, match="have different ID labels"):
        check_pair(run, other)


# --- in memory ------------------------------------------------------------------------------------
def test_a_run_in_memory(made):
    whole = Recorded.load(made)
    truth = json.loads((made.parent / "data/near.json").read_text())
    run = Recorded.of(made, whole.records, whole.feats, truths=dict(near=truth))
    assert run.sets == ["id_val", "id", "near", "far"] and run.results is None
    assert len(run.truth("near").anns) == 12 and len(run.truth("far").anns) == 12
    assert run.with_bank("oracle")["far"].neg_logits.shape == (24, 2)

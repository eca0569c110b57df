"""Scoring dumps again: the numbers of the test, presets, banks, comparisons, and bad input."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from negas.evaluation.cuts import choose_presets, parse_score, rows_of_set
from negas.evaluation.rescore import ScoreOptions, score_dumps
from negas.evaluation.rows import CHUNK, score_values, take_samples
from negas.evaluation.run import load_dump
from negas.metrics import PRESETS, f1_threshold, records_to_coco
from negas.records import BoxRecords
from negas.reports.scores import score_tables, write_scores
from negas.reports.table import to_markdown
from negas.scores import SCORES, get_score
from tests.helpers.commands import ROOT
from tests.helpers.fake_runs import fake_run

OWN = choose_presets(["own"])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    fake_run(root / "coop", "coop_tiny.py", 0, use_nega=False)
    fake_run(root / "negas", "negas_tiny.py", 1)
    return root


@pytest.fixture
def copy(runs, tmp_path):
    """A run to be damaged."""
    return Path(shutil.copytree(runs / "negas", tmp_path / "copy"))


def rows_of(path, presets=OWN, scores=None, draws=0, **options):
    report = score_dumps([path], ScoreOptions(presets, scores, draws=draws, **options))
    return report["dumps"][0]["rows"]


def change(folder, name, **fields):
    file = folder / "records" / f"{name}.npz"
    records = BoxRecords.load(file)
    meta = records.meta | fields.pop("meta", {})
    replace(records, meta=meta, **fields).save(file)


@pytest.mark.parametrize("protocol", ["own", "matched"])
def test_numbers_are_those_of_the_test(runs, protocol):
    folder = runs / "negas"
    tested = json.loads((folder / "ood_results.json").read_text())["rows"]
    again = rows_of(folder, choose_presets([protocol]), banks=["own", "oracle"], rotations=2)
    compared = 0
    for row in again:
        for old in tested:
            keys = ("score", "bank", "control", "ood_set", "protocol")
            if all(old[key] == row[key] for key in keys):
                for key in ("auroc", "fpr95", "fpr95_closest", "tpr", "num_id", "share_ood", "cut"):
                    assert row[key] == pytest.approx(old[key], rel=1e-5, abs=1e-7), key
                assert row.get("draws") == old.get("draws")
                compared += 1
    # sets x (plain scores + scores with negatives x banks x (itself, rotated)), and without leaks:
    # own names a zebra of near, oracle is nothing but leaks of far
    assert compared == 2 * (3 + 3 * 2 * 2) + 3
    assert sum(row["control"] == "no_leaks" for row in again if row["score"] == "negs") == 1
    assert {row["score"] for row in again} == set(SCORES)
    assert {row["preset"] for row in again} == {protocol}


def test_scores_have_the_options_of_the_test(copy):
    file = copy / "ood_results.json"
    results = json.loads(file.read_text())
    results["settings"]["scores"] = ["msp", ["negs", {"weight": 0.3}]]
    file.write_text(json.dumps(results))

    def near(scores=None):
        rows = rows_of(copy, scores=scores, rotations=0)
        return {
            r["score"]: r["auroc"] for r in rows if (r["ood_set"], r["control"]) == ("near", "none")
        }

    default, wanted = near(), near(["negs(weight=0.3)"])
    assert set(default) == set(SCORES) and default["negs"] == wanted["negs"]
    assert default["negs"] != near(["negs"])["negs"]


def test_records_alone_are_enough(runs):
    inner = runs / "negas" / "records"
    by_run = rows_of(runs / "negas", choose_presets(["fixed"], ["0.4"]))
    by_records = rows_of(inner, choose_presets(["fixed"], ["0.4"]))
    assert [row["auroc"] for row in by_run] == [row["auroc"] for row in by_records]


def test_names_of_dumps(runs, tmp_path):
    assert load_dump(runs / "negas").name == "negas"
    assert load_dump(runs / "negas" / "records").name == "negas/records"
    shutil.copytree(runs / "negas", tmp_path / "mine" / "seed3")
    assert load_dump(tmp_path / "mine" / "seed3").name == "mine/seed3"


def test_cuts_of_the_presets(runs, tmp_path):
    dump = load_dump(runs / "negas")
    own, vos, siren, fixed = (
        take_samples(dump, *choose_presets([name], cuts))
        for name, cuts in (("own", None), ("vos", None), ("siren", None), ("fixed", ["0.25"]))
    )
    assert (own.cut, own.cut_source) == (0.3, "id_val")
    truth = dump.truth("id")
    found = records_to_coco(dump.records["id"], truth)
    assert vos.cut == f1_threshold(truth, found, vos=True).threshold == round(vos.cut, 4)
    assert vos.cut_source == "id_test"
    assert (siren.cut, fixed.cut, fixed.cut_source) == (0.1, 0.25, "fixed")
    bare = Path(shutil.copytree(runs / "negas" / "records", tmp_path / "records"))
    alone = take_samples(load_dump(bare), PRESETS["own"])
    truth = dump.truth("cut")
    expected = f1_threshold(truth, records_to_coco(dump.records["cut"], truth)).threshold
    assert (alone.cut, alone.cut_source) == (expected, "id_val")


def test_siren_counts_a_box_once_per_label(runs):
    dump = load_dump(runs / "negas")
    rows = rows_of_set(dump, "near", PRESETS["siren"], 0.1)
    over = (dump.records["near"].id_logits > np.log(0.1 / 0.9)).sum(axis=1)
    np.testing.assert_array_equal(np.bincount(rows, minlength=len(over)), over)
    assert len(rows) > len(over)


def test_matched_samples_have_the_right_label_on_the_id_set_only(runs, copy):
    for name in ("id", "near"):
        labels = load_dump(runs / "negas").records[name].labels.copy()
        labels[:8] = (np.arange(8) // 2 + 1) % 3  # not the object's
        change(copy, name, labels=labels)
    dump = load_dump(copy)
    for name, is_right in (
        ("id", dump.records["id"].labels == np.arange(24) // 2 % 3),
        ("near", 1),
    ):
        over = dump.records[name].scores >= 0.3
        expected = over & (np.arange(24) % 2 == 0) & is_right  # each first box hits
        rows = rows_of_set(dump, name, PRESETS["matched"], 0.3)
        np.testing.assert_array_equal(rows, np.flatnonzero(expected))
        assert (over[:8:2].any()) and len(rows)


def test_options_of_scores(runs):
    assert parse_score("negs") == "negs"
    assert parse_score(" negs(weight=0.5, neg_reduce=mean) ") == (
        "negs",
        {"weight": 0.5, "neg_reduce": "mean"},
    )
    made = rows_of(runs / "negas", scores=["negs", "negs(weight=0.0)", "mcm(logits=cosine)"])
    assert {row["logits"] for row in made if row["score"] == "mcm"} == {"cosine"}
    values = {(row["score"], row["ood_set"]): row["auroc"] for row in made}
    plain = rows_of(runs / "negas", scores=["max_sigmoid"])
    assert values["negs(weight=0.0)", "near"] == pytest.approx(plain[0]["auroc"])
    assert values["negs", "near"] != values["negs(weight=0.0)", "near"]


def test_chunks_do_not_change_scores():
    rng = np.random.default_rng(0)
    count = CHUNK + 7
    logits = rng.normal(size=(count, 3)).astype(np.float32)
    records = BoxRecords(
        image_ids=np.zeros(count, int),
        bboxes=np.zeros((count, 4)),
        labels=np.zeros(count, int),
        scores=np.full(count, 0.5),
        id_logits=logits,
        neg_logits=-logits,
    )
    for name in ("energy", "negs"):
        whole = get_score(name)(logits, -logits)
        np.testing.assert_array_equal(score_values(get_score(name), records), whole)


def test_intervals_hold_the_value_and_repeat(runs):
    first = rows_of(runs / "negas", scores=["energy"], draws=50)
    for row in first:
        interval = row["interval"]["auroc"]
        assert interval["low"] <= row["auroc"] == interval["value"] <= interval["high"]
    assert first == rows_of(runs / "negas", scores=["energy"], draws=50)


def test_open_set_numbers(runs):
    rows = rows_of(runs / "negas", scores=["max_sigmoid"], open_set=True)
    found = rows[0]["open_set"]
    assert found["num_unknown"] == found["num_known"] == 12
    records = load_dump(runs / "negas").records["near"]
    hits = (records.scores >= 0.3) & (np.arange(len(records)) % 2 == 0)  # each first box hits
    known = get_score("max_sigmoid")(records.id_logits) >= rows[0]["threshold"]
    assert found["a_ose"] == (hits & known).sum()
    assert found["recall_unknown"] == pytest.approx((hits & ~known).sum() / 12)


def test_rotations_are_five_where_they_can_be(runs, copy):
    def drawn(folder, rotations):
        rows = rows_of(folder, scores=["energy", "negs"], rotations=rotations)
        return {row["draws"] for row in rows if row["control"] == "rotated"}

    assert drawn(runs / "negas", None) == {5} and drawn(runs / "negas", 0) == set()
    report = score_dumps([runs / "negas"], ScoreOptions(OWN, ["negs"], draws=0, rotations=3))
    text = to_markdown(score_tables(report)[0])
    assert "| NegS, rotated |" in text and "| NegS, without leaks |" in text
    assert "mean of 3 draws" in text and "±" in text
    (copy / "records" / "text_feats.npz").unlink()
    assert drawn(copy, None) == set()
    with pytest.raises(ValueError, match="the rotated bank needs embeddings .* leave out --rot"):
        drawn(copy, 2)
    with pytest.raises(ValueError, match="--rotations must be 0 or more"):
        drawn(copy, -1)


def test_leaks_are_found_without_results(runs, copy):
    (copy / "ood_results.json").unlink()
    for name in ("cut", "id", "near", "far"):
        change(copy, name, meta=dict(neg_labels=["zebra", "fork"]))

    def clean(folder):
        rows = rows_of(folder, choose_presets(["fixed"], ["0.3"]), ["negs"])
        return [(r["ood_set"], r["auroc"]) for r in rows if r["control"] == "no_leaks"]

    assert clean(copy) == clean(runs / "negas") and clean(copy)[0][0] == "near"
    for name in ("near", "far"):
        change(copy, name, meta=dict(ann_file="lost.json"))
    assert clean(copy) == []


def test_comparison_with_another_run(runs):
    options = ScoreOptions(OWN, ["max_sigmoid", "negs"], draws=40)
    report = score_dumps([runs / "negas"], options, against=runs / "coop")
    assert len(report["paired"]) == 4
    alone = {
        (name, row["score"], row["ood_set"]): row["auroc"]
        for name in ("negas", "coop")
        for row in rows_of(runs / name, scores=["max_sigmoid", "negs"])
        if row["control"] == "none"
    }
    for row in report["paired"]:
        where = (row["score"], row["ood_set"])
        difference = alone[("negas", *where)] - alone[("coop", *where)]
        assert row["auroc"]["value"] == pytest.approx(difference)
        assert row["auroc"]["low"] <= row["auroc"]["high"] and row["num_id_images"] == 12


def test_files_state_what_the_numbers_depend_on(runs, tmp_path):
    options = ScoreOptions(choose_presets(["own", "vos"]), ["negs"], draws=10, open_set=True)
    report = score_dumps([runs / "negas"], options, against=runs / "coop")
    paths = write_scores(tmp_path / "out", report)
    data = json.loads(paths[0].read_text())
    (dump,) = data["dumps"]
    assert dump["run"]["config_sha256"] and dump["map"]["coco_ap50"] == 0.5
    assert data["versions"]["negas"] and data["settings"]["seed"] == 0
    for row in dump["rows"]:
        assert {"preset", "cut", "cut_source", "rule", "tpr", "num_id", "bank"} <= set(row)
    text = paths[1].read_text()
    assert "preset vos" in text and "open set" in text and "negas minus" in text
    assert "Negatives of the bank own that name an OOD class: near 1, far 0." in text
    assert text.count("### ") == len(score_tables(report))


def test_a_set_without_samples_is_a_dash(runs):
    report = score_dumps([runs / "negas"], ScoreOptions(choose_presets(["own"], ["0.999"])))
    row = report["dumps"][0]["rows"][0]
    assert math.isnan(row["auroc"]) and row["num_ood"] == 0 and row["interval"] is None
    assert "| - |" in to_markdown(score_tables(report)[0])


# --- bad input ---------------------------------------------------------------------------------
def test_a_set_of_another_vocabulary(copy):
    change(copy, "near", meta=dict(id_labels=["cat", "dog", "bus"]))
    with pytest.raises(ValueError, match=r"different ID labels \('bus' is in one of them only\)"):
        load_dump(copy)


def test_mixed_label_orders(copy):
    change(copy, "far", meta=dict(id_labels=["dog", "cat", "car"]))
    with pytest.raises(ValueError, match="same ID labels in different orders"):
        load_dump(copy)


def test_other_negative_labels(copy):
    change(copy, "far", neg_logits=np.zeros((24, 1)))
    with pytest.raises(ValueError, match="scored with different negative labels"):
        load_dump(copy)


def test_an_empty_dump(copy, tmp_path):
    records = BoxRecords.load(copy / "records" / "id.npz")
    records.select([]).save(copy / "records" / "id.npz")
    with pytest.raises(ValueError, match="the ID set holds no box"):
        load_dump(copy)
    (tmp_path / "none").mkdir()
    with pytest.raises(FileNotFoundError, match="found no records"):
        load_dump(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        load_dump(tmp_path / "nowhere")


def test_a_dump_without_ood_sets(copy):
    for name in ("near", "far"):
        (copy / "records" / f"{name}.npz").unlink()
    with pytest.raises(FileNotFoundError, match="one file per OOD set, found cut, id"):
        load_dump(copy)


def test_truncated_files(copy):
    file = copy / "records" / "near.npz"
    file.write_bytes(file.read_bytes()[:-300])
    with pytest.raises(ValueError, match=r"near\.npz: not a readable record file"):
        load_dump(copy)


def test_truncated_text_embeddings(copy):
    file = copy / "records" / "text_feats.npz"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match="not a readable npz file"):
        rows_of(copy, scores=["negs"], banks=["oracle"])


def test_banks_that_cannot_be_scored(runs, copy):
    with pytest.raises(ValueError, match="no bank 'mine'; the dump has: own, oracle"):
        rows_of(runs / "negas", scores=["negs"], banks=["mine"])
    for name in ("cut", "id", "near", "far"):
        change(copy, name, embeddings=None)
    with pytest.raises(ValueError, match="bank 'oracle': these records hold no embeddings"):
        rows_of(copy, scores=["negs"], banks=["oracle"])
    for name in ("cut", "id", "near", "far"):
        change(copy, name, neg_logits=None)
    assert {row["score"] for row in rows_of(copy)} == {
        name for name in SCORES if not SCORES[name].needs_negatives
    }
    with pytest.raises(ValueError, match="'negs' needs negative labels and the dump has none"):
        rows_of(copy, scores=["negs"])


def test_lost_annotations(copy, tmp_path):
    change(copy, "id", meta=dict(ann_file="lost.json"))
    with pytest.raises(FileNotFoundError, match="give their place with --ann id=FILE"):
        rows_of(copy, choose_presets(["vos"]), ["energy"])
    fake_run(tmp_path / "other")
    dump = load_dump(copy, {"id": str(tmp_path / "data" / "id.json")})
    assert take_samples(dump, PRESETS["matched"]).rows["id"].size
    with pytest.raises(ValueError, match="there is no set 'fra'"):
        load_dump(copy, {"fra": "x.json"})


def test_runs_that_cannot_be_compared(runs, copy, tmp_path):
    options = ScoreOptions(OWN, ["energy"], draws=5)
    for name in ("cut", "id", "near", "far"):
        change(copy, name, meta=dict(id_labels=["cat", "dog", "bus"]))
    with pytest.raises(ValueError, match="and .* have different ID labels"):
        score_dumps([runs / "negas"], options, against=copy)
    fewer = Path(shutil.copytree(runs / "coop", tmp_path / "fewer"))
    change(fewer, "far", images=np.arange(99))
    with pytest.raises(ValueError, match=r"the set 'far' has other images \(12 and 99\)"):
        score_dumps([runs / "negas"], options, against=fewer)
    with pytest.raises(ValueError, match="--against needs the bootstrap"):
        score_dumps([runs / "negas"], ScoreOptions(OWN, draws=0), against=runs / "coop")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "voc"], "--preset: there is no preset 'voc'; choose of own, vos, siren"),
        (["--preset", "fixed"], "--preset fixed needs a confidence cut"),
        (["--cut", "1.5"], "--cut: expected own, f1, f1-test or a number"),
        (["--cut", "0.01"], "below the least confidence in the dump"),
        (["--scores", "negz"], "there is no score 'negz'"),
        (["--scores", "negs(weight)"], "'weight' in 'negs(weight)' is not option=value"),
        (["--scores", "negs(", "--bootstrap", "0"], "is no score; write a name"),
        (["--scores", "negs(heavy=1)"], "has no option 'heavy'"),
        (["--bootstrap", "-1"], "--bootstrap must be 0 or more"),
        (["--ann", "near.json"], "--ann: expected SET=FILE"),
    ],
)
def test_command_refuses_in_one_sentence(runs, arguments, message, capsys, monkeypatch):
    assert call(monkeypatch, runs / "negas", *arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[0].startswith("error: ") and message in lines[0] and len(lines) == 2


def test_command(runs, tmp_path, capsys, monkeypatch):
    arguments = ["--scores", "energy", "--bootstrap", "10", "--out", str(tmp_path)]
    assert call(monkeypatch, runs / "negas", runs / "coop", *arguments) == 0
    printed = capsys.readouterr().out
    assert "negas: preset own" in printed and "coop: preset own" in printed
    assert (tmp_path / "ood_scores.json").is_file()


def test_benchmark(capsys, monkeypatch):
    assert call(monkeypatch, "--benchmark", "400") == 0
    assert f"400 boxes x 40 logits, {len(SCORES)} scores" in capsys.readouterr().out
    assert call(monkeypatch, "--benchmark", "10") == 2
    assert "at least 40 boxes" in capsys.readouterr().err
    assert call(monkeypatch) == 2
    assert "no dump given" in capsys.readouterr().err


def call(monkeypatch, *arguments):
    import runpy

    monkeypatch.setattr("sys.argv", ["score.py", *map(str, arguments)])
    monkeypatch.delenv("NEGAS_DEBUG", raising=False)
    return runpy.run_path(str(ROOT / "tools/score.py"))["main"]()

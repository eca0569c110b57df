"""Scoring runs again: the numbers of the test, presets, banks, comparisons, and bad input."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from negas.evaluation.cuts import choose_presets
from negas.evaluation.recorded import Recorded
from negas.evaluation.rows import parse_score, take_samples
from negas.metrics import PRESETS, f1_threshold, records_to_coco
from negas.records import CHUNK, BoxRecords
from negas.reports.scores import score_tables, write_scores
from negas.reports.table import to_markdown
from negas.scores import SCORES, get_score
from tests.helpers.commands import call_tool
from tests.helpers.fake_runs import SETS, fake_run, score_again


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


def rows_of(path, **options):
    return score_again(path, **options)["runs"][0]["rows"]


def at(name, cut=None):
    (preset,) = choose_presets([name], None if cut is None else [cut])
    return preset


def change(folder, *names, **fields):
    """Other fields in the records of some sets (of all)."""
    added = fields.pop("meta", {})
    for name in names or SETS:
        file = folder / "records" / f"{name}.npz"
        records = BoxRecords.load(file)
        replace(records, meta=records.meta | added, **fields).save(file)


def change_results(folder, edit):
    file = folder / "ood_results.json"
    results = json.loads(file.read_text())
    edit(results)
    file.write_text(json.dumps(results))


def test_every_score_and_control_of_a_run(runs):
    how = dict(preset=["val_f1", "matched"], banks=["model", "oracle"], rotations=2)
    rows = rows_of(runs / "negas", **how)
    assert {row["score"] for row in rows} == set(SCORES)
    assert {row["preset"] for row in rows} == {"val_f1", "matched"}
    key = ("preset", "score", "bank", "control", "ood_set")
    found = {tuple(row[k] for k in key) for row in rows}
    assert len(found) == len(rows)
    plain = sum(not score.needs_negatives for score in SCORES.values())
    # sets x (plain scores + scores with negatives x banks x (itself, rotated)), and without leaks:
    # the model's bank names a zebra of near, oracle is nothing but leaks of far
    others = len(SCORES) - plain
    assert len(rows) == 2 * (2 * (plain + others * 2 * 2) + others)
    clean = [row for row in rows if row["control"] == "no_leaks"]
    assert {(row["bank"], row["ood_set"]) for row in clean} == {("model", "near")}
    assert {row.get("draws") for row in rows if row["control"] == "rotated"} == {2}


def test_scores_have_the_options_of_the_test(copy):
    change_results(
        copy, lambda data: data["settings"].update(scores=["msp", ["negs", {"weight": 0.3}]])
    )

    def near(scores=None):
        rows = rows_of(copy, scores=scores, rotations=0)
        return {
            r["score"]: r["auroc"] for r in rows if (r["ood_set"], r["control"]) == ("near", "none")
        }

    default, wanted = near(), near(["negs(weight=0.3)"])
    assert set(default) == set(SCORES) and default["negs"] == wanted["negs"]
    assert default["negs"] != near(["negs"])["negs"]


def test_records_alone_are_enough(runs, copy):
    how = dict(preset=["fixed"], cut=["0.4"])
    by_run = rows_of(runs / "negas", **how)
    by_records = rows_of(runs / "negas" / "records", **how)
    assert by_run == by_records, "the work dir's results stand beside its records"
    (copy / "ood_results.json").unlink()  # without them nobody knows the words, so no leaks
    alone = sorted(rows_of(copy, **how), key=str)  # of sets in another order
    assert alone == sorted((r for r in by_run if r["control"] != "no_leaks"), key=str)


@pytest.mark.parametrize(
    ("preset", "cut", "value", "rule", "source"),
    [
        ("val_f1", None, 0.3, "f1", "id_val"),
        ("matched", None, 0.3, "f1", "id_val"),
        ("vos", None, 0.35, "test_f1", "id_test"),
        ("val_f1", "test_f1", 0.35, "test_f1", "id_test"),
        ("vos", "run", 0.3, "f1", "id_val"),
        ("siren", None, 0.1, "fixed", "fixed"),
        ("fixed", "0.25", 0.25, "fixed", "fixed"),
    ],
)
def test_cuts_are_those_that_the_test_wrote_down(runs, preset, cut, value, rule, source):
    samples = take_samples(Recorded.load(runs / "negas"), at(preset, cut))
    assert (samples.cut.value, samples.cut.rule, samples.cut.source) == (value, rule, source)
    over = samples.over_cut["id"]
    records = BoxRecords.load(runs / "negas" / "records" / "id.npz")
    assert over == (records.scores >= np.float32(value)).sum()


@pytest.mark.parametrize(
    ("preset", "found_on", "vos", "rule", "source"),
    [
        ("val_f1", "id_val", False, "f1", "id_val"),
        ("vos", "id", True, "test_f1", "id_test"),
    ],
)
@pytest.mark.parametrize("written", ["nothing", "the other cut"])
def test_cuts_of_records_alone(copy, preset, found_on, vos, rule, source, written):
    if written == "nothing":
        (copy / "ood_results.json").unlink()
        cut = None
    else:
        change_results(copy, lambda data: data.update(cuts=dict(run=data["cuts"]["run"])))
        cut = PRESETS[preset].cut.replace("run", "val_f1")
    run = Recorded.load(copy)
    truth = run.truth(found_on)
    found = records_to_coco(run.records[found_on], truth)
    expected = f1_threshold(truth, found, vos=vos).threshold
    taken = take_samples(run, at(preset, cut)).cut
    assert (taken.value, taken.rule, taken.source) == (expected, rule, source)
    assert expected not in (0.3, 0.35) and (round(expected, 4) == expected) == vos


def test_siren_counts_a_box_once_per_label(runs):
    run = Recorded.load(runs / "negas")
    rows = take_samples(run, PRESETS["siren"]).rows["near"]
    over = (run.records["near"].id_logits > np.log(0.1 / 0.9)).sum(axis=1)
    np.testing.assert_array_equal(np.bincount(rows, minlength=len(over)), over)
    assert len(rows) > len(over)


def test_matched_samples_have_the_right_label_on_the_id_set_only(runs, copy):
    for name in ("id", "near"):
        labels = Recorded.load(runs / "negas").records[name].labels.copy()
        labels[:8] = (np.arange(8) // 2 + 1) % 3  # not the object's
        change(copy, name, labels=labels)
    run = Recorded.load(copy)
    taken = take_samples(run, at("matched", "0.3")).rows
    for name, is_right in (
        ("id", run.records["id"].labels == np.arange(24) // 2 % 3),
        ("near", 1),
    ):
        over = run.records[name].scores >= 0.3
        expected = over & (np.arange(24) % 2 == 0) & is_right  # each first box hits
        np.testing.assert_array_equal(taken[name], np.flatnonzero(expected))
        assert over[:8:2].any() and len(taken[name])


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
        np.testing.assert_array_equal(records.score_with(get_score(name)), whole)


def test_intervals_hold_the_value_and_repeat(runs):
    first = rows_of(runs / "negas", scores=["energy"], bootstrap=50)
    for row in first:
        interval = row["interval"]["auroc"]
        assert interval["low"] <= row["auroc"] == interval["value"] <= interval["high"]
    assert first == rows_of(runs / "negas", scores=["energy"], bootstrap=50)


def test_open_set_numbers(runs):
    rows = rows_of(runs / "negas", scores=["max_sigmoid"], open_set=True)
    found = rows[0]["open_set"]
    assert found["num_unknown"] == found["num_known"] == 12
    records = Recorded.load(runs / "negas").records["near"]
    hits = (records.scores >= 0.3) & (np.arange(len(records)) % 2 == 0)  # each first box hits
    known = get_score("max_sigmoid")(records.id_logits) >= rows[0]["threshold"]
    assert found["a_ose"] == (hits & known).sum()
    assert found["recall_unknown"] == pytest.approx((hits & ~known).sum() / 12)


def test_rotations_are_five_where_they_can_be(runs, copy):
    def drawn(folder, rotations):
        rows = rows_of(folder, scores=["energy", "negs"], rotations=rotations)
        return {row["draws"] for row in rows if row["control"] == "rotated"}

    assert drawn(runs / "negas", None) == {5} and drawn(runs / "negas", 0) == set()
    report = score_again(runs / "negas", scores=["negs"], rotations=3)
    text = to_markdown(score_tables(report)[0])
    assert "| NegS, rotated |" in text and "| NegS, without leaks |" in text
    assert "mean of 3 draws" in text and "±" in text
    (copy / "records" / "text_feats.npz").unlink()
    assert drawn(copy, None) == set()
    with pytest.raises(ValueError, match="the rotated bank needs embeddings .* leave out --rot"):
        drawn(copy, 2)
    with pytest.raises(ValueError, match="rotations must be at least 0"):
        drawn(copy, -1)


def test_leaks_are_found_without_results(runs, copy):
    (copy / "ood_results.json").unlink()
    change(copy, meta=dict(neg_labels=["zebra", "fork"]))

    def clean(folder):
        rows = rows_of(folder, preset=["fixed"], cut=["0.3"], scores=["negs"])
        return [(r["ood_set"], r["auroc"]) for r in rows if r["control"] == "no_leaks"]

    assert clean(copy) == clean(runs / "negas") and clean(copy)[0][0] == "near"
    change(copy, "near", "far", meta=dict(ann_file="lost.json"))
    assert clean(copy) == []


def test_comparison_with_another_run(runs):
    how = dict(scores=["max_sigmoid", "negs"])
    report = score_again(runs / "negas", against=runs / "coop", bootstrap=40, **how)
    assert len(report["paired"]) == 4
    alone = {
        (name, row["score"], row["ood_set"]): row["auroc"]
        for name in ("negas", "coop")
        for row in rows_of(runs / name, **how)
        if row["control"] == "none"
    }
    for row in report["paired"]:
        where = (row["score"], row["ood_set"])
        difference = alone[("negas", *where)] - alone[("coop", *where)]
        assert row["auroc"]["value"] == pytest.approx(difference)
        assert row["auroc"]["low"] <= row["auroc"]["high"] and row["num_id_images"] == 12


def test_files_state_what_the_numbers_depend_on(runs, tmp_path):
    report = score_again(
        runs / "negas",
        against=runs / "coop",
        preset=["val_f1", "vos"],
        scores=["negs"],
        bootstrap=10,
        open_set=True,
    )
    paths = write_scores(tmp_path / "out", report)
    data = json.loads(paths[0].read_text())
    (run,) = data["runs"]
    assert run["run"]["config_sha256"] and run["map"]["coco_ap50"] == 0.5
    assert data["versions"]["negas"] and data["settings"]["seed"] == 0
    for row in run["rows"]:
        assert {"preset", "cut", "cut_source", "rule", "tpr", "num_id", "bank"} <= set(row)
    text = paths[1].read_text()
    assert "negas; vos: " in text and "open set" in text and "negas minus" in text
    assert "Negatives of the bank model that name an OOD class: near 1, far 0." in text
    assert text.count("### ") == len(score_tables(report))


def test_a_set_without_samples_is_a_dash(runs):
    report = score_again(runs / "negas", cut=["0.999"], bootstrap=5)
    row = report["runs"][0]["rows"][0]
    assert math.isnan(row["auroc"]) and row["num_ood"] == 0 and row["interval"] is None
    assert "| - |" in to_markdown(score_tables(report)[0])


# --- bad input ---------------------------------------------------------------------------------
def meta(*names, **fields):
    return lambda folder: change(folder, *names, meta=fields)


def no_boxes(folder):
    file = folder / "records" / "id.npz"
    BoxRecords.load(file).select([]).save(file)


def lost(*files):
    return lambda folder: [(folder / file).unlink() for file in files]


def short(file, length):
    def cut_off(folder):
        content = (folder / "records" / file).read_bytes()
        (folder / "records" / file).write_bytes(content[:length])

    return cut_off


@pytest.mark.parametrize(
    ("damage", "options", "error", "message"),
    [
        (
            meta("near", id_labels=["cat", "dog", "bus"]),
            {},
            ValueError,
            r"different ID labels \('bus' is in one of them only\)",
        ),
        (
            meta("far", id_labels=["dog", "cat", "car"]),
            {},
            ValueError,
            "same ID labels in different orders",
        ),
        (
            lambda folder: change(folder, "far", neg_logits=np.zeros((24, 1))),
            {},
            ValueError,
            "scored with different negative labels",
        ),
        (no_boxes, {}, ValueError, "the ID set holds no box"),
        (shutil.rmtree, {}, FileNotFoundError, "no such folder"),
        (
            lambda folder: [shutil.rmtree(folder), folder.mkdir()],
            {},
            FileNotFoundError,
            "found no records",
        ),
        (
            lost("records/near.npz"),
            {},
            FileNotFoundError,
            "the records of the set 'near' are missing",
        ),
        (
            lost("records/near.npz", "records/far.npz", "ood_results.json"),
            {},
            FileNotFoundError,
            "one file per OOD set, found id, id_val",
        ),
        (short("near.npz", -300), {}, ValueError, r"near\.npz: not a readable record file"),
        (
            short("text_feats.npz", 100),
            dict(banks=["oracle"]),
            ValueError,
            "not a readable npz file",
        ),
        (
            lambda folder: None,
            dict(banks=["mine"]),
            ValueError,
            "no bank 'mine'; the run has: model, oracle",
        ),
        (
            lambda folder: change(folder, embeddings=None),
            dict(banks=["oracle"]),
            ValueError,
            "bank 'oracle': these records hold no embeddings",
        ),
        (
            lambda folder: change(folder, neg_logits=None),
            {},
            ValueError,
            "'negs' needs negative labels and the run has none",
        ),
        (
            meta("id", ann_file="lost.json"),
            dict(preset=["matched"]),
            FileNotFoundError,
            "give their place with --ann id=FILE",
        ),
    ],
)
def test_runs_that_cannot_be_scored(copy, damage, options, error, message):
    damage(copy)
    with pytest.raises(error, match=message):
        rows_of(copy, **dict(scores=["negs"]) | options)


def test_a_run_without_negatives_has_the_other_scores(copy):
    change(copy, neg_logits=None)
    assert {row["score"] for row in rows_of(copy)} == {
        name for name in SCORES if not SCORES[name].needs_negatives
    }


def test_runs_that_cannot_be_compared(runs, copy, tmp_path):
    how = dict(scores=["energy"], bootstrap=5)
    change(copy, meta=dict(id_labels=["cat", "dog", "bus"]))
    with pytest.raises(ValueError, match="and .* have different ID labels"):
        score_again(runs / "negas", against=copy, **how)
    fewer = Path(shutil.copytree(runs / "coop", tmp_path / "fewer"))
    change(fewer, "far", images=np.arange(99))
    with pytest.raises(ValueError, match=r"the set 'far' has other images \(12 and 99\)"):
        score_again(runs / "negas", against=fewer, **how)
    with pytest.raises(ValueError, match="--against needs the bootstrap"):
        score_again(runs / "negas", against=runs / "coop", bootstrap=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "voc"], "--preset: there is no preset 'voc'; choose of val_f1, vos, siren"),
        (["--preset", "fixed"], "--preset fixed needs a confidence cut"),
        (["--cut", "1.5"], "--cut: expected run, val_f1, test_f1 or a number"),
        (["--cut", "0.01"], "below the least confidence in its records"),
        (["--scores", "negz"], "there is no score 'negz'"),
        (["--scores", "negs(weight)"], "'weight' in 'negs(weight)' is not option=value"),
        (["--scores", "negs(", "--bootstrap", "0"], "is no score; write a name"),
        (["--scores", "negs(heavy=1)"], "has no option 'heavy'"),
        (["--bootstrap", "-1"], "--bootstrap must be at least 0"),
        (["--ann", "near.json"], "--ann: expected SET=FILE"),
    ],
)
def test_command_refuses_in_one_sentence(runs, arguments, message, capsys):
    assert call_tool("score", runs / "negas", *arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[0].startswith("error: ") and message in lines[0] and len(lines) == 2


def test_command(runs, tmp_path, capsys):
    arguments = ["--scores", "energy", "--bootstrap", "10", "--out", tmp_path]
    assert call_tool("score", runs / "negas", runs / "coop", *arguments) == 0
    printed = capsys.readouterr().out
    assert "negas; val_f1: every box over the cut" in printed and "coop; val_f1: " in printed
    assert (tmp_path / "ood_scores.json").is_file()
    assert call_tool("score") == 2
    assert "no run given" in capsys.readouterr().err


def test_costs(capsys):
    assert call_tool("dev/score_costs", 400) == 0
    assert f"400 boxes x 40 logits, {len(SCORES)} scores" in capsys.readouterr().out
    assert call_tool("dev/score_costs", 10) == 2
    assert "must be at least 40" in capsys.readouterr().err

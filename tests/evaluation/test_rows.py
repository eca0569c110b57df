"""The engine: from the records of a run to rows, against metrics computed by hand."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from negas.evaluation import rows as engine
from negas.evaluation.recorded import Recorded
from negas.evaluation.rows import (
    Scoring,
    count_rows,
    describe_banks,
    leakage_lines,
    leaking,
    mean_rows,
    name_scores,
    parse_score,
    run_rows,
)
from negas.files import write_json
from negas.metrics import PRESETS, bootstrap, ood_metrics, rotated_bank
from negas.metrics.objects import OSCR_METRICS
from negas.metrics.protocol import ROW_METRICS
from negas.records import BoxRecords
from negas.scores import get_score

ID, NEG, OTHER = ["dog", "cat"], ["fox", "kite"], ["zebra", "tent", "fox"]
CUT = 0.8
SCORES = ["max_sigmoid", ("neglabel", dict(logits="cosine", temperature=0.01)), "negs"]
MATCHED = PRESETS["matched"]


def unit(rng, n):
    feats = rng.normal(size=(n, 6))
    return feats / np.linalg.norm(feats, axis=1, keepdims=True)


def truth(images=40, names=("foxes", "unused"), category=5):
    """One object in each of the first images, as large as the boxes."""
    return dict(
        images=[dict(id=i) for i in range(40)],
        annotations=[
            dict(id=i + 1, image_id=i, category_id=category, bbox=[0, 0, 10, 10])
            for i in range(images)
        ],
        categories=[dict(id=5 + k, name=name) for k, name in enumerate(names)],
    )


@pytest.fixture
def run():
    """A test of two OOD sets, one of them without a confident box, with a second bank."""
    rng = np.random.default_rng(0)
    id_text, neg_text = unit(rng, 2), unit(rng, 2)
    records = {}
    for name, strength in (("id", 3.0), ("near", 1.0), ("empty", 1.0)):
        n = 80
        regions = rng.normal(size=(n, 6)) + strength * id_text[rng.integers(0, 2, n)]
        embeds = np.concatenate([regions, np.full((n, 1), -0.5)], 1).astype(np.float32)
        logits = regions @ id_text.T - 0.5
        records[name] = BoxRecords(
            image_ids=np.arange(n) % 40 if name == "id" else np.arange(n) // 4,
            bboxes=np.tile([0, 0, 10, 10], (n, 1)),
            labels=logits.argmax(1),
            scores=np.zeros(n) if name == "empty" else 1 / (1 + np.exp(-logits.max(1))),
            id_logits=logits,
            neg_logits=regions @ neg_text.T - 0.5,
            embeddings=embeds,
            images=np.arange(40),
            meta=dict(id_labels=ID, neg_labels=NEG),
        )
    feats = dict(model=neg_text, other=unit(rng, 3))
    truths = dict(id=truth(names=ID, category=6), near=truth(10), empty=truth(10))
    results = dict(
        sets={name: dict(images=40, boxes=80) for name in records},
        banks=dict(model=dict(labels=NEG), other=dict(labels=OTHER)),
        cuts=dict(run=dict(value=CUT, rule="f1", source="id_val")),
    )
    made = Recorded.of(Path("runs/made_up"), records, feats, results, truths)
    results["banks"] = describe_banks(made, dict(model=None, other=None))
    return made


def rows_of(run, preset="val_f1", scores=SCORES, banks=("model", "other"), rotations=2, **how):
    preset = PRESETS[preset] if isinstance(preset, str) else preset
    return run_rows(run, preset, Scoring(name_scores(scores), banks, rotations, **how))


def pick(rows, **wanted):
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def by_hand(id_records, ood_records, score="negs", cut=CUT, **options):
    """Metrics of all boxes over the cut, without the engine."""
    sides = []
    for records in (id_records, ood_records):
        kept = records.select(records.scores >= np.float32(cut))
        sides.append(get_score(score, **options)(kept.id_logits, kept.neg_logits))
    return ood_metrics(*sides)


def same(row, wanted):
    assert {key: row[key] for key in ROW_METRICS} == {k: getattr(wanted, k) for k in ROW_METRICS}


# --- plain rows -----------------------------------------------------------------------------------
def test_rows_of_every_score_bank_and_control(run):
    near = pick(rows_of(run), ood_set="near")
    kinds = sorted((r["score"], r["bank"], r["control"], r["logits"]) for r in near)
    want = [("max_sigmoid", "none", "none", "head")]
    for bank in ("model", "other"):
        for control in ("none", "rotated", "no_leaks"):
            want += [("negs", bank, control, "head"), ("neglabel", bank, control, "cosine")]
    assert kinds == sorted(want)
    assert all(r["draws"] == 2 and r["auroc_std"] > 0 for r in pick(near, control="rotated"))


def test_numbers_are_those_of_the_samples(run):
    records = run.records
    rows = rows_of(run, scores=["max_sigmoid", "negs", ("negs", dict(weight=0.5))])
    near = pick(rows, ood_set="near", control="none")
    (plain,) = pick(near, score="max_sigmoid")
    same(plain, by_hand(records["id"], records["near"], "max_sigmoid"))
    (model,) = pick(near, score="negs", bank="model")
    same(model, wanted := by_hand(records["id"], records["near"]))
    assert (model["num_id"], model["num_ood"]) == (wanted.num_id, wanted.num_ood)
    assert (model["over_cut_id"], model["over_cut_ood"]) == (wanted.num_id, wanted.num_ood)
    assert model["share_id"] == model["share_ood"] == 1
    (half,) = pick(near, score="negs(weight=0.5)", bank="model")
    same(half, by_hand(records["id"], records["near"], weight=0.5))
    (other,) = pick(near, score="negs", bank="other")
    turned = [records[name].rescore(run.feats["other"]) for name in ("id", "near")]
    same(other, by_hand(*turned))
    about = ("preset", "protocol", "rule", "pair_floor", "cut", "cut_rule", "cut_source")
    assert [other[k] for k in about] == ["val_f1", "vos", "at_least", None, CUT, "f1", "id_val"]
    known, near = (
        each.image_ids[each.scores >= np.float32(CUT)] for each in list(records.values())[:2]
    )
    assert other["images"] == dict(
        id=40, ood=40, id_with_samples=len({*known}), ood_with_samples=len({*near})
    )
    assert len(known) != len(near), "the cut leaves some out"


def test_matched_rows_use_each_sets_ground_truth(run):
    (row,) = pick(rows_of(run, MATCHED, ["negs"], ["model"]), ood_set="near", control="none")
    known, near = run.records["id"], run.records["near"]
    cats = known.image_ids[(known.scores >= np.float32(CUT)) & (known.labels == 1)]
    assert row["num_id"] == len({*cats}) < len(cats), "one box per object, of its class"
    over = near.scores >= np.float32(CUT)
    assert row["num_ood"] == int((over & (near.image_ids < 10)).sum()), "objects of ten images"
    assert row["share_ood"] == row["num_ood"] / over.sum()
    assert row["share_id"] == row["num_id"] / (known.scores >= np.float32(CUT)).sum()
    assert row["protocol"] == "matched"


def test_cosine_scores_read_cosines(run):
    (got,) = pick(rows_of(run), ood_set="near", score="neglabel", bank="model", control="none")
    pair = [run.records[name].as_cosines() for name in ("id", "near")]
    same(got, by_hand(*pair, "neglabel", temperature=0.01))
    assert got["options"] == dict(temperature=0.01)


def test_cosine_scores_have_the_samples_of_the_others(run):
    rows = pick(rows_of(run, "siren"), ood_set="near", control="none")
    assert {row["logits"] for row in rows} == {"head", "cosine"}
    near = run.records["near"]
    pairs = (near.id_logits[near.scores >= 0.1] > np.log(0.1 / 0.9)).sum()
    assert {row["num_ood"] for row in rows} == {pairs} and pairs > len(near) // 2
    assert {(row["preset"], row["cut"], row["pair_floor"]) for row in rows} == {("siren", 0.1, 0.1)}
    assert rows[0]["share_ood"] == pairs / (near.scores >= 0.1).sum() > 1


def test_samples_are_chosen_once_for_a_preset(run, monkeypatch):
    calls = []
    take = engine.sample_rows
    monkeypatch.setattr(engine, "sample_rows", lambda *how: calls.append(how) or take(*how))
    for _ in range(2):
        rows_of(run, MATCHED)
    assert len(calls) == 3, "the ID set and two OOD sets"
    rows_of(run, replace(MATCHED, cut=0.5))
    assert len(calls) == 6, "another cut has other samples"


def test_an_empty_set_costs_only_its_own_numbers(run, tmp_path):
    write_json(tmp_path / "rows.json", rows_of(run))
    assert "NaN" not in (tmp_path / "rows.json").read_text()
    rows = json.loads((tmp_path / "rows.json").read_text())
    (empty,) = pick(rows, ood_set="empty", score="max_sigmoid")
    (near,) = pick(rows, ood_set="near", score="max_sigmoid")
    assert empty["auroc"] is None and empty["num_ood"] == 0
    assert empty["num_id"] == near["num_id"] > 0 and 0.5 < near["auroc"] <= 1
    for key in ("threshold", "tpr"):  # the ID set's alone
        assert empty[key] == near[key]


def test_without_an_id_sample_there_are_no_numbers(run):
    rows = pick(rows_of(run, replace(PRESETS["fixed"], cut=0.9999), rotations=0), ood_set="near")
    assert rows and all(np.isnan(row[key]) for row in rows for key in ROW_METRICS)
    assert {row["num_id"] for row in rows} == {0} and all(np.isnan(r["share_id"]) for r in rows)


def test_intervals_over_images(run):
    assert all(row["interval"] is None for row in rows_of(run))
    rows = pick(rows_of(run, draws=30, seed=4), score="max_sigmoid")
    (near,), (empty,) = pick(rows, ood_set="near"), pick(rows, ood_set="empty")
    sides = [
        run.records[n].select(run.records[n].scores >= np.float32(CUT)) for n in ("id", "near")
    ]
    values = [get_score("max_sigmoid")(side.id_logits, side.neg_logits) for side in sides]
    wanted = bootstrap(*values, 30, 4, tuple(side.image_ids for side in sides)).to_dict()
    made = {k: wanted[k] for k in ("auroc", "fpr95", "level", "num_draws")}
    assert {k: near["interval"][k] for k in made} == made
    assert near["interval"].keys() - made == {*OSCR_METRICS}
    assert empty["interval"] is None
    controls = [r for r in rows_of(run, draws=30) if r["control"] != "none"]
    assert controls and all(row["interval"] is None for row in controls)


@pytest.mark.parametrize("rotations", [0, 2, None])
def test_rows_are_counted_before_they_are_made(run, rotations):
    told = []
    scoring = Scoring(name_scores(SCORES), ("model", "other"), rotations)
    run_rows(run, PRESETS["val_f1"], scoring, lambda: told.append(1))
    turns = 5 if rotations is None else rotations
    assert len(told) == count_rows(run, scoring) == 2 * (1 + 2 * 2 * (1 + turns))


# --- controls -------------------------------------------------------------------------------------
def test_rows_without_the_negatives_that_name_an_ood_class(run):
    rows = rows_of(run)
    (row,) = pick(rows, ood_set="near", score="negs", bank="model", control="no_leaks")
    keep = [i for i, label in enumerate(NEG) if label != "fox"]
    clean = [run.records[name].select_negatives(keep) for name in ("id", "near")]
    same(row, by_hand(*clean))
    assert not pick(rows_of(run, no_leaks=False), control="no_leaks")


def test_which_negatives_name_an_ood_class(run):
    banks = run.results["banks"]
    assert banks["model"]["leakage"]["near"]["leaks"] == ["fox"] == leaking(run, "model")["near"]
    assert [banks[name]["overlap"]["near"] for name in banks] == [["fox"]] * 2
    assert (banks["other"]["labels"], banks["other"]["size"]) == (OTHER, 3)
    assert f"near: 1 of {len(NEG)} negative labels (bank model) name an OOD class: fox" in (
        leakage_lines(run.results)
    )
    del run.results["banks"]
    assert leaking(run, "model") == dict(near=["fox"], empty=["fox"]), "from the annotations"
    run.truths.clear()
    assert leaking(run, "model") == {}, "nobody can tell"


def test_a_bank_of_leaks_alone_has_no_rows_without_them(run):
    run.results["banks"] = dict(model=dict(labels=["fox"]))
    run.records = {name: each.select_negatives([0]) for name, each in run.records.items()}
    run.feats = dict(model=run.feats["model"][:1])
    rows = pick(rows_of(run, banks=["model"]), ood_set="near")
    assert not pick(rows, control="no_leaks") and pick(rows, control="rotated")


def test_rotated_rows_are_the_mean_of_their_draws(run):
    rows = rows_of(run, seed=5)
    (row,) = pick(rows, ood_set="near", score="negs", bank="model", control="rotated")
    draws = []
    for seed in (5, 6):
        turned = rotated_bank(run.feats["model"], seed)
        draws.append(by_hand(*(run.records[n].rescore(turned) for n in ("id", "near"))))
    for key in ("auroc", "fpr95", "aupr_out"):
        values = [getattr(draw, key) for draw in draws]
        assert row[key] == pytest.approx(np.mean(values), abs=1e-12)
        assert row[f"{key}_std"] == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    assert mean_rows([[row]])[0]["auroc_std"] == 0
    (row,) = pick(rows, ood_set="near", score="neglabel", bank="model", control="rotated")
    aurocs = []
    for seed in (5, 6):
        turned = [
            run.records[n].rescore(rotated_bank(run.feats["model"], seed)).as_cosines()
            for n in ("id", "near")
        ]
        aurocs.append(by_hand(*turned, "neglabel", temperature=0.01).auroc)
    assert row["auroc"] == pytest.approx(np.mean(aurocs), abs=1e-12)


# --- names of scores ------------------------------------------------------------------------------
def test_one_score_with_two_sources_has_two_labels(run):
    scores = ["mcm", ("mcm", dict(logits="cosine")), ("mcm", dict(temperature=2.0)), "negs"]
    rows = pick(rows_of(run, scores=scores, banks=["model"]), ood_set="near", control="none")
    found = {row["score"]: row for row in rows}
    assert set(found) == {"mcm", "mcm(logits=cosine)", "mcm(temperature=2.0)", "negs"}
    assert found["mcm"]["logits"] == "head" and found["mcm"]["options"] == {}
    assert found["mcm(logits=cosine)"]["logits"] == "cosine"
    assert found["mcm"]["auroc"] != found["mcm(logits=cosine)"]["auroc"]


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (["mcm", "negs", ("mcm", dict(logits="head"))], "'mcm' is listed twice"),
        ([("mcm", dict(logits="cosine"))] * 2, r"'mcm\(logits=cosine\)' is listed twice"),
        (["mcm", ("negs", dict(wait=1))], "no option 'wait'"),
        ([("mcm", dict(logits="sine"))], "must be 'head' or 'cosine', got 'sine'"),
        ([("mcm", dict(temperature="hot"))], "'mcm': temperature must be a number, got 'hot'"),
    ],
)
def test_scores_that_cannot_be_named(scores, message):
    with pytest.raises(ValueError, match=message):
        name_scores(scores)


def test_scores_as_people_write_them():
    assert parse_score(" negs ") == "negs"
    options = dict(weight=0.5, neg_reduce="mean", logits="cosine")
    assert parse_score("negs(weight=0.5, neg_reduce=mean,logits=cosine)") == ("negs", options)
    for text, message in [
        ("negs(", "is no score"),
        ("negs(weight)", "'weight' in .* is not option=value"),
        ("negs(weight=)", "is not option=value"),
        ("negs(weight=-inf)", "must be finite"),
        ("negs(weight=1e999)", "must be finite"),
    ]:
        with pytest.raises(ValueError, match=f"--scores: .*{message}"):
            parse_score(text)


# --- refusals -------------------------------------------------------------------------------------
def without(run, **changes):
    return {name: replace(each, **changes) for name, each in run.records.items()}


def test_refusals(run):
    with pytest.raises(ValueError, match="made_up: there is no bank 'wide'; .* model, other"):
        rows_of(run, banks=["wide"])
    run.truths.pop("near")
    with pytest.raises(FileNotFoundError, match="of the set 'near' do not exist.*--ann near=FILE"):
        rows_of(run, MATCHED)
    run.records = without(run, embeddings=None)
    with pytest.raises(ValueError, match="made_up: the rotated bank needs embeddings"):
        count_rows(run, Scoring(name_scores(SCORES), rotations=1))
    assert count_rows(run, Scoring(name_scores(SCORES))) == 6, "none are asked for: none are drawn"
    run.records = without(run, neg_logits=None)
    with pytest.raises(ValueError, match="the score 'negs' needs negative labels"):
        rows_of(run, scores=["negs"], banks=["model"], rotations=0)

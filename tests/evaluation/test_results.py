"""From records to the rows of a result file."""

import json

import numpy as np
import pytest

from negas.evaluation.provenance import write_results
from negas.evaluation.rows import (
    Evaluation,
    evaluate_run,
    leakage_lines,
    logged_numbers,
    mean_rows,
    name_scores,
)
from negas.evaluation.run import Bank
from negas.metrics import Cut, evaluate_scores, rotated_bank
from negas.records import BoxRecords

ID, NEG, OTHER = ["dog", "cat"], ["fox", "kite"], ["zebra", "tent", "fox"]


def unit(rng, n):
    feats = rng.normal(size=(n, 6))
    return feats / np.linalg.norm(feats, axis=1, keepdims=True)


@pytest.fixture
def run():
    rng = np.random.default_rng(0)
    id_text, neg_text = unit(rng, 2), unit(rng, 2)
    records = {}
    for name, strength in (("id", 3.0), ("near", 1.0), ("empty", 1.0)):
        n = 40
        regions = rng.normal(size=(n, 6)) + strength * id_text[rng.integers(0, 2, n)]
        embeds = np.concatenate([regions, np.full((n, 1), -0.5)], 1).astype(np.float32)
        logits = regions @ id_text.T - 0.5
        records[name] = BoxRecords(
            image_ids=np.arange(n),
            bboxes=np.tile([0, 0, 10, 10], (n, 1)),
            labels=logits.argmax(1),
            scores=np.zeros(n) if name == "empty" else 1 / (1 + np.exp(-logits.max(1))),
            id_logits=logits,
            neg_logits=regions @ neg_text.T - 0.5,
            embeddings=embeds,
            meta=dict(id_labels=ID, neg_labels=NEG),
        )
    truth = dict(
        images=[dict(id=i) for i in range(40)],
        annotations=[dict(id=1, image_id=0, category_id=5, bbox=[0, 0, 10, 10])],
        categories=[dict(id=5, name="foxes"), dict(id=6, name="unused")],
    )
    return Evaluation(
        records=records,
        truths=dict.fromkeys(records, truth),
        scores=["max_sigmoid", ("neglabel", dict(logits="cosine", temperature=0.01)), "negs"],
        cuts=dict(own=0.3),
        banks=[Bank("own", NEG, neg_text), Bank("other", OTHER, unit(rng, 3))],
        rotations=2,
    )


def pick(rows, **wanted):
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def test_rows_of_every_score_bank_and_control(run):
    report = evaluate_run(run)
    near = pick(report["rows"], ood_set="near")
    kinds = sorted((r["score"], r["bank"], r["control"], r["logits"]) for r in near)
    want = [("max_sigmoid", "none", "none", "head")]
    for bank in ("own", "other"):
        for control in ("none", "rotated", "no_leaks"):
            want += [("negs", bank, control, "head"), ("neglabel", bank, control, "cosine")]
    assert kinds == sorted(want)
    assert all(r["draws"] == 2 and r["auroc_std"] > 0 for r in pick(near, control="rotated"))
    assert report["banks"]["own"]["overlap"]["near"] == ["fox"]
    assert report["banks"]["other"]["overlap"]["near"] == ["fox"]
    near = report["sets"]["near"]
    assert (near["images"], near["boxes"]) == (40, 40)


def test_rows_without_the_negatives_that_name_an_ood_class(run):
    report = evaluate_run(run)
    (row,) = pick(report["rows"], ood_set="near", score="negs", bank="own", control="no_leaks")
    keep = [i for i, label in enumerate(NEG) if label != "fox"]
    clean = {
        name: run.records[name].with_neg_logits(run.records[name].neg_logits[:, keep])
        for name in ("id", "near")
    }
    want = evaluate_scores(clean["id"], {"near": clean["near"]}, ["negs"], 0.3)[0]
    assert row["auroc"] == pytest.approx(want["auroc"], abs=1e-12)
    assert report["banks"]["own"]["leakage"]["near"]["leaks"] == ["fox"]
    assert f"near: 1 of {len(NEG)} negative labels (bank own) name an OOD class: fox" in (
        leakage_lines(report)
    )


def test_a_bank_of_leaks_alone_has_no_rows_without_them(run):
    run.banks = [Bank("own", ["fox"], run.banks[0].feats[:1])]
    run.records = {
        name: each.with_neg_logits(each.neg_logits[:, :1]) for name, each in run.records.items()
    }
    rows = pick(evaluate_run(run)["rows"], ood_set="near")
    assert not pick(rows, control="no_leaks") and pick(rows, control="rotated")


def test_rotated_rows_are_the_mean_of_their_draws(run):
    run.seed = 5
    (row,) = pick(
        evaluate_run(run)["rows"], ood_set="near", score="negs", bank="own", control="rotated"
    )
    draws = []
    for seed in (5, 6):
        turned = rotated_bank(run.banks[0].feats, seed)
        near = {"near": run.records["near"].rescore(turned)}
        draws += evaluate_scores(run.records["id"].rescore(turned), near, ["negs"], 0.3)
    for key in ("auroc", "fpr95", "aupr_out"):
        values = [draw[key] for draw in draws]
        assert row[key] == pytest.approx(np.mean(values), abs=1e-12)
        assert row[f"{key}_std"] == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    assert mean_rows([[draws[0]]])[0]["auroc_std"] == 0


def test_one_score_with_two_sources_has_two_labels(run):
    run.scores = ["mcm", ("mcm", dict(logits="cosine")), ("mcm", dict(temperature=2.0)), "negs"]
    rows = pick(evaluate_run(run)["rows"], ood_set="near", control="none", cut_kind="own")
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
    ],
)
def test_scores_that_cannot_be_named(scores, message):
    with pytest.raises(ValueError, match=message):
        name_scores(scores)


def test_cosine_scores_read_cosines(run):
    rows = evaluate_run(run)["rows"]
    got = pick(rows, ood_set="near", score="neglabel", bank="own", control="none")[0]
    want = evaluate_scores(
        run.records["id"].as_cosines(),
        {"near": run.records["near"].as_cosines()},
        [("neglabel", dict(temperature=0.01))],
        0.3,
    )[0]
    assert got["auroc"] == want["auroc"] and got["fpr95"] == want["fpr95"]
    assert got["options"] == dict(temperature=0.01)


def test_cosine_scores_have_the_samples_of_the_others(run):
    run.presets = dict(siren=Cut(0.1))
    rows = pick(evaluate_run(run)["rows"], ood_set="near", preset="siren", control="none")
    assert {row["logits"] for row in rows} == {"head", "cosine"}
    near = run.records["near"]
    pairs = (near.id_logits[near.scores >= 0.1] > np.log(0.1 / 0.9)).sum()
    assert {row["num_ood"] for row in rows} == {pairs} and pairs > len(near) // 2
    assert {row["cut_kind"] for row in rows} == {"siren"}


def test_an_empty_set_costs_only_its_own_numbers(run, tmp_path):
    report = evaluate_run(run)
    write_results(tmp_path / "ood_results.json", report)
    text = (tmp_path / "ood_results.json").read_text()
    assert "NaN" not in text
    rows = json.loads(text)["rows"]
    empty = pick(rows, ood_set="empty", score="max_sigmoid")[0]
    assert empty["auroc"] is None and empty["num_ood"] == 0
    assert 0 < pick(rows, ood_set="near", score="max_sigmoid")[0]["auroc"] <= 1


def test_unknown_source_of_logits(run):
    run.scores = [("mcm", dict(logits="sine"))]
    with pytest.raises(ValueError, match="sine"):
        evaluate_run(run)


def test_the_log_has_the_rule_of_each_preset():
    row = dict(ood_set="near", score="negs", bank="own", control="none", protocol="vos")
    row |= dict(fpr95=0.25, fpr95_closest=0.75, auroc=0.5)
    rows = [
        row | dict(cut_kind="own", preset="own", rule="at_least"),
        row | dict(cut_kind="vos", preset="vos", rule="closest", auroc=0.6),
        row | dict(cut_kind="siren", preset="siren", rule="closest"),
        row | dict(cut_kind="own", preset="own", rule="at_least", control="rotated", fpr95=0.9),
        row | dict(cut_kind="own", preset="own", rule="at_least", bank="other", fpr95=0.8),
    ]
    assert logged_numbers(rows, "vos", ["vos"]) == {
        "near/negs_fpr95": 0.25,
        "near/negs_auroc": 0.5,
        "vos/near/negs_fpr95": 0.75,
        "vos/near/negs_auroc": 0.6,
    }

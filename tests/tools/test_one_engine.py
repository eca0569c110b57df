"""A preset is one number: in a test, in re-scoring, and in whatever is printed of both."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config

from negas.evaluation.ood_metric import OODMetric
from negas.labels.bank import NegativeLabelBank
from negas.metrics import f1_threshold, records_to_coco
from negas.records import BoxRecords
from negas.reports.columns import fpr95_of, score_title
from tests.helpers.commands import call_tool
from tests.helpers.fake_runs import (
    CHANNELS,
    ID_NAMES,
    IMAGES,
    SETS,
    fake_run,
    make_records,
    write_data,
)

PRESETS = ["val_f1", "vos", "matched", "siren", "owod"]
KEY = ("preset", "cut_source", "score", "bank", "control", "ood_set")


def key_of(row):
    return tuple(row[key] for key in KEY)


def predictions(records, image):
    """What a detector with several labels a box says: a prediction for each label over 0.3."""
    rows = np.flatnonzero(records.image_ids == image)
    box, label = np.nonzero(records.id_logits[rows] > np.log(0.3 / 0.7))
    given = rows[box]
    return {
        key: torch.from_numpy(value)
        for key, value in dict(
            bboxes=records.bboxes[given],
            labels=label,
            scores=1 / (1 + np.exp(-records.id_logits[given, label])),
            id_logits=records.id_logits[given],
            neg_logits=records.neg_logits[given],
            embeddings=records.embeddings[given],
            query_inds=box,
        ).items()
    }


def run_test(root, **options):
    """Work dir of a test: boxes of every set go through the metric, image by image."""
    write_data(root / "data")
    rng = np.random.default_rng(5)
    texts = rng.standard_normal((len(ID_NAMES) + 4, CHANNELS)).astype(np.float32)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    words = torch.from_numpy(texts[len(ID_NAMES) :])
    NegativeLabelBank(tuple(ID_NAMES), ("pizza", "stone")).save(root / "wide.json")
    model = SimpleNamespace(
        class_names=ID_NAMES,
        neg_labels=["zebra", "fork"],
        bbox_head=SimpleNamespace(test_cfg=dict(keep_logits=True, keep_embeddings=True)),
        postprocessor=None,
        prompt=None,
        token_reduce=None,
        use_nega=False,
        score_head=dict,  # none
        base_sha256=None,
        text_feats=lambda: (None, words[:2]),
        bank_feats=lambda labels: words[2:],
    )
    banks = dict(wide=str(root / "wide.json"))
    metric = OODMetric(banks=banks, rotations=2, seed=4, plots=False, **options)
    runner = SimpleNamespace(work_dir=str(root / "run"), cfg=Config(dict(model={})), seed=0)
    files = {
        name: SimpleNamespace(
            ann_file=str(root / "data" / f"{name}.json"),
            data_prefix=dict(img=str(root / "data" / name)),
        )
        for name in SETS
    }
    records = {name: make_records(name, root / "data", rng, texts, 2) for name in SETS}
    truth = json.loads((root / "data" / "id.json").read_text())
    second = np.argsort(records["id"].id_logits[::2], axis=1)[:, -2]  # of each first box
    for image in range(0, IMAGES, 5):  # the detector's second label is right
        truth["annotations"][image]["category_id"] = int(second[image]) + 1
    (root / "data" / "id.json").write_text(json.dumps(truth))
    metric.begin_run(model, runner, files)
    for name in SETS:
        metric.begin_set(name)
        for image in range(IMAGES):
            found = predictions(records[name], image)
            metric.process({}, [dict(img_id=image, pred_instances=found)])
        metric.evaluate(IMAGES)
    metric.summarize()
    return root / "run"


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    """A test with four presets and a shared cut, two banks and rotations."""
    scores = ["max_sigmoid", "negs", "neglabel", dict(type="mcm", logits="cosine")]
    root = tmp_path_factory.mktemp("tested")
    return run_test(root, scores=scores, presets=PRESETS, shared_cut=0.45)


def test_rows_of_a_test_are_those_of_scoring_again(tested, tmp_path):
    results = json.loads((tested / "ood_results.json").read_text())
    how = ["--banks", "model", "wide", "--rotations", 2, "--seed", 4, "--bootstrap", 3]
    again = []
    for name, presets in (("presets", PRESETS), ("shared", ["fixed", "matched", "--cut", 0.45])):
        assert call_tool("score", tested, "--preset", *presets, *how, "--out", tmp_path / name) == 0
        (run,) = json.loads((tmp_path / name / "ood_scores.json").read_text())["runs"]
        again += run["rows"]
    again = {key_of(row): row for row in again}
    scores = {row["score"] for row in results["rows"]}
    assert len(results["rows"]) == sum(key[2] in scores for key in again)
    for row in results["rows"]:
        assert row.pop("interval") is None
        other = again[key_of(row)]
        has_interval = row["control"] == "none" and row["num_ood"] > 0
        assert (other.pop("interval") is not None) == has_interval
        assert row == other
    shown = {(row["bank"], row["control"]) for row in results["rows"]}
    assert shown == {("none", "none")} | {
        (bank, control) for bank in ("model", "wide") for control in ("none", "rotated", "no_leaks")
    }


def test_the_cut_of_vos_is_found_once_on_all_detections(tested):
    """The records keep a box's best label only, so a cut found on them is another one."""
    results = json.loads((tested / "ood_results.json").read_text())
    (cut,) = {row["cut"] for row in results["rows"] if row["preset"] == "vos"}
    assert cut == results["cuts"]["test_f1"]["value"] == round(cut, 4)
    records = BoxRecords.load(tested / "records" / "id.npz")
    truth = records.meta["ann_file"]
    assert f1_threshold(truth, records_to_coco(records, truth), vos=True).threshold != cut


# --- whatever is printed shows every preset -------------------------------------------------------
@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A run tested with all presets: its rows by title of the preset, its folder, all outputs."""
    root = tmp_path_factory.mktemp("shown")
    run = fake_run(root / "negas", presets=PRESETS)
    assert call_tool("report", run, "--out", root / "report") == 0
    rows = json.loads((run / "ood_results.json").read_text())["rows"]
    by_preset = {preset: [row for row in rows if row["preset"] == preset] for preset in PRESETS}
    assert all(by_preset.values()) and len(by_preset["vos"]) == len(by_preset["siren"])
    return SimpleNamespace(root=root, rows=by_preset)


def numbers(rows, score, bank, control="none"):
    """FPR95 and AUROC of the sets, as tables print them."""
    found = [r for r in rows if (r["score"], r["bank"], r["control"]) == (score, bank, control)]
    return [f"{100 * value:.1f}" for row in found for value in (fpr95_of(row), row["auroc"])]


def blocks_of(text):
    """Lines of cells by preset, from Markdown whose headings start with ``### preset: ``."""
    found = {}
    for part in text.split("### ")[1:]:
        title, *lines = part.splitlines()
        cells = [[c.strip(" *") for c in line.split("|")[1:-1]] for line in lines if "|" in line]
        kept = [i for i, heading in enumerate(cells[0]) if heading != "interval"] if cells else []
        cells = [[row[i] for i in kept if i < len(row)] for row in cells]
        found[title.partition(":")[0]] = cells
    return found


def test_report_shows_every_preset(shown):
    blocks = blocks_of((shown.root / "report" / "report.md").read_text())
    tables = json.loads((shown.root / "report" / "report.json").read_text())["tables"]
    for preset, rows in shown.rows.items():
        (banks,) = [
            t for t in tables if "Label banks" in t["title"] and f" {preset}: " in t["title"]
        ]
        assert [section["title"] for section in banks["sections"]][0] == "no negatives"
        (table,) = [t for t in tables if t["title"].startswith(f"{preset}: ")]
        for score, bank in {(r["score"], r["bank"]) for r in rows if r["bank"] != "oracle"}:
            expected = numbers(rows, score, bank)
            assert [score_title(score), *expected] in [cells[:5] for cells in blocks[preset]]
            made = [r for s in table["sections"] for r in s["rows"]]
            (values,) = [r["values"] for r in made if r["label"] == score_title(score)]
            keys = [f"{name}/{key}" for name in ("near", "far") for key in ("fpr95", "auroc")]
            assert [f"{100 * values[key]['mean']:.1f}" for key in keys] == expected
            for control, title in (("rotated", "rotated"), ("no_leaks", "without leaks")):
                turned = numbers(rows, score, bank, control)
                labels = {cells[0]: cells[1:5] for cells in blocks[preset]}
                got = labels.get(f"{score_title(score)}, {title}", [])
                assert [cell.split(" ")[0] for cell in got if cell] == turned

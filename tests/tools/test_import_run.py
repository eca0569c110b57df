"""A run of any detector's output: the numbers of COCOeval, and every command that reads runs."""

import contextlib
import io
import json
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from negas.evaluation.run import Run
from negas.evaluation.write_run import write_run
from negas.metrics import ood_metrics
from negas.records import BoxRecords
from tests.helpers.commands import call_tool, tool_said
from tests.helpers.fake_runs import ID_NAMES, IMAGES, SETS, fake_run, write_data
from tests.helpers.yolo_world import ROOT


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """COCO jsons of ID, ID validation and two OOD sets, and results of a detector on them."""
    root = tmp_path_factory.mktemp("data")
    write_data(root)
    rng = np.random.default_rng(0)
    for name in SETS:
        results = []
        for image in range(IMAGES):
            for _ in range(4):
                jitter = rng.normal(0, 3, 4)
                sure = 0.35 if name in ("near", "far") else 0.6
                right = image % len(ID_NAMES) + 1
                results.append(
                    dict(
                        image_id=image,
                        category_id=right if rng.random() < 0.8 else int(rng.integers(1, 4)),
                        bbox=(np.array([10, 12, 20, 28]) + jitter).round(3).tolist(),
                        score=float(np.clip(rng.normal(sure, 0.2), 0.01, 0.99).round(5)),
                    )
                )
        (root / f"{name}_results.json").write_text(json.dumps(results))
    return root


def options(data, sets=SETS):
    return [
        *("--results", *(f"{name}={data}/{name}_results.json" for name in sets)),
        *("--ann", *(f"{name}={data}/{name}.json" for name in sets)),
        *("--img", *(f"{name}={data}/{name}" for name in sets)),
    ]


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "yolo"
    assert call_tool("import_run", out, *options(data)) == 0
    return out


def test_ap_is_that_of_cocoeval(run, data):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(data / "id.json"))
        evaluation = COCOeval(truth, truth.loadRes(str(data / "id_results.json")), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    found = Run.load(run).results["map"]
    assert 0.1 < evaluation.stats[0] < 0.9
    for key, want in zip(("coco_ap", "coco_ap50", "coco_ap75"), evaluation.stats[:3], strict=True):
        assert found[key] == pytest.approx(want, abs=1e-12)


def test_rows_are_those_of_the_confidences(run, data):
    loaded = Run.load(run)
    cut = loaded.results["cuts"]["run"]
    assert cut["source"] == "id_val" and 0 < cut["value"] < 1
    (row,) = [r for r in loaded.tested_rows if (r["preset"], r["ood_set"]) == ("val_f1", "near")]
    assert (row["score"], row["bank"]) == ("max_sigmoid", "none")
    kept = {}
    for name in ("id", "near"):
        scores = [r["score"] for r in json.loads((data / f"{name}_results.json").read_text())]
        kept[name] = np.array([s for s in scores if np.float32(s) >= np.float32(cut["value"])])
    want = ood_metrics(kept["id"], kept["near"])
    for key in ("auroc", "fpr95", "fpr95_out", "num_id", "num_ood"):
        assert row[key] == pytest.approx(getattr(want, key), abs=1e-12)
    assert {r["preset"] for r in loaded.tested_rows} == {"val_f1", "matched", "objects"}


def test_every_command_reads_it(run, tmp_path, capsys):
    code, said, _ = tool_said(capsys, "score", run, "--bootstrap", 10, "--open-set")
    assert code == 0 and "yolo; val_f1" in said and "max sigmoid" in said and "A-OSE" in said
    code, again, _ = tool_said(capsys, "score", run / "records", "--bootstrap", 0)
    assert code == 0 and "max sigmoid" in again
    code, said, _ = tool_said(capsys, "report", run, "--out", tmp_path)
    assert code == 0 and "yolo" in said and (tmp_path / "report.md").is_file()
    code, said, _ = tool_said(capsys, "compare", run)
    assert code == 0 and "yolo" in said
    code, said, _ = tool_said(capsys, "html_report", run, "--out", tmp_path / "page.html")
    assert code == 0 and "data:image/jpeg" in (tmp_path / "page.html").read_text()


def test_bare_records_without_results_are_scored_alike(run, tmp_path):
    for name in ("id", "id_val", "near", "far"):
        Run.load(run).records[name].save(tmp_path / "mine" / f"{name}.npz")
    bare, whole = Run.load(tmp_path / "mine"), Run.load(run)
    for preset in ("val_f1", "matched"):
        found = [sorted(r.rows(preset), key=lambda row: row["ood_set"]) for r in (bare, whole)]
        assert found[0] == found[1]


def test_scores_of_logits_say_what_they_lack(run, capsys):
    code, _, said = tool_said(capsys, "score", run, "--scores", "energy")
    assert code == 2 and "the score 'energy' needs ID logits [N, K], and these records" in said
    code, _, said = tool_said(capsys, "score", run, "--preset", "siren")
    assert code == 2 and "(siren) needs ID logits" in said


def with_logits(data, name, rng):
    results = json.loads((data / f"{name}_results.json").read_text())
    detections = []
    for image in range(IMAGES):
        mine = [r for r in results if r["image_id"] == image]
        logits = rng.normal(-2, 1, (len(mine), 3))
        labels = np.array([r["category_id"] - 1 for r in mine])
        boxes = np.array([r["bbox"] for r in mine])
        boxes[:, 2:] += boxes[:, :2]
        scores = np.array([r["score"] for r in mine])
        logits[np.arange(len(mine)), labels] = np.log(scores / (1 - scores))
        found = dict(image_id=f"{image}.png", bboxes=boxes, labels=labels, scores=scores)
        detections.append(
            found | dict(id_logits=logits, neg_logits=rng.normal(-2, 1, logits.shape))
        )
    words = ["zebra", "fork", "cloud"]
    how = dict(neg_labels=words, ann_file=data / f"{name}.json", img_dir=data / name)
    return BoxRecords.from_detections(detections, ID_NAMES, **how)


def test_logits_and_negatives_give_all_scores(data, run, tmp_path):
    rng = np.random.default_rng(1)
    records = {name: with_logits(data, name, rng) for name in ("id", "near")}
    made = write_run(tmp_path / "mine", records, ["val_f1", "vos"])
    scores = {row["score"] for row in made.tested_rows}
    assert {"max_sigmoid", "energy", "negs", "neglabel"} <= scores
    assert made.results["banks"]["model"]["leakage"]["near"]["leaks"] == ["zebra"]
    assert made.results["cuts"]["run"]["source"] == "id_test"  # there is no ID validation
    assert made.results["map"] == pytest.approx(Run.load(run).results["map"])
    controls = {row["control"] for row in made.tested_rows if row["score"] == "negs"}
    assert controls == {"none", "no_leaks"}


def test_embeddings_bring_the_rotated_bank(run, tmp_path):
    rng = np.random.default_rng(2)
    texts = rng.normal(size=(6, 8)).astype(np.float32)
    records = {}
    for name in ("id", "near"):
        plain = Run.load(run).records[name]
        embeddings = rng.normal(size=(len(plain), 9)).astype(np.float32)
        logits = embeddings[:, :-1] @ texts.T + embeddings[:, -1:]
        meta = plain.meta | dict(neg_labels=["a", "b", "c"])
        more = dict(neg_logits=logits[:, 3:], embeddings=embeddings, meta=meta)
        records[name] = replace(plain, id_logits=logits[:, :3], **more)
    with pytest.raises(ValueError, match="the set 'id': embeddings.* are not its neg_logits"):
        write_run(tmp_path / "mine", records, neg_text_feats=2 * texts[3:])
    made = write_run(tmp_path / "mine", records, neg_text_feats=texts[3:])
    rotated = [row for row in made.tested_rows if row["control"] == "rotated"]
    assert {row["draws"] for row in rotated} == {5} and "negs" in {row["score"] for row in rotated}
    np.testing.assert_array_equal(made.feats["model"], texts[3:])


def test_the_example_of_the_page_works(data, tmp_path, monkeypatch):
    page = (ROOT / "docs/own_detector.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    for name in ("id", "near"):
        shutil.copy(data / f"{name}.json", tmp_path)
    monkeypatch.chdir(tmp_path)

    def predict(folder, conf, stream):
        rng = np.random.default_rng(len(folder))
        for i in range(IMAGES):
            boxes = torch.tensor([[10.0, 12, 30, 40], [1, 1, 9, 9]])
            sure = torch.tensor(rng.uniform(0.3, 0.9, 2))
            found = dict(xyxy=boxes, conf=sure, cls=torch.tensor([i % 3, 0.0]))
            names = dict(enumerate(ID_NAMES))
            path = f"/somewhere/{folder}/{i}.png"
            yield SimpleNamespace(boxes=SimpleNamespace(**found), names=names, path=path)

    there = dict(model=SimpleNamespace(predict=predict))
    exec(code, there)  # noqa: S102
    run = there["run"]
    assert run.sets == ["id", "near"] and run.results["map"]["coco_ap50"] > 0.5
    assert run.records["near"].meta["img_dir"] == "images/near"


def test_what_is_refused_before_anything_is_written(data, run, tmp_path, capsys):
    def refused(*arguments):
        code, _, said = tool_said(capsys, "import_run", tmp_path / "out", *arguments)
        assert code == 2 and len(said.splitlines()) == 2
        return said

    plain = options(data, ["id", "near"])
    assert "the set 'id' and at least one OOD set" in refused(*options(data, ["id"]))
    assert "--results: the set 'id' is missing" in refused(*options(data, ["near"]))
    assert "--ann: the set 'near' is missing; give --ann near=FILE" in refused(
        *plain[:3], "--ann", f"id={data}/id.json"
    )
    assert "lost.json" in refused(*plain[:3], "--ann", f"id={data}/id.json", "near=lost.json")
    assert "there is no preset 'voc'" in refused(*plain, "--preset", "voc")
    assert "'fixed' has no confidence cut of its own" in refused(*plain, "--preset", "fixed")
    assert "has no category 'cow'" in refused(*plain, "--classes", "cow")
    assert "below the least confidence in its records (0.99" in refused(*plain, "--min-score", 0.99)
    assert not (tmp_path / "out" / "ood_results.json").exists()
    assert not (tmp_path / "out" / "records").exists()


def test_a_run_of_a_test_is_not_replaced(data, run, tmp_path, capsys):
    tested = fake_run(tmp_path / "tested")
    before = (tested / "ood_results.json").read_bytes()
    code, _, said = tool_said(capsys, "import_run", tested, *options(data, ["id", "near"]))
    assert code == 2 and "holds the results of a test; name another folder" in said
    assert (tested / "ood_results.json").read_bytes() == before
    for _ in range(2):  # its own it replaces
        assert call_tool("import_run", tmp_path / "new", *options(data, ["id", "near"])) == 0
    sets = Run.load(tmp_path / "new").sets
    assert sets == ["id", "near"]
    more = options(data, ["id", "far"])
    assert call_tool("import_run", tested, *more, "--overwrite") == 0
    assert Run.load(tested).sets == ["id", "far"]

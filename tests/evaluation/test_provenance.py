"""The description of results: complete in what we write, ``None`` where a file is silent."""

import copy

import numpy as np

from negas.evaluation import provenance
from negas.evaluation.provenance import (
    KEYS,
    complete,
    describe_bank,
    describe_postprocessing,
    describe_sets,
    missing_keys,
    package_versions,
)
from negas.records import BoxRecords

SHORT = dict(
    run=dict(config="x.py", seed=3, max_per_img=50),
    sets=dict(id=dict(images=2, boxes=5)),
    banks=dict(model=dict(size=1, labels=["fox"])),
    map=dict(coco_ap=0.5),
    rows=[dict(score="negs", auroc=0.9)],
)


def test_a_description_is_completed_without_inventing():
    before = copy.deepcopy(SHORT)
    made = complete(SHORT)
    assert missing_keys(made) == [] and before == SHORT
    assert made["run"]["nms"] == dict(type=None, iou_threshold=None, class_agnostic=None)
    assert made["run"]["max_per_img"] == 50 and made["run"]["multi_label"] is None
    assert made["seeds"] == dict(run=3, rotations=None)
    assert made["banks"]["model"]["name"] == "model" and made["banks"]["model"]["sha256"] is None
    assert made["rows"][0]["tpr"] is None and made["rows"][0]["auroc"] == 0.9


def test_every_key_that_lacks_is_named():
    lost = missing_keys(SHORT)
    assert {"run.config_sha256", "run.nms", "seeds", "sets.*.ann_sha256", "rows.*.tpr"} <= {*lost}
    assert "map.voc07_ap50" in lost and "run.config" not in lost
    assert missing_keys({}) == [path for path in KEYS if path != "banks.*"]
    full = complete(SHORT)
    for path in ("run", "seeds", "map"):
        for key in KEYS[path]:
            part = dict(full[path])
            del part[key]
            assert any(
                each.startswith(f"{path}.{key}") for each in missing_keys({**full, path: part})
            )


def test_post_processing_with_and_without_nms():
    with_nms = describe_postprocessing(dict(nms=dict(type="nms", iou_threshold=0.7)))
    assert with_nms["nms"] == dict(type="nms", iou_threshold=0.7, class_agnostic=False)
    without = describe_postprocessing(dict(max_per_img=300))
    assert without["nms"] == dict(type="none", iou_threshold=None, class_agnostic=None)


def test_checksums_of_files_that_are_there(tmp_path):
    file = tmp_path / "a.json"
    file.write_text("abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert describe_bank("model", ["fox"], str(file))["sha256"] == known
    assert describe_bank("model", ["fox"], None)["sha256"] is None
    records = BoxRecords(
        image_ids=[1],
        bboxes=[[0, 0, 1, 1]],
        labels=[0],
        scores=[0.5],
        id_logits=np.zeros((1, 1)),
        images=[1, 2],
        meta=dict(ann_file="lost.json"),
    )
    lost = describe_sets(dict(id=records))["id"]
    assert lost == dict(images=2, boxes=1, ann_file="lost.json", ann_sha256=None)
    assert describe_sets(dict(id=records), dict(id=str(file)))["id"]["ann_sha256"] == known


def test_versions_name_a_stand_in_for_mmcv(monkeypatch):
    assert all(package_versions().values())
    installed = {"mmcv-lite": "2.0.1", "torch": "2.9"}
    monkeypatch.setattr(provenance, "installed", installed.get)
    found = package_versions()
    assert found["mmcv"] == "2.0.1 (lite)" and found["mmdet"] is None and found["torch"] == "2.9"

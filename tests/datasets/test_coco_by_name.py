"""Labels follow the class names; OOD sets keep every image."""

import json
import random

import numpy as np
import pytest
from mmengine.registry import DATASETS, METRICS, DefaultScope

import negas.register  # noqa: F401

KIND = "CocoByNameDataset"
METRIC = "CocoByNameMetric"
NAMES = ["person", "traffic light", "cat", "tv"]


@pytest.fixture
def shuffled(tmp_path):
    """A json whose categories are in another order than NAMES, with odd ids and one more name."""
    ids = dict(zip([*NAMES, "zebra"], [40, 7, 23, 1, 12], strict=True))
    categories = [dict(id=number, name=name) for name, number in ids.items()]
    random.Random(1).shuffle(categories)
    assert [c["name"] for c in categories if c["name"] in NAMES] != NAMES
    images = [dict(id=f"00{i}", file_name=f"{i}.jpg", width=64, height=64) for i in range(6)]
    annotations = [
        dict(
            id=i + 1,
            image_id=f"00{i}",
            category_id=ids[name],
            bbox=[8 * i, 0, 16, 16],
            area=256,
            iscrowd=0,
        )
        for i, name in enumerate([*NAMES, "zebra"])  # the sixth image is empty
    ]
    path = tmp_path / "shuffled.json"
    path.write_text(json.dumps(dict(images=images, annotations=annotations, categories=categories)))
    return path


def dataset(path, names=NAMES, kind=KIND, **options):
    return DATASETS.build(
        dict(
            type=kind,
            metainfo=dict(classes=names),
            ann_file=str(path),
            data_prefix=dict(img="images"),
            pipeline=[],
            **options,
        )
    )


def labels(data):
    return {
        data.get_data_info(i)["img_id"]: [box["bbox_label"] for box in data[i]["instances"]]
        for i in range(len(data))
    }


@pytest.mark.parametrize("scope", ["mmdet", "mmyolo", "mmengine"])
def test_label_k_is_the_kth_name(shuffled, scope):
    with DefaultScope.overwrite_default_scope(scope):
        data = dataset(shuffled, test_mode=True)
    assert data.metainfo["classes"] == NAMES
    expected = {"000": [0], "001": [1], "002": [2], "003": [3], "004": [], "005": []}
    assert labels(data) == expected


def test_mmdetections_own_follows_the_json(shuffled):
    found = labels(dataset(shuffled, kind="mmdet.CocoDataset", test_mode=True))
    assert [found[f"00{i}"] for i in range(4)] != [[0], [1], [2], [3]]


def test_a_name_that_the_json_lacks_moves_no_other(shuffled):
    data = dataset(shuffled, names=["pedestrian", *NAMES], test_mode=True)
    assert [labels(data)[f"00{i}"] for i in range(4)] == [[1], [2], [3], [4]]


def test_test_mode_keeps_empty_images_and_training_can_drop_them(shuffled):
    drop = dict(filter_cfg=dict(filter_empty_gt=True))
    assert len(dataset(shuffled, test_mode=True, **drop)) == 6
    # the image of a zebra shows no class
    assert len(dataset(shuffled, **drop)) == 4
    assert len(dataset(shuffled, filter_cfg=dict(filter_empty_gt=False))) == 6


def perfect(count):
    """Detections that are the ground truth, as MMDetection's metric keeps them."""
    return [
        (
            dict(img_id=f"00{i}"),
            dict(
                img_id=f"00{i}",
                bboxes=np.array([[8.0 * i, 0, 8 * i + 16, 16]][: int(i < count)]).reshape(-1, 4),
                labels=np.array([i][: int(i < count)], dtype=int),
                scores=np.array([0.9][: int(i < count)]),
            ),
        )
        for i in range(6)
    ]


@pytest.mark.parametrize(("kind", "ap"), [(METRIC, 1.0), ("mmdet.CocoMetric", 0.0)])
def test_the_metric_reads_labels_by_name_too(shuffled, kind, ap):
    metric = METRICS.build(dict(type=kind, ann_file=str(shuffled), metric="bbox"))
    metric.dataset_meta = dict(classes=NAMES)
    found = metric.compute_metrics(perfect(4))
    assert found["bbox_mAP"] == pytest.approx(ap, abs=1e-3)


def test_the_metric_refuses_a_class_that_is_no_category(shuffled):
    metric = METRICS.build(dict(type=METRIC, ann_file=str(shuffled), metric="bbox"))
    metric.dataset_meta = dict(classes=[*NAMES, "pedestrian"])
    with pytest.raises(ValueError, match="'pedestrian' is no category"):
        metric.compute_metrics(perfect(4))

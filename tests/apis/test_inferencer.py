"""The Inferencer on EmojiWorld's shipped detector: results, verdicts, labels at run time."""

import dataclasses
import json

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from negas.apis import Inferencer
from negas.apis.calibration import Calibration, default_path, identity
from negas.apis.labels import read_negatives
from negas.cli import load_config
from negas.models.base import detector_class
from negas.visualization import visualizer
from negas.visualization.boxes import KNOWN, UNKNOWN
from tests.helpers.shipped_emoji import CONFIG, WEIGHTS, copy_weights, draw_scenes

pytestmark = pytest.mark.usefixtures("in_root")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return draw_scenes(tmp_path_factory.mktemp("scenes"), 6) / "id_val"


@pytest.fixture(scope="module")
def plain():
    """The detector without a calibration."""
    return Inferencer(CONFIG, WEIGHTS, device="cpu", show_progress=False)


@pytest.fixture(scope="module")
def calibration(plain, images):
    """One that makes about half of the boxes unknown."""
    found = plain(str(images), pred_score_thr=0.25)["predictions"]
    scores = np.concatenate([one.id_score for one in found])
    assert len(scores) > 6
    return Calibration(
        cut=0.25,
        tau=float(np.median(scores)),
        wanted_tpr=0.5,
        reached_tpr=0.5,
        counts=dict(images=6, detections=len(scores)),
        fitted_for=identity(plain.model, WEIGHTS),
        source={},
    )


@pytest.fixture(scope="module")
def judge(calibration):
    return Inferencer(CONFIG, WEIGHTS, "cpu", calibration=calibration, show_progress=False)


def test_boxes_without_a_calibration_have_scores_but_no_verdict(plain, images):
    found = plain(str(images))["predictions"]
    assert len(found) == 6
    for one in found:
        assert len(one.boxes) == len(one.id_score) == len(one.labels)
        assert one.known.tolist() == [None] * len(one)
        assert all(score >= 0.3 for score in one.confidence)


def test_verdicts_follow_tau_and_the_cut(judge, calibration, images):
    found = judge(str(images))["predictions"]
    verdicts = [verdict for one in found for verdict in one.known]
    assert {True, False} == set(verdicts)
    for one in found:
        assert min(one.confidence, default=1) >= calibration.cut
        for score, known in zip(one.id_score, one.known, strict=True):
            if abs(score - calibration.tau) > 1e-6:
                assert known == (score > calibration.tau)


def test_a_box_has_one_label_also_after_multi_label_post_processing(images):
    cfg = load_config(CONFIG)
    cfg.model.test_cfg.update(multi_label=True, score_thr=0.01)
    cfg.model.test_cfg.nms.update(class_agnostic=False)
    many = Inferencer(cfg, WEIGHTS, "cpu", calibration=None, show_progress=False)
    scene = many.pipeline(cv2.imread(str(sorted(images.glob("*.png"))[1])))
    raw = many.model.test_step(many.collate_fn([scene]))[0].pred_instances
    assert 0 < len(raw.prior_inds.unique()) < len(raw)
    for one in many(str(images), pred_score_thr=0.01)["predictions"]:
        boxes = [tuple(box) for box in one.boxes]
        assert len(boxes) > 1 and len(set(boxes)) == len(boxes)


def test_a_picture_of_nothing_is_fine(judge, tmp_path):
    red = np.full((50, 70, 3), (10, 20, 200), np.uint8)  # BGR
    result = judge(red, out_dir=tmp_path, pred_score_thr=1, return_vis=True)
    assert len(result["predictions"][0]) == 0
    assert json.loads((tmp_path / "predictions.json").read_text())["annotations"] == []
    assert [file.name for file in (tmp_path / "vis").iterdir()] == ["00000000.png"]
    painted = np.asarray(Image.open(tmp_path / "vis/00000000.png"))
    assert (painted == (200, 20, 10)).all() and (painted == result["visualization"][0]).all()


def test_arrays_lists_and_batches_give_the_same_boxes(judge, images):
    files = sorted(images.glob("*.png"))
    arrays = [cv2.imread(str(file)) for file in files]
    one_by_one = judge([str(file) for file in files])["predictions"]
    batched = judge(arrays, batch_size=4)["predictions"]
    for a, b in zip(one_by_one, batched, strict=True):
        assert a.names.tolist() == b.names.tolist()
        np.testing.assert_allclose(a.boxes, b.boxes, atol=1e-2)
        np.testing.assert_allclose(a.id_score, b.id_score, atol=1e-4)


def test_results_are_coco_json_with_verdicts(judge, images, tmp_path):
    found = judge(str(images), out_dir=tmp_path, batch_size=3)["predictions"]
    data = json.loads((tmp_path / "predictions.json").read_text())
    coco = COCO(tmp_path / "predictions.json")
    assert len(coco.imgs) == 6 and len(coco.cats) == 19
    assert data["info"]["tau"] == judge.calibration.tau and data["info"]["complete"]
    for image, one in zip(data["images"], found, strict=True):
        rows = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
        assert image["file_name"] == one.file_name and image["width"] == 160
        assert [row["known"] for row in rows] == one.known.tolist()
        assert [row["id_score"] for row in rows] == one.id_score.tolist()
        assert [coco.cats[row["category_id"]]["name"] for row in rows] == one.names.tolist()
        assert [row["label"] for row in rows] == one.names.tolist()
        negatives = [row["unknown_like"] for row in rows]
        assert negatives == one.unknown_like.tolist() and {*negatives} <= {*judge.model.neg_labels}
        for row, box in zip(rows, one.boxes, strict=True):
            x, y, w, h = row["bbox"]
            np.testing.assert_allclose([x, y, x + w, y + h], box, rtol=1e-6)


def test_known_and_unknown_boxes_are_painted_apart(judge, images, tmp_path):
    result = judge(str(images), out_dir=tmp_path, return_vis=True)
    for file, one, drawn in zip(
        sorted((tmp_path / "vis").iterdir()),
        result["predictions"],
        result["visualization"],
        strict=True,
    ):
        pixels = np.asarray(Image.open(file).convert("RGB"))
        assert pixels.shape == (320, 320, 3) and (pixels == drawn).all()
        for colour, verdict in ((KNOWN, True), (UNKNOWN, False)):
            painted = (pixels == colour).all(2).sum() > 50
            assert painted == (verdict in one.known)


def test_captions_name_the_class_of_known_boxes_alone(judge, images, monkeypatch):
    drawn = []

    def spy(image, boxes, known, captions, scale):
        drawn.append((known, captions))
        return image

    monkeypatch.setattr(visualizer, "draw_scene", spy)
    found = judge(str(images), return_vis=True)["predictions"]
    for one, (known, captions) in zip(found, drawn, strict=True):
        assert known == one.known.tolist()
        rows = zip(one.known, one.names, one.id_score, strict=True)
        assert captions == [
            f"{name if known else 'unknown'} {score:.2f}" for known, name, score in rows
        ]


def test_a_video_gives_a_painted_video_and_numbered_frames(judge, images, tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 4, (160, 160))
    for file in sorted(images.glob("*.png"))[:3]:
        writer.write(cv2.imread(str(file)))
    writer.release()
    found = judge(path, out_dir=tmp_path / "out", batch_size=2)["predictions"]
    assert [one.frame for one in found] == [0, 1, 2]
    data = json.loads((tmp_path / "out/predictions.json").read_text())
    assert [image["frame"] for image in data["images"]] == [0, 1, 2]
    video = cv2.VideoCapture(str(tmp_path / "out/vis/clip.mp4"))
    assert video.get(cv2.CAP_PROP_FPS) == 4
    frames = 0
    while (read := video.read())[0]:
        frames += 1
        assert read[1].shape == (320, 320, 3)
    assert frames == 3


def test_videos_of_one_name_are_painted_apart(judge, images, tmp_path):
    frame = cv2.imread(str(sorted(images.glob("*.png"))[0]))
    for name, count in (("clip.avi", 1), ("clip.mov", 2)):
        writer = cv2.VideoWriter(
            str(tmp_path / name), cv2.VideoWriter_fourcc(*"MJPG"), 4, (160, 160)
        )
        for _ in range(count):
            writer.write(frame)
        writer.release()
    judge(tmp_path, out_dir=tmp_path / "out")
    lengths = {
        path.name: cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT)
        for path in (tmp_path / "out/vis").iterdir()
    }
    assert lengths == {"clip.mp4": 1, "clip.mov.mp4": 2}


def test_unreadable_files_are_listed_and_the_rest_is_judged(judge, images, tmp_path):
    good = sorted(images.glob("*.png"))[0]
    bad = tmp_path / "bad.png"
    bad.write_bytes(good.read_bytes()[:500])
    result = judge([bad, good, tmp_path / "lost.png"], batch_size=2)
    assert len(result["predictions"]) == 1
    assert [entry["path"] for entry in result["unreadable"]] == [str(bad), f"{tmp_path}/lost.png"]
    with pytest.raises(ValueError, match="no input can be read .1 tried.; .*bad.png'"):
        judge(str(bad))


def test_what_was_done_before_an_interruption_is_kept(judge, images, tmp_path, monkeypatch):
    whole, calls = judge.model.test_step, []

    def failing(data):
        calls.append(1)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return whole(data)

    monkeypatch.setattr(judge.model, "test_step", failing)
    with pytest.raises(KeyboardInterrupt):
        judge(str(images), out_dir=tmp_path)
    data = json.loads((tmp_path / "predictions.json").read_text())
    assert len(data["images"]) == 2 and data["info"]["complete"] is False


def test_the_calibration_beside_the_checkpoint_is_found(calibration, tmp_path):
    weights = copy_weights(tmp_path)
    calibration.save(default_path(weights))
    found = Inferencer(CONFIG, weights, "cpu", show_progress=False)
    assert found.calibration == calibration and found.threshold == 0.25
    assert found.model.postprocessor.tau == calibration.tau
    # another checkpoint in its place: refused; other labels by choice: no verdict
    other = dict(calibration.fitted_for, checkpoint_sha256="b" * 64)
    dataclasses.replace(calibration, fitted_for=other).save(default_path(weights))
    with pytest.raises(ValueError, match="was fitted for another checkpoint"):
        Inferencer(CONFIG, weights, "cpu")
    chosen = Inferencer(CONFIG, weights, "cpu", negatives=["fox", "wolf"])
    assert chosen.calibration is None and chosen.model.postprocessor.tau is None
    with pytest.raises(ValueError, match="was fitted for another"):
        Inferencer(CONFIG, weights, "cpu", negatives=["fox"], calibration=default_path(weights))


@pytest.mark.parametrize("given", [dict(negatives=["fox"]), dict(classes=["dog", "cat"])])
def test_a_tau_of_the_config_is_not_for_other_labels(given, tmp_path):
    weights, cfg = copy_weights(tmp_path), load_config(str(CONFIG))
    cfg.model.postprocessor.tau = 0.12
    options = dict(negatives=["fox"]) | given
    assert Inferencer(cfg.copy(), weights, "cpu").model.postprocessor.tau == 0.12
    assert Inferencer(cfg, weights, "cpu", **options).model.postprocessor.tau is None


def test_labels_can_be_given_at_run_time(images):
    names = ["dog", "cat", "sailing boat"]
    own = Inferencer(
        CONFIG, WEIGHTS, "cpu", classes=names, negatives=["fox", "goat"], show_progress=False
    )
    found = own(str(images), pred_score_thr=0.05)["predictions"]
    assert set().union(*(one.names for one in found)) <= set(names)
    assert own.model.neg_labels == ("fox", "goat")
    assert any(map(len, found))


def config_with(**model):
    cfg = load_config(CONFIG)
    cfg.model.update(model)
    return cfg


def set_labels(cfg, *labels, **more):
    detector_class(cfg.model).set_labels(cfg.model, *labels, **more)


def test_labels_are_put_into_the_config(tmp_path):
    cfg = config_with()
    set_labels(cfg, ["cat", "dog"], [])
    assert cfg.model.class_names == ["cat", "dog"] and not cfg.model.neg_labels
    assert cfg.model.postprocessor.score == "max_sigmoid" and cfg.model.use_nega is False
    words = tmp_path / "words.txt"
    words.write_text("fox\nwolf\n")
    set_labels(cfg, negatives=str(words))
    assert cfg.model.neg_labels == ["fox", "wolf"]
    assert read_negatives(["none"]) == [] and read_negatives(None) is None
    assert read_negatives(["a, b", "c"]) == ["a", "b", "c"]
    assert read_negatives(["bank.json"]) == "bank.json"


@pytest.mark.parametrize(
    ("model", "classes", "negatives", "message"),
    [
        ({}, ["cat", "dog"], None, "give negatives for yours"),
        ({}, ["cat", "cat"], [], "'cat' stands there twice"),
        ({}, [], [], "no names"),
        ({}, None, "data/labels/voc.json", "made for other ID labels"),
        (dict(type="YOLOWorldDetector"), None, ["fox"], "takes no negative labels"),
    ],
)
def test_labels_that_do_not_fit_are_refused(model, classes, negatives, message):
    with pytest.raises(ValueError, match=message):
        set_labels(config_with(**model), classes, negatives)


def test_a_missing_checkpoint_is_named():
    with pytest.raises(FileNotFoundError, match="'none.pth' does not exist"):
        Inferencer(CONFIG, "none.pth")

"""Inferencer, calibration and attention pictures take Grounding DINO as they take YOLO-World."""

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from negas.apis import Inferencer
from negas.apis.attention import attention_maps
from negas.apis.calibration import default_path
from negas.apis.fit import calibrate, validation_loader
from negas.models.grounding_dino import detector
from negas.models.interface import UnfitImageError
from tests.helpers.tiny_coco import EMOJI_GROUNDING_DINO, emoji_project


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    emoji_project(folder, count=2, base=EMOJI_GROUNDING_DINO)
    return folder


@pytest.fixture(scope="module")
def cfg(project):
    return Config.fromfile(project / "mine.py")


@pytest.fixture(scope="module")
def fitted(cfg, project):
    calibration = calibrate(cfg, project / "base.pth", tpr=0.8, cut=0.02, device="cpu")
    calibration.save(default_path(project / "base.pth"))
    return calibration


@pytest.fixture(scope="module")
def judge(cfg, project, fitted):
    return Inferencer(cfg, project / "base.pth", "cpu", show_progress=False, unknown=False)


def validation_images(cfg):
    dataset = validation_loader(cfg)["dataset"]
    return f"{dataset['data_root']}/{dataset['data_prefix']['img']}"


def test_verdicts_on_the_images_of_the_fit_are_those_of_the_fit(judge, cfg, fitted):
    assert judge.calibration == fitted and fitted.fitted_for["token_reduce"] == "mean"
    found = judge(validation_images(cfg))["predictions"]
    known = np.concatenate([one.known for one in found])
    assert len(known) == fitted.counts["detections"] > 10
    assert known.mean() == pytest.approx(fitted.reached_tpr) and 0.8 <= known.mean() < 1


def test_pictures_of_a_batch_do_not_mix(judge):
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (60, 90, 3), dtype=np.uint8)
    pictures = [small, small[:, ::-1], cv2.resize(small, (200, 300)), small]
    alone = [judge(one)["predictions"][0] for one in pictures]
    together = judge(pictures, batch_size=3)["predictions"]
    for one, other, picture in zip(alone, together, pictures, strict=True):
        boxes = other.boxes
        assert len(boxes) == len(one) > 0
        assert (boxes.min() >= 0) and (boxes.max(0)[2:] <= picture.shape[1::-1]).all()
        np.testing.assert_allclose(boxes, one.boxes, atol=0.1)
        np.testing.assert_allclose(other.id_score, one.id_score, atol=1e-3)


def test_a_picture_that_the_model_cannot_take_does_not_end_the_run(judge, monkeypatch):
    def refuse_strips(feats, samples, num_queries):
        height, width = samples[0].ori_shape
        if width > 20 * height:
            raise UnfitImageError(f"{width}x{height} is a strip")

    monkeypatch.setattr(detector, "check_places", refuse_strips)
    rng = np.random.default_rng(0)
    strip, normal = (rng.integers(0, 256, (h, 300, 3), dtype=np.uint8) for h in (9, 200))
    found = judge([normal, strip, normal])
    assert [one.file_name for one in found["predictions"]] == ["00000000.png", "00000002.png"]
    (left_out,) = found["unreadable"]
    assert left_out["path"] == "00000001.png" and "300x9 is a strip" in left_out["reason"]
    with pytest.raises(ValueError, match="no input can be read .* is a strip"):
        judge([strip])


def test_files_are_decoded_as_the_configs_pipeline_does(cfg, project, judge):
    assert judge.decoder is None
    changed = cfg.copy()
    changed.test_dataloader.dataset.pipeline[0].imdecode_backend = "pillow"
    assert Inferencer(changed, project / "base.pth", "cpu").decoder == "pillow"


def test_labels_at_run_time_and_the_calibration_of_others(cfg, project, judge):
    own = Inferencer(
        cfg, project / "base.pth", "cpu", ["cat", "dog"], ["hot dog"], show_progress=False
    )
    assert own.calibration is None and own.model.neg_labels == ("hot dog",)
    found = own(np.zeros((60, 90, 3), np.uint8), pred_score_thr=0)["predictions"][0]
    assert {*found.names} == {"cat", "dog"} and {*found.known} == {None}
    changed = cfg.copy()
    changed.model.token_reduce = "max"
    with pytest.raises(ValueError, match="another reduction of tokens"):
        Inferencer(changed, project / "base.pth", "cpu")


def test_attention_lies_on_the_image(judge):
    image = np.zeros((50, 90, 3), np.uint8)  # 53 x 96 for the network, no multiple of its strides
    maps = attention_maps(judge, image, "all")
    keys = [(one.branch, one.path, one.level) for one in maps]
    assert len(keys) == len(set(keys)) == 2 * 2 * 3
    for one in maps:
        assert one.on_image().shape == (50, 90)
        # its cells may cover more than the image, whose pixels keep their places
        stride = 2 ** int(one.level[1:])
        assert one.placement.input_size == tuple(cells * stride for cells in one.cells.shape)
        assert one.cells.shape[0] * stride > 53
        assert 0 <= one.peak[0] <= 90 and 0 <= one.peak[1] <= 50
    with pytest.raises(ValueError, match="this detector has output, all, fusion-1, fusion-2"):
        attention_maps(judge, image, "top-down")

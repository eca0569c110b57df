"""The stock detector: any names as classes, tested with the same loop as NegAS."""

import copy
import json
import math
import shutil

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner import Runner
from safetensors.torch import load_file, save_file

import negas.register  # noqa: F401
from tests.helpers.detector import ID_NAMES, batch, build_detector
from tests.helpers.tiny_coco import EMOJI, NEGATIVES, TINY_CLIP, user_config, write_base, write_data

NEGAS_ONLY = ("neg_labels", "prompt", "use_nega", "background", "loss_ood", "postprocessor")


@pytest.fixture
def config(tmp_path):
    """EmojiWorld's test settings for a plain ``YOLOWorldDetector``."""
    cfg = Config.fromfile(user_config(EMOJI, tmp_path))
    for key in NEGAS_ONLY:
        cfg.model.pop(key, None)
    cfg.model.type, cfg.model.neck = "YOLOWorldDetector", cfg.model.neck.neck
    write_data(Config.fromfile(EMOJI), tmp_path, count=2)
    write_base(cfg.model, tmp_path / "base.pth")
    for key in ("train", "val"):
        cfg[f"{key}_dataloader"] = cfg[f"{key}_cfg"] = None
    cfg.update(optim_wrapper=None, param_scheduler=None, val_evaluator=None, custom_hooks=None)
    cfg.experiment_name = f"stock-{tmp_path.name}"
    return cfg


@pytest.mark.slow
def test_the_ood_loop_runs_the_stock_class(config, tmp_path):
    bank = tmp_path / "bank.json"
    content = dict(id_labels=["person"], neg_labels=NEGATIVES, provenance={})
    bank.write_text(json.dumps(content))
    config.test_evaluator.update(banks=dict(mine=str(bank)), rotations=1, plots=False)
    metrics = Runner.from_cfg(config).test()
    assert math.isfinite(metrics["near/max_sigmoid_auroc"])
    assert "near/negs_auroc" not in metrics, "the stock class has no negative labels of its own"
    report = json.loads((tmp_path / "work/ood_results.json").read_text())
    assert report["run"]["score"] == "max_sigmoid" and report["run"]["prompt"] is False
    rows = {(row["score"], row["bank"], row["control"]) for row in report["rows"]}
    assert {("max_sigmoid", "none", "none"), ("negs", "mine", "none")} <= rows
    assert ("negs", "mine", "rotated") in rows


def test_text_feats_of_the_stock_class_equal_those_without_a_prompt():
    plain = build_detector(prompt=None, use_nega=False, template="a photo of {}")
    id_feats, _ = plain.text_feats()
    stock = build_detector(type="YOLOWorldDetector", template="a photo of {}")
    feats, negatives = stock.text_feats()
    assert negatives is None and feats.shape[0] == len(ID_NAMES)
    torch.testing.assert_close(feats, id_feats)
    torch.testing.assert_close(stock.bank_feats(["zebra"]), plain.bank_feats(["zebra"]))
    assert not any(param.requires_grad for param in stock.text_model.parameters())


def test_loading_the_text_tower_prints_nothing_and_wants_all_of_it(tmp_path, capfd):
    build_detector()
    assert "UNEXPECTED" not in "".join(capfd.readouterr())

    shutil.copytree(TINY_CLIP, tmp_path / "clip")
    weights = load_file(tmp_path / "clip/model.safetensors")
    vision = {key: value for key, value in weights.items() if not key.startswith("text")}
    save_file(vision, tmp_path / "clip/model.safetensors", metadata=dict(format="pt"))
    text_model = dict(type="CLIPTextBackbone", model_name=str(tmp_path / "clip"))
    with pytest.raises(ValueError, match="no weights for text_"):
        MODELS.build(text_model)


@torch.no_grad()
def test_boxes_are_those_of_the_original_picture_unless_asked_otherwise():
    model = build_detector(type="YOLOWorldDetector").eval()
    inputs, samples = batch(images=1)
    samples[0].set_metainfo(dict(scale_factor=(2.0, 2.0), ori_shape=(48, 48)))
    original, network = (
        model.predict(inputs, copy.deepcopy(samples), **options)[0].pred_instances.bboxes
        for options in ({}, dict(rescale=False))
    )
    assert len(network) > 0
    torch.testing.assert_close(original * 2, network)

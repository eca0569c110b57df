"""The stock detector: any names as classes, tested with the same loop as NegAS."""

import copy
import io
import shutil

import pytest
import torch
from mmengine.registry import MODELS
from safetensors.torch import load_file, save_file
from tqdm import tqdm

import negas.register  # noqa: F401
from negas.embeddings import text
from negas.models.yolo_world import detector, negas_detector
from tests.helpers.detector import ID_NAMES, batch, build_detector
from tests.helpers.tiny_coco import TINY_CLIP


def test_text_feats_of_the_stock_class_equal_those_without_a_prompt():
    plain = build_detector(prompt=None, use_nega=False, template="a photo of {}")
    id_feats, _ = plain.text_feats()
    stock = build_detector(type="YOLOWorldDetector", template="a photo of {}")
    feats, negatives = stock.text_feats()
    assert negatives is None and feats.shape[0] == len(ID_NAMES)
    torch.testing.assert_close(feats, id_feats)
    torch.testing.assert_close(stock.bank_feats(["zebra"]), plain.bank_feats(["zebra"]))
    assert not any(param.requires_grad for param in stock.text_model.parameters())


def test_phrases_are_encoded_some_at_a_time(monkeypatch):
    words = [f"word {i}" for i in range(5)]
    whole = build_detector(type="YOLOWorldDetector").bank_feats(words)
    sizes = []
    encode = detector.encode_labels
    monkeypatch.setattr(detector, "PHRASES", 2)
    monkeypatch.setattr(
        detector,
        "encode_labels",
        lambda *args, **k: sizes.append(len(args[2])) or encode(*args, **k),
    )
    parts = build_detector(type="YOLOWorldDetector").bank_feats(words)
    assert max(sizes) == 2 and sum(sizes) >= 5
    torch.testing.assert_close(parts, whole)


@pytest.mark.parametrize("prompt_negatives", [True, False])
def test_words_behind_a_prompt_are_encoded_some_at_a_time_and_once(monkeypatch, prompt_negatives):
    words = [f"word {i}" for i in range(5)]
    model = build_detector(prompt_negatives=prompt_negatives)
    whole = model.bank_feats(words)
    sizes = []
    for module in (detector, negas_detector):
        encode = module.encode_labels
        monkeypatch.setattr(module, "PHRASES", 2)
        monkeypatch.setattr(
            module,
            "encode_labels",
            lambda *args, encode=encode, **k: sizes.append(len(args[2])) or encode(*args, **k),
        )
    again = model.bank_feats(words)
    assert again is whole and not sizes, "kept"
    model.forget_texts()
    torch.testing.assert_close(model.bank_feats(words), whole)
    assert sizes == [2, 2, 1]


def test_a_long_list_of_words_shows_how_far_it_is(monkeypatch):
    bars = []

    class Bar(tqdm):
        def __init__(self, *args, **how):
            super().__init__(*args, **how | dict(disable=False, file=io.StringIO(), delay=0))
            bars.append(self)

    monkeypatch.setattr(text, "tqdm", Bar)
    assert list(text.in_parts(["a", "b", "c"], 2)) == [["a", "b"], ["c"]]
    assert list(text.in_parts(["a", "b"], 2)) == [["a", "b"]]
    (bar,) = bars
    assert (bar.n, bar.total, bar.unit) == (3, 3, " words") and "once" in bar.desc


def test_loading_the_text_tower_prints_nothing_and_wants_all_of_it(tmp_path, capfd):
    build_detector()
    assert "UNEXPECTED" not in "".join(capfd.readouterr())

    shutil.copytree(TINY_CLIP, tmp_path / "clip")
    weights = load_file(tmp_path / "clip/model.safetensors")
    vision = {key: value for key, value in weights.items() if not key.startswith("text")}
    save_file(vision, tmp_path / "clip/model.safetensors", metadata=dict(format="pt"))
    text_model = dict(type="CLIPTextBackbone", model_name=str(tmp_path / "clip"))
    with pytest.raises(ValueError, match="lacks .* text_"):
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

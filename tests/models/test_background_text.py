"""YOLO-World v2.1's blank text: it guides the neck, and no column of it is ever seen."""

import copy

import pytest
import torch
from safetensors.torch import load_file

import negas.register  # noqa: F401
from negas.apis.calibration import identity
from negas.embeddings.text import encode_labels, encode_text
from negas.models.attention_maps import ID
from tests.helpers.detector import ID_NAMES, NEG_NAMES, batch, build_detector
from tests.helpers.shipped_emoji import WEIGHTS

STOCK = dict(type="YOLOWorldDetector")
NEGS = dict(prompt=None, use_nega=False)


def build(**changes):
    """A detector with trained weights: a neck with random ones hardly listens to its texts."""
    model = build_detector(**changes)
    model.load_state_dict(load_file(WEIGHTS), strict=False)
    model.bbox_head.test_cfg.score_thr = 0.0
    return model.eval()


def with_blank(**changes):
    return build(background_text=" ", **changes)


def predictions(model, **more):
    inputs, samples = batch(**more)
    with torch.no_grad():
        return [one.pred_instances for one in model.predict(inputs, copy.deepcopy(samples))]


def test_one_text_is_encoded_as_a_name_is_and_a_blank_one_too():
    text = build_detector(**STOCK).text_model
    (want,) = encode_labels(text.model, text.tokenizer, ["zebra"], template="{}")
    torch.testing.assert_close(encode_text(text.model, text.tokenizer, "zebra"), want)
    blank = encode_text(text.model, text.tokenizer, " ")
    assert blank.norm().item() == pytest.approx(1, abs=1e-5)
    assert (blank @ want).item() < 0.999


@torch.no_grad()
@pytest.mark.parametrize("changes", [STOCK, NEGS, dict()], ids=["stock", "negs", "trained prompt"])
def test_the_classes_are_those_of_a_detector_whose_extra_class_is_dropped(changes):
    model = with_blank(**changes)
    blank = encode_text(model.text_model.model, model.text_model.tokenizer, " ")
    inputs, samples = batch()
    names, negatives = model.text_feats()
    texts = torch.cat([names, blank[None]])[None]  # the blank text as one more class
    feats = model.neck(model.image_feats(inputs), texts)
    want = model.bbox_head.logits(feats, texts)
    assert want.shape[-1] == len(ID_NAMES) + 1
    logits, distances = model._forward(inputs, samples)
    torch.testing.assert_close(logits, want[..., :-1])
    boxes = model.bbox_head.head_module.regress(feats)[0]
    torch.testing.assert_close(torch.cat(list(distances), 1), torch.cat(boxes, 1))

    dropped = model.bbox_head.predict_by_texts(
        feats, names[None], [one.metainfo for one in samples], neg_text_feats=negatives
    )
    for found, other in zip(predictions(model), dropped, strict=True):
        assert len(found) > 0
        for key in ("bboxes", "scores", "labels", "id_logits"):
            torch.testing.assert_close(found[key], other[key])
        if negatives is not None:
            torch.testing.assert_close(found.neg_logits, other.neg_logits)


@pytest.mark.parametrize("changes", [STOCK, NEGS], ids=["stock", "negs"])
def test_only_the_neck_sees_it(changes):
    plain, blank = build(**changes), with_blank(**changes)
    assert len(blank.text_feats()[0]) == len(ID_NAMES) == len(blank.class_names)
    inputs, samples = batch()
    with torch.no_grad():
        one, other = (model._forward(inputs, samples)[0] for model in (plain, blank))
    assert one.shape == other.shape and (one - other).abs().max() > 0.01
    other = predictions(blank)[0]
    assert other.id_logits.shape[1] == len(ID_NAMES) > other.labels.max()
    if changes is NEGS:
        assert other.neg_logits.shape[1] == len(NEG_NAMES) and "id_scores" in other
    assert plain.state_dict().keys() == blank.state_dict().keys()


def test_the_head_looks_at_each_class_alone():
    """So a column that is dropped, or never computed, changes no other."""
    model = build_detector(**STOCK).eval()
    inputs, _ = batch()
    with torch.no_grad():
        feats = model.extract_feat(inputs)
        texts = model.label_feats(["dog", "cat", "car", "zebra"])[None]
        logits = model.bbox_head.logits(feats, texts)
        torch.testing.assert_close(model.bbox_head.logits(feats, texts[:, :2]), logits[..., :2])


def test_features_are_guided_as_in_predictions():
    model = with_blank(**STOCK)
    inputs, _ = batch()
    with torch.no_grad():
        blank = encode_text(model.text_model.model, model.text_model.tokenizer, " ")
        texts = torch.cat([model.id_text_feats(), blank[None]])[None]
        want = model.neck(model.image_feats(inputs), texts)
        for one, other in zip(model.extract_feat(inputs), want, strict=True):
            torch.testing.assert_close(one, other)


def test_attention_shows_it_among_the_id_texts():
    model = with_blank()
    inputs, _ = batch(images=1)
    with torch.no_grad():
        branches = {branch.name: branch for branch in model.attention(inputs)}
    assert branches[ID].words == (*ID_NAMES, "(background)")
    assert {layer.scores.shape[1] for layer in branches[ID].layers} == {len(ID_NAMES) + 1}


@pytest.mark.parametrize("use_nega", [True, False])
def test_training_guides_the_id_branch_with_it(use_nega, monkeypatch):
    model = build_detector(background_text=" ", use_nega=use_nega)
    model.train()
    guides = []
    forward = model.neck.forward
    monkeypatch.setattr(
        model.neck,
        "forward",
        lambda feats, *texts, **more: (
            guides.append([t.shape[1] for t in texts]) or forward(feats, *texts, **more)
        ),
    )
    inputs, samples = batch()
    losses = model.loss(inputs, samples)
    sum(losses.values()).backward()
    negatives = [len(NEG_NAMES)] if use_nega else []
    assert guides == [[len(ID_NAMES) + 1, *negatives]]
    assert model.prompt.ctx.grad.abs().sum() > 0


def test_texts_of_a_batch_get_it_each():
    model = with_blank(**STOCK)
    inputs, samples = batch()
    for sample in samples:
        sample.set_metainfo(dict(texts=ID_NAMES))
    texts = model.batch_text_feats(samples)
    guide = model.guide(texts)
    assert texts.shape[0] == 2 and guide.shape == (2, len(ID_NAMES) + 1, texts.shape[-1])
    torch.testing.assert_close(guide[0], guide[1])
    assert all(torch.isfinite(loss) for loss in model.loss(inputs, samples).values())


def test_a_calibration_holds_with_or_without_it(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"x")
    plain, blank = (
        identity(model, tmp_path / "w.pth")
        for model in (build_detector(**NEGS), with_blank(**NEGS))
    )
    assert blank == plain | dict(background_text=" ")


def test_what_is_no_text_is_refused():
    with pytest.raises(ValueError, match="background_text must be a text, got 3"):
        build_detector(background_text=3)

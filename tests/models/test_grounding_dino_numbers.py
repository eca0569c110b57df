"""Numbers of Grounding DINO's predictions and losses against direct computations."""

import pytest
import torch
from mmengine.registry import MODELS

from negas.models.grounding_dino.captions import chunk_names, make_caption
from negas.models.grounding_dino.predictions import image_boxes, region_embeddings
from tests.helpers.detector import batch
from tests.helpers.grounding_dino import (
    ID_NAMES,
    NEG_NAMES,
    build_grounding_dino,
    fill_grounding_dino,
    grounding_dino_config,
)


@torch.no_grad()
def contrast_of(model):
    return model.bbox_head.cls_branches[model.decoder.num_layers - 1]


def predict(model, inputs, samples):
    return [s.pred_instances.clone() for s in model.eval().predict(inputs, samples)]


def by_query(found, key):
    first = [found.query_inds.tolist().index(q) for q in sorted(set(found.query_inds.tolist()))]
    return found[key][first]


def test_token_reduce_holds_for_id_and_negative_labels():
    options = dict(test_cfg=dict(max_per_img=80, keep_logits=True))
    mean, largest = (
        predict(build_grounding_dino(token_reduce=r, **options), *batch())[0]
        for r in ("mean", "max")
    )
    for key, several in (("id_logits", [2]), ("neg_logits", [0, 2])):
        more = by_query(largest, key) > by_query(mean, key) + 1e-5
        assert more.any(0).nonzero()[:, 0].tolist() == several, key


def test_negatives_stand_without_the_prompt_if_so_wished():
    model, plain = build_grounding_dino(prompt_negatives=False), build_grounding_dino(prompt=None)
    seen = []
    model.train().noise.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[1]))
    model.loss(*batch())
    assert seen == [len(model.caption(NEG_NAMES, False).input_ids)]
    torch.testing.assert_close(
        model.bank_feats(NEG_NAMES), plain.bank_feats(NEG_NAMES), equal_nan=True
    )
    assert not torch.allclose(
        model.bank_feats(["cat"]), build_grounding_dino().bank_feats(["cat"]), atol=1e-3
    )


@pytest.mark.parametrize("boxes", ["decoder", "reference"])
def test_background_is_judged_by_the_boxes_that_were_asked_for(monkeypatch, boxes):
    background = dict(type="QueryBackground", boxes=boxes)
    model = build_grounding_dino(background=background, ood_layers="all").train()
    transform, judged, out = model.transform, [], {}

    def spy(*args):
        out.update(transform(*args))
        return dict(out)

    monkeypatch.setattr(model, "transform", spy)
    judge = model.is_background
    monkeypatch.setattr(
        model, "is_background", lambda source, *a: judged.append(source) or judge(source, *a)
    )
    model.loss(*batch())
    last = model.bbox_head(
        out["hidden_states"], out["references"], out["memory_text"], out["text_token_mask"]
    )[1]
    want = last if boxes == "decoder" else out["references"][0].expand_as(last)
    torch.testing.assert_close(torch.stack(judged), want.flatten(0, 1))
    assert not torch.allclose(last[0], last[1], atol=1e-3)
    assert not torch.allclose(last[0], out["references"][0], atol=1e-3)


def test_boxes_end_at_the_images_border():
    meta = dict(img_shape=(50, 100), scale_factor=(0.5, 0.8))
    boxes = torch.tensor([[0.05, 0.9, 0.3, 0.5], [0.9, 0.1, 0.4, 0.4]])
    found = image_boxes(boxes, meta, rescale=False)
    want = torch.tensor([[0.0, 32.5, 20, 50], [70, 0, 100, 15]])
    torch.testing.assert_close(found, want)
    torch.testing.assert_close(
        image_boxes(boxes, meta, rescale=True), want / torch.tensor([0.5, 0.8, 0.5, 0.8])
    )


def test_chunks_are_as_full_as_they_may_be():
    language = build_grounding_dino().language_model
    names = [*ID_NAMES, *NEG_NAMES, "st bernard", "red light"]

    def size(part):
        return len(make_caption(language, part).input_ids)

    for limit in range(11, 20):
        parts = chunk_names(language, names, limit=limit)
        for part, following in zip(parts, parts[1:], strict=False):
            assert size(part) <= limit < size([*part, following[0]])
        assert size(parts[-1]) <= limit


@pytest.mark.parametrize(("log_scale", "bias"), [("auto", True), (None, False), (0.7, True)])
def test_region_embeddings_give_the_heads_logits(log_scale, bias):
    config = grounding_dino_config()
    config.bbox_head.contrastive_cfg = dict(max_text_len=256, log_scale=log_scale, bias=bias)
    model = MODELS.build(config).eval()
    fill_grounding_dino(model)
    with torch.no_grad():
        for one in model.bbox_head.cls_branches.parameters():
            one += 0.3
        found = model.label_boxes(*batch())
        embeddings = region_embeddings(contrast_of(model), found.queries[1])
        mask = torch.ones(1, found.id_tokens.shape[1], dtype=torch.bool)
        want = model.bbox_head.cls_branches[model.decoder.num_layers - 1](
            found.queries[1:], found.id_tokens[1:], mask
        )[0][:, : mask.shape[1]]
    got = embeddings[:, :-1] @ found.id_tokens[1].T + embeddings[:, -1:]
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


def test_recorded_cosines_are_means_over_a_labels_tokens():
    model = build_grounding_dino()
    inputs, samples = batch()
    found = predict(model, inputs, samples)[1]
    with torch.no_grad():
        tokens = model.label_boxes(inputs, samples).id_tokens[1]
    caption, _ = model.id_text()
    regions = found.embeddings[:, :-1]
    for k, row in enumerate(caption.name_map):
        want = torch.cosine_similarity(regions[:, None], tokens[row][None], dim=-1).mean(1)
        torch.testing.assert_close(found.id_cosines[:, k], want, rtol=1e-4, atol=1e-5)
    for m, feats in enumerate(model.bank_feats(NEG_NAMES)):
        feats = feats[~feats[:, 0].isnan()]
        want = torch.cosine_similarity(regions[:, None], feats[None], dim=-1).mean(1)
        torch.testing.assert_close(found.neg_cosines[:, m], want, rtol=1e-4, atol=1e-5)


def test_id_logits_are_full_precision_under_autocast():
    model = build_grounding_dino()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model.eval().label_boxes(*batch())
    embeddings = region_embeddings(contrast_of(model), found.queries[0].float())
    caption, _ = model.id_text()
    one = (caption.name_map.sum(1) == 1).nonzero()[:, 0]
    columns = caption.name_map[one].int().argmax(1)
    got = embeddings[:, :-1] @ found.id_tokens[0].float()[columns].T + embeddings[:, -1:]
    torch.testing.assert_close(got, found.id_logits[0][:, one], rtol=1e-4, atol=1e-4)


def test_background_is_judged_in_full_precision():
    """An area of more than 65504 is infinite in half precision, and every IoU with it 0."""
    model = build_grounding_dino()
    (sample,) = batch(images=1)[1]
    sample.set_metainfo(dict(img_shape=(1000, 1000)))
    sample.gt_instances.bboxes = torch.tensor([[100.0, 100, 700, 700]])
    box = torch.tensor([[0.4, 0.71, 0.6, 0.58]])  # IoU 0.31, its centre beside the object
    for dtype in (torch.float32, torch.float16):
        found = model.is_background(box.to(dtype), torch.zeros(1, 256), box.to(dtype), sample)
        assert found.tolist() == [False], dtype

"""NegAS on Grounding DINO: prompt, branches, losses, and scores against direct computations."""

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.registry import MODELS

from negas.models import query_background  # puts what mmdet needs in place
from negas.models.grounding_dino.captions import make_caption
from negas.models.grounding_dino.detector import GroundingDINO
from negas.models.grounding_dino.label_logits import label_logits, tokens_by_label
from negas.models.query_background import QueryBackground
from negas.scores import get_score
from tests.helpers.detector import batch
from tests.helpers.grounding_dino import (
    ID_NAMES,
    NEG_NAMES,
    build_grounding_dino,
    grounding_dino_config,
)
from tests.helpers.memory import LargestTensor


@pytest.fixture(autouse=True)
def step_zero():
    MessageHub.get_current_instance().update_info("iter", 0)


@pytest.fixture(scope="module")
def model():
    return build_grounding_dino()


def uneven_batch():
    """Images of unequal sides in a padded batch, made smaller by unequal factors."""
    inputs, samples = batch()
    for sample, (height, width) in zip(samples, [(64, 96), (96, 80)], strict=True):
        shapes = dict(img_shape=(height, width), batch_input_shape=(96, 96))
        sample.set_metainfo(shapes | dict(scale_factor=(0.5, 0.8)))
        sample.gt_instances.bboxes[:, 0::2].clamp_(max=width)
        sample.gt_instances.bboxes[:, 1::2].clamp_(max=height)
    return inputs, samples


# --- captions ---------------------------------------------------------------------------------
def test_captions_mark_name_tokens_and_prefixes(model):
    caption = make_caption(model.language_model, ["cat", "traffic light"], "a photo of", 3)
    words = model.language_model.tokenizer.convert_ids_to_tokens(caption.input_ids.tolist())
    assert words == "[CLS] a photo of cat . a photo of traffic light . [SEP]".split()
    assert caption.name_map.nonzero().tolist() == [[0, 4], [1, 9], [1, 10]]
    assert caption.ctx_columns.tolist() == [[1, 2, 3], [6, 7, 8]]
    scored = [words[i] for i in caption.score_mask.nonzero()[:, 0]]
    assert scored == "[CLS] cat . traffic light . [SEP]".split()
    # phrases do not see each other, positions restart
    assert caption.masks[4, 1:6].all() and not caption.masks[4, 6:].any()
    assert caption.position_ids.tolist() == [0, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 0]


def test_a_full_stop_in_a_name_does_not_split_it(model):
    caption = make_caption(model.language_model, ["st. bernard", "traffic_light (red)"])
    assert caption.name_map.sum(1).tolist() == [1 + len("bernard"), 2]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            [f"{a}{b}" for a in "abcdefghij" for b in "klmnopqrst"],
            r"'\w\w' \(number \d+\) does not",
        ),
        (["cat", "..."], "'...' is empty"),
    ],
)
def test_names_that_do_not_fit_are_named(model, names, message):
    with pytest.raises(ValueError, match=message):
        make_caption(model.language_model, names, "a photo of", 3)


def test_too_many_classes_are_refused_before_any_work():
    with pytest.raises(ValueError, match="does not fit"):
        build_grounding_dino(class_names=[f"dog {a}{b}" for a in "abcdef" for b in "klmnopqr"])


def test_a_name_that_fits_no_caption_is_not_printed_whole(model):
    with pytest.raises(ValueError, match="does not fit") as refusal:
        make_caption(model.language_model, ["very " * 300 + "long"], "", 0)
    assert len(str(refusal.value)) < 300


def test_too_many_negatives_are_refused_for_training_only():
    many = [f"dog {a}{b}" for a in "abcdef" for b in "klmnopqr"]
    model = build_grounding_dino(neg_labels=many)
    assert model.eval().text_feats()[1].shape[0] == len(many)
    with pytest.raises(ValueError, match="does not fit"):
        model.train()


# --- prompt -----------------------------------------------------------------------------------
def test_the_prompt_starts_as_its_words_and_enters_every_name(model):
    caption = model.caption(ID_NAMES)
    with torch.no_grad():
        learned = model.encode_caption(caption)["embedded"]
        embeds = model.inputs_embeds(caption)
        words = model.language_model.encode(
            caption.input_ids[None], caption.masks[None], caption.position_ids[None]
        )
    torch.testing.assert_close(learned, model.text_feat_map(words), rtol=0, atol=0)
    for columns in caption.ctx_columns:
        torch.testing.assert_close(embeds[0, columns], model.prompt.ctx.detach())


def test_prompt_tokens_are_seen_but_not_scored(model):
    inputs, samples = batch()
    caption = model.caption(ID_NAMES)
    seen = []
    handle = model.decoder.register_forward_pre_hook(
        lambda *args: seen.append(args[2]["text_attention_mask"]), with_kwargs=True
    )
    model.training = True  # the encoder's logits are returned in training only
    try:
        with torch.no_grad():
            text = model.encode_caption(caption)
            out = model.transform(model.extract_feat(inputs), text, samples)
    finally:
        model.training = False
        handle.remove()
    assert not seen[0].any(), "attention sees every token"
    assert torch.equal(out["text_token_mask"], caption.score_mask.expand(2, -1))
    columns = caption.ctx_columns.flatten()
    assert out["enc_outputs_class"][..., columns].isneginf().all()
    assert out["enc_outputs_class"][..., caption.name_map.any(0).nonzero()[:, 0]].isfinite().all()


# --- losses -----------------------------------------------------------------------------------
def test_without_nega_the_losses_are_mmdetections_own():
    """Stock MMDetection on the words "a photo of X" as enhanced prompts has no score mask, so the
    comparison is made without a prompt."""
    ours = build_grounding_dino(prompt=None, use_nega=False).train()
    stock = build_grounding_dino(type="GroundingDINODetector").train()
    stock.load_state_dict(ours.state_dict())
    inputs, samples = uneven_batch()
    for sample in samples:
        sample.set_metainfo(dict(text=tuple(ID_NAMES)))
    for part in stock.children():
        part.eval()  # dropout off, as in ours
    torch.manual_seed(3)
    want = GroundingDINO.loss(_plain(stock), inputs, samples)
    torch.manual_seed(3)
    got = ours.loss(inputs, samples)
    assert set(got) == set(want)
    for key, value in want.items():
        torch.testing.assert_close(got[key], value, rtol=1e-4, atol=1e-5)


def _plain(model):
    """MMDetection's class itself on the same weights."""
    model.__class__ = type("Plain", (GroundingDINO,), dict(init_weights=GroundingDINO.init_weights))
    return model


def test_a_fixed_guide_gives_the_same_loss_without_a_graph_of_the_ood_branch(monkeypatch):
    model = build_grounding_dino().train()
    inputs, samples = batch()
    transform, graphs = model.transform, []

    def spy(*args):
        out = transform(*args)
        graphs.append(out["hidden_states"].requires_grad)
        return out

    monkeypatch.setattr(model, "transform", spy)
    found = {}
    for model.guide_grad in (True, False):
        torch.manual_seed(1)
        loss = model.loss(inputs, samples)["loss_ood"]
        found[model.guide_grad] = (loss.detach(), torch.autograd.grad(loss, model.prompt.ctx)[0])
    assert graphs == [True, True, True, False]
    torch.testing.assert_close(found[True][0], found[False][0], rtol=1e-5, atol=0)
    full, fixed = found[True][1], found[False][1]
    assert fixed.abs().sum() > 0 and not torch.allclose(full, fixed, rtol=0.01)


@pytest.mark.parametrize("layers", ["last", "all"])
def test_loss_ood_is_alpha_times_the_focal_loss_of_background_queries(layers):
    model = build_grounding_dino(noise=dict(sigma=0.0), ood_layers=layers).train()
    inputs, samples = uneven_batch()
    got = model.loss(inputs, samples)["loss_ood"].detach()
    with torch.no_grad():
        feats = model.extract_feat(inputs)
        caption, neg = model.caption(ID_NAMES), model.caption(NEG_NAMES)
        model.training = False  # no denoising queries; dropout is off anyway
        id_out = model.transform(feats, model.encode_caption(caption), samples)
        ood = model.transform(feats, model.encode_caption(neg), samples)
        logits, boxes = model.bbox_head(
            ood["hidden_states"],
            ood["references"],
            id_out["memory_text"],
            id_out["text_token_mask"],
        )
        columns = caption.name_map.any(0).nonzero()[:, 0]
        want = 0.0
        for layer in range(len(logits)) if layers == "all" else [len(logits) - 1]:
            for i, sample in enumerate(samples):
                gt = sample.gt_instances.bboxes
                height, width = sample.img_shape
                x, y, w, h = (boxes[layer, i] * torch.tensor([width, height] * 2)).unbind(1)
                xyxy = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1)
                for query in range(len(x)):
                    inside = (gt[:, 0] <= x[query]) & (x[query] <= gt[:, 2])
                    inside &= (gt[:, 1] <= y[query]) & (y[query] <= gt[:, 3])
                    if inside.any() or _iou(xyxy[query], gt).max(initial=0) >= 0.3:
                        continue
                    p = logits[layer, i, query, columns].double().sigmoid()
                    want += float((0.75 * p**2 * -torch.log(1 - p)).sum())
        want *= 3.0 / sum(len(sample.gt_instances) for sample in samples)
    assert float(got) == pytest.approx(want, rel=1e-4)


def _iou(box, others):
    low, high = torch.maximum(box[:2], others[:, :2]), torch.minimum(box[2:], others[:, 2:])
    shared = (high - low).clip(0).prod(1)
    union = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(1) - shared
    return (shared / union).numpy()


def test_the_unmatched_rule_leaves_one_query_per_object():
    model = build_grounding_dino(background=dict(type="QueryBackground", rule="unmatched")).train()
    inputs, samples = batch()
    seen = []
    model.loss_ood.register_forward_pre_hook(lambda _, args: seen.append(args[2]))
    model.loss(inputs, samples)
    assert (~seen[0]).sum(1).tolist() == [3, 0]


def test_the_unmatched_rule_takes_an_assigner_and_the_mask():
    with pytest.raises(ValueError, match="takes a detector's assigner"):
        QueryBackground(rule="unmatched")(torch.zeros(1, 4), torch.zeros(0, 4))
    with pytest.raises(ValueError, match="enabled=False knows no rule"):
        QueryBackground(rule="unmatched", enabled=False)


def test_query_background_by_hand():
    gt = torch.tensor([[10.0, 10, 30, 30]])
    boxes = torch.tensor(
        [
            [15.0, 15, 25, 25],  # inside
            [31, 31, 50, 50],  # beside
            [22, 10, 42, 30],  # centre outside, IoU 0.25
            [21, 10, 41, 30],  # centre outside, IoU 0.29...
            [20.5, 10, 40, 30],  # centre outside, IoU 0.317
            [0, 0, 100, 100],  # centre outside, small IoU
        ]
    )
    assert query_background(boxes, gt).tolist() == [False, True, True, True, False, True]
    assert query_background(boxes, gt, iou_thr=0.5).tolist() == [False, *[True] * 5]
    assert query_background(boxes, torch.zeros(0, 4)).all()
    assert QueryBackground(enabled=False)(boxes, gt).all()


# --- test time --------------------------------------------------------------------------------
def predictions(model, inputs, samples):
    with torch.no_grad():
        return [s.pred_instances.clone() for s in model.eval().predict(inputs, samples)]


def test_boxes_and_scores_are_mmdetections_own():
    ours = build_grounding_dino(prompt=None, use_nega=False)
    stock = build_grounding_dino(type="GroundingDINODetector")
    stock.load_state_dict(ours.state_dict())
    inputs, samples = uneven_batch()
    got = predictions(ours, inputs, samples)
    for sample in samples:
        sample.set_metainfo(dict(text=tuple(ID_NAMES), custom_entities=True))
    want = predictions(_plain(stock), inputs, samples)
    for mine, theirs in zip(got, want, strict=True):
        torch.testing.assert_close(mine.scores, theirs.scores, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(mine.bboxes, theirs.bboxes, rtol=1e-4, atol=1e-3)
        assert torch.equal(mine.labels, theirs.labels)


def test_negs_is_the_direct_computation(model):
    from mmdet.models.dense_heads.atss_vlfusion_head import convert_grounding_to_cls_scores

    inputs, samples = batch()
    got = predictions(model, inputs, samples)[0]
    with torch.no_grad():
        caption = model.caption(ID_NAMES)
        out = model.transform(model.extract_feat(inputs), model.encode_caption(caption), samples)
        layer = model.decoder.num_layers - 1
        states = out["hidden_states"][-1][:1]
        id_probs = model.bbox_head.cls_branches[layer](
            states, out["memory_text"][:1], out["text_token_mask"][:1]
        ).sigmoid()
        columns = {i + 1: row.nonzero()[:, 0].tolist() for i, row in enumerate(caption.name_map)}
        id_scores = convert_grounding_to_cls_scores(id_probs, [columns])[0]
        want = []
        for query in got.query_inds.tolist():
            neg = []
            for name in NEG_NAMES:  # each alone: no fusion, text layers only
                feats = model.bank_feats([name])[0]
                logits = model.bbox_head.cls_branches[layer](
                    states[:, [query]], feats[None], torch.ones(1, len(feats), dtype=torch.bool)
                )
                neg.append(float(logits.sigmoid()[0, 0, : len(feats)].mean()))
            want.append(float(id_scores[query].max()) - max(neg))
    torch.testing.assert_close(got.id_scores, torch.tensor(want), rtol=1e-4, atol=1e-5)
    assert len(got.query_inds.unique()) < len(got.query_inds), "a query may keep several labels"
    score = get_score("negs")(got.id_logits, got.neg_logits)
    torch.testing.assert_close(got.id_scores, score.to(got.id_scores.dtype))


def test_the_normed_path_skips_cross_attention_only(model):
    """With the cross attention switched off, ID tokens of the image pass equal the bank's."""
    inputs, samples = batch()
    quiet = build_grounding_dino()
    with torch.no_grad():
        for layer in quiet.encoder.fusion_layers:
            layer.gamma_l.zero_()
        caption = quiet.caption(ID_NAMES)
        out = quiet.transform(quiet.extract_feat(inputs), quiet.encode_caption(caption), samples)
    bank = quiet.bank_feats(ID_NAMES)
    for row, columns in zip(bank, caption.name_map, strict=True):
        tokens = out["memory_text"][0][columns]
        torch.testing.assert_close(row[: len(tokens)], tokens, rtol=1e-4, atol=1e-4)
        assert row[len(tokens) :].isnan().all()


def test_the_text_layers_path_skips_the_norms_too(model):
    other = build_grounding_dino(neg_path="text_layers")
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        for fusion in other.encoder.fusion_layers:  # a norm that changes something
            fusion.layer_norm_l.weight.fill_(2.0)
    skipped = other.bank_feats(["tiger"])
    torch.testing.assert_close(
        skipped, build_grounding_dino(neg_path="text_layers").bank_feats(["tiger"])
    )
    other.neg_path = "normed"
    other.forget_texts()
    assert not torch.allclose(other.bank_feats(["tiger"]), skipped, atol=0.01)


def test_the_projected_path_is_the_encoders_input():
    model = build_grounding_dino(neg_path="projected")
    with torch.no_grad():
        text = model.encode_caption(model.caption(["tiger"]))["embedded"][0]
    torch.testing.assert_close(model.bank_feats(["tiger"])[0], text[4:5])


def test_a_bank_of_any_size_is_encoded_in_parts(model):
    names = [f"cat {a}{b}" for a in "abcdef" for b in "klmnopqr"]
    whole = model.bank_feats(names)
    assert whole.shape[0] == len(names) and not whole[:, 0].isnan().any()
    alone = model.bank_feats([names[-1]])
    torch.testing.assert_close(whole[-1, :3], alone[0, :3], rtol=1e-4, atol=1e-4)


def test_texts_are_encoded_once_until_the_prompt_moves(model):
    inputs, samples = batch()
    predictions(model, inputs, samples)
    calls = []
    handle = model.language_model.bert.encoder.register_forward_hook(lambda *_: calls.append(1))
    try:
        first = predictions(model, inputs, samples)[0].id_scores
        assert not calls
        with torch.no_grad():
            model.prompt.ctx.data += 5.0
        assert not torch.equal(predictions(model, inputs, samples)[0].id_scores, first)
        assert calls
    finally:
        handle.remove()
        model.prompt.ctx.data -= 5.0


def test_other_weights_and_training_forget_the_encoded_texts():
    model = build_grounding_dino()
    inputs, samples = batch()
    first = predictions(model, inputs, samples)[0]
    state = {key: value.clone() for key, value in model.state_dict().items()}
    bert = "language_model.language_backbone.body.model.encoder.layer.0.output.dense.weight"
    for key in ("text_feat_map.weight", bert):
        model.load_state_dict(state | {key: state[key] * 2})
        other = predictions(model, inputs, samples)[0]
        assert not torch.equal(other.id_logits, first.id_logits), key
        assert not torch.equal(other.neg_logits, first.neg_logits), key
    model.load_state_dict(state)
    assert torch.equal(predictions(model, inputs, samples)[0].id_logits, first.id_logits)


def test_scores_do_not_saturate_in_half_precision(model):
    logits = torch.tensor([[[12.0, 12.0], [-3.0, -3.0]]], dtype=torch.bfloat16)
    real = torch.tensor([[True, True], [True, False]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = label_logits(logits, real)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found[0], torch.tensor([12.0, -3.0]), atol=0.1, rtol=0)
        inputs, samples = batch()
        model.forget_texts()
        found = predictions(model, inputs, samples)[0]
    assert {found[key].dtype for key in ("id_logits", "neg_logits", "embeddings")} == {
        torch.float32
    }
    full = predictions(build_grounding_dino(), inputs, samples)[0]
    torch.testing.assert_close(
        predictions(model, inputs, samples)[0].id_logits, full.id_logits, msg="kept texts are half"
    )


def test_without_denoising_the_other_losses_stay():
    inputs, samples = batch()
    with_dn = build_grounding_dino().train().loss(inputs, samples)
    without = build_grounding_dino(denoising=False).train().loss(inputs, samples)
    assert {key for key in with_dn if "dn_" in key} and not {key for key in without if "dn_" in key}
    assert set(with_dn) - set(without) == {key for key in with_dn if "dn_" in key}
    for key, value in without.items():
        torch.testing.assert_close(value, with_dn[key], rtol=1e-4, atol=1e-5)


def test_label_logits_reduce_probabilities():
    logits = torch.tensor([[-3.0, 0.0, 2.0, float("-inf"), 1.0]])
    names = torch.tensor([[False, True, True, False, False], [True, False, False, False, False]])
    columns, real = tokens_by_label(names)
    assert columns[real].tolist() == [1, 2, 0] and real.tolist() == [[True, True], [True, False]]
    probs = logits.sigmoid()[0]
    mean = label_logits(logits[:, columns], real).sigmoid()[0]
    torch.testing.assert_close(mean, torch.stack([(probs[1] + probs[2]) / 2, probs[0]]))
    largest = label_logits(logits[:, columns], real, "max").sigmoid()[0]
    torch.testing.assert_close(largest, torch.stack([probs[2], probs[0]]))
    with pytest.raises(ValueError, match="token_reduce"):
        label_logits(logits[:, columns], real, "median")


@pytest.mark.parametrize("reduce", ["mean", "max"])
def test_a_bank_of_thousands_of_labels_needs_no_square_of_it(reduce):
    """Tokens x labels alone would be 480 MB."""
    model = build_grounding_dino(token_reduce=reduce).eval()
    inputs, samples = batch(images=1)
    generator = torch.Generator().manual_seed(0)
    feats = torch.randn(8000, 2, 256, generator=generator)
    feats[::2, 1] = torch.nan
    model.bbox_head.test_cfg.update(keep_logits=True, keep_embeddings=True)
    with torch.no_grad():
        few = model.detections(inputs, samples, feats[:50], rescale=False)[0][0]
        with LargestTensor() as largest:
            found = model.detections(inputs, samples, feats, rescale=False)[0][0]
    assert largest.numel <= max(feats.numel(), len(found) * feats[..., 0].numel())
    for key in ("neg_logits", "neg_cosines"):
        torch.testing.assert_close(found[key][:, :50], few[key])


def test_a_detector_without_names_says_so():
    model = build_grounding_dino(type="GroundingDINODetector", class_names=[])
    inputs, samples = batch()
    with pytest.raises(ValueError, match="model.class_names is empty"):
        model.eval().predict(inputs, samples)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(neg_labels=[]), "neg_labels"),
        (dict(neg_path="fused"), "neg_path"),
        (dict(ood_layers="first"), "ood_layers"),
        (dict(noise=dict(sigma=-1)), "sigma must be >= 0"),
        (dict(background=dict(type="QueryBackground", rule="iou")), "rule must be one of"),
        (dict(neg_labels=["cat"]), "cat"),
        (dict(token_reduce="median"), "token_reduce"),
        (dict(prompt=dict(ctx_init="a photo. of", num_ctx=4)), "ends a phrase"),
    ],
)
def test_wrong_options_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(grounding_dino_config(**changes))


@pytest.mark.parametrize(("objects", "want"), [(0, 1), (1, 1), (2, 2)])
def test_loss_ood_is_divided_by_the_objects_or_by_one(objects, want):
    model = build_grounding_dino().train()
    seen = []
    model.loss_ood.register_forward_pre_hook(lambda _, args: seen.append(float(args[3])))
    inputs, samples = batch(images=2, objects=objects)  # all on the first image
    model.loss(inputs, samples)
    assert seen == [want]

"""NegA in training and NegS at test time on a small detector."""

import copy

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.registry import MODELS, TASK_UTILS

import negas.register  # noqa: F401
from negas.models.background import BackgroundMask, background_mask
from negas.scores import get_score
from tests.helpers.detector import ID_NAMES, NEG_NAMES, batch, build_detector
from tests.helpers.grounding_dino import build_grounding_dino

both = pytest.mark.parametrize("build", [build_detector, build_grounding_dino])


def total(losses):
    return sum(value for key, value in losses.items() if "loss" in key)


def loss_ood(model):
    return float(model.loss(*batch())["loss_ood"].detach())


def set_step(step):
    MessageHub.get_current_instance().update_info("iter", step)


@pytest.fixture(autouse=True)
def step_zero():
    set_step(0)


@both
def test_training_step_changes_the_prompt_and_nothing_else(build):
    model = build().train()
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for seed in range(2):
        optimizer.zero_grad()
        total(model.loss(*batch(seed))).backward()
        optimizer.step()
    changed = [k for k, v in model.state_dict().items() if not torch.equal(v, before[k])]
    assert changed == model.trained == ["prompt.ctx"]
    assert build is build_grounding_dino or any("running_mean" in key for key in before), (
        "the check must cover batch norm"
    )


@both
def test_noise_is_fresh_in_a_loop_of_ones_own(build):
    MessageHub.get_current_instance().runtime_info.pop("iter")
    model, twin = build().train(), build().train()
    losses = [loss_ood(each) for each in (model, model, twin)]
    assert losses[0] != losses[1] and losses[0] == losses[2]


def test_frozen_parts_stay_in_eval_mode():
    model = build_detector().train()
    assert model.training
    assert not any(m.training for m in model.modules() if m is not model)


@both
def test_losses_with_and_without_nega(build):
    found = []
    for use_nega in (True, False):
        model = build(use_nega=use_nega).train()
        torch.manual_seed(1)  # of the denoising queries
        found.append(model.loss(*batch()))
    nega, coop = found
    assert set(nega) - set(coop) == {"loss_ood"} and {"loss_cls", "loss_bbox"} <= set(coop)
    for key, value in coop.items():
        torch.testing.assert_close(value, nega[key], rtol=1e-4, atol=1e-5)
    assert float(nega["loss_ood"].detach()) > 0


def test_a_fixed_guide_gives_the_same_loss_without_a_graph_of_the_ood_branch(monkeypatch):
    model = build_detector().train()
    neck, graphs = model.neck.forward, []

    def spy(*args, **kwargs):
        out = neck(*args, **kwargs)
        graphs.append([level.requires_grad for branch in out for level in branch])
        return out

    monkeypatch.setattr(model.neck, "forward", spy)
    found = {}
    for model.guide_grad in (True, False):
        loss = model.loss(*batch())["loss_ood"]
        found[model.guide_grad] = (loss.detach(), torch.autograd.grad(loss, model.prompt.ctx)[0])
    assert graphs == [[True] * 6, [True] * 3 + [False] * 3]
    torch.testing.assert_close(found[True][0], found[False][0], rtol=1e-5, atol=0)
    full, fixed = found[True][1], found[False][1]
    assert fixed.abs().sum() > 0 and not torch.allclose(full, fixed, rtol=0.01)


def test_loss_ood_is_alpha_times_the_masked_bce_of_the_second_branch():
    model = build_detector()
    model.neck.noise.sigma = 0.0
    inputs, samples = batch()
    losses = model.loss(inputs, samples)
    with torch.no_grad():
        id_text, neg_text = (f[None] for f in model.text_feats())
        feats = model.image_feats(inputs)
        id_feats, ood_feats = model.neck.neck(feats, [id_text, neg_text])
        gt = [s.gt_instances for s in samples]
        _, target = model.bbox_head.loss_by_texts(id_feats, id_text, gt)
        logits = model.bbox_head.logits(ood_feats, id_text)
        sizes = [tuple(x.shape[-2:]) for x in ood_feats]
        mask = background_mask([g.bboxes for g in gt], sizes, (8, 16, 32))
        bce = -torch.log(1 - logits.double().sigmoid()) * mask[..., None]
        want = 3.0 * 0.5 * bce.sum() / target.avg_factor * len(samples)
    assert float(losses["loss_ood"]) == pytest.approx(float(want), rel=1e-4)


@both
def test_noise_depends_on_seed_and_step_only_and_is_off_at_test_time(build):
    model = build().train()
    noise = model.neck.noise if build is build_detector else model.noise
    noise.sigma = 2.0  # the loss of random weights hardly feels less
    losses = []
    for step in (0, 1, 0):
        set_step(step)
        losses.append(loss_ood(model))
    assert losses[0] == losses[2] != losses[1]
    found = []
    for noise.seed in (0, 1):
        found.append(predict(model, keep_logits=True)[0].neg_logits.clone())
    torch.testing.assert_close(*found)
    model.train()
    assert loss_ood(model) != losses[0]
    noise.sigma = 0.0
    calm = [loss_ood(model) for _ in range(2)]
    assert calm[0] == calm[1] != losses[0]


def test_mask_ablation_counts_more_cells():
    plain = build_detector(background=dict(type="BackgroundMask", enabled=False))
    assert loss_ood(plain) != loss_ood(build_detector())


def test_image_backbone_gets_no_gradient_graph_and_text_encoder_runs_once(monkeypatch):
    model = build_detector().train()
    graphs, calls = [], []
    neck, encoder = model.neck.forward, model._encode

    def spy_neck(feats, *args, **kwargs):
        graphs.append([x.requires_grad for x in feats])
        return neck(feats, *args, **kwargs)

    def spy_encoder(*args):
        calls.append(args)
        return encoder(*args)

    monkeypatch.setattr(model.neck, "forward", spy_neck)
    monkeypatch.setattr(model, "_encode", spy_encoder)
    total(model.loss(*batch(images=4))).backward()
    assert graphs == [[False, False, False]]
    assert len(calls) == 1
    assert model.prompt.ctx.grad.abs().sum() > 0


@both
def test_no_objects_at_all(build):
    losses = build().train().loss(*batch(objects=0))
    assert float(losses["loss_bbox"].detach()) == 0 < float(losses["loss_ood"].detach())
    assert all(torch.isfinite(v).all() for v in losses.values())


def predict(model, **test_cfg):
    model.eval()
    model.bbox_head.test_cfg.update(test_cfg)
    inputs, samples = batch()
    with torch.no_grad():
        return [s.pred_instances for s in model.predict(inputs, samples)]


def test_predictions_carry_all_logits_and_the_score():
    model = build_detector()
    preds = predict(model, keep_logits=True, keep_embeddings=True)
    id_text, neg_text = model.text_feats()
    assert sum(len(p) for p in preds) > 0
    for pred in preds:
        n = len(pred)
        assert pred.id_logits.shape == (n, len(ID_NAMES))
        assert pred.neg_logits.shape == (n, len(NEG_NAMES))
        assert "known" not in pred
        best, label = pred.id_logits.sigmoid().max(1)
        torch.testing.assert_close(pred.scores, best)
        assert torch.equal(pred.labels, label)
        want = get_score("negs")(pred.id_logits, pred.neg_logits).float()
        torch.testing.assert_close(pred.id_scores, want)
        from_embeds = pred.embeddings[:, :-1] @ id_text.T + pred.embeddings[:, -1:]
        torch.testing.assert_close(from_embeds, pred.id_logits, rtol=1e-3, atol=1e-4)
        from_embeds = pred.embeddings[:, :-1] @ neg_text.T + pred.embeddings[:, -1:]
        torch.testing.assert_close(from_embeds, pred.neg_logits, rtol=1e-3, atol=1e-4)


@both
def test_kept_boxes_do_not_depend_on_the_score_or_the_negatives(build):
    mcm = dict(type="NegSPostProcessor", score="mcm")
    without = build(neg_labels=[], use_nega=False, postprocessor=mcm)
    other = build(neg_labels=["zebra", "table", "tower", "sofa cushion"])
    found = [predict(each, keep_logits=True) for each in (without, build(), other)]
    for a, b, c in zip(*found, strict=True):
        for key in ("bboxes", "scores", "labels", "id_logits"):
            assert torch.equal(a[key], b[key])
            assert torch.equal(a[key], c[key])


def test_threshold_gives_a_verdict_and_logits_are_dropped_by_default():
    model = build_detector(postprocessor=dict(type="NegSPostProcessor", tau=0.0))
    pred = predict(model, keep_logits=False)[0]
    assert torch.equal(pred.known, pred.id_scores >= 0)
    assert "id_logits" not in pred and "neg_logits" not in pred


def test_text_features_are_cached_until_the_prompt_changes(monkeypatch):
    model = build_detector().eval()
    calls = []
    encode = model._encode
    monkeypatch.setattr(model, "_encode", lambda *a: (calls.append(1), encode(*a))[1])
    first = model.text_feats()[0]
    for _ in range(3):
        predict(model)
    assert len(calls) == 1
    with torch.no_grad():
        model.prompt.ctx.add_(0.5)
    second = model.text_feats()[0]
    assert len(calls) == 2
    assert not torch.equal(first, second)
    model.neg_labels = ("zebra",)
    assert model.text_feats()[1].shape[0] == 1
    assert len(calls) == 3


def test_prompt_starts_as_the_template():
    model = build_detector()
    stock = build_detector(prompt=None, use_nega=False, template="a photo of {}")
    with torch.no_grad():
        torch.testing.assert_close(model.text_feats()[0], stock.text_feats()[0])
        torch.testing.assert_close(model.text_feats()[1], stock.text_feats()[1])


def test_prompt_starts_at_random_if_the_config_says_so():
    def start(**options):
        return build_detector(prompt=dict(ctx_init=None, num_ctx=4, **options)).prompt.ctx.detach()

    assert start(seed=1).shape == (4, start(seed=1).shape[1])
    assert torch.equal(start(seed=1), start(seed=1))
    assert not torch.equal(start(seed=1), start(seed=2))
    assert torch.equal(start(), start(seed=0)), "by default the seed of the run"


def test_prompt_on_negatives_is_an_option():
    model = build_detector(prompt_negatives=False)
    with torch.no_grad():
        bare = model.encode_frozen(NEG_NAMES)
        torch.testing.assert_close(model.text_feats()[1], bare)
        torch.testing.assert_close(model.bank_feats(["zebra"]), model.encode_frozen(["zebra"]))


def test_features_outside_predict_are_guided_by_the_learned_prompt_too():
    model = build_detector().eval()
    inputs, _ = batch()
    with torch.no_grad():
        before = model.extract_feat(inputs)[0]
        generator = torch.Generator().manual_seed(0)
        model.prompt.ctx.copy_(torch.randn(model.prompt.ctx.shape, generator=generator))
        after = model.extract_feat(inputs)[0]
        want = model.neck(model.image_feats(inputs), model.text_feats()[0][None])[0]
    assert not torch.equal(before, after)
    torch.testing.assert_close(after, want)


def test_a_partial_checkpoint_without_base_weights_is_refused():
    model = build_detector()
    with pytest.raises(RuntimeError, match="base_checkpoint"):
        model.load_state_dict({"prompt.ctx": model.prompt.ctx.detach()}, strict=False)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(neg_labels=[]), "neg_labels"),
        (dict(neg_labels=[], use_nega=False), "needs negative labels"),
        (dict(neg_labels=["dog", "lion"]), "dog"),
        (dict(neg_labels=["lion", "Lion"]), "ion"),
        (dict(neg_labels="nowhere.json"), "nowhere.json"),
        (dict(background=dict(type="BackgroundMask", rule="corner")), "corner"),
        (dict(postprocessor=dict(type="NegSPostProcessor", score="magic")), "magic"),
    ],
)
def test_wrong_settings_are_named(changes, words):
    with pytest.raises((ValueError, KeyError, FileNotFoundError), match=words):
        build_detector(**changes)


def test_modules_build_from_configs():
    mask = TASK_UTILS.build(dict(type="BackgroundMask", rule="center"))
    assert isinstance(mask, BackgroundMask)
    boxes = [torch.tensor([[8.0, 8.0, 24.0, 16.0]])]
    got = mask(boxes, [(4, 4)], [8])[0].view(4, 4)
    want = torch.ones(4, 4, dtype=torch.bool)
    want[1, 1:3] = False
    assert torch.equal(got, want)

    scorer = MODELS.build(dict(type="NegSPostProcessor", score="negs", weight=0.5, tau=0.1))
    assert scorer.tau == 0.1


def test_background_mask_by_hand():
    # stride 8, 3x3 cells: a box that ends exactly on a cell border does not touch the next cell
    boxes = [torch.tensor([[4.0, 4.0, 16.0, 8.0]]), torch.zeros(0, 4)]
    mask = background_mask(boxes, [(3, 3)], [8])
    assert mask[0].view(3, 3).tolist() == [[False, False, True], [True] * 3, [True] * 3]
    assert mask[1].all()
    center = background_mask(boxes, [(3, 3)], [8], rule="center")
    assert center[0].view(3, 3).tolist() == [[False, False, True], [True] * 3, [True] * 3]
    thin = [torch.tensor([[9.0, 9.0, 11.0, 11.0]])]
    assert background_mask(thin, [(3, 3)], [8], rule="center").all()
    assert not background_mask(thin, [(3, 3)], [8]).view(3, 3)[1, 1]

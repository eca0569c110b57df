"""YOLO-World v2 and the NegAS forward pass against reference numbers of the authors' network."""

import copy
import json

import numpy as np
import pytest
import torch
from mmcv.cnn import ConvModule
from mmengine.registry import MODELS

import negas.register  # noqa: F401
from negas.models import background_mask
from negas.models.losses import MaskedBCELoss
from negas.scores import get_score
from tests.helpers.yolo_world import DATA, fill, inputs, model_config, reference

TOLERANCE = dict(rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def model():
    config = model_config("s")
    config.neck = dict(type="NegANeck", neck=config.neck, sigma=0.0)
    model = MODELS.build(config)
    fill(model)
    return model.eval()


@pytest.fixture(scope="module", params=["v2_s_128", "v2_s_256"])
def run(request, model):
    ref = reference(request.param)
    images, id_text, neg_text, gt = inputs(ref)
    with torch.no_grad():
        image_feats = model.image_feats(images)
        id_feats, ood_feats = model.neck(image_feats, id_text, neg_text)
        head = model.bbox_head
        losses, target = head.loss_by_texts(id_feats, id_text, gt)
        out = dict(
            id_logits=head.logits(id_feats, id_text),
            neg_logits=head.logits(id_feats, neg_text),
            ood_branch_id_logits=head.logits(ood_feats, id_text),
            bbox_ltrb=torch.cat(head.head_module.regress(id_feats)[0], 1),
        )
    sizes = [tuple(x.shape[-2:]) for x in id_feats]
    return ref, out, losses, target, gt, sizes


def test_state_dict_names_and_shapes(model):
    want = json.loads((DATA / "v2_s_state_dict.json").read_text())
    got = {name: list(value.shape) for name, value in model.state_dict().items()}
    assert got == want


@pytest.mark.parametrize("key", ["id_logits", "neg_logits", "ood_branch_id_logits", "bbox_ltrb"])
def test_outputs(run, key):
    ref, out, *_ = run
    got = out[key].numpy()
    np.testing.assert_allclose(got[:, ref["prior_index"]], ref[f"{key}_at"], **TOLERANCE)
    stats = [got.mean(), got.std(), got.min(), got.max()]
    np.testing.assert_allclose(stats, ref[f"{key}_stats"], **TOLERANCE)


def test_negs(run):
    ref, out, *_ = run
    at = ref["prior_index"]
    got = get_score("negs")(out["id_logits"][:, at], out["neg_logits"][:, at])
    np.testing.assert_allclose(got.numpy(), ref["negs_at"], **TOLERANCE)


def test_losses_and_assignment(run):
    ref, _, losses, target, *_ = run
    for key in ("loss_cls", "loss_bbox", "loss_dfl"):
        assert float(losses[key]) == pytest.approx(float(ref[key]), rel=1e-4)
    assert float(target.avg_factor) == pytest.approx(float(ref["assigned_scores_sum"]), rel=1e-4)
    assert int(target.foreground.sum()) == int(ref["num_positive_priors"])


def test_background_mask_and_ood_loss(run):
    ref, out, _, target, gt, sizes = run
    mask = background_mask([g.bboxes for g in gt], sizes, [8, 16, 32])
    bits = np.unpackbits(ref["background_mask"], axis=1)[:, : int(ref["background_mask_len"])]
    np.testing.assert_array_equal(mask.numpy(), bits.astype(bool))
    loss = MaskedBCELoss(loss_weight=0.5, alpha=1.0)(
        out["ood_branch_id_logits"], target.scores, mask
    )
    assert float(target.normalize(loss)) == pytest.approx(float(ref["loss_ood_cls"]), rel=1e-4)


def test_dual_branch_equals_two_passes(model):
    images, id_text, neg_text, _ = inputs(reference("v2_s_128"))
    with torch.no_grad():
        feats = model.image_feats(images)
        both = model.neck(feats, id_text, neg_text[:, :7])
        single = model.neck(feats, id_text), model.neck(feats, neg_text[:, :7])
    for got, want in zip(both, single, strict=True):
        for a, b in zip(got, want, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_merged_layers_equal_the_plain_ones(model):
    """Norms folded into convolutions, and the last convolution into the texts: same logits."""
    images, id_text, neg_text, _ = inputs(reference("v2_s_128"))
    module = model.bbox_head.head_module
    texts = torch.cat([id_text, neg_text], 1)
    with torch.no_grad():
        feats = model.image_feats(images)
        feats = model.neck(feats, id_text)
        hidden = module.hidden(feats)
        merged = module.classify(hidden, texts)
        plain = [
            contrast(tower(x), texts)
            for x, tower, contrast in zip(
                feats, module.cls_preds, module.cls_contrasts, strict=True
            )
        ]
        cells = torch.tensor([300, 0, 255, 256, 335, 17])  # 16x16, 8x8 and 4x4 cells
        embeds = module.embed_cells(hidden, 1, cells)
    for a, b in zip(merged, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    unit = torch.nn.functional.normalize(texts[0], dim=-1)
    want = torch.cat([x[1].flatten(1).T for x in plain])[cells]
    torch.testing.assert_close(embeds[:, :-1] @ unit.T + embeds[:, -1:], want, rtol=1e-4, atol=1e-4)

    blocks = [m for m in model.modules() if isinstance(m, ConvModule) and m.with_norm]
    with torch.no_grad(), torch.random.fork_rng():
        block = next(b for b in blocks if b.conv.in_channels > 3)
        x = torch.randn(1, block.conv.in_channels, 8, 8)
        want = block.activate(block.norm(block.conv(x)))
        torch.testing.assert_close(block(x), want, rtol=1e-4, atol=1e-4)
    names = ("fast_conv_bn_eval_forward", "efficient_conv_bn_eval_forward")  # by mmcv's version
    assert all(any(getattr(block, name, None) for name in names) for block in blocks)


def test_layers_in_training_mode_are_not_merged(model):
    """Batch statistics are those of the region embeddings, and they move."""
    contrast = copy.deepcopy(model.bbox_head.head_module.cls_contrasts[0]).train()
    conv = model.bbox_head.head_module.cls_preds[0][-1]
    before = contrast.norm.running_mean.clone()
    x = torch.linspace(-1, 1, 2 * conv.in_channels * 16).reshape(2, conv.in_channels, 4, 4)
    text = torch.eye(512)[None, :3]
    got = contrast(x, text, conv)
    z = conv(x)
    z = (z - z.mean((0, 2, 3), keepdim=True)) / (
        z.var((0, 2, 3), keepdim=True, correction=0) + 1e-3
    ).sqrt()
    norm = contrast.norm
    z = z * norm.weight[:, None, None] + norm.bias[:, None, None]
    want = z[:, :3] * contrast.logit_scale.exp() + contrast.bias
    torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-3)
    assert not torch.equal(norm.running_mean, before)


def test_per_image_texts_equal_shared_ones(model):
    images, id_text, _, _ = inputs(reference("v2_s_128"))
    with torch.no_grad():
        feats = model.image_feats(images)
        shared = model.neck(feats, id_text)
        each = model.neck(feats, id_text.repeat(2, 1, 1))
    for a, b in zip(shared, each, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("size", "millions"), [("m", 28.0), ("l", 46.0), ("x", 72.0)])
def test_other_sizes_build(size, millions):
    with torch.device("meta"):
        model = MODELS.build(model_config(size))
    count = sum(p.numel() for p in model.parameters()) / 1e6
    assert count == pytest.approx(millions, rel=0.1)

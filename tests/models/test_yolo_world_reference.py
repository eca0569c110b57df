"""YOLO-World v2 and the NegAS forward pass against reference numbers of the authors' network."""

import json

import numpy as np
import pytest
import torch
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

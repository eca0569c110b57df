"""SIREN's head on a small frozen detector: what a step moves, what scores get, what is refused."""

import copy

import pytest
import torch
from mmengine.config import ConfigDict

import negas.register  # noqa: F401
from negas.scores import get_score
from negas.scores.fitted.siren_head import project, vmf_logits
from tests.helpers.detector import ID_NAMES, batch, build_detector, detector_config


def build(seed=0, **changes):
    return build_detector(seed, type="SIRENYOLOWorldDetector", prompt=None, **changes)


def trained(steps=3):
    model = build().train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        (loss,) = model.loss(*batch()).values()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return model, losses


def test_steps_move_the_head_and_nothing_else():
    before = copy.deepcopy(build().state_dict())
    model, losses = trained()
    changed = [k for k, v in model.state_dict().items() if not torch.equal(v, before[k])]
    names = {"weight1", "bias1", "weight2", "bias2", "log_kappa", "scale", "directions"}
    assert set(changed) == {f"siren.{name}" for name in names}
    assert all(name.startswith("siren.") for name in model.trained)
    assert losses[-1] < losses[0] and all(loss == loss for loss in losses)


def test_cells_that_are_trained_on_lie_on_objects_and_have_their_labels():
    model = build()
    inputs, samples = batch()
    gt = [sample.gt_instances for sample in samples]
    with torch.no_grad():
        text = model.text_feats()[0][None]
        levels = model.neck(model.image_feats(inputs), model.guide(text))
        target = model.bbox_head.loss_by_texts(levels, text, gt)[1]
        feats, labels = model.bbox_head.positives(levels, text, gt)
        logits = model.bbox_head.logits(levels, text)[target.foreground]
    assert len(feats) == int(target.foreground.sum()) > 0
    torch.testing.assert_close(labels, target.scores[target.foreground].argmax(1))
    assert set(labels.tolist()) <= set(gt[0].labels.tolist())
    unit = torch.nn.functional.normalize(text[0], dim=1)
    shift = logits - feats @ unit.T  # the bias of a cell's level, the same for all labels
    torch.testing.assert_close(shift, shift[:, :1].expand_as(shift), rtol=0, atol=1e-3)


def test_a_batch_without_objects_has_a_loss_of_nothing_that_reaches_all_parameters():
    model = trained(1)[0]
    before = copy.deepcopy(model.siren.state_dict())
    inputs, samples = batch(images=1)  # the last image shows nothing
    loss = model.loss(inputs, samples)["loss_siren"]
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(p.grad is not None for p in model.siren.parameters())
    for key, value in model.siren.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


def test_scores_get_the_head_of_the_classes_that_were_seen():
    assert build().score_head() == {}
    model = trained()[0]
    head = model.score_head()
    seen = len(set(batch()[1][0].gt_instances.labels.tolist()))
    assert head["directions"].shape == (seen, 64) and 0 < seen < len(ID_NAMES)
    assert len(head["kappas"]) == len(head["constants"]) == seen
    feats = torch.randn(40, 513)
    arrays = dict(embeddings=feats, id_logits=torch.randn(40, 4), images=torch.arange(40) // 4)
    score = get_score("siren_vmf")
    with pytest.warns(UserWarning, match="fewer than 10 boxes"):
        state = score.fit(arrays, head=head)
    assert not any(key.startswith("fold") for key in state), "it never saw these images"
    units = project(head, feats[:, :-1])
    want = vmf_logits(units, head["directions"], head["kappas"], head["constants"]).amax(1)
    got = score.with_state(state)(arrays["id_logits"], None, feats, arrays["images"])
    torch.testing.assert_close(got, want.double(), rtol=1e-5, atol=1e-5)


def test_neighbors_are_sought_on_the_sphere_of_that_head():
    head = trained()[0].score_head()
    feats, fresh = torch.randn(2, 40, 513)
    ids, images = torch.eye(4).repeat(10, 1), torch.arange(40) // 4
    score = get_score("siren_knn", k=3)
    state = score.fit(dict(embeddings=feats, id_logits=ids, images=images), head=head)
    bank, units = (project(head, part[:, :-1]) for part in (feats, fresh))
    want = (units @ bank.half().float().T).topk(3).values[:, -1] - 1
    got = score.with_state(state)(ids, None, fresh)
    torch.testing.assert_close(got, want.double(), rtol=0, atol=1e-5)


def test_what_it_cannot_be():
    for changes in (dict(), dict(prompt=None, use_nega=True)):
        with pytest.raises(ValueError, match="trains its head alone; set model.prompt=None"):
            build_detector(type="SIRENYOLOWorldDetector", **changes)
    model = build()
    cfg = ConfigDict(detector_config(type="SIRENYOLOWorldDetector", prompt=None))
    type(model).set_labels(cfg, ID_NAMES, ["statue"])
    assert cfg.neg_labels == ["statue"]
    with pytest.raises(ValueError, match="a head for the classes that it was trained with"):
        type(model).set_labels(cfg, ["dog", "cow"])

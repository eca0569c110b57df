"""Attention maps of Grounding DINO: what its fusion layers do, by layer, level and name."""

import pytest
import torch
from mmdet.structures import DetDataSample

from negas.models.attention_maps import ID, NEGATIVE
from negas.models.grounding_dino.attention import token_shares
from tests.helpers.grounding_dino import ID_NAMES, NEG_NAMES, build_grounding_dino

SIZE = (96, 136)  # P5 has more cells than fit: 136 / 32 = 4.25
LEVELS = ((12, 17), (6, 9), (3, 5))


@pytest.fixture(scope="module")
def model():
    return build_grounding_dino().eval()


@pytest.fixture(scope="module")
def inputs():
    return torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def branches(model, inputs):
    with torch.no_grad():
        return model.attention(inputs)


@torch.no_grad()
def watched(model, inputs):
    """Inputs and outputs of the fusion layers' attention in a prediction."""
    seen = []
    hooks = [
        layer.attn.register_forward_hook(lambda *call: seen.append(call))
        for layer in model.encoder.fusion_layers
    ]
    meta = dict(img_shape=SIZE, batch_input_shape=SIZE, ori_shape=SIZE, scale_factor=(1.0, 1.0))
    model.predict(inputs, [DetDataSample(metainfo=meta)])
    for hook in hooks:
        hook.remove()
    return seen


def test_shares_are_what_a_prediction_mixes_texts_with(model, inputs):
    seen = watched(model, inputs)
    assert len(seen) == 2
    for attn, (vision, text, *_), (mixed, _) in seen:
        with torch.no_grad():
            shares = token_shares(attn, vision, text)
            values = attn.values_l_proj(text)[0].unflatten(-1, (attn.num_heads, attn.head_dim))
            own = attn.out_v_proj((shares @ values.transpose(0, 1)).transpose(0, 1).flatten(1))
        torch.testing.assert_close(own, mixed[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(shares.sum(-1), torch.ones(shares.shape[:2]))


def test_maps_are_the_predictions_by_layer_level_and_name(model, inputs, branches):
    caption, _ = model.id_text()
    layers = iter(branches[0].layers)
    for number, (attn, (vision, text, *_), _) in enumerate(watched(model, inputs), 1):
        with torch.no_grad():
            shares = token_shares(attn, vision, text)
        start = 0
        for level, (height, width) in enumerate(LEVELS):
            layer = next(layers)
            assert (layer.path, layer.stride) == (f"fusion-{number}", 8 << level)
            assert layer.scores.shape == (attn.num_heads, len(ID_NAMES), height, width)
            for k, tokens in enumerate(caption.name_map):
                row = shares[:, start + 2 * width + 1, tokens.nonzero()[:, 0]].max(-1).values
                torch.testing.assert_close(layer.scores[:, k, 2, 1], row)
            start += height * width
    assert next(layers, None) is None


def test_negatives_guide_a_branch_of_their_own(model, inputs, branches):
    assert [branch.name for branch in branches] == [ID, NEGATIVE]
    assert branches[0].words == tuple(ID_NAMES) and branches[1].words == tuple(NEG_NAMES)
    swapped = build_grounding_dino(class_names=NEG_NAMES, neg_labels=ID_NAMES).eval()
    with torch.no_grad():
        others = swapped.attention(inputs)
    for branch, other in zip(branches, others[::-1], strict=True):
        for layer, same in zip(branch.layers, other.layers, strict=True):
            torch.testing.assert_close(layer.scores, same.scores)


def test_the_stock_detector_has_one_branch_and_nothing_stays_hooked(inputs):
    stock = build_grounding_dino(type="GroundingDINODetector").eval()
    with torch.no_grad():
        assert [branch.name for branch in stock.attention(inputs)] == [ID]
    assert not any(module._forward_hooks for module in stock.modules())

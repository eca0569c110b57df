"""Stock Grounding DINO: the released architectures, today's transformers, training texts."""

import copy
import logging

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData

import negas.register  # noqa: F401
from negas.evaluation.collect import to_arrays
from negas.models.grounding_dino.training_texts import merge_texts
from tests.helpers.detector import batch
from tests.helpers.grounding_dino import ID_NAMES, bert_folder, build_grounding_dino
from tests.helpers.tiny_bert import write_tiny_bert
from tests.helpers.yolo_world import ROOT

RELEASED = {
    "grounding_dino_swin_t": "grounding_dino/grounding_dino_swin-t_pretrain_obj365_goldg_cap4m.py",
    "grounding_dino_swin_b": "grounding_dino/grounding_dino_swin-b_pretrain_mixeddata.py",
    "mm_grounding_dino_swin_t": "mm_grounding_dino/grounding_dino_swin-t_pretrain_obj365.py",
}


def mmdetections(path):
    """A model config that MMDetection ships."""
    import mmdet

    config = Config.fromfile(f"{mmdet.__path__[0]}/.mim/configs/{path}").model
    config.language_model.name = bert_folder()
    config.encoder.pop("num_cp", None)  # needs fairscale
    config.backbone.pop("init_cfg", None)
    return config


def build_as(kind, config, **changes):
    with DefaultScope.overwrite_default_scope("mmdet"):
        return MODELS.build(dict(copy.deepcopy(config), type=kind, **changes))


def ours(base, **changes):
    config = Config.fromfile(ROOT / f"configs/_base_/models/{base}.py").model
    config.language_model.name = bert_folder()
    config.update(
        type="NegASGroundingDINO", class_names=ID_NAMES, neg_labels=["tiger", "red panda"]
    )
    config.update(prompt=dict(ctx_init="a photo of"), **changes)
    return config


@pytest.mark.parametrize("base", RELEASED)
def test_released_weights_fit_but_for_the_prompt(base):
    """The published checkpoints have the names and shapes of MMDetection's own model."""
    config = mmdetections(RELEASED[base])
    theirs = build_as("GroundingDINODetector", config, class_names=ID_NAMES)
    mine = MODELS.build(ours(base))
    want = {key: value.shape for key, value in theirs.state_dict().items()}
    got = {key: value.shape for key, value in mine.state_dict().items()}
    assert set(got) - set(want) == {"prompt.ctx"} and set(want) <= set(got)
    assert {key: got[key] for key in want} == want


def test_our_class_adds_no_parameters_to_mmdetections():
    """Its own class, so that the comparison above says something about released files."""
    config = mmdetections(RELEASED["grounding_dino_swin_t"])
    stock = build_as("mmdet.GroundingDINO", config)
    mine = build_as("GroundingDINODetector", config, class_names=ID_NAMES)
    assert list(stock.state_dict()) == list(mine.state_dict())


def test_weights_that_lack_more_than_prompt_and_text_are_refused():
    model = build_grounding_dino()
    state = model.state_dict()
    stock = {k: v for k, v in state.items() if not k.startswith(("prompt.", "language_model."))}
    model.load_state_dict(stock, strict=False)
    # As converted from the original Grounding DINO, whose label embedding is left out.
    stock.pop("dn_query_generator.label_embedding.weight")
    model.load_state_dict(stock, strict=False)
    stock.pop("query_embedding.weight")
    with pytest.raises(RuntimeError, match="1 missing: query_embedding.weight"):
        model.load_state_dict(stock, strict=False)


# --- transformers -----------------------------------------------------------------------------
def test_phrases_are_encoded_as_transformers_encodes_them_alone():
    """The block mask against transformers' own forward, which takes no such mask any more."""
    language = build_grounding_dino().language_model
    names = ["traffic light", "cat", "red panda"]
    with torch.no_grad():
        out = language([". ".join(names) + "."])
        tokens = language.tokenizer.convert_ids_to_tokens
        ids = language.tokenize([". ".join(names) + "."])["input_ids"][0]
        start = 1  # behind [CLS]
        for name in names:
            phrase = language.tokenizer(f"{name}.", add_special_tokens=False, return_tensors="pt")
            length = phrase["input_ids"].shape[1]
            assert tokens(ids[start : start + length]) == tokens(phrase["input_ids"][0])
            alone = language.bert(**phrase).last_hidden_state[0]
            got = out["embedded"][0, start : start + length]
            torch.testing.assert_close(got, alone, rtol=1e-4, atol=1e-5)
            start += length
    assert out["text_token_mask"].all() and out["masks"].shape == (1, len(ids), len(ids))


def test_eager_and_fast_attention_agree():
    """transformers adds even a boolean mask in eager attention: ours must be additive."""
    language = build_grounding_dino().language_model
    with torch.no_grad():
        fast = language(["cat. red panda."])["embedded"]
        language.bert.config._attn_implementation = "eager"
        eager = language(["cat. red panda."])["embedded"]
    torch.testing.assert_close(fast, eager, rtol=1e-4, atol=1e-5)


def test_options_that_no_release_uses_are_refused():
    with pytest.raises(ValueError, match="num_layers_of_embedded"):
        MODELS.build(dict(type="BertTextModel", name=bert_folder(), num_layers_of_embedded=2))


# --- training texts ---------------------------------------------------------------------------
def with_texts(samples, texts):
    for sample, names in zip(samples, texts, strict=True):
        sample.set_metainfo(dict(text_names=names))
    return samples


def test_texts_of_a_batch_become_one_caption():
    model = build_grounding_dino(type="GroundingDINODetector", prefix="a photo of")
    _, samples = batch(images=2, objects=2)
    samples[0].gt_instances.labels = torch.tensor([2, 0])
    with_texts(samples, [("cat", "dog", "tiger"), ("panda", "dog", "light")])
    names, prefix = merge_texts(model.language_model, samples, model.prefix)
    assert prefix and names[:2] == ("tiger", "cat"), "what is shown comes first"
    assert set(names) == {"tiger", "cat", "panda", "dog", "light"}
    assert [names[i] for i in samples[0].gt_instances.labels] == ["tiger", "cat"]


def test_longer_lists_keep_their_texts_and_mixed_batches_are_refused():
    model = build_grounding_dino(type="GroundingDINODetector")
    _, samples = batch(images=2, objects=0)
    names, _ = merge_texts(
        model.language_model, with_texts(samples, [("cat",), ("dog", "panda", "tiger")])
    )
    assert set(names) == {"cat", "dog", "panda", "tiger"}
    with pytest.raises(ValueError, match="give them to all or none"):
        merge_texts(model.language_model, with_texts(samples, [("cat",), ()]))


def test_texts_that_do_not_fit_are_left_out_negatives_first():
    model = build_grounding_dino(type="GroundingDINODetector", prefix="a photo of")
    many = tuple(f"{a}{b}{c}" for a in "abcd" for b in "klmno" for c in "uvwxy")  # 4 tokens each
    _, samples = batch(images=2, objects=2)
    samples[0].gt_instances.labels = torch.tensor([99, 50])
    names, prefix = merge_texts(
        model.language_model, with_texts(samples, [many, many]), model.prefix
    )
    assert prefix and names[:2] == (many[99], many[50]) and len(names) < len(many)
    model.caption(names)
    samples[0].gt_instances = InstanceData(labels=torch.arange(50))
    names, prefix = merge_texts(
        model.language_model, with_texts(samples, [many, many]), model.prefix
    )
    assert not prefix and names[:50] == many[:50], "the prefix goes before a shown name does"
    samples[0].gt_instances = InstanceData(labels=torch.arange(100))
    with pytest.raises(ValueError, match="lower train_dataloader.batch_size"):
        merge_texts(model.language_model, with_texts(samples, [many, many]), model.prefix)


def test_pre_training_moves_all_but_what_is_frozen():
    model = build_grounding_dino(
        type="GroundingDINODetector", frozen=("backbone", "language_model")
    ).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    inputs, samples = batch()
    sum(model.loss(inputs, with_texts(samples, [tuple(ID_NAMES)] * 2)).values()).backward()
    optimizer.step()
    moved = {
        k.split(".")[0] for k, v in model.state_dict().items() if not torch.equal(v, before[k])
    }
    assert moved >= {"neck", "encoder", "decoder", "bbox_head", "text_feat_map"}
    assert not moved & {"backbone", "language_model"}
    assert not model.backbone.training and model.encoder.training


# --- what MMDetection would follow and ours does not ------------------------------------------
@pytest.fixture
def warnings():
    """Sentences that the package warned with, repeated ones as well."""
    said, logger = [], MMLogger.get_current_instance()
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())
    logger.addHandler(handler)
    yield said
    logger.removeHandler(handler)


@pytest.fixture(scope="module")
def small():
    return build_grounding_dino(type="GroundingDINODetector").eval()


SENTENCE = "a cat beside a dog."
PHRASES = [[[2, 5]], [[15, 18]]]


@pytest.mark.parametrize(
    ("metainfo", "expected"),
    [
        (dict(), None),
        (dict(text=tuple(ID_NAMES), custom_entities=True, caption_prompt=None), None),
        (dict(text=list(ID_NAMES), tokens_positive=None), None),
        (dict(text={str(i): name for i, name in enumerate(ID_NAMES)}), None),
        (dict(text=("Cat", "dog (pet)", "traffic_light", "panda")), None),
        (dict(text="cat. dog. traffic light. panda.", custom_entities=True), None),
        (dict(text="cat . dog . traffic light . panda"), None),
        (dict(text=("cat", "dog")), "text=('cat', 'dog')"),
        (dict(text=(*ID_NAMES[1:], "cat")), "text=("),
        (dict(text=SENTENCE), "text='a cat beside a dog.'"),
        (dict(text="cat. dog. traffic light. panda.", tokens_positive=-1), "text="),
        (dict(text=SENTENCE, tokens_positive=PHRASES), "tokens_positive=[[[2, 5]], [[15, 18]]]"),
        (dict(text=tuple(ID_NAMES), caption_prompt=dict(cat=dict(suffix=" head"))), None),
        (
            dict(
                text=tuple(ID_NAMES),
                caption_prompt=dict(cat=dict(suffix=" head")),
                custom_entities=True,
            ),
            "caption_prompt={'cat': {'suffix': ' head'}}",
        ),
    ],
)
def test_texts_of_a_tested_image_that_are_not_used_are_said(small, warnings, metainfo, expected):
    small.unused_texts.clear()
    inputs, samples = batch(images=1)
    samples[0].set_metainfo(metainfo)
    with torch.no_grad():
        small.predict(inputs, samples)
    if expected is None:
        assert not warnings
    else:
        (said,) = warnings
        assert said.startswith(expected) and "of image 1 is not used" in said
        assert "model.class_names=('cat', 'dog', 'traffic light', 'panda')" in said
        assert (
            "model.prefix" in said
            if "prompt" in expected
            else said.endswith("as model.class_names")
        )


def test_what_is_not_used_changes_nothing_and_is_said_once(small, warnings):
    small.unused_texts.clear()
    inputs, samples = batch()
    with torch.no_grad():
        plain = [sample.pred_instances for sample in small.predict(inputs, samples)]
        assert not warnings
        for names in (("zebra",), ("kite", "fork")):
            for sample in samples:
                sample.set_metainfo(dict(text=names))
            other = [sample.pred_instances for sample in small.predict(inputs, samples)]
    assert len(warnings) == 1 and "'zebra'" in warnings[0]
    for one, two in zip(plain, other, strict=True):
        assert torch.equal(one.scores, two.scores) and torch.equal(one.labels, two.labels)


def test_texts_of_training_images_that_are_not_used_are_said(warnings):
    model = build_grounding_dino(type="GroundingDINODetector").train()
    inputs, samples = batch()
    for sample in samples:  # MMDetection's own training takes no prompts either
        sample.set_metainfo(dict(text=tuple(ID_NAMES), custom_entities=True))
        sample.set_metainfo(dict(caption_prompt=dict(cat=dict(prefix="big "))))
    model.loss(inputs, samples)
    assert not warnings
    samples[1].set_metainfo(dict(text=("kite", "fork")))
    model.loss(inputs, samples)
    assert len(warnings) == 1 and warnings[0].startswith("text=('kite', 'fork') of image 2 is not")


def test_text_names_decide_in_training_and_are_said_where_they_do_not(warnings):
    names = tuple(reversed(ID_NAMES))
    stock = build_grounding_dino(type="GroundingDINODetector").train()
    inputs, samples = batch()
    for sample in with_texts(samples, [names] * 2):
        sample.set_metainfo(dict(text=names))
    stock.loss(inputs, samples)
    assert not warnings
    samples[0].set_metainfo(dict(text=tuple(ID_NAMES)))
    stock.loss(inputs, samples)
    (said,) = warnings
    assert said.startswith("text=('cat',") and said.endswith("give these names as text_names")

    nega = build_grounding_dino().train()  # its ID names are fixed
    inputs, samples = batch()
    nega.loss(inputs, with_texts(samples, [names] * 2))
    assert len(warnings) == 2 and warnings[1].startswith("text_names=('panda',")


@pytest.mark.parametrize(("size", "count"), [(-1, 0), (40, 0), (4, 0), (3, 1), (1, 1)])
def test_chunked_size_is_said_where_mmdetection_would_make_several_passes(warnings, size, count):
    build_grounding_dino(
        type="GroundingDINODetector", test_cfg=dict(max_per_img=30, chunked_size=size)
    )
    assert len(warnings) == count
    assert all("chunked_size" in said and "4 class_names" in said for said in warnings)


def test_released_configs_with_chunks_can_be_built(warnings):
    config = mmdetections("mm_grounding_dino/lvis/grounding_dino_swin-t_pretrain_zeroshot_lvis.py")
    assert config.test_cfg.chunked_size == 40
    build_as("GroundingDINODetector", config, class_names=ID_NAMES)
    assert not warnings


# --- names of boxes ---------------------------------------------------------------------------
def test_boxes_carry_the_names_that_mmdetection_gives_them(small):
    from mmdet.models.detectors import GroundingDINO

    inputs, samples = batch()
    for sample in samples:
        sample.set_metainfo(dict(text=tuple(ID_NAMES), custom_entities=True))
    plain = copy.deepcopy(small)
    plain.__class__ = GroundingDINO
    with torch.no_grad():
        want = plain.predict(inputs, copy.deepcopy(samples))
        got = small.predict(inputs, samples)
    for theirs, mine in zip(want, got, strict=True):
        assert theirs.pred_instances.label_names == mine.pred_instances.label_names
        assert len(set(mine.pred_instances.label_names)) > 1


def test_logits_are_kept_where_asked_for():
    inputs, samples = batch()
    for keep in (False, True):
        model = build_grounding_dino(test_cfg=dict(max_per_img=30, keep_logits=keep)).eval()
        with torch.no_grad():
            (found, *_) = model.predict(inputs, copy.deepcopy(samples))
        assert ("id_logits" in found.pred_instances) == keep


def test_names_of_boxes_follow_their_boxes():
    model = build_grounding_dino(test_cfg=dict(max_per_img=30, keep_logits=True)).eval()
    inputs, samples = batch()
    with torch.no_grad():
        sample = model.predict(inputs, samples)[0].cpu()
    found = sample.pred_instances
    keep = torch.arange(len(found)) % 3 == 1
    for chosen in (found[keep], found[keep.nonzero()[:, 0]], found[1::3], found.cat([found[keep]])):
        assert chosen.label_names == [ID_NAMES[i] for i in found.labels[1::3]]
    assert found[found.scores > 2].label_names == []
    arrays = to_arrays(sample.to_dict(), 0.0)
    assert all(isinstance(value, np.ndarray) for value in arrays.values())
    assert "label_names" not in arrays and len(arrays["scores"]) > 0


def test_mmdetections_visualizer_writes_the_names_of_boxes(small, monkeypatch):
    """Drawn on an OOD set, the dataset's own class names would be wrong."""
    from mmdet.visualization import DetLocalVisualizer

    inputs, samples = batch()
    with torch.no_grad():
        sample = small.predict(inputs, samples)[0].cpu()
    visualizer = DetLocalVisualizer("names of boxes")
    visualizer.dataset_meta = dict(classes=("zebra", "kite", "fork", "oven"), palette="random")
    written = []
    monkeypatch.setattr(
        visualizer, "draw_texts", lambda text, *args, **kwargs: written.append(text)
    )
    visualizer.add_datasample(
        "any", np.zeros((96, 96, 3), np.uint8), sample, draw_gt=False, pred_score_thr=0
    )
    names = [text.split(":")[0] for text in written]
    assert names == sample.pred_instances.label_names and set(names) <= set(ID_NAMES)


@pytest.mark.slow
def test_swin_t_at_its_real_size_trains_and_predicts(tmp_path):
    """The released architecture with a BERT of base size; 900 queries need 224 pixels."""
    config = ours("grounding_dino_swin_t", test_cfg=dict(max_per_img=300, keep_logits=True))
    config.language_model.name = str(write_tiny_bert(tmp_path / "bert", hidden_size=768, layers=12))
    torch.manual_seed(0)
    model = MODELS.build(config)
    model.init_weights()
    model.train()
    assert sum(p.numel() for p in model.parameters()) > 120e6
    inputs, samples = batch(images=1, objects=2, size=224)
    samples = batch(images=2, objects=2, size=224)[1][:1]
    losses = model.loss(inputs[:1], samples)
    sum(losses.values()).backward()
    assert {"loss_cls", "d4.loss_iou", "dn_loss_bbox", "enc_loss_cls", "loss_ood"} <= set(losses)
    assert all(value.isfinite() for value in losses.values())
    assert model.prompt.ctx.grad.isfinite().all() and model.prompt.ctx.grad.any()
    with torch.no_grad():
        found = model.eval().predict(inputs[:1], samples)[0].pred_instances
    assert found.id_logits.shape == (300, 4) and found.neg_logits.shape == (300, 2)
    assert found.id_scores.isfinite().all() and (found.scores.diff() <= 0).all()


def test_words_are_encoded_once_until_weights_change(monkeypatch):
    model = build_grounding_dino(type="GroundingDINODetector").eval()
    made = []
    encode = model.encode_bank
    monkeypatch.setattr(model, "encode_bank", lambda words: made.append(words) or encode(words))
    first = model.bank_feats(["zebra", "fork"])
    assert model.bank_feats(["zebra", "fork"]) is first and len(made) == 1
    model.forget_texts()
    torch.testing.assert_close(model.bank_feats(["zebra", "fork"]), first, equal_nan=True)
    assert len(made) == 2

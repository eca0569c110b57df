"""Settings and images that Grounding DINO cannot take are one clear sentence."""

import pytest
import torch

from negas.models.grounding_dino.checks import check_places
from tests.helpers.detector import batch
from tests.helpers.grounding_dino import build_grounding_dino
from tests.helpers.tiny_bert import write_tiny_bert

STOCK = dict(type="GroundingDINODetector")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (dict(frozen="neckk"), "frozen: 'neckk' is no part of the detector; it has"),
        (dict(language_model=dict(max_tokens=300)), "max_tokens=300 is more.*max_text_len=256"),
        (dict(language_model=dict(name="no-where-bert")), "cannot load a BERT from .*hub name"),
    ],
)
def test_settings(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        build_grounding_dino(**STOCK, **options)


@pytest.mark.parametrize("name", ["/no/where/bert", "./bert", "data/emoji_world/bert"])
def test_a_folder_that_does_not_exist_is_no_hub_name(name):
    with pytest.raises(FileNotFoundError, match="there is no such folder; a relative path starts"):
        build_grounding_dino(**STOCK, language_model=dict(name=name))


def test_a_bert_without_its_tokenizer(tmp_path):
    folder = write_tiny_bert(tmp_path / "bert")
    for file in folder.iterdir():
        if file.name not in ("config.json", "model.safetensors"):
            file.unlink()
    with pytest.raises(ValueError, match="neither vocab.txt nor tokenizer.json"):
        build_grounding_dino(**STOCK, language_model=dict(name=str(folder)))


def test_one_frozen_part_may_be_a_word():
    model = build_grounding_dino(**STOCK, frozen="backbone").train()
    assert not model.backbone.training and model.neck.training
    assert not any(p.requires_grad for p in model.backbone.parameters())


@pytest.mark.parametrize("negative", ["cat (animal)", "Cat."])
def test_negatives_that_read_as_an_id_label(negative):
    with pytest.raises(ValueError, match="reads as the ID label 'cat' in Grounding DINO's caption"):
        build_grounding_dino(class_names=["cat", "dog"], neg_labels=["wolf", negative])


def test_an_image_with_fewer_places_than_queries():
    model = build_grounding_dino(num_queries=400).eval()
    inputs, samples = batch(images=1)
    with pytest.raises(ValueError, match=r"96x96 pixels .* has \d+ places, fewer than the 400 q"):
        model.predict(inputs, samples)


def test_more_classes_than_label_embeddings():
    names = [f"kind {a}" for a in "abcde"]
    model = build_grounding_dino(**STOCK, class_names=names, bbox_head=dict(num_classes=4))
    model.eval()  # a test takes any number
    with pytest.raises(ValueError, match="5 classes are more than bbox_head.num_classes=4"):
        model.train()


@pytest.mark.parametrize(
    ("names", "sentence"),
    [(("cat",), "an object of label [1-9], and text_names only 1 names"), (("",), "an empty name")],
)
def test_texts_of_an_image_that_do_not_fit_its_labels(names, sentence):
    model = build_grounding_dino(**STOCK).train()
    inputs, samples = batch()
    samples[0].gt_instances.labels = torch.arange(len(samples[0].gt_instances))
    for sample in samples:
        sample.set_metainfo(dict(text_names=names))
    with pytest.raises(ValueError, match=sentence):
        model.loss(inputs, samples)


def test_other_class_names_are_other_texts():
    model = build_grounding_dino(**STOCK).eval()
    first = model.id_text()[0].name_map.shape[0]
    model.class_names = model.class_names[:2]
    assert first > 2 and model.id_text()[0].name_map.shape[0] == 2


def test_as_many_places_as_queries_are_enough():
    _, samples = batch(images=1)
    feats = [torch.zeros(1, 4, 2, 2), torch.zeros(1, 4, 1, 2)]
    check_places(feats, samples, 6)
    with pytest.raises(ValueError, match="6 places, fewer than the 7 queries"):
        check_places(feats, samples, 7)

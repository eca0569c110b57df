"""Registered parts: on-the-fly dataset, RandomTexts, the COCO dataset, the base configs."""

import numpy as np
import pytest
from mmdet.registry import DATASETS, TRANSFORMS
from mmengine.config import Config
from mmengine.registry import DefaultScope

import negas.register  # noqa: F401
from negas.datasets.emoji_world.dataset import ID_NAMES, EmojiWorldDataset
from negas.datasets.emoji_world.splits import SPLITS, SplitWriter
from negas.datasets.emoji_world.store import ensure_split
from negas.datasets.emoji_world.stream import EmojiWorldScenes
from negas.datasets.transforms.random_texts import DEFAULT_TEMPLATES, RandomTexts

PRETRAIN = "configs/_base_/datasets/emoji_world_pretrain.py"
EMOJI_WORLD = "configs/_base_/datasets/emoji_world.py"


@pytest.fixture(autouse=True)
def mmdet_scope():
    """Resolve short names as a Runner with default_scope="mmdet" does."""
    with DefaultScope.overwrite_default_scope("mmdet"):
        yield


def make(**options) -> EmojiWorldScenes:
    return EmojiWorldScenes(**({"length": 100, "styles": ("noto",)} | options))


def test_items_do_not_depend_on_order_or_instance():
    first, second = make(), make()
    order = [7, 0, 99, 7]
    items = {i: first.sample(i) for i in sorted(set(order))}
    for i in order:
        again = second.sample(i)
        assert np.array_equal(items[i]["img"], again["img"])
        assert np.array_equal(items[i]["gt_bboxes"].numpy(), again["gt_bboxes"].numpy())
        assert np.array_equal(items[i]["gt_bboxes_labels"], again["gt_bboxes_labels"])
    assert not np.array_equal(make(seed=1).sample(7)["img"], items[7]["img"])


def test_oversampling_and_vocabulary():
    dataset = make(vocabulary="strict", id_oversample=50.0)
    labels = np.concatenate([dataset.sample(i)["gt_bboxes_labels"] for i in range(30)])
    names = [dataset.metainfo["classes"][i] for i in labels]
    assert np.mean([name in ID_NAMES for name in names]) > 0.5  # 19*50 of 19*50+275 expected
    assert make(vocabulary=["cat", "tv"]).metainfo["classes"] == ("cat", "tv")


@pytest.mark.parametrize(
    "options,sentence",
    [
        ({"length": 0}, "length must be 1"),
        ({"id_oversample": 0}, "id_oversample must be above 0"),
        ({"vocabulary": "all"}, "standard, strict"),
        ({"vocabulary": ["cat", "table"]}, "lacks: table"),
        ({"styles": ("noto-v1",)}, "have no glyph for: .*accordion"),
        ({"dense_prob": 2}, "dense_prob must"),
    ],
)
def test_bad_settings(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        make(**options)


def test_index_out_of_range():
    with pytest.raises(IndexError, match="100 scenes"):
        make()[100]


def sample(labels, img_id=5, count=60):
    return {
        "gt_bboxes_labels": np.array(labels, dtype=np.int64),
        "img_id": img_id,
        "class_names": tuple(f"thing {i}" for i in range(count)),
    }


def test_random_texts_remap():
    labels = [3, 59, 3, 0]
    out = RandomTexts(num_texts=12)(sample(labels))
    assert len(out["texts"]) == len(set(out["text_names"])) == 12
    assert [out["text_names"][i] for i in out["gt_bboxes_labels"]] == [
        f"thing {label}" for label in labels
    ]
    assert out["gt_bboxes_labels"].dtype == np.int64
    matching = [t for t in DEFAULT_TEMPLATES if t.format(out["text_names"][0]) == out["texts"][0]]
    assert len(matching) == 1
    assert out["texts"] == tuple(matching[0].format(name) for name in out["text_names"])


def test_random_texts_depend_on_the_image_only():
    transform = RandomTexts(num_texts=12)
    first = transform(sample([1], img_id=1))["texts"]
    second = transform(sample([1], img_id=2))["texts"]
    assert first != second and first == transform(sample([1], img_id=1))["texts"]
    assert first != RandomTexts(num_texts=12, seed=1)(sample([1], img_id=1))["texts"]


def test_random_texts_without_objects_and_with_all():
    out = RandomTexts(num_texts=4)(sample([]))
    assert len(out["texts"]) == 4 and len(out["gt_bboxes_labels"]) == 0
    full = RandomTexts(num_texts=4, classes=["a", "b", "c", "d"])(sample([0, 1, 2, 3]))
    assert sorted(full["text_names"]) == ["a", "b", "c", "d"]


def test_first_template_is_drawn_half_of_the_time():
    transform = RandomTexts(num_texts=1)
    texts = [transform(sample([2], img_id=i))["texts"][0] for i in range(400)]
    assert 0.4 < np.mean([text == "a photo of thing 2" for text in texts]) < 0.6
    assert len(set(texts)) == len(DEFAULT_TEMPLATES)


@pytest.mark.parametrize(
    "options,labels,sentence",
    [
        ({"num_texts": 0}, [], "num_texts must be 1"),
        ({"templates": ["a photo"]}, [], "one '{}' each"),
        ({"first_weight": 2.0}, [], "first_weight must"),
        ({"num_texts": 61}, [], "vocabulary has only 60 names"),
        ({"num_texts": 2}, [1, 2, 3], "image 5 shows 3 classes"),
    ],
)
def test_random_texts_errors(options, labels, sentence):
    with pytest.raises(ValueError, match=sentence):
        RandomTexts(**options)(sample(labels))


def test_random_texts_without_a_vocabulary():
    results = sample([1])
    del results["class_names"]
    with pytest.raises(ValueError, match="pass classes="):
        RandomTexts()(results)


def test_pretrain_config_gives_packed_samples():
    cfg = Config.fromfile(PRETRAIN)
    cfg.train_dataloader.dataset.length = 3
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    packed = dataset[2]
    data_sample = packed["data_samples"]
    assert packed["inputs"].shape == (3, 160, 160) and len(data_sample.texts) == 48
    assert data_sample.img_shape == (160, 160) and data_sample.scale_factor == (1.0, 1.0)
    names = [dataset.metainfo["classes"][i] for i in dataset.sample(2)["gt_bboxes_labels"]]
    shown = [data_sample.texts[i] for i in data_sample.gt_instances.labels.tolist()]
    assert all(text.endswith(name) for text, name in zip(shown, names, strict=True))
    assert TRANSFORMS.get("RandomTexts") is RandomTexts


@pytest.fixture(scope="module")
def scenes_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("scenes")
    sets = ("id_train", "id_val", "id_val_seen", "id_val_clean", "id_test", "near_ood", "far_ood")
    for name in sets:
        ensure_split(SplitWriter(SPLITS[name], "data/emoji_world", 4), root)
    return root


def test_emoji_world_config_builds_every_set(scenes_root):
    cfg = Config.fromfile(EMOJI_WORLD)
    loaders = [cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader]
    loaders.append(cfg.test_cfg.id_val_clean_dataloader)
    for loader in loaders + list(cfg.ood_dataloaders.values()):
        dataset = DATASETS.build(loader.dataset | {"data_root": f"{scenes_root}/"})
        assert isinstance(dataset, EmojiWorldDataset)
        assert len(dataset) == 4 and dataset.metainfo["classes"] == ID_NAMES
        packed = dataset[0]
        assert packed["inputs"].shape == (3, 160, 160)
        assert packed["data_samples"].scale_factor == (1.0, 1.0)
        is_ood = "ood" in loader.dataset.ann_file
        assert (len(packed["data_samples"].gt_instances) == 0) == is_ood


def test_pretrain_validation_covers_both_styles(scenes_root):
    cfg = Config.fromfile(PRETRAIN)
    for part in cfg.val_dataloader.dataset.datasets:
        part.data_root = f"{scenes_root}/"
    both = DATASETS.build(cfg.val_dataloader.dataset)
    assert len(both) == 8 and len(cfg.val_evaluator.metrics) == 2
    assert both.metainfo["cumulative_sizes"] == [4, 8]


def test_twins_without_annotations_keep_their_images(scenes_root):
    dataset = EmojiWorldDataset(
        data_root=str(scenes_root),
        ann_file="annotations/far_ood_noann.json",
        data_prefix={"img": "far_ood/"},
        test_mode=True,
    )
    assert len(dataset) == 4

"""Grounding DINO's configs of VOC and BDD100K: they build, and each row is what it says."""

from itertools import product

import mmdet
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS

from negas.labels.bank import NegativeLabelBank
from tests.helpers.tiny_coco import write_data
from tests.helpers.tiny_grounding_dino import config_path
from tests.helpers.yolo_world import ROOT

MODELS = [
    f"{kind}-swin-{size}" for kind in ("grounding-dino", "mm-grounding-dino") for size in "tb"
]
SETS = ("voc", "bdd100k")
CONFIGS = sorted((ROOT / "configs/negas").glob("*dino-swin-*.py"))
MAIN = [config_path(*row) for row in product(("negas", "coop", "stock"), MODELS, SETS)]
MMDET = f"{mmdet.__path__[0]}/.mim/configs/grounding_dino/grounding_dino_swin-t"


def each(paths):
    return pytest.mark.parametrize("path", paths, ids=[path.stem for path in paths])


def small(method, data="voc"):
    return config_path(method, "grounding-dino-swin-t", data)


def test_the_main_comparison_is_complete():
    assert set(MAIN) == set(CONFIGS)


@each([path for path in MAIN if "swin-t" in path.name])
def test_model_builds(path, build_dino):
    model = build_dino(path)
    method = path.name.split("_")[0]
    assert len(model.class_names) == (20 if "voc" in path.name else 10)
    assert model.trained == ([] if method == "stock" else ["prompt.ctx"])
    assert model.use_nega == (method == "negas")
    assert model.prefix == ("" if method == "stock" else "a photo of")
    assert len(model.neg_labels) == 20


@pytest.mark.parametrize(
    ("name", "millions"),
    # Of the image side; BERT has 110 more.
    [("grounding-dino-swin-t", 63)]
    + [
        pytest.param(name, millions, marks=pytest.mark.slow)
        for name, millions in zip(MODELS[1:], (123, 63, 123), strict=True)
    ],
)
def test_model_of_the_real_size_builds(build_dino, name, millions):
    model = build_dino(config_path("negas", name, "voc"), real=True)
    count = sum(p.numel() for key, p in model.named_parameters() if "language_model" not in key)
    assert count / 1e6 == pytest.approx(millions, rel=0.02)
    assert model.num_queries == 900 and model.decoder.num_layers == 6
    # The learned scale and bias of MM-Grounding-DINO's classifier, and its denoising labels.
    is_mm = name.startswith("mm")
    assert ("bbox_head.cls_branches.0.bias" in model.state_dict()) == is_mm
    assert len(model.dn_query_generator.label_embedding.weight) == (256 if is_mm else 80)


@each(CONFIGS)
def test_recipe_and_data(path, read):
    cfg = read(path)
    name = "voc" if "voc" in path.name else "bdd100k"
    assert cfg.custom_imports == dict(imports=["negas.register"], allow_failed_imports=False)
    assert cfg.default_scope == "mmdet"
    assert cfg.model.language_model.name == "bert-base-uncased"
    folder, weights = cfg.model.base_checkpoint.split("/")
    assert folder == "checkpoints" and f"`{weights}`" in (ROOT / "data/README.md").read_text()
    NegativeLabelBank.load(cfg.model.neg_labels).check_id_labels(list(cfg.model.class_names))
    if not path.name.startswith("stock"):
        optimizer = cfg.optim_wrapper.optimizer
        assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ("AdamW", 1e-4, 0.0)
        assert cfg.train_cfg.max_epochs == cfg.param_scheduler[0].end == 20
        assert cfg.train_dataloader.batch_size * 8 == cfg.auto_scale_lr.base_batch_size == 16
    # the same files as YOLO-World reads
    other = read(ROOT / f"configs/negas/stock_yolo-world-v2-s_{name}.py")
    for mine, theirs in zip(loaders(cfg), loaders(other), strict=True):
        assert mine.dataset | dict(pipeline=0) == theirs.dataset | dict(pipeline=0)
        assert mine.batch_size == 1
    assert cfg.test_evaluator == other.test_evaluator and cfg.val_evaluator == other.val_evaluator
    settings = cfg.model.test_cfg
    assert settings.max_per_img == 300 and settings.keep_logits and settings.keep_embeddings


def loaders(cfg):
    return [cfg.val_dataloader, cfg.test_dataloader, *cfg.test_cfg.ood_dataloaders.values()]


def plain(steps):
    return [{**step, "type": step["type"].removeprefix("mmdet.")} for step in steps]


@pytest.mark.parametrize("name", SETS)
def test_images_are_mmdetections(read, name):
    cfg = read(small("negas", name))
    theirs = Config.fromfile(f"{MMDET}_pretrain_obj365_goldg_cap4m.py").test_pipeline
    # Pillow gives the same pixels of JPEGs; of 16 bits it makes white.
    assert theirs[0].pop("imdecode_backend") == "pillow"
    for loader in loaders(cfg):
        assert plain(loader.dataset.pipeline)[:3] == theirs[:3]
    assert cfg.test_pipeline == cfg.test_dataloader.dataset.pipeline == cfg.eval_set.pipeline
    assert cfg.train_pipeline == cfg.train_dataloader.dataset.pipeline
    theirs = Config.fromfile(f"{MMDET}_finetune_16xb2_1x_coco.py").train_pipeline
    train = plain(cfg.train_dataloader.dataset.pipeline)
    assert train[:3] == theirs[:3]
    assert train[3].pop("resize_type") == "mmdet.Resize"
    assert train[3] == theirs[3]["transforms"][0][0]


def test_samples(fresh, tmp_path):
    cfg = fresh(small("negas"))
    write_data(cfg, tmp_path, count=2)
    for loader in [cfg.train_dataloader, *loaders(cfg)]:
        dataset = loader.dataset
        dataset.data_root = f"{tmp_path}/{dataset.data_root}"
        sample = DATASETS.build(dataset)[0]
        height, width = sample["inputs"].shape[1:]
        found = sample["data_samples"].metainfo
        assert found["img_shape"] == (height, width) and width > height
        assert found["scale_factor"] == pytest.approx((width / 96, height / 72), rel=1e-3)
        training = loader is cfg.train_dataloader
        assert height in range(480, 801, 32) if training else height == 800
        assert ("flip" in found) == training

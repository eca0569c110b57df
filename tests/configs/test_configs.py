"""Every shipped config: it parses, its model builds, its files exist, its recipe is the paper's."""

import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, DefaultScope

import negas.register  # noqa: F401
from negas.datasets.emoji_world.dataset import ID_NAMES
from negas.labels.bank import NegativeLabelBank
from negas.labels.names import read_names
from tests.helpers.tiny_coco import EMOJI, TINY_CLIP, write_data
from tests.helpers.yolo_world import ROOT

CONFIGS = sorted((ROOT / "configs/negas").glob("*.py"))
REAL = [path for path in CONFIGS if "yolo-world-v2" in path.name]
TRAINED = [path for path in REAL if "8xb20" in path.name]
TESTED = [path for path in CONFIGS if "pretrain" not in path.name]
names = pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    """Configs name data relative to the repository."""
    monkeypatch.chdir(ROOT)


def build(path):
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(
        {"model.backbone.text_model.model_name": TINY_CLIP, "model.base_checkpoint": None}
    )
    return MODELS.build(cfg.model), cfg


@names
def test_model_builds(path):
    model, _ = build(path)
    assert len(model.class_names) in (10, 19, 20)
    trained = [name for name, param in model.named_parameters() if param.requires_grad]
    if path.name.startswith(("negas", "coop")):
        assert trained == ["prompt.ctx"]
        assert model.prompt.num_ctx == 3 and model.prompt.template == "a photo of {}"
    if path.name.startswith("stock"):
        assert trained == [] and model.prompt is None
    assert getattr(model, "use_nega", False) == path.name.startswith("negas")


@names
def test_config_is_found_by_its_name_and_imports_only_negas(path):
    cfg = Config.fromfile(path)
    assert cfg.custom_imports == dict(imports=["negas.register"], allow_failed_imports=False)
    assert cfg.default_scope == "mmdet"


def test_the_matrix_of_real_configs_is_complete():
    expected = {
        f"{method}_yolo-world-v2-{size}{schedule}_{data}.py"
        for method, schedule in (("negas", "_8xb20-30e"), ("coop", "_8xb20-30e"), ("stock", ""))
        for size in "sl"
        for data in ("voc", "bdd100k")
    }
    assert {path.name for path in REAL} == expected


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_real_configs_only_say_what_differs(path):
    assert len(path.read_text().splitlines()) < 25


@pytest.mark.parametrize("path", TRAINED, ids=lambda path: path.stem)
def test_recipe_of_the_paper(path):
    cfg = Config.fromfile(path)
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, cfg.train_cfg.max_epochs) == ("AdamW", 1e-2, 30)
    assert cfg.train_dataloader.batch_size * 8 == cfg.auto_scale_lr.base_batch_size == 160
    assert cfg.image_size == (640, 640)
    assert cfg.model.loss_ood.alpha == 3.0 and cfg.model.neck.sigma == 0.05
    assert cfg.model.backbone.text_model.model_name == "openai/clip-vit-base-patch32"
    assert len(NegativeLabelBank.load(cfg.model.neg_labels)) == 20


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_training_never_looks_at_the_test_set(path):
    cfg = Config.fromfile(path)
    test = cfg.test_dataloader.dataset
    watched = [cfg[key].dataset for key in ("train_dataloader", "val_dataloader") if cfg.get(key)]
    for dataset in watched:
        assert (dataset.data_root, dataset.ann_file) != (test.data_root, test.ann_file)
    assert cfg.val_evaluator.ann_file == (
        cfg.val_dataloader.dataset.data_root + cfg.val_dataloader.dataset.ann_file
    )


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_all_data_sets_share_the_class_names_of_model_and_bank(path):
    cfg = Config.fromfile(path)
    loaders = [cfg.test_dataloader, *cfg.test_cfg.ood_dataloaders.values()]
    loaders += [cfg[key] for key in ("train_dataloader", "val_dataloader") if cfg.get(key)]
    classes = list(read_names(cfg.model.class_names))
    assert len(classes) == (20 if "voc" in path.name else 10)
    assert all(loader.dataset.metainfo.classes == classes for loader in loaders)
    NegativeLabelBank.load(cfg.model.neg_labels).check_id_labels(classes)
    assert list(cfg.test_cfg.ood_dataloaders) == ["coco", "openimages"]
    assert all(loader.dataset.test_mode for loader in cfg.test_cfg.ood_dataloaders.values())


@pytest.mark.parametrize("path", TESTED, ids=lambda path: path.stem)
def test_every_table_carries_the_rotated_bank(path):
    cfg = Config.fromfile(path)
    assert cfg.test_evaluator.type == "OODMetric" and cfg.test_evaluator.rotations >= 1
    assert cfg.model.test_cfg.keep_logits and cfg.model.test_cfg.keep_embeddings
    assert cfg.model.test_cfg.score_thr <= cfg.test_evaluator.min_score


def test_emoji_world_has_one_list_of_id_names():
    listed = read_names("data/emoji_world/id_names.txt")
    assert listed == ID_NAMES
    for path in CONFIGS:
        if "emoji" in path.name:
            assert read_names(Config.fromfile(path).model.class_names) == listed
    for bank in (ROOT / "data/labels/emoji_world").glob("*.json"):
        assert tuple(NegativeLabelBank.load(bank).id_labels) == listed


@pytest.mark.parametrize("scope", ["mmyolo", "mmdet", "mmengine"])
@pytest.mark.parametrize("name", ["negas", "stock", "yolo-world-tiny"])
def test_emoji_world_builds_under_any_default_scope(tmp_path, scope, name):
    path = next(path for path in CONFIGS if "emoji" in path.name and path.name.startswith(name))
    write_data(Config.fromfile(EMOJI), tmp_path, count=2)
    with DefaultScope.overwrite_default_scope(scope):
        model, cfg = build(path)
        assert len(model.class_names) == 19
        for key in ("train_dataloader", "val_dataloader", "test_dataloader"):
            if cfg.get(key) and name != "yolo-world-tiny":
                dataset = cfg[key].dataset
                dataset.data_root = f"{tmp_path}/{dataset.data_root}"
                sample = DATASETS.build(dataset)[0]
                assert sample["inputs"].shape[0] == 3
        if name == "yolo-world-tiny":
            sample = DATASETS.build(cfg.train_dataloader.dataset)[0]
            assert len(sample["data_samples"].texts) == 48


@pytest.mark.parametrize("name", ["voc", "bdd100k"])
def test_banks_say_where_they_come_from(name):
    bank = NegativeLabelBank.load(ROOT / f"data/labels/{name}.json")
    assert {"generator", "date", "prompt", "selection"} <= set(bank.provenance)
    assert "CLIP" in bank.provenance["selection"], "whether CLIP chose them must be said"
    assert set(bank.provenance["resembles"]) == set(bank.neg_labels)
    assert set(bank.provenance["resembles"].values()) <= set(bank.id_labels)

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

# Grounding DINO's have tests of their own.
CONFIGS = [p for p in sorted((ROOT / "configs/negas").glob("*.py")) if "yolo-world" in p.name]
REAL = [p for p in CONFIGS if "yolo-world-v2" in p.name and "owodb" not in p.name]
BLANK = [p for p in REAL if "v2.1" in p.name]
SETS = ("voc", "bdd100k")
TRAINED = [path for path in REAL if "8xb20" in path.name]
BUILT_IN = [p for p in CONFIGS if p.stem.endswith("emoji-world")]
TESTED = [path for path in CONFIGS if "pretrain" not in path.name]


def each(paths):
    return pytest.mark.parametrize("path", paths, ids=[path.stem for path in paths])


def test_the_main_comparison_is_complete():
    methods = [f"{method}_yolo-world-v2-{size}" for method in ("negas", "coop") for size in "smlx"]
    names = {f"{method}_8xb20-30e" for method in methods}
    names |= {f"stock_yolo-world-v2-{size}" for size in "smlx"}
    names.add("siren_yolo-world-v2-s_8xb20-30e")
    found = {path.stem for path in REAL if path not in BLANK}
    assert found == {f"{n}_{data}" for n in names for data in SETS}


@each(BLANK)
def test_v2_1_is_v2_with_a_blank_text_at_its_image_size(path, read):
    cfg = read(path)
    size, _, side = path.stem.partition("v2.1-")[2].partition("_")[0].partition("-")
    other = read(ROOT / f"configs/negas/stock_yolo-world-v2-{size}_voc.py")
    assert cfg.model.background_text == " " and "background_text" not in other.model
    assert cfg.model == other.model | {
        key: cfg.model[key] for key in ("background_text", "base_checkpoint")
    }
    assert cfg.get("train_dataloader") is None
    side = int(side or 640)
    loaders = [cfg.val_dataloader, cfg.test_dataloader, *cfg.test_cfg.ood_dataloaders.values()]
    for loader in loaders:
        scales = [step.scale for step in loader.dataset.pipeline if "scale" in step]
        assert [tuple(scale) for scale in scales] == [(side, side)] * 2
        assert [step.type for step in loader.dataset.pipeline] == [
            step.type for step in other.test_pipeline
        ]


def test_files_are_short_and_begin_with_what_they_are():
    for path in (ROOT / "configs/negas").glob("*_*.py"):
        lines = path.read_text().splitlines()
        assert lines[0].startswith("# ") and max(map(len, lines)) <= 100, path.name
        assert len(lines) <= 15 or "emoji-world" in path.name, path.name


@each(CONFIGS)
def test_model_builds(path, read, build):
    cfg, model = read(path), build(path)
    assert cfg.custom_imports == dict(imports=["negas.register"], allow_failed_imports=False)
    assert cfg.default_scope == "mmdet"
    assert len(model.class_names) in (10, 19, 20)
    trained = [name for name, param in model.named_parameters() if param.requires_grad]
    if path.name.startswith(("negas", "coop")):
        assert trained == ["prompt.ctx"] and model.prompt.num_ctx == 3
        assert model.prompt.template == "a photo of {}"
    if path.name.startswith("stock"):
        assert trained == [] and model.prompt is None
    if path.name.startswith("siren"):
        assert {name.partition(".")[0] for name in trained} == {"siren"} and model.prompt is None
        assert cfg.test_cfg.id_val_dataloader.dataset.test_mode, "boxes that scores are fitted on"
    assert getattr(model, "use_nega", False) == path.name.startswith("negas")


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs/negas").glob("*.py")), ids=lambda p: p.stem
)
def test_the_built_in_benchmark_seeks_unknown_objects_and_the_paper_does_not(path, read):
    found = read(path).model.test_cfg
    built_in = "emoji-world" in path.name and "pretrain" not in path.name
    assert found.get("unknown") == (dict(vocabulary="common") if built_in else None)
    assert bool(found.get("keep_cells")) == built_in


@each(TRAINED)
def test_recipe_of_the_paper(path, read):
    cfg = read(path)
    optimizer = cfg.optim_wrapper.optimizer
    lr = 1e-3 if path.name.startswith("siren") else 1e-2  # that of a head, which is no prompt
    assert (optimizer.type, optimizer.lr, cfg.train_cfg.max_epochs) == ("AdamW", lr, 30)
    assert cfg.train_dataloader.batch_size * 8 == cfg.auto_scale_lr.base_batch_size == 160
    assert cfg.image_size == (640, 640)
    assert cfg.model.backbone.text_model.model_name == "openai/clip-vit-base-patch32"
    assert cfg.model.loss_ood.alpha == 3.0 and cfg.model.neck.sigma == 0.05
    assert len(NegativeLabelBank.load(cfg.model.neg_labels)) == 20


@each(REAL)
def test_training_never_looks_at_the_test_set(path, read):
    cfg = read(path)
    test = cfg.test_dataloader.dataset
    watched = [cfg[key].dataset for key in ("train_dataloader", "val_dataloader") if cfg.get(key)]
    for dataset in watched:
        assert (dataset.data_root, dataset.ann_file) != (test.data_root, test.ann_file)
    assert cfg.val_evaluator.ann_file == (
        cfg.val_dataloader.dataset.data_root + cfg.val_dataloader.dataset.ann_file
    )


@each(REAL)
def test_all_data_sets_share_the_class_names_of_model_and_bank(path, read):
    cfg = read(path)
    loaders = [cfg.test_dataloader, *cfg.test_cfg.ood_dataloaders.values()]
    loaders += [cfg[key] for key in ("train_dataloader", "val_dataloader") if cfg.get(key)]
    classes = list(read_names(cfg.model.class_names))
    assert len(classes) == (20 if "voc" in path.name else 10)
    assert all(loader.dataset.metainfo.classes == classes for loader in loaders)
    assert {loader.dataset.type for loader in loaders} == {cfg.dataset_type}
    NegativeLabelBank.load(cfg.model.neg_labels).check_id_labels(classes)
    assert list(cfg.test_cfg.ood_dataloaders) == ["coco", "openimages"]
    assert all(loader.dataset.test_mode for loader in cfg.test_cfg.ood_dataloaders.values())


@each(TESTED)
def test_every_table_carries_the_rotated_bank(path, read):
    cfg = read(path)
    assert cfg.test_evaluator.type == "OODMetric" and cfg.test_evaluator.rotations >= 1
    assert cfg.model.test_cfg.keep_logits and cfg.model.test_cfg.keep_embeddings
    assert cfg.model.test_cfg.score_thr <= cfg.test_evaluator.min_score


def test_emoji_world_has_one_list_of_id_names(read):
    listed = read_names(str(ROOT / "data/emoji_world/id_names.txt"))
    assert listed == ID_NAMES
    for path in CONFIGS:
        if "emoji" in path.name:
            assert read_names(read(path).model.class_names) == listed
    for bank in (ROOT / "data/labels/emoji_world").glob("*.json"):
        assert tuple(NegativeLabelBank.load(bank).id_labels) == listed


@pytest.mark.parametrize(
    ("name", "scope"),
    [("negas", "mmyolo"), ("yolo-world-tiny", "mmyolo"), ("stock", "mmdet"), ("negas", "mmengine")],
)
def test_emoji_world_builds_under_any_default_scope(tmp_path, fresh, scope, name):
    path = next(path for path in BUILT_IN if path.name.startswith(name))
    write_data(Config.fromfile(EMOJI), tmp_path, count=2)
    with DefaultScope.overwrite_default_scope(scope):
        cfg = fresh(path)
        cfg.merge_from_dict(
            {"model.backbone.text_model.model_name": TINY_CLIP, "model.base_checkpoint": None}
        )
        assert len(MODELS.build(cfg.model).class_names) == 19
        for key in ("train_dataloader", "val_dataloader", "test_dataloader"):
            if cfg.get(key) and name != "yolo-world-tiny":
                dataset = cfg[key].dataset
                dataset.data_root = f"{tmp_path}/{dataset.data_root}"
                sample = DATASETS.build(dataset)[0]
                assert sample["inputs"].shape[0] == 3
        if name == "yolo-world-tiny":
            sample = DATASETS.build(cfg.train_dataloader.dataset)[0]
            assert len(sample["data_samples"].texts) == 48


def test_what_the_pre_training_config_says_of_its_variables(fresh):
    path = next(path for path in CONFIGS if "pretrain" in path.name)
    cfg = fresh(path)
    cfg.merge_from_dict({"train_dataloader.sampler.epoch_length": 64})
    assert cfg.train_dataloader.sampler.epoch_length == 64
    text = path.read_text()
    for key in ("train_dataloader.sampler.epoch_length", "train_cfg.max_epochs"):
        assert key in text and cfg.get(key.split(".")[0])
    assert cfg.param_scheduler[1].end == cfg.max_epochs * cfg.epoch_length // cfg.batch_size


@pytest.mark.parametrize("name", SETS)
def test_banks_say_where_they_come_from(name):
    bank = NegativeLabelBank.load(ROOT / f"data/labels/{name}.json")
    assert {"generator", "date", "prompt", "selection"} <= set(bank.provenance)
    assert "CLIP" in bank.provenance["selection"], "whether CLIP chose them must be said"
    assert set(bank.provenance["resembles"]) == set(bank.neg_labels)
    assert set(bank.provenance["resembles"].values()) <= set(bank.id_labels)

"""The presets of image-level runs: readable, and on the data and banks of the detection configs."""

import json
from pathlib import Path

import pytest
from mmengine.config import Config

from negas.image_level.registry import METHODS
from negas.image_level.run.options import ImageOodOptions, read_preset
from negas.image_level.run.run import prepare
from negas.labels import NegativeLabelBank

ROOT = Path(__file__).parents[2]
PRESETS = sorted((ROOT / "configs/image_level").glob("*.json"))


def options(name, **changes):
    settings = read_preset(str(ROOT / f"configs/image_level/{name}.json"))
    return ImageOodOptions.from_settings(settings | changes)


def test_all_benchmarks_are_there():
    names = {path.stem for path in PRESETS}
    assert names == {"voc", "bdd100k", "imagenet_four_ood", "imagenet_openood", "emoji_world"}


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_is_complete(path):
    found = options(path.stem)
    assert set(found.methods) <= set(METHODS) and set(found.method_options) <= set(found.methods)
    assert found.train is not None or "interneg" not in found.methods
    assert json.loads(path.read_text())["about"]


def published_sets(name):
    """Annotations and images of the published OOD lists, as data/README.md names them."""
    coco = {"voc": "ood_rm_overlap", "bdd100k": "ood_wrt_bdd_rm_overlap"}[name]
    coco = f"data/coco/annotations/instances_val2017_{coco}.json"
    openimages = "data/openimages/ood_classes_rm_overlap/"
    files = {
        "coco": (coco, "data/coco/val2017"),
        "openimages": (f"{openimages}COCO-Format/val_coco_format.json", f"{openimages}images"),
    }
    listed = (ROOT / "data/README.md").read_text()
    assert all(ann_file in listed for ann_file, _ in files.values())
    return files


@pytest.mark.parametrize("name", ["voc", "bdd100k"])
@pytest.mark.parametrize("view", ["images", "gt_crops", "detected_crops"])
def test_detection_sets_are_those_of_the_detection_config(name, view):
    found = options(name, view=view)
    cfg = Config.fromfile(ROOT / f"configs/_base_/datasets/{name}.py")
    bank = NegativeLabelBank.load(ROOT / found.bank)
    bank.check_id_labels(list(cfg.class_names))
    loaders = {"id": cfg.test_dataloader, "train": cfg.train_dataloader, **cfg.ood_dataloaders}
    published = published_sets(name)
    for one in (found.id, found.train, *found.ood):
        data = loaders[one.name].dataset
        own = (f"{data.data_root}{data.ann_file}", f"{data.data_root}{data.data_prefix.img}")
        used = (Path(one.ann_file), Path(one.img_dir))
        allowed = [own, published[one.name]] if one.name in published else [own]
        assert used in [tuple(map(Path, files)) for files in allowed]
        if one.name != "train":
            run = f"work_dirs/negas_yolo-world-v2-s_8xb20-30e_{name}"
            assert one.detections == f"{run}/records/{one.name}.npz"
            assert (ROOT / f"configs/negas/{Path(run).name}.py").is_file()


def test_openood_groups():
    groups = {one.name: one.group for one in options("imagenet_openood").ood}
    assert [name for name, group in groups.items() if group == "near"] == ["ssb_hard", "ninco"]
    assert [name for name, group in groups.items() if group == "far"] == [
        "inaturalist",
        "textures",
        "openimage_o",
    ]


def test_the_word_list_of_emoji_world_is_all_its_classes():
    classes = json.loads((ROOT / "data/emoji_world/classes.json").read_text())["classes"]
    words = (ROOT / "configs/image_level/emoji_world_class_names.txt").read_text().split("\n")
    assert words[:-1] == [one["name"] for one in classes]


def test_emoji_worlds_methods_fit_its_bank(monkeypatch):
    monkeypatch.chdir(ROOT)  # any folder with pictures: only methods and labels are of interest
    methods = ["adaneg", "tanl", "ants"]
    settings = read_preset("configs/image_level/emoji_world.json")
    schedule = settings["method_options"]["ants"]
    found = options(
        "emoji_world",
        id={"folder": "data/emoji_world"},
        ood={"far": {"folder": "data/emoji_world"}},
        methods=methods,
        method_options={"ants": schedule},
    )
    ready = prepare(found)
    assert len(ready.bank) == 20 and len(ready.class_names) == 19

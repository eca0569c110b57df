"""The files that VOC and BDD100K configs read: documented, and made by our own command."""

import re

import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS

import negas.register  # noqa: F401
from negas.datasets.prepare.id_classes import label_of
from tests.helpers.tiny_coco import write_data
from tests.helpers.yolo_world import ROOT

SETS = ("voc", "bdd100k")


def datasets(cfg):
    loaders = {key: cfg[f"{key}_dataloader"] for key in ("train", "val", "test")}
    return {key: one.dataset for key, one in (loaders | cfg.test_cfg.ood_dataloaders).items()}


def read(name):
    return Config.fromfile(
        ROOT / f"configs/negas/stock_yolo-world-v2-s_{name}.py"
    ), Config.fromfile(ROOT / f"configs/_base_/datasets/{name}.py")


def documented(path):
    """Whether data/README.md lists a file, braces written out."""
    text = (ROOT / "data/README.md").read_text()
    lines = re.findall(r"^(data/\S+)", text, flags=re.MULTILINE)
    found = set()
    for line in lines:
        before, brace, rest = line.partition("{")
        inner, _, after = rest.partition("}")
        found |= {before + part + after for part in inner.split(",")} if brace else {line}
    return path.rstrip("/") in {line.rstrip("/") for line in found}


@pytest.mark.parametrize("name", SETS)
def test_every_file_and_folder_is_in_the_data_readme(name):
    for key, dataset in datasets(read(name)[1]).items():
        assert documented(dataset.data_root + dataset.ann_file), key
        assert documented(dataset.data_root + dataset.data_prefix.img), key


@pytest.mark.parametrize("name", SETS)
def test_ood_sets_have_the_names_that_prepare_data_gives(name):
    found = datasets(read(name)[1])
    label = label_of([name])
    assert found["coco"].ann_file == f"annotations/instances_val2017_ood_{label}.json"
    assert found["openimages"].ann_file == f"validation_ood_{label}.json"
    for source in ("coco-ood", "openimages-ood"):
        assert f"prepare_data.py {source}" in (ROOT / "docs/data.md").read_text()


@pytest.mark.parametrize("name", SETS)
def test_the_published_sets_are_one_option_away(name):
    text = (ROOT / "data/README.md").read_text().split("### OOD sets")[1].split("## ")[0]
    (block,) = [b for b in re.findall(r"```\n(.*?)```", text, flags=re.S) if "--cfg-options" in b]
    if name == "bdd100k":
        block = block.replace("ood_rm_overlap", "ood_wrt_bdd_rm_overlap")
        assert "instances_val2017_ood_wrt_bdd_rm_overlap.json" in text
    options = block.split("--cfg-options")[1].replace("\\\n", " ").split()
    cfg = read(name)[1]
    cfg.merge_from_dict(dict(option.split("=", 1) for option in options))
    found = datasets(cfg)
    for key in ("coco", "openimages"):
        assert documented(found[key].data_root + found[key].ann_file), key
        assert "overlap" in found[key].data_root + found[key].ann_file
    images = found["openimages"].data_root + found["openimages"].data_prefix.img
    assert documented(images)


@pytest.mark.parametrize("name", SETS)
def test_datasets_of_the_layout_load_with_empty_images(name, tmp_path):
    with_model, cfg = read(name)
    cfg.model = dict(class_names=cfg.class_names)
    write_data(cfg, tmp_path, count=4)  # the last image of each set is empty
    assert list(with_model.model.class_names) == cfg.class_names
    for key, dataset in datasets(cfg).items():
        built = DATASETS.build(dataset | dict(data_root=f"{tmp_path}/{dataset.data_root}"))
        assert built.metainfo["classes"] == cfg.class_names and len(built) == 4, key
        assert built.test_mode == (key != "train")
        empty = [i for i in range(4) if not built.get_data_info(i)["instances"]]
        assert empty == ([0, 1, 2, 3] if key in ("coco", "openimages") else [3])
        assert built[0]["inputs"].shape[0] == 3

"""The documented config for one's own project: nothing of VOC is left in what it reads."""

import re

import pytest
from mmengine.config import Config

import negas.register  # noqa: F401
from tests.helpers.yolo_world import ROOT


def paths(node, key=""):
    if isinstance(node, dict):
        for name, value in node.items():
            yield from paths(value, f"{key}.{name}")
    elif isinstance(node, list | tuple):
        for i, value in enumerate(node):
            yield from paths(value, f"{key}[{i}]")
    elif isinstance(node, str):
        yield key, node


YOLO_WORLD = "negas_yolo-world-v2-s_8xb20-30e_voc.py"


@pytest.mark.parametrize("base", [YOLO_WORLD, "negas_grounding-dino-swin-t_8xb2-20e_voc.py"])
def test_own_project(tmp_path, base):
    blocks = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs/extending.md").read_text(), flags=re.S
    )
    text = next(block for block in blocks if block.startswith("_base_"))
    config = tmp_path / "mine.py"
    assert YOLO_WORLD in text
    config.write_text(text.replace("/path/to/negas", str(ROOT)).replace(YOLO_WORLD, base))
    cfg = Config.fromfile(str(config))
    used = ("train_dataloader", "val_dataloader", "val_evaluator", "test_dataloader", "test_cfg")
    found = [path for key in used for path in paths(cfg[key], key)]
    assert not [path for path in found if re.search("voc|JPEGImages|coco/|openimages", path[1])]
    assert list(cfg.test_cfg.ood_dataloaders) == ["other"]
    other = cfg.test_cfg.ood_dataloaders.other
    assert other.dataset.ann_file == "other.json" and other.dataset.test_mode
    for key in ("train_dataloader", "val_dataloader", "test_dataloader"):
        dataset = cfg[key].dataset
        assert dataset.data_root == "data/site/" and dataset.data_prefix.img == "images/"
        assert dataset.metainfo.classes == ["helmet", "vest", "worker"] and dataset.pipeline
    assert other.dataset.metainfo.classes == ["helmet", "vest", "worker"]
    family = Config.fromfile(str(ROOT / "configs/negas" / base))
    assert other.dataset.pipeline == family.test_dataloader.dataset.pipeline
    assert other.batch_size == family.test_dataloader.batch_size
    assert cfg.model.class_names == ["helmet", "vest", "worker"]

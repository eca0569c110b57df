"""OODValLoop: the OOD evaluation during training, as docs/protocol.md switches it on."""

import json
import math
import re
import sys
from unittest.mock import MagicMock

import pytest
import torch
from mmengine.config import Config

from negas.evaluation.ood_metric import OODMetric
from negas.evaluation.result_files import read_results
from negas.records import BoxRecords
from tests.helpers.commands import run_tool
from tests.helpers.tiny_coco import OOD_NAMES, emoji_project, write_set
from tests.helpers.yolo_world import ROOT

CONFIG = """
_base_ = "mine.py"
root = "{folder}/heldout/"
val_cfg = dict(
    _delete_=True,
    type="OODValLoop",
    ood_dataloaders=dict(
        heldout=dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type="DefaultSampler", shuffle=False),
            dataset=dict(
                type="mmdet.CocoDataset",
                data_root=root,
                ann_file="ood.json",
                data_prefix=dict(img="images/"),
                metainfo=dict(classes=["zebra", "toaster", "kite"]),
                test_mode=True,
                pipeline={{{{_base_.test_pipeline}}}},
            ),
        )
    ),
)
val_evaluator = dict(
    _delete_=True, type="OODMetric", scores=["max_sigmoid", "negs"], cut={cut}, plots=False
)
train_cfg = dict(max_epochs={epochs}, val_interval=1)
default_hooks = dict(
    checkpoint=dict(save_best=["id/coco_ap50", "heldout/negs_auroc"], rule="greater")
)
"""


def project(folder, cut, epochs=1):
    emoji_project(folder, count=2)
    write_set(folder / "heldout/ood.json", folder / "heldout/images", OOD_NAMES, count=2)
    config = folder / "val.py"
    config.write_text(CONFIG.format(folder=folder, cut=cut, epochs=epochs))
    return config


@pytest.mark.slow
def test_mmengines_hooks_and_wandb_take_the_ood_numbers(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    wandb = MagicMock()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    config = project(tmp_path, cut=0.05, epochs=4)
    config.write_text(
        config.read_text()
        + "visualizer = dict(vis_backends=[dict(type='LocalVisBackend'), dict(type='Wandb"
        + "VisBackend', init_kwargs=dict(project='mine'))])\n"
        + "custom_hooks = [dict(type='EarlyStoppingHook', monitor='heldout/negs_auroc', "
        + "rule='greater', min_delta=2.0, patience=1)]\n"
    )
    assert run_tool("train", config) == 0
    work = tmp_path / "work"
    assert (work / "epoch_2.pth").is_file() and not (work / "epoch_3.pth").exists()
    assert len(list(work.glob("best_heldout_negs_auroc_epoch_*.pth"))) == 1
    logged = {key for call in wandb.log.call_args_list for key in call.args[0]}
    assert {"heldout/negs_auroc", "loss"} <= logged
    assert wandb.init.call_args.kwargs["project"] == "mine"


def test_a_training_with_ood_validation(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    config = project(tmp_path, cut=0.05, epochs=2)
    assert run_tool("train", config) == 0
    work = tmp_path / "work"
    report = read_results(work / "val")
    assert {(row["ood_set"], row["score"]) for row in report["rows"]} == {
        ("heldout", "max_sigmoid"),
        ("heldout", "negs"),
    }
    rows = [row for row in report["rows"] if row["preset"] != "objects"]  # no samples there
    assert rows and all(math.isfinite(row["auroc"]) for row in rows)
    assert report["sets"]["id"]["images"] == report["sets"]["heldout"]["images"] == 2
    assert len(BoxRecords.load(work / "val/records/heldout.npz")) > 0
    assert not (work / "ood_results.json").exists(), "a validation is no test"

    logged = [json.loads(line) for line in next(work.glob("*/vis_data/scalars.json")).open()]
    validations = [line for line in logged if "id/coco_ap50" in line]
    assert len(validations) == 2
    assert {"id/cut", "heldout/negs_fpr95", "heldout/negs_auroc"} <= set(validations[0])
    trained = [line for line in logged if "loss_ood" in line]
    assert len(trained) == 2 and all(line["loss_ood"] > 0 for line in trained)
    first, second = (
        torch.load(work / f"epoch_{e}.pth", weights_only=False)["state_dict"]["prompt.ctx"]
        for e in (1, 2)
    )
    assert not torch.equal(first, second), "training goes on after a validation"
    assert list(work.glob("best_id_coco_ap50_epoch_*.pth"))
    assert list(work.glob("best_heldout_negs_auroc_epoch_*.pth"))


def test_the_documented_config_can_be_read(tmp_path):
    text = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert "OODValLoop" in block
    config = tmp_path / "mine.py"
    config.write_text(block.replace('_base_ = "', f'_base_ = "{ROOT}/configs/negas/'))
    cfg = Config.fromfile(config)
    assert set(cfg.val_cfg) == {"type", "ood_dataloaders"}
    heldout = cfg.val_cfg.ood_dataloaders.heldout.dataset
    assert heldout.metainfo.classes == cfg.class_names and heldout.pipeline == cfg.test_pipeline
    assert OODMetric(**{k: v for k, v in cfg.val_evaluator.items() if k != "type"}).cut_rule == "f1"
    assert cfg.default_hooks.checkpoint.type == "CheckpointHook"


def test_bad_validation_sets_are_found_before_training(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    config = project(tmp_path, cut=0.05)
    image = sorted((tmp_path / "heldout/images").iterdir())[0]
    image.unlink()
    assert run_tool("train", config) == 2
    assert f"ood_dataloaders.heldout.dataset.ann_file: '{tmp_path}/heldout/ood.json'" in (
        error := capsys.readouterr().err
    )
    assert image.name in error
    assert not list((tmp_path / "work").glob("*.pth"))


@pytest.mark.parametrize("name", ["id", "id_val", "id_val_clean"])
def test_reserved_set_names(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(ROOT)
    config = project(tmp_path, cut=0.05)
    config.write_text(config.read_text().replace("heldout=dict(", f"{name}=dict("))
    assert run_tool("train", config) == 2
    assert f"ood_dataloaders: the set '{name}': the name is taken" in capsys.readouterr().err

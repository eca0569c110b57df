"""Every number and key of a config is looked at before anything is built from it."""

import re
from copy import deepcopy

import pytest
from mmengine.config import Config

from negas.embeddings.prompt import PromptLearner
from negas.evaluation.ood_metric import OODMetric
from negas.experiments.config_check import RANGES, _owned, check_config, parameters
from negas.models.nega_noise import StepNoise
from negas.options import _kind
from tests.helpers.tiny_coco import EMOJI, EMOJI_GROUNDING_DINO
from tests.helpers.yolo_world import ROOT

NAN, INF = float("nan"), float("inf")
CONFIGS = sorted((ROOT / "configs/negas").glob("*.py"))
YOLO, DINO = (Config.fromfile(path) for path in (EMOJI, EMOJI_GROUNDING_DINO))


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_shipped_configs_pass(path):
    check_config(Config.fromfile(path))


def refused(settings, base=YOLO):
    cfg = base.copy()
    cfg.merge_from_dict(settings)
    with pytest.raises(ValueError) as caught:
        check_config(cfg)
    assert str(base.filename) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("test_evaluator.cut", [NAN, 2, -0.1]),
        ("test_evaluator.min_score", [NAN, INF, -1, "low", None]),
        ("test_evaluator.shared_cut", [NAN, 1.5]),
        ("test_evaluator.rotations", [-1, 1.5, "5"]),
        ("test_evaluator.seed", [-1, 2**40]),
        ("test_evaluator.scores", [5, "negs", ["negs", 5]]),
        ("test_evaluator.presets", [5, "val_f1"]),
        ("test_evaluator.plots", ["no"]),
        ("model.postprocessor.tau", [NAN, "abc"]),
        ("model.postprocessor.weight", [NAN, INF]),
        ("model.test_cfg.max_per_img", [-5, 0, 1.5]),
        ("model.test_cfg.score_thr", [NAN, 1, -0.1]),
        ("model.test_cfg.nms_pre", [-1]),
        ("model.test_cfg.multi_label", ["yes"]),
        ("model.test_cfg.nms.iou_threshold", [NAN, 1.1]),
        ("model.loss_ood.alpha", [NAN, -1, "x"]),
        ("model.neck.sigma", [NAN, -0.1]),
        ("model.background.enabled", ["no"]),
        ("model.prompt.num_ctx", [0]),
        ("model.bbox_head.loss_cls.loss_weight", [NAN]),  # of a part that is not ours
        ("model.class_names", [5]),
        ("train_cfg.max_epochs", [0, -1, 1.5, "two"]),
        ("train_cfg.val_interval", [0]),
        ("optim_wrapper.optimizer.lr", [NAN, -1, "fast"]),
        ("optim_wrapper.clip_grad.max_norm", [NAN]),
        ("randomness.seed", ["abc", -1, 1.5]),
        ("train_dataloader.batch_size", [0, 1.5]),
        ("val_dataloader.num_workers", [-1]),
        ("test_cfg.ood_dataloaders.near", [None, 5]),
        ("test_cfg.ood_dataloaders.near.batch_size", [0]),
        ("test_cfg.id_val_dataloader.batch_size", [0]),
        ("test_cfg.id_val_clean_dataloader.batch_size", [0]),
        ("default_hooks.checkpoint.interval", [NAN, "x"]),
        # whatever the runner takes
        ("default_hooks", [5]),
        ("custom_hooks", [5, [5]]),
        ("env_cfg", [5]),
        ("randomness", [None]),
        ("param_scheduler", [5]),
        ("load_from", [5]),
        ("log_level", [None]),
        # data sets, also within others
        ("test_dataloader.dataset.type", [5, None]),
        ("test_dataloader.dataset.data_root", [5]),
        ("test_dataloader.dataset.data_prefix", [5]),
        ("test_dataloader.dataset.data_prefix.img", [5]),
        ("test_dataloader.dataset.metainfo", [5]),
        ("test_dataloader.dataset.pipeline", [5, "x"]),
        ("train_dataloader.dataset.dataset", [5]),
        ("test_cfg.ood_dataloaders.near.dataset.test_mode", ["abc"]),
        ("model.data_preprocessor.mean", ["abc", [INF]]),
        ("model.data_preprocessor.std", [[0, 1, 1]]),
        ("model.data_preprocessor.pad_size_divisor", [0]),
        ("model.test_cfg.nms.type", ["nmss"]),
        ("model.test_cfg.nms.class_agnostic", ["no"]),
    ],
)
def test_a_value_that_cannot_be_is_named_by_its_full_key(key, values):
    for value in values:
        assert re.search(rf"{key} must (be|lie in)", refused({key: value}))


SCHEDULE = dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=8)


@pytest.mark.parametrize(
    ("key", "value"),
    [("T_max", -3), ("T_max", 0), ("T_max", 1.5), ("eta_min", NAN), ("begin", -1), ("end", 0),
     ("by_epoch", "yes")],
)  # fmt: skip
def test_schedules_are_looked_at(key, value):
    says = rf"param_scheduler\.0\.{key} must be"
    assert re.search(says, refused(dict(param_scheduler=[SCHEDULE | {key: value}])))
    many = dict(_delete_=True, prompt=[SCHEDULE, SCHEDULE | {key: value}])
    cfg = deepcopy(YOLO)
    cfg._cfg_dict["param_scheduler"] = {k: v for k, v in many.items() if k != "_delete_"}
    with pytest.raises(ValueError, match=rf"param_scheduler\.prompt\.1\.{key} must be"):
        check_config(cfg)
    assert "param_scheduler.0.end=8 must be greater than begin=9" in refused(
        dict(param_scheduler=[SCHEDULE | dict(begin=9)])
    )


def test_log_levels_have_names():
    assert "log_level must be one of CRITICAL" in refused(dict(log_level="LOUD"))


@pytest.mark.parametrize(
    ("key", "kind", "name"),
    [
        ("val_evaluator", "VOCMetric", "ann_file"),
        ("val_evaluator", "mmdet.VOCMetric", "ann_file"),
        ("param_scheduler", "MultiStepLR", "T_max"),
        ("test_dataloader.sampler", "DefaultSampler", "shufle"),
    ],
)
def test_a_part_of_another_type_takes_no_inherited_key(key, kind, name):
    part = dict(type=kind, **{name: "x" if name != "T_max" else 3})
    cfg = deepcopy(YOLO)
    node = cfg._cfg_dict
    *above, last = key.split(".")
    for each in above:
        node = node[each]
    node[last] = [part] if key == "param_scheduler" else part
    says = rf"{key}(\.0)?\.{name}: {kind.rpartition('.')[2]} takes no such key"
    with pytest.raises(ValueError, match=says):
        check_config(cfg)


def test_a_bank_of_an_evaluator_is_named_with_its_key():
    cfg = deepcopy(YOLO)
    cfg.merge_from_dict({"test_evaluator.banks": {"other": "nowhere.json"}})
    with pytest.raises(FileNotFoundError, match=r"config .*: test_evaluator: banks\.other: nowh"):
        check_config(cfg)


def test_parts_without_a_type_are_looked_at():
    assert "model.noise.sigma must be finite" in refused({"model.noise.sigma": NAN}, DINO)
    assert "'sigm'; did you mean 'sigma'" in refused({"model.noise.sigm": 1}, DINO)


@pytest.mark.parametrize(
    ("key", "right"),
    [
        ("test_evalutor", "test_evaluator"),
        ("custom_hook", "custom_hooks"),
        ("ood_dataloader", "ood_dataloaders"),
        ("model.use_nego", "use_nega"),
        ("model.test_cfg.score_th", "score_thr"),
        ("model.test_cfg.nms.iou_treshold", "iou_threshold"),
        ("model.loss_ood.alhpa", "alpha"),
        ("test_evaluator.cutt", "cut"),
        ("val_evaluator.ann_fille", "ann_file"),
        ("test_cfg.ood_dataloader", "ood_dataloaders"),
        ("test_dataloader.batchsize", "batch_size"),
        ("test_dataloader.dataset.annfile", "ann_file"),
        ("train_cfg.max_epoch", "max_epochs"),
        ("randomness.sed", "seed"),
    ],
)
def test_the_right_key_is_named_for_a_misspelt_one(key, right):
    text = refused({key: 1})
    assert key.rpartition(".")[2] in text and f"did you mean {right!r}?" in text


def test_variables_of_users_pass():
    own = dict(near=dict(type="CocoDataset"))
    more = dict(
        _test_evaluator=1, test_evaluator_2=dict(a=1), model_name="x", ood_dataloader=own, lr=1
    )
    cfg = YOLO.copy()
    cfg.merge_from_dict(more | dict(train_dataset=own, my_sets=[own], img_scale=(640, 640)))
    check_config(cfg)


def test_parts_of_other_projects_may_take_anything():
    cfg = YOLO.copy()
    hook = dict(type="SomebodysHook", cut=7, alpha=-3, momentum=INF)
    cfg.merge_from_dict(dict(custom_hooks=[hook]))
    check_config(cfg)


def test_every_number_of_our_parts_has_its_range():
    parts = [*_owned().values(), StepNoise, PromptLearner]
    numbers = {
        name
        for part in parts
        for name, hint in parameters(part)[0].items()
        if {int, float} & {*_kind(hint)[0], *(_kind(hint)[1] or ())}
    }
    assert len(parts) > 20 and {"cut", "alpha", "sigma"} <= numbers
    assert sorted(numbers - set(RANGES)) == []


def test_parts_are_found_by_class_and_by_path():
    assert "test_evaluator.cut must" in refused(
        {"test_evaluator.type": "negas.evaluation.ood_metric.OODMetric", "test_evaluator.cut": 2}
    )
    assert "test_evaluator.cut must" in refused(
        {"test_evaluator.type": OODMetric, "test_evaluator.cut": 2}
    )


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("test_evaluator.scores", ["negz"], "negz"),
        ("test_evaluator.scores", [dict(weight=1)], "no type"),
        ("test_evaluator.presets", ["vso"], "vso"),
        ("test_evaluator.banks", {"../up": "x.json"}, "../up"),
        ("model.postprocessor.score", "neg", "'neg'"),
        ("model.background.rule", "overlp", "overlp"),
    ],
)
def test_names_that_only_a_part_knows_are_asked_of_it(key, value, says):
    text = refused({key: value})
    assert f"{key.rpartition('.')[0]}: " in text and says in text


def test_data_sets_of_other_forms_pass():
    one = dict(type="VOCDataset", ann_file="a.txt", data_prefix=dict(sub_data_root="VOC2007/"))
    many = dict(type="ConcatDataset", datasets=[one, one | dict(indices=[1, 2], metainfo={})])
    cfg = Config.fromfile(EMOJI)
    cfg.train_dataloader.dataset = dict(
        _delete_=True, type="RepeatDataset", times=2, dataset=dict(type="X", dataset=many)
    )
    check_config(cfg)
    cfg.train_dataloader.dataset.dataset.dataset.datasets[1].data_root = 5
    with pytest.raises(ValueError, match=r"dataset\.dataset\.dataset\.datasets\.1\.data_root"):
        check_config(cfg)


@pytest.mark.parametrize(
    ("key", "wrong", "right"),
    [
        ("model.type", "NegASYOLOWorldDetectr", "NegASYOLOWorldDetector"),
        ("model.backbone.image_model.type", "mmyolo.YOLOv8CSPDarkne", "YOLOv8CSPDarknet"),
        ("test_evaluator.type", "OODMetrc", "OODMetric"),
        ("test_cfg.type", "OODTestLop", "OODTestLoop"),
        ("train_dataloader.sampler.type", "DefaultSamplr", "DefaultSampler"),
        ("train_dataloader.dataset.type", "CocoDatset", "CocoDataset"),
        ("optim_wrapper.optimizer.type", "AdamWW", "AdamW"),
    ],
)
def test_the_right_part_is_named_for_a_misspelt_one(key, wrong, right):
    text = refused({key: wrong})
    assert f"{key}={wrong!r}" in text and f"did you mean {right!r}?" in text


def test_types_that_no_registry_knows_may_be_users_own():
    cfg = YOLO.copy()
    cfg.merge_from_dict({"optim_wrapper.optimizer.type": "Lion8", "mine": dict(type="anything")})
    check_config(cfg)


def test_no_data_sets_are_none_to_join():
    text = refused({"train_dataloader.dataset.datasets": []})
    assert "train_dataloader.dataset.datasets is empty" in text


def test_images_need_steps_that_prepare_them():
    text = refused({"test_dataloader.dataset.pipeline": []})
    assert "test_dataloader.dataset.pipeline has no steps" in text

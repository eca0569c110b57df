"""The detectors of the results tables, and the lines by which each follows a row."""

from __future__ import annotations

from .config_files import Family

_FULL = """\
model = dict(
    class_names=_base_.class_names,
    neg_labels="{{ fileDirname }}/../../data/labels/{data}.json",
)"""
_COOP = 'model = dict(use_nega=False, postprocessor=dict(score="max_sigmoid"))'
_STOCK = """\
model = dict(prompt=None, use_nega=False)

train_dataloader = None
train_cfg = None
optim_wrapper = None
param_scheduler = None
custom_hooks = []"""
_MAIN = dict(full=_FULL, coop=_COOP, stock=_STOCK)
_ABLATIONS = dict(
    alpha="model = dict(loss_ood=dict(alpha={value}))",
    background="model = dict(background=dict({value}))",
    prompt="model = dict(prompt=dict({value}))",
    prompt_negatives="model = dict(prompt_negatives={value})",
    guide_grad="model = dict(guide_grad={value})",
)
YOLO_WORLD = Family(
    name="yolo-world-v2-{size}",
    sizes="smlx",
    model="../_base_/models/negas_yolo_world_v2_{size}.py",
    schedule="../_base_/schedules/prompt_30e.py",
    recipe="8xb20-30e",
    lines={
        **_MAIN,
        **_ABLATIONS,
        "sigma": "model = dict(neck=dict(sigma={value}))",
        "cell_rule": _ABLATIONS["background"],
        "neg_labels": "model = dict(neg_labels={value})",
    },
)
GROUNDING_DINO = Family(
    name="grounding-dino-swin-{size}",
    sizes="tb",
    model="../_base_/models/negas_grounding_dino_swin_{size}.py",
    schedule="../_base_/schedules/prompt_grounding_dino_20e.py",
    recipe="8xb2-20e",
    data="../_base_/datasets/{data}_grounding_dino.py",
    lines={
        **_MAIN,
        **_ABLATIONS,
        "sigma": "model = dict(noise=dict(sigma={value}))",
        "query_rule": _ABLATIONS["background"],
        "query_option": "model = dict({value})",
    },
)
MM_GROUNDING_DINO = Family(
    name="mm-grounding-dino-swin-{size}",
    sizes="tb",
    model="../_base_/models/negas_mm_grounding_dino_swin_{size}.py",
    schedule=GROUNDING_DINO.schedule,
    recipe=GROUNDING_DINO.recipe,
    data=GROUNDING_DINO.data,
    lines=_MAIN,
)
FAMILIES = (YOLO_WORLD, GROUNDING_DINO, MM_GROUNDING_DINO)

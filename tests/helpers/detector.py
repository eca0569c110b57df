"""A small NegAS detector with random weights, and data samples for it."""

from __future__ import annotations

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.structures import InstanceData

from .yolo_world import ROOT

ID_NAMES = ["dog", "cat", "car", "person"]
NEG_NAMES = ["lion", "suitcase", "statue"]


def detector_config(**changes) -> dict:
    """Config of the tiny detector: prompt, NegA and NegS on; ``changes`` go to the model."""
    model = Config.fromfile(ROOT / "configs/_base_/models/yolo_world_tiny.py").model
    model.backbone.text_model.model_name = str(ROOT / "data/emoji_world/tiny_clip")
    model.type = "NegASYOLOWorldDetector"
    model.neck = dict(type="NegANeck", neck=model.neck)
    model.update(class_names=ID_NAMES, neg_labels=NEG_NAMES, prompt=dict(ctx_init="a photo of"))
    model.update(changes)
    return model


def build_detector(seed: int = 0, **changes) -> torch.nn.Module:
    """The detector with seeded random weights that carry signal through all layers."""
    config = detector_config(**changes)
    if config.type == "YOLOWorldDetector":  # the stock class knows nothing of NegAS
        config.neck = config.neck.neck
        for key in ("neg_labels", "prompt"):
            config.pop(key)
    torch.manual_seed(seed)
    model = MODELS.build(config)
    fill_with_signal(model, seed)
    return model


def fill_with_signal(model: torch.nn.Module, seed: int = 0, logit_scale: float = 0.0) -> None:
    """Seeded random weights in all but the text encoder, scaled so that signal passes all layers.

    Args:
        model: detector.
        seed: of the weights.
        logit_scale: of the classifier; more makes logits differ more between cells.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in (model.backbone.image_model, model.neck, model.bbox_head):
            for param in part.parameters():
                if param.dim() > 1:
                    fan_in = param[0].numel()
                    param.copy_(torch.randn(param.shape, generator=generator) * (2 / fan_in) ** 0.5)
        for contrast in model.bbox_head.head_module.cls_contrasts:
            contrast.logit_scale.fill_(logit_scale)
            contrast.bias.fill_(-1.0)


def batch(
    seed: int = 0, images: int = 2, objects: int = 3, size: int = 96
) -> tuple[torch.Tensor, list[DetDataSample]]:
    """Images [B, 3, size, size] in 0..1 and their samples; the last image has no object."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.rand(images, 3, size, size, generator=generator)
    samples = []
    for i in range(images):
        count = objects if i < images - 1 else 0
        corner = torch.rand(count, 2, generator=generator) * size / 2
        extent = 16 + torch.rand(count, 2, generator=generator) * size / 3
        sample = DetDataSample(
            metainfo=dict(
                img_id=i + 1,
                img_shape=(size, size),
                ori_shape=(size, size),
                batch_input_shape=(size, size),
                scale_factor=(1.0, 1.0),
            )
        )
        sample.gt_instances = InstanceData(
            bboxes=torch.cat([corner, corner + extent], 1),
            labels=torch.randint(0, len(ID_NAMES), (count,), generator=generator),
        )
        samples.append(sample)
    return inputs, samples

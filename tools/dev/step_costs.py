"""Time and memory of NegAS and of unknown objects against their parts, side by side in one run.

Every pair is measured alternately (A B A B ...) in the same process and reported as the median of
the ratios, so that a busy or throttled machine does not favour one side. Peak memory is measured in
fresh processes (CPU: resident set; CUDA: allocator).
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from image_costs import in_fresh_process, peak_rss
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.structures import InstanceData
from torch import nn

import negas.register  # noqa: F401
from negas.embeddings import encode_labels, encode_tokens, tokenize_labels
from negas.labels.vocabulary import Vocabulary
from negas.models.unknown import UnknownFinder
from negas.options import Options, option
from negas.unknown import UnknownOptions

FOUND = 10  # unknown objects of an image, about what a picture holds


@dataclass(frozen=True)
class Setting(Options):
    """What is measured."""

    model: str = option(
        "configs/_base_/models/yolo_world_v2_s.py", help="config with `model`; weights are random"
    )
    text: str | None = option(
        None,
        help="text encoder, folder or hub name (default: random weights of the published size)",
    )
    size: int = option(640, help="image side in pixels", ge=1)
    batch: int = option(2, help="images per step", ge=1)
    labels: int = option(20, help="ID labels, and as many negatives", ge=1)
    device: Literal["cpu", "cuda"] = option("cpu", help="where to compute")
    threads: int = option(1, help="CPU threads", ge=1)


def build(
    setting: Setting,
    nega: bool,
    negatives: bool = True,
    guide_grad: bool = True,
    id_boxes: bool = True,
) -> nn.Module:
    """The setting's detector with random weights.

    Args:
        setting: what is measured, with a text encoder.
        nega: train with the OOD branch.
        negatives: have negative labels.
        guide_grad: the OOD branch's loss reaches the prompt through its guide, too.
        id_boxes: let cells of YOLO-World pass the score threshold. With random weights it is all of
            them or none, and NMS of all would be half of a prediction.
    """
    torch.manual_seed(0)
    torch.set_num_threads(setting.threads)
    model = Config.fromfile(setting.model).model
    if is_grounding_dino(setting):
        model.type = "NegASGroundingDINO"
        model.language_model.name = setting.text
    else:
        model.type = "NegASYOLOWorldDetector"
        model.backbone.text_model.update(model_name=setting.text, pretrained=True)
        model.neck = dict(type="NegANeck", neck=model.neck)
    model.update(
        class_names=[f"class {i}" for i in range(setting.labels)],
        neg_labels=[f"negative {i}" for i in range(setting.labels)] if negatives else [],
        prompt=dict(ctx_init="a photo of"),
        use_nega=nega,
        guide_grad=guide_grad,
        postprocessor=dict(type="OODPostProcessor", score="negs" if negatives else "max_sigmoid"),
    )
    model.test_cfg.update(unknown=None, keep_cells=False)  # measured by themselves
    detector = MODELS.build(model).to(setting.device)
    if is_grounding_dino(setting):
        detector.init_weights()  # DETR's parameters are raw memory until then
        return detector
    for contrast in detector.bbox_head.head_module.cls_contrasts:
        contrast.bias.data.fill_(-4.0 if id_boxes else -9.0)
        contrast.norm.weight.data.normal_()
    return detector


def random_tower(setting: Setting, folder: Path) -> str:
    """A text encoder of the published size, with random weights and the built-in tokenizer.

    A tiny one would hide a third of a training step. CLIP ViT-B/32's, or BERT-base.
    """
    from transformers import (
        AutoTokenizer,
        BertConfig,
        BertModel,
        CLIPTextConfig,
        CLIPTextModelWithProjection,
    )

    torch.manual_seed(0)
    dino = is_grounding_dino(setting)
    name = "data/emoji_world/tiny_bert" if dino else "data/emoji_world/tiny_clip"
    tokenizer = AutoTokenizer.from_pretrained(name)
    if dino:
        model = BertModel(BertConfig(vocab_size=len(tokenizer)))
    else:
        tokens = dict(bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id)
        config = CLIPTextConfig(
            vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **tokens
        )
        model = CLIPTextModelWithProjection(config)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return str(folder)


def is_grounding_dino(setting: Setting) -> bool:
    """Whether the setting's model is a Grounding DINO; the others are YOLO-Worlds."""
    return "GroundingDINO" in Config.fromfile(setting.model).model.type


def batch(setting: Setting) -> tuple[torch.Tensor, list[DetDataSample]]:
    """Random images and five objects each."""
    generator = torch.Generator().manual_seed(0)
    size = setting.size
    images = torch.rand(setting.batch, 3, size, size, generator=generator).to(setting.device)
    samples = []
    for i in range(setting.batch):
        shape = (size, size)
        sample = DetDataSample(
            metainfo=dict(
                img_id=i,
                img_shape=shape,
                ori_shape=shape,
                batch_input_shape=shape,
                scale_factor=(1.0, 1.0),
            )
        )
        corner = torch.rand(5, 2, generator=generator) * size / 2
        extent = (0.1 + 0.4 * torch.rand(5, 2, generator=generator)) * size
        sample.gt_instances = InstanceData(
            bboxes=torch.cat([corner, corner + extent], 1),
            labels=torch.randint(0, setting.labels, (5,), generator=generator),
        ).to(setting.device)
        samples.append(sample)
    return images, samples


def step_of(model: nn.Module, setting: Setting) -> Callable[[], None]:
    """One training step (forward, backward, update of the prompt)."""
    images, samples = batch(setting)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    model.train()

    def step() -> None:
        optimizer.zero_grad()
        sum(model.loss(images, samples).values()).backward()
        optimizer.step()

    return step


def predict_of(model: nn.Module, setting: Setting) -> Callable[[], None]:
    """Prediction of one batch."""
    images, samples = batch(setting)
    model.eval()

    def predict() -> None:
        with torch.no_grad():
            model.predict(images, samples)

    return predict


def search_of(model: nn.Module, setting: Setting, num_words: int) -> Callable[[], None]:
    """Prediction of one batch that looks for unknown objects, too, and finds about ten an image.

    The words are the first ones of the shipped vocabulary; their texts are encoded here.
    """
    words = Vocabulary.load("common").words[:num_words]
    settings = {**model.unknown_defaults, "vocabulary": words, "max_per_img": FOUND}
    finder = UnknownFinder(UnknownOptions(**settings, score_thr=0.0), model.class_names)
    images, samples = batch(setting)
    model.eval()

    def predict() -> None:
        model.finder = finder
        with torch.no_grad():
            model.predict(images, samples)
        model.finder = None

    predict()
    scores = torch.cat([sample.unknown_instances.scores for sample in samples])
    finder.calibrate(finder.words, float(scores.min()) if len(scores) else 0.0)
    return predict


def necks_of(model: nn.Module, setting: Setting) -> tuple[Callable[[], None], Callable[[], None]]:
    """Forward and backward of both branches: in one pass, and in two separate ones."""
    images, _ = batch(setting)
    with torch.no_grad():
        feats = model.image_feats(images)
        id_text, neg_text = (f[None].clone() for f in model.text_feats())
    texts = [id_text.requires_grad_(), neg_text.requires_grad_()]

    def together() -> None:
        outs = model.neck.neck(feats, texts)
        sum(level.sum() for branch in outs for level in branch).backward()

    def separate() -> None:
        outs = [model.neck.neck(feats, text) for text in texts]
        sum(level.sum() for branch in outs for level in branch).backward()

    return together, separate


def texts_of(model: nn.Module) -> tuple[Callable[[], None], Callable[[], None]]:
    """ID labels behind the learned prompt, forward and backward: prefix once, or label by label."""
    text, names = model.backbone.text_model, model.class_names
    batch = tokenize_labels(text.tokenizer, names, model.prompt.template)
    ids, mask = (part.to(next(text.parameters()).device) for part in batch)

    def once() -> None:
        feats = encode_labels(text.model, text.tokenizer, names, model.prompt, normalize=False)
        feats.sum().backward()

    def each() -> None:
        embeds = model.prompt(ids, text.model)
        encode_tokens(text.model, ids, mask, embeds).sum().backward()

    return once, each


def interleaved(
    a: Callable[[], None], b: Callable[[], None], rounds: int, device: str, progress: Callable
) -> dict[str, float]:
    """Median seconds of both and the median of the pairwise ratios a / b.

    Seconds of the CPU where one thread works there, so that others on the machine count little.
    """
    alone = device == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    times: list[tuple[float, float]] = []
    for i in progress(range(rounds + 1)):
        pair = []
        for work in (a, b) if i % 2 else (b, a):
            gc.collect()
            start = clock()
            work()
            if device == "cuda":
                torch.cuda.synchronize()
            pair.append(clock() - start)
        if i:  # the first round warms up
            times.append(tuple(pair) if i % 2 else (pair[1], pair[0]))
    first, second = zip(*times, strict=True)
    return dict(
        seconds_a=statistics.median(first),
        seconds_b=statistics.median(second),
        ratio=statistics.median(x / y for x, y in times),
    )


def _peak(setting: Setting, variant: dict) -> float | tuple[float, float]:
    step = step_of(build(setting, **variant), setting)
    if setting.device == "cuda":
        step()
        torch.cuda.reset_peak_memory_stats()
        step()
        return torch.cuda.max_memory_allocated() / 2**20
    before = peak_rss()
    step()
    step()
    return before, peak_rss()


def _search_peak(setting: Setting, num_words: int) -> float | tuple[float, float]:
    model = build(setting, nega=False, negatives=False, id_boxes=False)
    before = peak_rss()
    predict = search_of(model, setting, num_words)
    if setting.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        predict()
        return torch.cuda.max_memory_allocated() / 2**20
    predict()
    return before, peak_rss()


def search_memory(setting: Setting, num_words: int) -> float | tuple[float, float]:
    """Peak MiB of :func:`search_of` in a fresh process, as :func:`peak_memory` gives it."""
    return in_fresh_process(_search_peak, setting, num_words)


def peak_memory(setting: Setting, **variant: bool) -> float | tuple[float, float]:
    """Peak MiB of a training step in a fresh process (CPU: before the steps, and at the peak).

    Args:
        setting: what is measured.
        **variant: options of :func:`build`.

    Raises:
        RuntimeError: the process died, most likely for want of memory.
    """
    return in_fresh_process(_peak, setting, variant)

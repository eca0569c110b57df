"""The `vision` command of tools/emoji_world/make_tiny_clip.py: crops -> frozen text directions.

Shapes: B crops, V class names, D channels, S image side in pixels.
"""

import argparse
import hashlib
import time
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from clip_directory import IMAGE_MEAN, IMAGE_STD, WEIGHTS, write_vision_tower
from distill import train
from run_settings import check_same_run, finish_run
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from negas.embeddings.text import encode_labels
from negas.files import write_json

SCALE_START, SCALE_MOST = 2.6592, 4.6052  # natural logs of 14.3 and 100, as in CLIP


class CropSource(Protocol):
    """Where labelled single-object crops come from; the same step gives the same crops."""

    names: list[str]
    num_id: int  # the first `num_id` names are the benchmark's ID classes

    def draw(self, batch: int, step: int, held_out: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return RGB uint8 crops [B, S, S, 3] and labels [B]; `held_out`: the unseen style."""
        ...


def build_vision_model(directory: Path, seed: int) -> nn.Module:
    """Create the vision tower that config.json of `directory` describes, randomly initialised."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig.from_pretrained(str(directory), local_files_only=True)
    config.dtype = None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CLIPVisionModelWithProjection(config).float()


def text_directions(directory: Path, names: list[str]) -> Tensor:
    """Unit text directions [V, D] of "a photo of <name>" from the directory's text tower."""
    from transformers import AutoTokenizer, CLIPTextModelWithProjection

    tokenizer = AutoTokenizer.from_pretrained(str(directory), local_files_only=True)
    model = CLIPTextModelWithProjection.from_pretrained(str(directory), local_files_only=True)
    with torch.no_grad():
        return encode_labels(model.float().eval(), tokenizer, names)


def to_pixels(crops: np.ndarray) -> Tensor:
    """RGB uint8 [B, S, S, 3] to normalised float [B, 3, S, S], as preprocessor_config.json says."""
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
    mean, std = torch.tensor(IMAGE_MEAN), torch.tensor(IMAGE_STD)
    return (pixels - mean[:, None, None]) / std[:, None, None]


def make_vision_tower(args: argparse.Namespace, crops: CropSource) -> dict:
    """Train, measure and write the vision tower; return the log summary written beside it.

    Raises:
        FileNotFoundError: If `args.out` holds no text tower yet.
        ValueError: If the work directory holds an unfinished run with other settings.
    """
    out, work = Path(args.out), Path(args.work_dir)
    if not (out / WEIGHTS).is_file():
        raise FileNotFoundError(f"{out} holds no {WEIGHTS}; make the text tower first.")
    directions = text_directions(out, crops.names)
    text = hashlib.sha1(directions.numpy().tobytes(), usedforsecurity=False).hexdigest()
    options = {name: getattr(args, name) for name in ("seed", "steps", "batch", "lr")}
    check_same_run(work, {**options, "text": text, "names": crops.names})
    started = time.monotonic()
    model = build_vision_model(out, args.seed)
    scale = nn.Parameter(torch.tensor(SCALE_START))
    log = train_vision(model, scale, directions, crops, options, work / "vision.pth")
    model = model.half().float()  # measure what is written
    summary = {
        "names": len(crops.names),
        "options": options,
        "parameters": sum(p.numel() for p in model.parameters()),
        "logit_scale": round(scale.exp().item(), 2),
        "seen_styles": accuracy(model, directions, crops, held_out=False),
        "held_out_style": accuracy(model, directions, crops, held_out=True),
        "log": log,
        "minutes_of_last_start": round((time.monotonic() - started) / 60, 1),
    }
    write_vision_tower(model, scale, out)
    write_json(out / "vision_log.json", summary)
    finish_run(work)
    return summary


def train_vision(
    model: nn.Module,
    scale: nn.Parameter,
    directions: Tensor,
    crops: CropSource,
    options: dict,
    checkpoint: Path,
) -> list[dict]:
    """Train in place: cross-entropy over all names plus cosine to the crop's name; return the log.

    Crops are a function of the step, so an interrupted run continues to the same numbers.
    """
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1] + [scale]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=options["lr"])

    def loss_of(step: int) -> tuple[Tensor, dict[str, Tensor]]:
        scale.data.clamp_(max=SCALE_MOST)
        images, labels = crops.draw(options["batch"], step)
        unit = normalize(model(pixel_values=to_pixels(images)).image_embeds, dim=-1)
        cosines = unit @ directions.T
        labels = torch.from_numpy(labels)
        right = cosines[torch.arange(len(labels)), labels].mean()
        loss = cross_entropy(cosines * scale.exp(), labels, label_smoothing=0.05) + (1 - right)
        return loss, {"top1": (cosines.argmax(-1) == labels).float().mean(), "cosine": right}

    state = {"scale": (scale.detach, scale.data.copy_)}
    steps = options["steps"]
    log = train(model, optimizer, steps, loss_of, state, checkpoint, "vision tower", rows=39)
    scale.data.clamp_(max=SCALE_MOST)
    return log


@torch.no_grad()
def accuracy(
    model: nn.Module, directions: Tensor, crops: CropSource, held_out: bool, batches: int = 16
) -> dict[str, float]:
    """Top-1 among all names, and among the ID names on crops of ID classes; 16 batches of 64."""
    right, id_right, cosine = [], [], []
    for index in range(batches):
        images, labels = crops.draw(64, -1 - index, held_out)
        labels = torch.from_numpy(labels)
        unit = normalize(model(pixel_values=to_pixels(images)).image_embeds, dim=-1)
        cosines = unit @ directions.T
        right.append((cosines.argmax(-1) == labels).float())
        cosine.append(cosines[torch.arange(len(labels)), labels])
        known = labels < crops.num_id
        id_right.append((cosines[known, : crops.num_id].argmax(-1) == labels[known]).float())
    parts = {"top1": right, "top1_id": id_right, "cosine": cosine}
    return {name: round(torch.cat(part).mean().item(), 4) for name, part in parts.items()}

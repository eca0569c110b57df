"""The `text` command of tools/make_tiny_clip.py: teacher -> tokenizer -> tower -> directory."""

import argparse
import hashlib
import json
import shutil
import time
from pathlib import Path

import torch

from negas.text.clip_directory import write_text_tower
from negas.text.distill import (
    TEMPLATES,
    DistillOptions,
    TextPairs,
    build_text_model,
    encode_template,
    quality,
    start_at_axes,
    template_shifts,
    train_text,
)
from negas.text.run_settings import check_same_run, finish_run
from negas.text.teacher import Teacher, add_composed, load_teacher, target_directions
from negas.text.tiny_tokenizer import CONTEXT_LENGTH, load_tokenizer, train_tokenizer


def make_text_tower(args: argparse.Namespace) -> dict:
    """Distil, measure and write the text tower; return the log summary that is written beside it.

    Raises:
        ValueError: If the teacher or the output directory cannot be used, or the work directory
            holds an unfinished run with other settings.
    """
    teacher = load_teacher(args.teacher, args.names)
    if args.composed:
        teacher = add_composed(teacher, args.composed)
    out, work = Path(args.out), Path(args.work_dir)
    out.mkdir(parents=True, exist_ok=True)
    check_same_run(work, _settings(args, teacher))
    # `out` keeps a working tower until the new one is complete
    train_tokenizer(teacher.names, list(TEMPLATES), args.vocab_size, work / "tokenizer")
    tokenizer = load_tokenizer(work / "tokenizer")
    directions = target_directions(teacher.embeddings, center=not args.no_center)
    shifts = template_shifts(directions, args.seed)
    pairs = TextPairs(tokenizer, teacher.names, directions, shifts)
    options = DistillOptions(steps=args.steps, batch=args.batch, lr=args.lr, seed=args.seed)
    everything = torch.arange(len(teacher.names))
    started = time.monotonic()
    summary = {
        "teacher": teacher.origin,
        "names": len(teacher.names),
        "centred": not args.no_center,
        "seed": args.seed,
        "options": vars(options),
        "templates": TEMPLATES,
    }
    if not args.no_holdout:
        summary["held_out"] = _held_out(args, pairs, options, len(tokenizer), work)
    model = _build(args, len(tokenizer), directions.shape[1])
    bound = start_at_axes(model, directions)
    log = train_text(model, pairs, everything, options, work / "text.pth", "text tower")
    model = model.half().float()  # measure what is written
    summary |= {
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens": len(tokenizer),
        "cosine_bound_of_width": round(bound, 4),
        "quality": {
            template: quality(
                encode_template(model, pairs, template), pairs.of(template), everything
            )
            for template in ("a photo of {}", "a {}", "{}", "an icon of {}")
        },
        "prompt_shift": _prompt_shift(model, pairs),
        "log": log,
        "minutes": round((time.monotonic() - started) / 60, 1),
    }
    shutil.copytree(work / "tokenizer", out, dirs_exist_ok=True)
    write_text_tower(model, out)
    (out / "text_log.json").write_text(json.dumps(summary, indent=1) + "\n")
    finish_run(work)
    return summary


def _build(args: argparse.Namespace, tokens: int, dim: int) -> torch.nn.Module:
    sizes = (dim, args.width, args.layers, args.mlp)
    return build_text_model(tokens, CONTEXT_LENGTH, *sizes, args.seed)


def _settings(args: argparse.Namespace, teacher: Teacher) -> dict:
    """Everything the result depends on; the teacher by its content."""
    digest = hashlib.sha1(usedforsecurity=False)
    digest.update(json.dumps(teacher.names).encode() + teacher.embeddings.numpy().tobytes())
    skipped = {"command", "out", "work_dir", "threads", "teacher", "names", "composed"}
    settings = {key: value for key, value in vars(args).items() if key not in skipped}
    return settings | {"teacher": digest.hexdigest()}


def _held_out(args, pairs: TextPairs, options: DistillOptions, tokens: int, work: Path) -> dict:
    """Train on 90% of the names for a third of the steps and measure the other 10%."""
    generator = torch.Generator().manual_seed(args.seed + 2)
    order = torch.randperm(len(pairs.directions), generator=generator)
    unseen, seen = order.split([max(1, len(order) // 10), len(order) - max(1, len(order) // 10)])
    model = _build(args, tokens, pairs.directions.shape[1])
    start_at_axes(model, pairs.directions[seen])
    short = DistillOptions(**{**vars(options), "steps": max(1, options.steps // 3)})
    train_text(model, pairs, seen, short, work / "held_out.pth", "10% held out")
    feats = encode_template(model, pairs, "a photo of {}")
    return {
        "note": "centred on all names; targets of the held-out names were never trained",
        "steps": short.steps,
        "seen": quality(feats, pairs.directions, seen),
        "unseen": quality(feats, pairs.directions, unseen),
    }


def _prompt_shift(model: torch.nn.Module, pairs: TextPairs) -> dict[str, float]:
    """Mean cosine of a template's features to those of "a photo of": 1 means words do nothing."""
    base = encode_template(model, pairs, "a photo of {}")
    return {
        template: round((encode_template(model, pairs, template) * base).sum(-1).mean().item(), 4)
        for template in TEMPLATES
    }

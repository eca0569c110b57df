"""The `text` command of make_tiny_clip.py: teacher -> tokenizer -> tower -> directory."""

import argparse
import json
import shutil
import time
from pathlib import Path

import torch
from clip_directory import write_text_tower
from distill import (
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
from distill_report import held_out, prompt_shift
from run_settings import check_same_run, finish_run, tower_settings
from teacher import add_composed, load_teacher, target_directions
from tiny_tokenizer import CONTEXT_LENGTH, load_tokenizer, train_tokenizer


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
    check_same_run(work, tower_settings(args, teacher))
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
        summary["held_out"] = held_out(
            pairs, options, lambda seen: _build(args, len(tokenizer), directions[seen]), work
        )
    model, bound = _build(args, len(tokenizer), directions)
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
        "prompt_shift": prompt_shift(model, pairs),
        "log": log,
        "minutes": round((time.monotonic() - started) / 60, 1),
    }
    shutil.copytree(work / "tokenizer", out, dirs_exist_ok=True)
    write_text_tower(model, out)
    (out / "text_log.json").write_text(json.dumps(summary, indent=1) + "\n")
    finish_run(work)
    return summary


def _build(
    args: argparse.Namespace, tokens: int, directions: torch.Tensor
) -> tuple[torch.nn.Module, float]:
    sizes = (directions.shape[1], args.width, args.layers, args.mlp)
    model = build_text_model(tokens, CONTEXT_LENGTH, *sizes, args.seed)
    return model, start_at_axes(model, directions)

"""The `text` command of make_tiny_clip.py: teacher -> tokenizer -> tower -> directory."""

import argparse
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import torch
from clip_directory import write_text_tower
from distill import (
    TEMPLATES,
    DistillOptions,
    TextPairs,
    build_text_model,
    start_at_axes,
    template_shifts,
    train_text,
)
from distill_report import held_out, prompt_shift
from run_settings import check_same_run, finish_run, tower_settings
from teacher import Teacher, read_teacher, target_directions
from tiny_tokenizer import CONTEXT_LENGTH, load_tokenizer, train_tokenizer
from torch import Tensor, nn

from negas.files import write_json, write_text
from negas.labels.text_tower import NAMES_FILE


def make_text_tower(args: argparse.Namespace) -> dict:
    """Distil, measure and write the text tower; return the log summary that is written beside it.

    Raises:
        ValueError: If the teacher or the output directory cannot be used, or the work directory
            holds an unfinished run with other settings.
    """
    teacher = read_teacher(args)
    out, work = Path(args.out), Path(args.work_dir)
    out.mkdir(parents=True, exist_ok=True)
    check_same_run(work, tower_settings(args, teacher))
    # `out` keeps a working tower until the new one is complete
    train_tokenizer(teacher.names, list(TEMPLATES), args.vocab_size, work / "tokenizer")
    tokenizer = load_tokenizer(work / "tokenizer")

    def build(tokens: int, directions: Tensor) -> tuple[nn.Module, float]:
        sizes = (directions.shape[1], args.width, args.layers, args.mlp)
        model = build_text_model(tokens, CONTEXT_LENGTH, *sizes, args.seed)
        return model, start_at_axes(model, directions)

    model, summary = distil_tower(
        args, teacher, TextPairs, build, tokenizer, lambda: tokenizer, "text"
    )
    shutil.copytree(work / "tokenizer", out, dirs_exist_ok=True)
    write_text_tower(model, out)
    write_names(teacher, out)
    write_json(out / "text_log.json", summary)
    finish_run(work)
    return summary


def write_names(teacher: Teacher, out: Path) -> None:
    """Write what the tower was trained on beside it."""
    write_text(out / NAMES_FILE, "".join(f"{name}\n" for name in teacher.names))


def distil_tower(
    args: argparse.Namespace,
    teacher: Teacher,
    pairs_type: type[TextPairs],
    build: Callable[[int, Tensor], tuple[nn.Module, float]],
    tokenizer,
    held_out_tokenizer: Callable[[], object],
    kind: str,
) -> tuple[nn.Module, dict]:
    """Distil and measure a tower.

    Args:
        args: options of the command.
        teacher: names and their embeddings.
        pairs_type: how names become texts of the tower.
        build: (number of tokens, target directions) -> a new tower and the bound on its cosine.
        tokenizer: of the tower.
        held_out_tokenizer: makes that of the run without a tenth of the names.
        kind: `text` or `bert`, names the checkpoint.

    Returns:
        The tower in the precision that is written, and the summary for its log.
    """
    started, work = time.monotonic(), Path(args.work_dir)
    directions = target_directions(teacher.embeddings, center=not args.no_center)
    shifts = template_shifts(directions, args.seed, pairs_type.templates)
    options = DistillOptions(steps=args.steps, batch=args.batch, lr=args.lr, seed=args.seed)
    summary = {
        "teacher": teacher.origin,
        "names": len(teacher.names),
        "centred": not args.no_center,
        "seed": args.seed,
        "options": vars(options),
        "templates": pairs_type.templates,
    }
    if not args.no_holdout:
        partial = held_out_tokenizer()
        summary["held_out"] = held_out(
            pairs_type(partial, teacher.names, directions, shifts),
            options,
            lambda seen: build(len(partial), directions[seen]),
            work,
        )
    pairs = pairs_type(tokenizer, teacher.names, directions, shifts)
    everything = torch.arange(len(teacher.names))
    model, bound = build(len(tokenizer), directions)
    log = train_text(model, pairs, everything, options, work / f"{kind}.pth", f"{kind} tower")
    model = model.half().float()  # measure what is written
    summary |= {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "tokens": len(tokenizer),
        "cosine_bound_of_width": round(bound, 4),
        "quality": {template: pairs.measure(model, template) for template in pairs.measured},
        "prompt_shift": prompt_shift(model, pairs),
        "log": log,
        "minutes": round((time.monotonic() - started) / 60, 1),
    }
    return model, summary

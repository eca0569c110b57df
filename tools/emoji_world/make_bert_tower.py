"""The `bert` command of make_tiny_clip.py: teacher -> WordPiece -> BERT -> directory."""

import argparse
import json
import shutil
import time
from pathlib import Path

import torch
from clip_directory import essential, write_model
from distill import DistillOptions, encode_template, quality, template_shifts, train_text
from distill_bert import PHRASE_TEMPLATES, PhrasePairs, PhraseTower, build_bert, token_cosine
from distill_report import held_out, prompt_shift, split_names
from run_settings import check_same_run, finish_run, tower_settings
from teacher import add_composed, load_teacher, target_directions
from tiny_tokenizer import load_tokenizer
from wordpiece_tokenizer import build_vocabulary, write_tokenizer

from negas.files import write_text


def make_bert_tower(args: argparse.Namespace) -> dict:
    """Distil, measure and write a BERT encoder; return the log that is written beside it.

    Raises:
        ValueError: If the teacher or the output directory cannot be used, the names need more
            tokens than the vocabulary has, or the work directory holds an unfinished run with
            other settings.
    """
    teacher = load_teacher(args.teacher, args.names)
    if args.composed:
        teacher = add_composed(teacher, args.composed)
    out, work = Path(args.out), Path(args.work_dir)
    vocabulary = build_vocabulary(teacher.names, list(PHRASE_TEMPLATES), args.vocab_size)
    check_same_run(work, tower_settings(args, teacher))
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(vocabulary, work / "tokenizer")
    directions = target_directions(teacher.embeddings, center=not args.no_center)
    shifts = template_shifts(directions, args.seed, PHRASE_TEMPLATES)
    options = DistillOptions(steps=args.steps, batch=args.batch, lr=args.lr, seed=args.seed)
    started = time.monotonic()
    summary = {
        "teacher": teacher.origin,
        "names": len(teacher.names),
        "centred": not args.no_center,
        "seed": args.seed,
        "options": vars(options),
        "templates": PHRASE_TEMPLATES,
    }
    if not args.no_holdout:
        # unseen names must not have whole-word tokens of their own, as words to come have none
        _, seen = split_names(len(teacher.names), args.seed)
        names = [teacher.names[index] for index in seen]
        vocabulary = build_vocabulary(names, list(PHRASE_TEMPLATES), args.vocab_size)
        partial = _tokenizer(vocabulary, work / "tokenizer_held_out")
        summary["held_out"] = held_out(
            PhrasePairs(partial, teacher.names, directions, shifts),
            options,
            lambda seen: _build(args, len(partial), directions[seen]),
            work,
        )
    pairs = PhrasePairs(tokenizer, teacher.names, directions, shifts)
    everything = torch.arange(len(teacher.names))
    model, bound = _build(args, len(tokenizer), directions)
    log = train_text(model, pairs, everything, options, work / "bert.pth", "BERT")
    model = model.half().float()  # measure what is written
    templates = ("{}", "a photo of {}", "an icon of {}")
    summary |= {
        "parameters": sum(parameter.numel() for parameter in model.bert.parameters()),
        "tokens": len(tokenizer),
        "cosine_bound_of_width": round(bound, 4),
        "quality": {
            template: quality(
                encode_template(model, pairs, template), pairs.of(template), everything
            )
            | {"single_tokens": token_cosine(model, pairs, template)}
            for template in templates
        },
        "prompt_shift": prompt_shift(model, pairs),
        "log": log,
        "minutes": round((time.monotonic() - started) / 60, 1),
    }
    # `out` keeps a working encoder until the new one is complete
    shutil.copytree(work / "tokenizer", out, dirs_exist_ok=True)
    # stored as fp16 and declared float32: transformers then computes in float32
    config = essential(model.bert.config.to_dict())
    config |= {"architectures": ["BertModel"], "dtype": "float32"}
    write_model(out, model.bert.state_dict(), config)
    write_text(out / "bert_log.json", json.dumps(summary, indent=1) + "\n")
    finish_run(work)
    return summary


def _tokenizer(vocabulary: list[str], directory: Path):
    write_tokenizer(vocabulary, directory)
    return load_tokenizer(directory)


def _build(
    args: argparse.Namespace, tokens: int, directions: torch.Tensor
) -> tuple[PhraseTower, float]:
    bert = build_bert(tokens, args.width, args.layers, args.mlp, args.seed)
    model = PhraseTower(bert, directions)
    return model, model.bound

"""The `bert` command of make_tiny_clip.py: teacher -> WordPiece -> BERT -> directory."""

import argparse
import shutil
from pathlib import Path

from clip_directory import essential, write_model
from distill_bert import PHRASE_TEMPLATES, PhrasePairs, PhraseTower, build_bert
from distill_report import split_names
from make_text_tower import distil_tower, write_names
from run_settings import check_same_run, finish_run, tower_settings
from teacher import read_teacher
from tiny_tokenizer import load_tokenizer
from torch import Tensor
from wordpiece_tokenizer import build_vocabulary, write_tokenizer

from negas.files import write_json


def make_bert_tower(args: argparse.Namespace) -> dict:
    """Distil, measure and write a BERT encoder; return the log that is written beside it.

    Raises:
        ValueError: If the teacher or the output directory cannot be used, the names need more
            tokens than the vocabulary has, or the work directory holds an unfinished run with
            other settings.
    """
    teacher = read_teacher(args)
    out, work = Path(args.out), Path(args.work_dir)
    vocabulary = build_vocabulary(teacher.names, list(PHRASE_TEMPLATES), args.vocab_size)
    check_same_run(work, tower_settings(args, teacher))
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(vocabulary, work / "tokenizer")

    def held_out_tokenizer():
        # unseen names must not have whole-word tokens of their own, as words to come have none
        _, seen = split_names(len(teacher.names), args.seed)
        names = [teacher.names[index] for index in seen]
        vocabulary = build_vocabulary(names, list(PHRASE_TEMPLATES), args.vocab_size)
        return _tokenizer(vocabulary, work / "tokenizer_held_out")

    def build(tokens: int, directions: Tensor) -> tuple[PhraseTower, float]:
        bert = build_bert(tokens, args.width, args.layers, args.mlp, args.seed)
        model = PhraseTower(bert, directions)
        return model, model.bound

    model, summary = distil_tower(
        args, teacher, PhrasePairs, build, tokenizer, held_out_tokenizer, "bert"
    )
    # `out` keeps a working encoder until the new one is complete
    shutil.copytree(work / "tokenizer", out, dirs_exist_ok=True)
    # stored as fp16 and declared float32: transformers then computes in float32
    config = essential(model.bert.config.to_dict())
    config |= {"architectures": ["BertModel"], "dtype": "float32"}
    write_model(out, model.bert.state_dict(), config)
    write_names(teacher, out)
    write_json(out / "bert_log.json", summary)
    finish_run(work)
    return summary


def _tokenizer(vocabulary: list[str], directory: Path):
    write_tokenizer(vocabulary, directory)
    return load_tokenizer(directory)

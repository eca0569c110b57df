"""Make the tiny text and vision encoders of the built-in benchmark.

`text` distils CLIP's text tower, `vision` trains its vision tower on that, and `bert` distils a
BERT encoder for Grounding DINO from the same teacher.

python make_tiny_clip.py text --teacher openai/clip-vit-base-patch32 --names names.txt \
    --out data/emoji_world/tiny_clip
python make_tiny_clip.py vision --out data/emoji_world/tiny_clip
python make_tiny_clip.py bert --teacher openai/clip-vit-base-patch32 --names names.txt \
    --out data/emoji_world/tiny_bert

All are seeded and resume from their work directory when they are interrupted.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    text = commands.add_parser("text", help="distil CLIP's text tower")
    bert = commands.add_parser("bert", help="distil a BERT encoder for Grounding DINO")
    sizes = {text: (1800, 192, 2, 192), bert: (2200, 160, 2, 256)}
    for command, (vocabulary, width, layers, mlp) in sizes.items():
        command.add_argument("--teacher", required=True, help=".npz file, hub name or directory")
        command.add_argument("--names", help="one name per line, for a teacher that is an encoder")
        command.add_argument("--composed", help="JSON: name -> members whose mean it takes")
        command.add_argument("--no-center", action="store_true", help="keep the vocabulary's mean")
        command.add_argument("--vocab-size", type=int, default=vocabulary)
        command.add_argument("--width", type=int, default=width)
        command.add_argument("--layers", type=int, default=layers)
        command.add_argument("--mlp", type=int, default=mlp)
        command.add_argument("--no-holdout", action="store_true", help="skip the 10%% held-out run")
    vision = commands.add_parser("vision", help="train the vision tower on the glyph atlas")
    vision.add_argument("--data", default="data/emoji_world", help="directory of the glyph atlas")
    schedules = {text: (3000, 256, 4e-3), vision: (3600, 64, 1e-3), bert: (1500, 256, 4e-3)}
    for command, (steps, batch, rate) in schedules.items():
        name = command.prog.split()[-1]
        folder = "tiny_bert" if command is bert else "tiny_clip"
        command.add_argument("--out", default=f"data/emoji_world/{folder}")
        work = folder if command is bert else f"{folder}_{name}"
        command.add_argument("--work-dir", default=f"work_dirs/{work}")
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--steps", type=int, default=steps)
        command.add_argument("--batch", type=int, default=batch)
        command.add_argument("--lr", type=float, default=rate)
        command.add_argument("--threads", type=int, default=1)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run one command; a user's mistake ends in one sentence and exit code 2."""
    args = parse_args(argv)
    from negas.cli import user_errors

    return user_errors(lambda: _make(args))()


def _make(args: argparse.Namespace) -> None:
    import torch

    from negas.files import protect

    protect(*(value for value in vars(args).values() if isinstance(value, str)))
    torch.set_num_threads(args.threads)
    if args.command == "text":
        from make_text_tower import make_text_tower

        make_text_tower(args)
    elif args.command == "bert":
        from make_bert_tower import make_bert_tower

        make_bert_tower(args)
    else:
        from make_vision_tower import make_vision_tower

        from negas.datasets.emoji_world.crops import GlyphCrops

        make_vision_tower(args, GlyphCrops(args.data, args.seed))


if __name__ == "__main__":
    sys.exit(main())

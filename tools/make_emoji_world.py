"""Write EmojiWorld's splits as PNG images and COCO annotations; check and repair what is there.

Example:
    python tools/make_emoji_world.py
    python tools/make_emoji_world.py --splits id_val near_ood --num 50 --out /tmp/scenes
"""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from negas.datasets.emoji_world.splits import SPLITS, SplitWriter
from negas.datasets.emoji_world.store import ensure_split


def positive(text: str) -> int:
    """Parse a number of images."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number, 1 or more, but got {text!r}")
    return int(text)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data/emoji_world"), metavar="DIR")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: <data>/scenes")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=list(SPLITS))
    parser.add_argument("--num", type=positive, help="at most this many images per split")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    if args.seed < 0:
        parser.error(f"argument --seed: expected 0 or more, but got {args.seed}")
    return args


def main(arguments: list[str] | None = None) -> None:
    """Make, check or repair the splits."""
    args = parse_args(arguments)
    out = args.out or args.data / "scenes"
    writers = [SplitWriter(SPLITS[name], args.data, args.num, args.seed) for name in args.splits]
    done: dict[str, list[str]] = {}
    with tqdm(total=sum(writer.num for writer in writers), unit="img") as bar:
        for writer in writers:
            bar.set_description(writer.split.name)
            state = ensure_split(writer, out, bar.update)
            done.setdefault(state, []).append(writer.split.name)
    print(f"{out}: " + "; ".join(f"{state}: {', '.join(names)}" for state, names in done.items()))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("make_emoji_world: interrupted; run it again to finish.")
    except OSError as error:
        if error.strerror is None:  # one of our own sentences
            sys.exit(f"make_emoji_world: {error}")
        sys.exit(
            f"make_emoji_world: cannot use {error.filename} ({error.strerror}): make room there "
            "or choose another folder with --out."
        )
    except (KeyError, ValueError) as error:
        sys.exit(f"make_emoji_world: {error.args[0]}")

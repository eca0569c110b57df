"""Write EmojiWorld's splits as PNG images and COCO annotations; check and repair what is there.

Example:
    negas emoji-world
    negas emoji-world --splits id_val near_ood --num 50 --out /tmp/scenes
    negas emoji-world --shared-instances
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from negas.cli import user_errors

# isort: split
from tqdm import tqdm

from negas.datasets.emoji_world.splits import SPLITS, SplitWriter, splits
from negas.datasets.emoji_world.store import ensure_split
from negas.files import check_folder
from negas.options import Options, option


@dataclass(frozen=True)
class WorldOptions(Options):
    """Make, check or repair EmojiWorld's splits."""

    data: str = option("data/emoji_world", help="folder of the glyphs", metavar="DIR")
    shared_instances: bool = option(False, help="ID sets to fit and to test on share glyphs")
    out: str | None = option(
        None,
        help="default: <data>/scenes, <data>/scenes_shared with shared instances",
        metavar="DIR",
        output=True,
    )
    splits: tuple[str, ...] = option(tuple(SPLITS), help="which", choices=tuple(SPLITS))
    num: int | None = option(None, help="at most this many images per split", ge=1)
    seed: int = option(0, help="of the whole benchmark", ge=0)


@user_errors
def main() -> int:
    options = WorldOptions.parse()
    data = Path(options.data)
    world = splits(options.shared_instances)
    writers = [SplitWriter(world[name], data, options.num, options.seed) for name in options.splits]
    default = data / ("scenes_shared" if options.shared_instances else "scenes")
    out = check_folder(options.out or default, "--out")
    done: dict[str, list[str]] = {}
    with tqdm(total=sum(writer.num for writer in writers), unit="img") as bar:
        for writer in writers:
            bar.set_description(writer.split.name)
            state = ensure_split(writer, out, bar.update)
            done.setdefault(state, []).append(writer.split.name)
    print(f"{out}: " + "; ".join(f"{state}: {', '.join(names)}" for state, names in done.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

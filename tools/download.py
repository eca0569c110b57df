"""Fetch released weights: ``negas download NAME... [--dir checkpoints]``.

``--list`` shows the names. A download that was cut off goes on where it was.
"""

import sys
from dataclasses import dataclass

from negas.cli import user_errors
from negas.options import Options, option
from negas.weights.released import FOLDER, RELEASED, find_released


@dataclass(frozen=True)
class DownloadOptions(Options):
    """Fetch released weights from their official addresses."""

    names: tuple[str, ...] = option((), help="of weights, see --list", positional=True)
    list: bool = option(False, help="show the names, addresses and what is here; fetch nothing")
    dir: str = option(FOLDER, help="where to put them", metavar="DIR", output=True)
    check: bool = option(
        True, help="refuse a file whose SHA-256 is not the one in its name (--no-check: warn)"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.names and not self.list:
            raise ValueError("no name; give some of --list")


@user_errors
def main() -> int:
    """Fetch them, one after the other."""
    options = DownloadOptions.parse()
    wanted = [find_released(name) for name in dict.fromkeys(options.names)]
    from pathlib import Path

    from negas.files import check_folder
    from negas.weights.download import download

    if options.list:
        for one in wanted or RELEASED:
            here = ", is there" if Path(options.dir, one.file).is_file() else ""
            print(f"{one.name}: {one.file}{here}\n  {one.address}")
        return 0
    folder = check_folder(options.dir, "--dir")
    for one in wanted:
        download(one.address, folder / one.file, one.sha256, options.check)
    return 0


if __name__ == "__main__":
    sys.exit(main())

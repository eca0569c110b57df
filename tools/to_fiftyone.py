"""Look at a run in FiftyOne: ``negas fiftyone RUN --out DIR``.

RUN is a work dir of negas test or an output folder of negas infer. FiftyOne need not be
installed here; where it is, ``fiftyone.Dataset.from_dir(DIR,
dataset_type=fiftyone.types.FiftyOneDataset)`` loads the folder.
"""

import sys
from dataclasses import dataclass

from negas.cli import files_by_set, user_errors
from negas.options import Options, option
from negas.text import counted


@dataclass(frozen=True)
class FiftyOneOptions(Options):
    """Write predictions (known, id_score, unknown_like) and ground truth for FiftyOne."""

    run: str = option(
        help="work dir of negas test, or output folder of negas infer", positional=True
    )
    out: str = option(help="folder to write", metavar="DIR", output=True)
    score: str | None = option(None, help="of a test (default: the one it used)")
    ann: tuple[str, ...] = option(
        (),
        help="of a test: annotation files, where its paths no longer hold",
        metavar="SET=FILE",
    )
    ann_file: str | None = option(None, help="of inference: COCO json of its pictures")


@user_errors
def main() -> int:
    """Write the folder."""
    options = FiftyOneOptions.parse()
    from negas.files import check_folder
    from negas.reports.fiftyone import export

    folder = check_folder(options.out, "--out")
    annotations = files_by_set(options.ann)
    count = export(options.run, folder, options.score, annotations, options.ann_file)
    print(f"{counted(count, 'picture')}; load them with")
    print("  import fiftyone")
    print(f"  fiftyone.Dataset.from_dir({str(folder.resolve())!r},")
    print("      dataset_type=fiftyone.types.FiftyOneDataset)")
    return 0


if __name__ == "__main__":
    sys.exit(main())

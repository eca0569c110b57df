"""Score whole images or crops as known or unknown: ``negas image --preset P``.

A preset (``configs/image_level/*.json``) names encoder, bank, sets and methods; options override
it, and do without one. Sets are written ``[NAME=]FOLDER``, ``LIST.txt[@ROOT]`` (OpenOOD's lists) or
``ANNOTATIONS.json@IMAGES[@DETECTIONS]``. Features and captions are cached.
"""

import sys

from negas.cli import user_errors
from negas.command_line import CommandLine
from negas.image_level.run.options import add_options, options_from


@user_errors
def main() -> int:
    parser = CommandLine(description="Image-level OOD detection with negative labels.")
    add_options(parser)
    args = parser.parse_args()
    from tqdm import tqdm

    from negas.image_level.run.run import prepare, run_image_ood

    command, views = options_from(args)
    ready = [prepare(options) for options in views]  # all that can be wrong, before long work
    if command.dry_run:
        for options, one in zip(views, ready, strict=True):
            print("\n".join([f"view {options.view}:", *one.lines()]))
        print(f"methods: {', '.join(views[0].methods)}")
        return 0

    def say(line: str) -> None:
        tqdm.write(line, file=sys.stderr)

    from negas.reports.image_level import (
        begin_report,
        make_table,
        write_partial,
        write_report,
        write_table,
    )
    from negas.reports.table import print_table

    for options in views:
        begin_report(options)
    runs, files = [], []
    for pair in zip(views, ready, strict=True):
        runs.append(run_image_ood(*pair, notify=say, save=write_partial))
        files += write_report(runs[-1])  # before the next view, which may fail
    table = make_table(runs)
    files.append(write_table(table, runs))
    print_table(table)
    print("written: " + ", ".join(str(path) for path in files if path.suffix != ".png"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Make a bank of negative labels for your classes: ``negas mine CLASSES --out B``.

CLASSES is a config, a COCO json, a text file with one name per line, or the names themselves. Every
stage is kept in the work directory, so a run that was interrupted goes on where it was.
"""

import sys

from negas.cli import user_errors
from negas.labels.mining.options import MiningOptions


@user_errors
def main() -> int:
    options = MiningOptions.parse()
    from tqdm import tqdm

    from negas.labels.mining.run import describe, mine, print_report

    options.check(overwrite=options.overwrite or options.dry_run)
    if options.dry_run:
        print("\n".join(describe(options)))
        return 0
    report = mine(options, notify=lambda line: tqdm.write(f"note: {line}", file=sys.stderr))
    print_report(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Compare test runs: ``python tools/report.py RUN_DIR [RUN_DIR ...] [--shared-cut stock]``."""

import sys
from dataclasses import dataclass

from negas.cli import user_errors
from negas.options import Options, option


@dataclass(frozen=True)
class ReportOptions(Options):
    """Print and write the comparison of test runs."""

    runs: tuple[str, ...] = option(
        help="work dirs of tools/test.py; several of one config are seeds", positional=True
    )
    names: tuple[str, ...] | None = option(None, help="row labels, one per run")
    shared_cut: str | None = option(
        None,
        help="also compare at one confidence cut: a number, or 'stock' (that of the stock run)",
        metavar="VALUE",
    )
    out: str | None = option(
        None, help="write report.md and report.json there", metavar="DIR", output=True
    )
    brief: bool = option(False, help="print the tables of each run's own cut only")


@user_errors
def main() -> int:
    """Make the report."""
    options = ReportOptions.parse()
    from negas.files import check_folder
    from negas.reports.methods import make_report, print_report

    if options.out:
        check_folder(options.out, "--out")
    tables = make_report(options.runs, options.names, options.shared_cut, options.out)
    print_report(tables, options.brief)
    if options.out:
        print(f"written: {options.out}/report.md, {options.out}/report.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Compare test runs: ``negas report RUN_DIR [RUN_DIR ...] [--shared-cut stock]``."""

import sys
from dataclasses import dataclass

from negas.cli import user_errors
from negas.options import Options, brief_option, csv_option, option, overwrite_option


@dataclass(frozen=True)
class ReportOptions(Options):
    """Print and write the comparison of test runs."""

    runs: tuple[str, ...] = option(
        help="work dirs of negas test; several of one config are seeds", positional=True
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
    csv: str | None = csv_option()
    brief: bool = brief_option()
    overwrite: bool = overwrite_option()


@user_errors
def main() -> int:
    """Make the report."""
    options = ReportOptions.parse()
    from negas.files import check_folder
    from negas.reports.long_rows import check_csv
    from negas.reports.methods import REPORT_FILES, make_report
    from negas.reports.table import places, print_tables

    if options.out:
        check_folder(options.out, "--out")
    check_csv(options.csv, options.overwrite)
    tables = make_report(
        options.runs, options.names, options.shared_cut, options.out, csv=options.csv
    )
    files = [f"{options.out}/{name}" for name in REPORT_FILES] if options.out else []
    print_tables(tables, options.brief, places(files, options.csv, options.runs, options.brief))
    return 0


if __name__ == "__main__":
    sys.exit(main())

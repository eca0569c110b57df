"""Compare test runs: ``python tools/report.py RUN_DIR [RUN_DIR ...] [--shared-cut stock]``."""

import argparse
import sys

from negas.cli import user_errors


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Print and write the comparison of test runs")
    parser.add_argument(
        "runs", nargs="+", help="work dirs of tools/test.py; several of one config are seeds"
    )
    parser.add_argument("--names", nargs="+", help="row labels, one per run")
    parser.add_argument(
        "--shared-cut",
        metavar="VALUE",
        help="also compare at one confidence cut: a number, or 'stock' (the stock run's own)",
    )
    parser.add_argument("--out", metavar="DIR", help="write report.md and report.json there")
    parser.add_argument("--brief", action="store_true", help="print the own-cut tables only")
    return parser.parse_args()


@user_errors
def main() -> int:
    """Make the report."""
    args = parse_args()
    from negas.evaluation.run import check_out_folder
    from negas.reports.methods import make_report, print_report

    if args.out:
        check_out_folder(args.out)
    print_report(make_report(args.runs, args.names, args.shared_cut, args.out), args.brief)
    if args.out:
        print(f"written: {args.out}/report.md, {args.out}/report.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())

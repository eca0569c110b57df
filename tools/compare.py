"""Put results side by side: ``python tools/compare.py RESULT [RESULT ...] [--published voc]``."""

import argparse
import sys

from negas.cli import check_target, user_errors


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Results of tools/test.py and tools/score.py, and published rows, in one table"
    )
    parser.add_argument(
        "results", nargs="+", metavar="RESULT", help="work dirs, --out folders, or json files"
    )
    parser.add_argument(
        "--published",
        nargs="+",
        default=[],
        metavar="NAME",
        help="published rows, marked as such: voc, bdd100k, or a table as in configs/tables",
    )
    parser.add_argument("--names", nargs="+", help="what to call the results, one each")
    parser.add_argument(
        "--scores", nargs="+", metavar="SCORE", help="scores to show (default: max_sigmoid negs)"
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="write the table there: .md for Markdown, .json with what the numbers depend on",
    )
    return parser.parse_args()


@user_errors
def main() -> int:
    """Print the comparison."""
    args = parse_args()
    from negas.experiments.tables import published_rows
    from negas.reports.compare import compare, write_comparison
    from negas.reports.table import print_table

    if args.out:
        check_target(args.out, "--out")
    published = [row for name in args.published for row in published_rows(name)]
    table = compare(args.results, published, args.names, args.scores)
    print_table(table)
    if args.out:
        write_comparison(args.out, table, args.results)
        print(f"written: {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""One HTML page of a test run: ``python tools/html_report.py WORK_DIR [--out FILE]``."""

import argparse
import sys

from negas.cli import add_annotation_option, annotation_files, user_errors


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Write one self-contained HTML page of a test run: tables, curves, confusion, "
        "hardest mistakes, calibration, settings"
    )
    parser.add_argument("work_dir", help="of tools/test.py: ood_results.json and records/")
    parser.add_argument("--out", metavar="FILE", help="default: report.html in the work dir")
    parser.add_argument(
        "--score", help="score in plots and pictures (default: the one the test used)"
    )
    parser.add_argument(
        "--pictures", type=int, default=8, metavar="N", help="mistakes per set (default: 8)"
    )
    parser.add_argument(
        "--show-dir",
        metavar="DIR",
        help="also paint every image there, known boxes green, unknown ones red and dashed",
    )
    add_annotation_option(parser)
    args = parser.parse_args()
    if args.pictures < 0:
        parser.error("--pictures: expected 0 or more")
    return args


@user_errors
def main() -> int:
    """Make the page."""
    args = parse_args()
    from negas.reports.html.report import make_html_report

    annotations = annotation_files(args.ann)
    more = (args.score, args.pictures, args.show_dir, annotations)
    path = make_html_report(args.work_dir, args.out, *more)
    print(f"written: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())

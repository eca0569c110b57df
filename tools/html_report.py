"""One HTML page of a test run: ``negas html-report WORK_DIR [--out FILE]``."""

import sys
from dataclasses import dataclass

from negas.cli import files_by_set, user_errors
from negas.options import Options, option, overwrite_option


@dataclass(frozen=True)
class HtmlOptions(Options):
    """Write one page of a test run: tables, curves, confusion, mistakes, calibration, settings."""

    work_dir: str = option(help="of negas test: ood_results.json and records/", positional=True)
    out: str | None = option(
        None, help="default: report.html in the work dir", metavar="FILE", output=True
    )
    overwrite: bool = overwrite_option()
    score: str | None = option(
        None, help="score in plots and pictures (default: the one the test used)"
    )
    pictures: int = option(8, help="mistakes per set", ge=0, metavar="N")
    show_dir: str | None = option(
        None,
        help="also paint every image there, known boxes green, unknown ones red and dashed",
        metavar="DIR",
        output=True,
    )
    ann: tuple[str, ...] = option(
        (),
        help="annotation files, where the paths of the test no longer hold",
        metavar="SET=FILE",
    )


@user_errors
def main() -> int:
    """Make the page."""
    options = HtmlOptions.parse()
    from negas.reports.html.report import make_html_report

    annotations = files_by_set(options.ann)
    more = (options.score, options.pictures, options.show_dir, annotations, options.overwrite)
    path = make_html_report(options.work_dir, options.out, *more)
    print(f"written: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())

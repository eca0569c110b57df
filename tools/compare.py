"""Put results side by side: ``negas compare RESULT [RESULT ...] [--published voc]``."""

import sys
from dataclasses import dataclass

from negas.cli import user_errors
from negas.options import Options, brief_option, csv_option, option, overwrite_option


@dataclass(frozen=True)
class CompareOptions(Options):
    """Results of negas test and negas score, and published rows, in one table."""

    results: tuple[str, ...] = option(
        help="work dirs, --out folders, or json files", positional=True, metavar="RESULT"
    )
    published: tuple[str, ...] = option(
        (),
        help="published rows, marked as such: voc, bdd100k, or a table as in configs/tables",
        metavar="NAME",
    )
    names: tuple[str, ...] | None = option(None, help="what to call the results, one each")
    scores: tuple[str, ...] | None = option(
        None, help="scores to show (default: max_sigmoid negs)", metavar="SCORE"
    )
    out: str | None = option(
        None,
        help="write the table there: .md for Markdown, .json with what the numbers depend on",
        metavar="FILE",
        output=True,
    )
    csv: str | None = csv_option()
    brief: bool = brief_option()
    overwrite: bool = overwrite_option()


@user_errors
def main() -> int:
    """Print the comparison."""
    options = CompareOptions.parse()
    from negas.experiments.tables import published_rows
    from negas.files import check_file
    from negas.reports.compare import (
        compare,
        compare_headline,
        compare_objects,
        write_compared_rows,
        write_comparison,
    )
    from negas.reports.long_rows import check_csv
    from negas.reports.table import places, print_tables

    if options.out:
        marks = ('"negas comparison"',) if options.out.endswith(".json") else ("### ", "|---|")
        check_file(options.out, "--out", marks, options.overwrite)
    check_csv(options.csv, options.overwrite)
    published = [row for name in options.published for row in published_rows(name)]
    table = compare(options.results, published, options.names, options.scores)
    objects = compare_objects(options.results, options.names, options.scores)
    short = compare_headline(options.results, published, options.names, options.scores)
    if options.out:
        write_comparison(options.out, table, options.results, objects)
    if options.csv:
        write_compared_rows(options.csv, options.results, published, options.names, options.scores)
    where = places([options.out] if options.out else [], options.csv, (), options.brief)
    print_tables([table, *objects, *([short] if short else [])], options.brief, where)
    return 0


if __name__ == "__main__":
    sys.exit(main())

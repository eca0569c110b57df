"""Score the boxes of finished tests again, without model or GPU: ``python tools/score.py RUN``."""

import sys

from negas.cli import annotation_files, user_errors


@user_errors
def main() -> int:
    """Score the runs."""
    from negas.evaluation.rescore import ScoreOptions, score_runs, scores_of
    from negas.evaluation.run import Run
    from negas.files import check_folder
    from negas.reports.long_rows import check_csv
    from negas.reports.object_list import list_objects, write_objects
    from negas.reports.scores import score_tables, write_score_rows, write_scores
    from negas.reports.table import places, print_tables

    options = ScoreOptions.parse()
    annotations = annotation_files(options.ann)
    if options.out:
        check_folder(options.out, "--out")
    check_csv(options.csv, options.overwrite)
    runs = [Run.load(path, annotations) for path in options.runs]
    other = Run.load(options.against, annotations) if options.against else None
    report = score_runs(runs, options, other)
    written = []
    if options.out:
        written += write_scores(options.out, report)
        listed = []
        for run, described in zip(runs, report["runs"], strict=True):
            listed += list_objects(run, described["rows"], options.specs or scores_of(run))
        written += write_objects(options.out, listed)
    if options.csv:
        write_score_rows(options.csv, report)
    where = places(written, options.csv, options.runs, options.brief)
    print_tables(score_tables(report), options.brief, where)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Score the boxes of finished tests again, without model or GPU: ``negas score RUN``."""

import sys
from pathlib import Path

from negas.cli import files_by_set, user_errors
from negas.evaluation.score_options import ScoreOptions


@user_errors
def main() -> int:
    """Score the runs."""
    options = ScoreOptions.parse()
    from negas.evaluation.fitting import save_states
    from negas.evaluation.rescore import score_runs, scores_of
    from negas.evaluation.run import Run
    from negas.evaluation.run_plots import plot_folders, plot_run
    from negas.files import check_folder
    from negas.reports.long_rows import check_csv
    from negas.reports.object_list import list_objects, write_objects
    from negas.reports.scores import score_tables, write_score_rows, write_scores
    from negas.reports.table import places, print_tables

    annotations = files_by_set(options.ann)
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
        folders = plot_folders(Path(options.out), runs)
        for run, about, folder in zip(runs, report["runs"], folders, strict=True):
            written += save_states(run, folder)
            if run.results:
                written += plot_run(run, about.get("unknown", {}), folder)
    if options.csv:
        write_score_rows(options.csv, report)
    where = places(written, options.csv, options.runs, options.brief)
    print_tables(score_tables(report), options.brief, where)
    return 0


if __name__ == "__main__":
    sys.exit(main())

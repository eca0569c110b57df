"""Score dumped boxes again, without model or GPU: ``python tools/score.py DUMP [DUMP ...]``."""

import argparse
import sys

from negas.cli import add_annotation_option, annotation_files, user_errors


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Every score, protocol, cut and interval from the records of a test run"
    )
    parser.add_argument(
        "dumps", nargs="*", metavar="DUMP", help="work dir of tools/test.py, or a records folder"
    )
    parser.add_argument(
        "--preset",
        nargs="+",
        default=["own"],
        metavar="NAME",
        help="protocols: own, vos, siren, matched, fixed (default: own)",
    )
    parser.add_argument(
        "--cut",
        nargs="+",
        metavar="VALUE",
        help="confidence cuts in place of the preset's: own, f1, f1-test or numbers",
    )
    parser.add_argument(
        "--scores",
        nargs="+",
        metavar="SCORE",
        help="names, or 'negs(weight=0.5)' with options (default: all)",
    )
    parser.add_argument(
        "--banks", nargs="+", default=["own"], help="label banks of the run (default: own)"
    )
    parser.add_argument(
        "--bootstrap",
        type=int,
        default=1000,
        metavar="N",
        help="draws of whole images for the intervals; 0: none (default: 1000)",
    )
    parser.add_argument(
        "--rotations",
        type=int,
        metavar="N",
        help="draws of the rotated-bank control; 0: none (default: 5 if the dump has embeddings)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the bootstrap and the rotations (default: 0)"
    )
    parser.add_argument(
        "--open-set", action="store_true", help="add A-OSE, nOSE, WI, AP_U, U-Recall (annotations)"
    )
    parser.add_argument(
        "--against", metavar="OTHER", help="a dump of the same images: intervals of differences"
    )
    add_annotation_option(parser)
    parser.add_argument(
        "--benchmark",
        type=int,
        nargs="?",
        const=1_000_000,
        metavar="BOXES",
        help="measure time and memory on made-up boxes instead (default: 1,000,000 x 40 logits)",
    )
    parser.add_argument("--out", metavar="DIR", help="write ood_scores.json and .md there")
    return parser.parse_args()


@user_errors
def main() -> int:
    """Score the dumps."""
    args = parse_args()
    from negas.evaluation.cuts import choose_presets
    from negas.evaluation.rescore import ScoreOptions, score_dumps
    from negas.evaluation.run import check_out_folder
    from negas.reports.scores import score_tables, write_scores
    from negas.reports.table import print_table

    if args.benchmark is not None:
        from score_costs import benchmark

        print(
            "{boxes} boxes x {logits} logits, {scores} scores: {scores_s:.1f} s on one thread; "
            "with all metrics {rows_s:.1f} s; peak memory {peak_gb:.2f} GB".format(
                **benchmark(args.benchmark)
            )
        )
        return 0
    if not args.dumps:
        raise ValueError("no dump given; name the work dir of a tools/test.py run")
    annotations = annotation_files(args.ann)
    options = ScoreOptions(
        presets=choose_presets(args.preset, args.cut),
        scores=args.scores,
        banks=args.banks,
        draws=args.bootstrap,
        seed=args.seed,
        open_set=args.open_set,
        rotations=args.rotations,
    )
    if args.out:
        check_out_folder(args.out)
    report = score_dumps(args.dumps, options, args.against, annotations)
    for table in score_tables(report):
        print_table(table)
    if args.out:
        print("written:", ", ".join(str(path) for path in write_scores(args.out, report)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How many negative labels? Chosen on the ID validation set, without OOD data.

    python tools/choose_num_labels.py RUN_DIR --bank data/labels/emoji_world/wide.json

RUN_DIR is the work dir of tools/test.py with embeddings in its records (or one records file). ID
classes play the unknown in turn; the table shows how well the score parts them from the others with
the first M labels of the bank. Nothing is trained or run, so it takes seconds.
"""

import argparse
import sys

from negas.cli import user_errors
from negas.files import check_file


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Choose the number of negative labels")
    parser.add_argument("dump", help="work dir of a test run, or records of an ID validation set")
    parser.add_argument("--bank", required=True, help="json of the bank, labels best first")
    parser.add_argument("--ms", nargs="+", type=int, help="numbers to try (5 10 20 30 50 100 200)")
    parser.add_argument("--score", default="negs", help="score that reads negatives (negs)")
    parser.add_argument(
        "--score-options", nargs="+", default=[], metavar="KEY=VALUE", help="e.g. logits=cosine"
    )
    parser.add_argument("--metric", choices=["auroc", "fpr95"], default="auroc")
    parser.add_argument(
        "--orders",
        nargs="+",
        choices=["bank", "dissimilar", "random"],
        default=["bank"],
        help="orders of the labels to try; dissimilar needs --encoder",
    )
    parser.add_argument("--protocol", choices=["matched", "vos"], default="matched")
    parser.add_argument("--cut", type=float, help="least confidence (the run's own)")
    parser.add_argument("--min-boxes", type=int, default=5, help="fewest boxes of a held-out class")
    parser.add_argument("--encoder", help="text encoder, for labels the run has no embeddings of")
    parser.add_argument("--template", default="a photo of {}", help="its sentence")
    parser.add_argument("--ann", help="ground truth of the dump (as the dump says)")
    parser.add_argument(
        "--compare", action="store_true", help="afterwards also show the run's test sets"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random order")
    parser.add_argument("--out", metavar="DIR", help="where to write (beside the dump)")
    parser.add_argument("--save-bank", metavar="FILE", help="write the bank cut to the choice")
    return parser.parse_args()


@user_errors
def main() -> int:
    """Choose, print, write."""
    args = parse_args()
    import ast
    from pathlib import Path

    from negas.evaluation.num_labels import Options, choose_num_labels, chosen_bank
    from negas.labels import NegativeLabelBank
    from negas.reports.num_labels import print_outcome

    if args.save_bank:
        check_file(args.save_bank, "--save-bank")
    score_options = {}
    for text in args.score_options:
        key, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--score-options {text!r}: expected KEY=VALUE, such as weight=0.5")
        try:
            score_options[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            score_options[key] = value  # a word
    options = Options(
        ms=args.ms,
        score=args.score,
        score_options=score_options,
        metric=args.metric,
        orders=args.orders,
        protocol=args.protocol,
        cut=args.cut,
        min_boxes=args.min_boxes,
        encoder=args.encoder,
        template=args.template,
        ann_file=args.ann,
        compare=args.compare,
        seed=args.seed,
    )
    outcome = choose_num_labels(args.dump, args.bank, options, args.out)
    print_outcome(outcome)
    if args.save_bank:
        chosen_bank(NegativeLabelBank.load(args.bank), outcome).save(Path(args.save_bank))
        print(f"written: {args.save_bank}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Which negative labels name an OOD test class? ``python tools/audit_labels.py BANK --ood NAMES``.

BANK is a label bank or a file of candidates. NAMES is a text file (one class per line, further
names of it behind commas), a JSON list, a COCO json (the categories that occur in it), or the names
themselves.

    python tools/audit_labels.py data/labels/voc.json --ood data/labels/ood_names/coco_ood_voc.txt

The exit code is 0 whatever is found, unless --fail-on asks for 1; 2 stands for bad input.
"""

import argparse
import functools
import sys
from pathlib import Path

from negas.cli import user_errors
from negas.files import check_file
from negas.labels.leakage import KINDS, USUAL_SENSES


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bank", metavar="BANK", help="label bank, or file of candidates")
    parser.add_argument("--ood", nargs="+", required=True, metavar="NAMES", help="OOD test classes")
    parser.add_argument(
        "--senses",
        type=int,
        default=USUAL_SENSES,
        metavar="N",
        help=f"look at the N most frequent WordNet meanings of a word; 0: all ({USUAL_SENSES})",
    )
    parser.add_argument(
        "--encoder",
        metavar="MODEL",
        help="CLIP-style model (directory or hub name): similarity too",
    )
    parser.add_argument(
        "--template", default="a photo of a {}", help="text around names (default: %(default)s)"
    )
    parser.add_argument(
        "--quantile",
        type=float,
        default=0.95,
        help="report a label that is nearer to an OOD class than this share of the labels are to "
        "their nearest other label (default: %(default)s)",
    )
    parser.add_argument("--threshold", type=float, help="a fixed cosine in place of the quantile")
    parser.add_argument("--device", default="cpu", help="for the encoder (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything to this file")
    parser.add_argument(
        "--fail-on",
        choices=KINDS,
        metavar="KIND",
        help=f"exit with 1 if a label leaks in this or a stronger way: {', '.join(KINDS)}",
    )
    return parser.parse_args()


@user_errors
def main() -> int:
    args = parse_args()
    from negas.labels.leakage import make_report, print_report

    if args.senses < 0:
        raise ValueError(f"--senses must be at least 0, got {args.senses}")
    if args.fail_on == "similar" and not args.encoder:
        raise ValueError("--fail-on similar needs --encoder MODEL")
    if args.json:
        check_file(args.json, "--json")
    encode, settings = None, {}
    if args.encoder:
        settings = dict(encoder=args.encoder, template=args.template)

        @functools.cache  # loaded when everything else is known to be fine
        def encoder():
            from negas.embeddings.encoders import build_encoder

            return build_encoder(args.encoder, device=args.device)

        def encode(names: list[str]):
            return encoder().text(names, template=args.template, truncate=True)

    report = make_report(
        args.bank,
        args.ood,
        senses=args.senses or None,
        encode=encode,
        quantile=args.quantile,
        threshold=args.threshold,
        settings=settings,
    )
    print_report(report)
    if args.json:
        report.save(args.json)
        print(f"written: {args.json}")
    if args.fail_on:
        strong_enough = KINDS[: KINDS.index(args.fail_on) + 1]
        return int(any(finding.kind in strong_enough for finding in report.findings))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Make a bank of negative labels for your classes: ``python tools/mine_labels.py CLASSES --out B``.

CLASSES is a config, a COCO json, a text file with one name per line, or the names themselves. Every
stage is kept in the work directory, so a run that was interrupted goes on where it was.
"""

import argparse
import sys

from negas.cli import user_errors
from negas.labels.mining.options import REFINEMENTS, SELECTORS, SOURCES


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Negative labels for your own classes.")
    add = parser.add_argument
    add("classes", nargs="+", help="config, COCO json, text file, or names (also with commas)")
    add("--out", required=True, help="the bank to write (json)")
    add("--work-dir", help="where the stages are kept (default: work_dirs/mine_<name of --out>)")
    add("--overwrite", action="store_true", help="replace an existing --out")
    add("--dry-run", action="store_true", help="print what would be done, and do nothing")
    add("--seed", type=int, default=0, help="of models and draws")

    group = parser.add_argument_group("candidates")
    add = group.add_argument
    add("--source", choices=SOURCES, default="llm", help="where candidates come from")
    add("--candidates", metavar="FILE", help="for --source file: one per line, or a JSON list")
    add("--num-candidates", type=int, help="how many to generate (default: 200)")
    add("--prompt", default="complex", help="simple, complex, eoe-far, eoe-near or eoe-fine")
    add("--context", default="", help="where the detector works: voc, bdd100k or your own words")
    add("--per-turn", type=int, help="how many to ask for at once (default: 50; eoe-near: 3)")
    add("--patience", type=int, default=3, help="stop after so many turns without a new word")
    add("--retries", type=int, default=2, help="how often a useless answer is asked for again")

    group = parser.add_argument_group("corpus (--source wordnet, csp)")
    add = group.add_argument
    add("--parts", nargs="+", choices=["noun", "adj"], default=["noun", "adj"])
    add(
        "--all-files", action="store_true", help="animals, food and all else that methods leave out"
    )
    add("--clean", action="store_true", help="leave out words with digits and odd signs")

    group = parser.add_argument_group(
        "language model (--source llm: a server, local: transformers)"
    )
    add = group.add_argument
    add("--model", help="its name there, or a directory (llm: or environment NEGAS_LLM_MODEL)")
    add("--base-url", help="http(s)://host/v1 (or environment OPENAI_BASE_URL)")
    add("--api-key-file", help="file with the key (or the key in environment OPENAI_API_KEY)")
    add("--temperature", type=float, help="of the sampling (local: 0.7)")
    add("--top-p", type=float, help="of the sampling (local: 0.8)")
    add("--timeout", type=float, default=120, help="seconds a request may take")
    add("--max-retries", type=int, default=5, help="after failures of the server")
    add("--requests-per-minute", type=float, help="at most so many requests start in a minute")
    add("--max-new-tokens", type=int, default=2048, help="length of a local model's answer")
    add("--thinking", action="store_true", help="let a local model think first")

    group = parser.add_argument_group("selection")
    add = group.add_argument
    add("--refine", choices=REFINEMENTS, default="none", help="drop names, synonyms, sub-classes")
    add("--select", choices=SELECTORS, default="visual", help="how negatives are chosen")
    add("--num", type=int, help="M (default: visual 20, interneg 2000, neglabel, csp: --fraction)")
    add("--encoder", help="CLIP-style model: directory or hub name")
    add("--device", default="cpu", help="for encoder and local model")
    add("--template", help="name of a template, or a sentence with {}")
    add("--ann", help="COCO json of ID training images (default: from the config)")
    add("--images", help="their folder (default: from the config)")
    add("--no-prototypes", action="store_true", help="leave the visual filter out: no images")
    add("--max-per-class", type=int, help="at most so many crops per class")
    add("--min-similarity", type=float, default=0.5, help="of the visual filter, on --scale")
    add("--scale", choices=["clip_score", "cosine"], default="clip_score")
    add("--keep-fraction", type=float, help="pass this share in place of --min-similarity")
    add("--percentile", type=float, default=0.95, help="of neglabel's and csp's similarity")
    add("--fraction", type=float, default=0.15, help="theirs of each part of speech, without --num")
    return parser.parse_args()


@user_errors
def main() -> int:
    args = parse_args()
    from tqdm import tqdm

    from negas.labels.mining.run import describe, mine, options_from, print_report

    options = options_from(args)
    options.check(overwrite=args.overwrite or args.dry_run)
    if args.dry_run:
        print("\n".join(describe(options)))
        return 0
    report = mine(options, notify=lambda line: tqdm.write(f"note: {line}", file=sys.stderr))
    print_report(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())

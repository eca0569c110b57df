"""Measure image-level scores beside a bare matrix product and softmax, in alternating runs.

``python tools/dev/benchmark_image.py [--methods neglabel eoe] [--images 50000] [--rounds 5]``
"""

import argparse
import json
import sys

from negas.cli import user_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time and memory of image-level OOD scores")
    parser.add_argument("--methods", nargs="+", default=["mcm", "energy", "neglabel", "eoe"])
    parser.add_argument("--groups", type=int, default=100, help="groups of NegLabel and CSP")
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--id-labels", type=int, default=1000)
    parser.add_argument("--neg-labels", type=int, default=10_000)
    parser.add_argument("--width", type=int, default=512, help="channels of a feature")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--rounds", type=int, default=5, help="pairs to measure")
    parser.add_argument("--out", help="write the numbers to this json file")
    return parser.parse_args()


@user_errors
def main() -> int:
    args = parse_args()
    if args.rounds < 1:
        raise ValueError(f"--rounds must be at least 1, got {args.rounds}.")
    import image_costs as bench
    from rich.console import Console
    from rich.table import Table
    from tqdm import tqdm

    from negas.image_level.registry import find_method

    names = ("images", "id_labels", "neg_labels", "width", "device", "threads")
    sizes = bench.Sizes(**{name: getattr(args, name) for name in names})
    rows = {}
    for name in args.methods:
        options = {"groups": args.groups} if find_method(name).has("groups") else {}
        bench.get_image_score(name, **options)  # a wrong option: say so before any work
        rows[name] = options
    memory = {}
    if sizes.device == "cpu":  # first, while this process is small
        for method, options in tqdm(rows.items(), desc="memory", leave=False):
            memory[method] = bench.peak_memory(method, sizes, **options)

    from step_costs import interleaved

    for method, options in rows.items():
        scored, plain = bench.sides(method, sizes, **options)

        def progress(items, method=method):
            return tqdm(items, desc=method, leave=False)

        times = interleaved(scored, plain, args.rounds, sizes.device, progress)
        rows[method] = options | times | memory.get(method, {})
    labels = f"{sizes.images} images, {sizes.id_labels} + {sizes.neg_labels} labels"
    table = Table("method", "score", "bare", "score / bare", "peak memory", title=labels)
    for method, row in rows.items():
        peak = f"{row['mib_peak']:.0f} MiB" if "mib_peak" in row else "-"
        seconds = [f"{row[key]:.3f} s" for key in ("seconds_a", "seconds_b")]
        table.add_row(method, *seconds, f"{row['ratio']:.3f}", peak)
    Console().print(table)
    if args.out:
        with open(args.out, "w", encoding="utf-8") as file:
            json.dump(dict(sizes=vars(sizes), rows=rows), file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())

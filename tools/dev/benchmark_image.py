"""Measure image-level scores beside a bare matrix product and softmax, in alternating runs.

``python tools/dev/benchmark_image.py [--methods neglabel eoe] [--images 50000] [--rounds 5]``
"""

import argparse
import sys
from dataclasses import dataclass, fields

from negas.cli import user_errors
from negas.files import check_file, write_json
from negas.options import Options, option, overwrite_option


@dataclass(frozen=True)
class Benchmark(Options):
    """Which methods to measure, and how often."""

    methods: tuple[str, ...] = option(("mcm", "energy", "neglabel", "eoe"), help="names")
    groups: int = option(100, help="of methods that group their negatives")
    rounds: int = option(5, help="pairs to measure", ge=1)
    out: str | None = option(None, help="write the numbers to this json file", output=True)
    overwrite: bool = overwrite_option()


@user_errors
def main() -> int:
    import image_costs as bench
    from rich.console import Console
    from rich.table import Table
    from tqdm import tqdm

    from negas.image_level.registry import find_method

    parser = argparse.ArgumentParser(description="Time and memory of image-level OOD scores")
    Benchmark.add_to(parser)
    bench.Sizes.add_to(parser)
    given = parser.parse_args()
    sizes, args = bench.Sizes.from_args(given), Benchmark.from_args(given)
    if args.out:
        check_file(args.out, "--out", ('"sizes"',), args.overwrite)
    rows = {}
    for name in args.methods:
        known = {each.name for each in fields(find_method(name).options)}
        options = {"groups": args.groups} if "groups" in known else {}
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
        write_json(args.out, dict(sizes=sizes.record(), rows=rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())

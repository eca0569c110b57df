"""What NegAS and unknown objects cost: ``python tools/dev/benchmark.py [--size 640]``."""

import argparse
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from negas.cli import user_errors
from negas.files import check_file, write_json
from negas.options import Options, option, overwrite_option

WORDS = (500, 1500)  # of a vocabulary


@dataclass(frozen=True)
class Benchmark(Options):
    """How often to measure, and where to write."""

    rounds: int = option(15, help="pairs to measure", ge=1)
    queries: int = option(10_000, help="boxes that KNN scores", ge=1)
    fit_boxes: int = option(100_000, help="that it is fitted on", ge=10)
    out: str | None = option(None, help="write the numbers to this json file", output=True)
    overwrite: bool = overwrite_option()


def ratios(a, b) -> dict[str, float]:
    """Two peaks of memory, side by side: CUDA's, or on the CPU pairs of (before steps, peak)."""
    if isinstance(a, float):
        return dict(mib_a=a, mib_b=b, ratio=a / b)
    above = (a[1] - a[0]) / (b[1] - b[0])
    return dict(mib_a=a[1], mib_b=b[1], ratio=a[1] / b[1], ratio_above_start=above)


@user_errors
def main() -> int:
    import neighbor_costs
    import step_costs as bench
    from rich.console import Console
    from rich.table import Table
    from tqdm import tqdm

    parser = argparse.ArgumentParser(description="Ratios of time and memory, measured side by side")
    bench.Setting.add_to(parser)
    Benchmark.add_to(parser)
    given = parser.parse_args()
    setting, args = bench.Setting.from_args(given), Benchmark.from_args(given)
    if args.out:
        check_file(args.out, "--out", ('"memory"',), args.overwrite)
    about = setting.record()
    folder = tempfile.TemporaryDirectory(prefix="text-encoder-")  # goes with the process
    if setting.text is None:
        setting = replace(setting, text=bench.random_tower(setting, Path(folder.name)))

    def progress(items):
        return tqdm(items, leave=False)

    def measure(a, b):
        return bench.interleaved(a, b, args.rounds, setting.device, progress)

    def step(model):
        return bench.step_of(model, setting)

    variants = {
        "CoOp step": dict(nega=False),
        "NegAS step": dict(nega=True),
        "NegAS step, fixed guide": dict(nega=True, guide_grad=False),
    }
    coop, nega, fixed = (bench.build(setting, **options) for options in variants.values())
    stock = bench.build(setting, False, negatives=False)
    rows = {
        "predict with NegS / stock predict": measure(
            bench.predict_of(nega, setting), bench.predict_of(stock, setting)
        ),
        "NegAS step / CoOp step": measure(step(nega), step(coop)),
        "NegAS step, fixed guide / CoOp step": measure(step(fixed), step(coop)),
    }
    silent = bench.build(setting, False, negatives=False, id_boxes=False)
    for count in WORDS:
        rows[f"predict with {count} words / without"] = measure(
            bench.search_of(silent, setting, count), bench.predict_of(silent, setting)
        )
    if not bench.is_grounding_dino(setting):
        rows["dual-branch neck / two passes"] = measure(*bench.necks_of(nega, setting))
        rows["prompt's prefix once / for each label"] = measure(*bench.texts_of(coop))
    pair = neighbor_costs.neighbors_of(args.queries, args.fit_boxes, setting.device)
    of_knn = f"KNN of {args.queries} boxes"
    few = min(args.rounds, 5)  # each takes long
    rows[f"{of_knn} against {args.fit_boxes} / product and topk"] = bench.interleaved(
        *pair, few, setting.device, progress
    )
    del pair
    peaks = {
        name: bench.peak_memory(setting, **options) for name, options in progress(variants.items())
    }
    coop_peak = peaks.pop("CoOp step")
    memory = {f"{name} / CoOp step": ratios(peak, coop_peak) for name, peak in peaks.items()}
    one, *more = (bench.search_memory(setting, count) for count in progress((1, *WORDS)))
    for count, peak in zip(WORDS, more, strict=True):
        memory[f"predict with {count} words / with 1"] = ratios(peak, one)
    at = [
        neighbor_costs.neighbor_memory(times * args.queries, args.fit_boxes, setting.device)
        for times in (8, 2)  # both more than a chunk of records
    ]
    memory[f"KNN of {8 * args.queries} boxes / of {2 * args.queries}"] = ratios(*at)
    table = Table("A / B", "A", "B", "A / B", title=f"{setting.model} at {setting.size} px")
    for name, row in rows.items():
        seconds = [f"{row[key]:.3f} s" for key in ("seconds_a", "seconds_b")]
        table.add_row(name, *seconds, f"{row['ratio']:.3f}")
    for name, row in memory.items():
        mib = [f"{row[key]:.0f} MiB" for key in ("mib_a", "mib_b")]
        table.add_row(f"peak memory, {name}", *mib, f"{row['ratio']:.3f}")
    Console().print(table)
    if args.out:
        write_json(args.out, dict(setting=about, rows=rows, memory=memory))
    return 0


if __name__ == "__main__":
    sys.exit(main())

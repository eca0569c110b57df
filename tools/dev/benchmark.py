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
PARTS = ("time", "memory", "knn")


@dataclass(frozen=True)
class Benchmark(Options):
    """How often to measure, and where to write."""

    rounds: int = option(15, help="pairs to measure", ge=1)
    queries: int = option(10_000, help="boxes that KNN scores", ge=1)
    fit_boxes: int = option(100_000, help="that it is fitted on", ge=10)
    parts: tuple[str, ...] = option(PARTS, help="what to measure", choices=PARTS)
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
    few = min(args.rounds, 5)  # of KNN, where each takes long
    knn = f"KNN of {args.queries} boxes"

    def times():
        if "time" in args.parts:
            coop, nega, fixed = (bench.build(setting, **options) for options in variants.values())
            stock = bench.build(setting, False, negatives=False)
            yield (
                "predict with NegS / stock predict",
                measure(bench.predict_of(nega, setting), bench.predict_of(stock, setting)),
            )
            yield "NegAS step / CoOp step", measure(step(nega), step(coop))
            yield "NegAS step, fixed guide / CoOp step", measure(step(fixed), step(coop))
            silent = bench.build(setting, False, negatives=False, id_boxes=False)
            for count in WORDS:
                pair = bench.search_of(silent, setting, count), bench.predict_of(silent, setting)
                yield f"predict with {count} words / without", measure(*pair)
            if not bench.is_grounding_dino(setting):
                yield "dual-branch neck / two passes", measure(*bench.necks_of(nega, setting))
                yield "prompt's prefix once / for each label", measure(*bench.texts_of(coop))
        if "knn" in args.parts:
            pair = neighbor_costs.neighbors_of(args.queries, args.fit_boxes, setting.device)
            yield (
                f"{knn} against {args.fit_boxes} / product and topk",
                bench.interleaved(*pair, few, setting.device, progress),
            )

    def memories():
        if "memory" in args.parts:
            peaks = [bench.peak_memory(setting, **options) for options in variants.values()]
            for name, peak in zip(list(variants)[1:], peaks[1:], strict=True):
                yield f"{name} / CoOp step", ratios(peak, peaks[0])
            one = bench.search_memory(setting, 1)
            for count in WORDS:
                peak = bench.search_memory(setting, count)
                yield f"predict with {count} words / with 1", ratios(peak, one)
        if "knn" in args.parts:
            many, fewer = (  # both more than a chunk of records
                neighbor_costs.neighbor_memory(n * args.queries, args.fit_boxes, setting.device)
                for n in (8, 2)
            )
            yield f"KNN of {8 * args.queries} boxes / of {2 * args.queries}", ratios(many, fewer)

    found: dict = dict(setting=about, rows={}, memory={})
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"{setting.model} at {setting.size} px: A / B, A and B")
    for key, unit, measured in (("rows", "s", times()), ("memory", "MiB", memories())):
        for name, row in measured:  # each at once: all of them take long
            found[key][name] = row
            a, b, ratio = list(row.values())[:3]
            digits = 3 if key == "rows" else 0
            title = name if key == "rows" else f"peak memory, {name}"
            console.print(f"{ratio:.3f}  {title}  ({a:.{digits}f} and {b:.{digits}f} {unit})")
            if args.out:
                write_json(args.out, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Measure what NegAS costs: ``python tools/benchmark.py [--size 640] [--rounds 15]``."""

import argparse
import json
import sys

from negas.apis.cli import user_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Ratios of time and memory, measured side by side")
    parser.add_argument("--model", default="configs/_base_/models/yolo_world_v2_s.py")
    parser.add_argument("--text", help="text encoder (default: a tiny one)")
    parser.add_argument("--size", type=int, default=640, help="image side in pixels")
    parser.add_argument("--batch", type=int, default=2, help="images per step")
    parser.add_argument("--labels", type=int, default=20, help="ID labels, and as many negatives")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--rounds", type=int, default=15, help="pairs to measure")
    parser.add_argument("--out", help="write the numbers to this json file")
    return parser.parse_args()


@user_errors
def main() -> int:
    args = parse_args()
    from rich.console import Console
    from rich.table import Table
    from tqdm import tqdm

    from negas.apis import benchmark as bench

    options = vars(args) | {}
    rounds, out = options.pop("rounds"), options.pop("out")
    setting = bench.Setting(**options)

    def progress(items):
        return tqdm(items, leave=False)

    def measure(a, b):
        return bench.interleaved(a, b, rounds, setting.device, progress)

    nega, coop = bench.build(setting, True), bench.build(setting, False)
    stock = bench.build(setting, False, negatives=False)
    rows = {
        "predict with NegS / stock predict": measure(
            bench.predict_of(nega, setting), bench.predict_of(stock, setting)
        ),
        "NegAS step / CoOp step": measure(
            bench.step_of(nega, setting), bench.step_of(coop, setting)
        ),
    }
    if not bench.is_grounding_dino(setting):
        rows["dual-branch neck / two passes"] = measure(*bench.necks_of(nega, setting))
    peaks = [bench.peak_memory(setting, flag) for flag in (True, False)]
    if setting.device == "cuda":
        memory = dict(mib_a=peaks[0], mib_b=peaks[1], ratio=peaks[0] / peaks[1])
    else:
        memory = dict(
            mib_a=peaks[0][1],
            mib_b=peaks[1][1],
            ratio=peaks[0][1] / peaks[1][1],
            ratio_above_start=(peaks[0][1] - peaks[0][0]) / (peaks[1][1] - peaks[1][0]),
        )
    table = Table("A / B", "A", "B", "A / B", title=f"{args.model} at {args.size} px")
    for name, row in rows.items():
        seconds = [f"{row[key]:.3f} s" for key in ("seconds_a", "seconds_b")]
        table.add_row(name, *seconds, f"{row['ratio']:.3f}")
    mib = [f"{memory[key]:.0f} MiB" for key in ("mib_a", "mib_b")]
    table.add_row("peak memory, NegAS step / CoOp step", *mib, f"{memory['ratio']:.3f}")
    Console().print(table)
    if out:
        with open(out, "w", encoding="utf-8") as file:
            json.dump(dict(setting=options, rows=rows, memory=memory), file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())

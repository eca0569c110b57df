"""Several configs with several seeds: train, test, and one table with mean and deviation."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from negas.cli import load_config
from negas.reports.methods import make_report, print_report

from .train_and_test import check_overrides, train_and_test


def plan(configs: Sequence[str | Path], seeds: Sequence[int]) -> list[tuple[Path, int]]:
    """(config, seed) of every run; a config that trains nothing runs once, with the first seed.

    Raises:
        ValueError: a config or seed is given twice.
        FileNotFoundError: a config does not exist.
    """
    stems = [Path(config).stem for config in configs]
    for what, given in (("--configs", stems), ("--seeds", list(seeds))):
        twice = next((item for item in given if given.count(item) > 1), None)
        if twice is not None:
            raise ValueError(f"{what}: {twice!r} is given twice; name each once")
    runs = []
    for config in configs:
        trains = load_config(str(config)).get("train_cfg") is not None
        runs += [(Path(config), seed) for seed in (seeds if trains else seeds[:1])]
    return runs


def run_seeds(
    configs: Sequence[str | Path],
    seeds: Sequence[int],
    work_dir: Path,
    overrides: dict | None = None,
    test_only: bool = False,
    fresh: bool = False,
) -> list[Path]:
    """Train and test all; finished runs are skipped, interrupted ones resumed.

    Args:
        configs: config files, one per method.
        seeds: of training and of NegA's noise.
        work_dir: runs go to ``<work_dir>/<config>/seed<k>``, the report to ``<work_dir>``.
        overrides: as ``--cfg-options``, for all configs.
        test_only: test existing checkpoints again.
        fresh: do again what is done.

    Returns:
        The runs' folders.
    """
    start = time.monotonic()
    folders = []
    runs = plan(configs, seeds)
    check_overrides(configs, overrides)
    for i, (config, seed) in enumerate(runs, 1):

        def log(text: str, i: int = i) -> None:
            print(f"[{time.monotonic() - start:5.0f} s] ({i}/{len(runs)}) {text}", flush=True)

        folder = work_dir / config.stem / f"seed{seed}"
        name = f"{config.stem.split('_')[0]} seed {seed}"
        options = dict(overrides=overrides, seed=seed, test_only=test_only, fresh=fresh, log=log)
        folders.append(train_and_test(config, folder, name, **options))
    return folders


def report_seeds(folders: Sequence[Path], shared_cut: str | float | None, out: Path) -> None:
    """Print the tables and write ``report.md`` and ``report.json`` to ``out``."""
    print("scoring all boxes at one shared cut ...", flush=True)
    tables = make_report(folders, shared_cut=shared_cut, out=out)
    print()
    print_report(tables)
    print(f"written: {out}/report.md, {out}/report.json")

"""Several configs with several seeds: train, test, and one table with mean and deviation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmengine.config import Config

from negas.cli import load_config
from negas.reports.methods import make_report, print_report

from .train_and_test import PlannedRun, run_all


def plan_seeds(
    configs: Sequence[str | Path], seeds: Sequence[int], work_dir: Path
) -> list[PlannedRun]:
    """All runs; a config that trains nothing runs once, with the first seed.

    Args:
        configs: config files, one per method.
        seeds: of training and of NegA's noise.
        work_dir: runs go to ``<work_dir>/<config>/seed<k>``.

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
    for path in map(Path, configs):
        method, folder = path.stem.split("_")[0], work_dir / path.stem
        runs += seeds_of(path, load_config(str(path)), seeds, folder, method)
    return runs


def seeds_of(
    path: Path,
    cfg: Config,
    seeds: Sequence[int],
    folder: Path,
    name: str,
    settings: Mapping | None = None,
) -> list[PlannedRun]:
    """The runs of one config, ``folder/seed<k>`` each; only the first if it trains nothing."""
    return [
        PlannedRun(path, folder / f"seed{seed}", f"{name} seed {seed}", seed, settings or {})
        for seed in (seeds[:1] if cfg.get("train_cfg") is None else seeds)
    ]


def run_seeds(
    configs: Sequence[str | Path],
    seeds: Sequence[int],
    work_dir: Path,
    overrides: Mapping | None = None,
    test_only: bool = False,
    fresh: bool = False,
) -> list[Path]:
    """Train and test all; finished runs are skipped, interrupted ones resumed.

    Args:
        configs: see :func:`plan_seeds`.
        seeds: see :func:`plan_seeds`.
        work_dir: see :func:`plan_seeds`.
        overrides: as ``--cfg-options``, for all configs.
        test_only: test existing checkpoints again.
        fresh: do again what is done.

    Returns:
        The runs' folders.
    """
    return run_all(plan_seeds(configs, seeds, work_dir), overrides, test_only, fresh)


def report_seeds(folders: Sequence[Path], shared_cut: str | float | None, out: Path) -> None:
    """Print the tables and write ``report.md`` and ``report.json`` to ``out``."""
    print("scoring all boxes at one shared cut ...", flush=True)
    tables = make_report(folders, shared_cut=shared_cut, out=out)
    print()
    print_report(tables)
    print(f"written: {out}/report.md, {out}/report.json")

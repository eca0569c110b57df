"""Several configs with several seeds, as runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmengine.config import Config

from negas.cli import load_config

from .train_and_test import PlannedRun


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
    refuse_twice("--configs", stems)
    refuse_twice("--seeds", seeds)
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


def check_stock(runs: Sequence[PlannedRun], overrides: Mapping | None) -> None:
    """See that a stock detector is among the runs, whose cut all others are to share.

    Raises:
        ValueError: none is.
    """
    models = [run.load(overrides).model for run in runs]
    if not any(not one.get("prompt") and not one.get("use_nega") for one in models):
        raise ValueError(
            "--shared-cut stock: none of the configs is the stock detector's; add it or give a "
            "number"
        )


def refuse_twice(flag: str, given: Sequence) -> None:
    """Refuse a list of the command line that names something twice.

    Raises:
        ValueError: naming it.
    """
    twice = next((item for item in given if list(given).count(item) > 1), None)
    if twice is not None:
        raise ValueError(f"{flag}: {twice!r} is given twice; name each once")

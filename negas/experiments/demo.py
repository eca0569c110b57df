"""The demo: stock, CoOp and NegAS on EmojiWorld, from nothing to the table."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from negas.cli import load_config
from negas.datasets.emoji_world.splits import SPLITS, SplitWriter
from negas.datasets.emoji_world.store import ensure_split
from negas.evaluation.cuts import validation_tau
from negas.evaluation.run import Run
from negas.evaluation.unknown import chosen_unknown
from negas.options import check_value
from negas.records import VALIDATION_SETS
from negas.reports.html.report import make_html_report
from negas.reports.methods import make_report
from negas.reports.table import print_tables
from negas.scores import get_score
from negas.shipped import RESTORE, find
from negas.visualization.boxes import detections_page

from .train_and_test import Clock, PlannedRun, run_all

CONFIG_DIR = Path("configs/negas")
DATA_DIR = Path("data/emoji_world")
RUN_SPLITS = ("id_train", "id_val", "id_val_clean", "id_test", "near_ood", "far_ood")
# (heading, config) of each method
CONFIGS = {
    "yolo-world": {
        "stock": ("YOLO-World (stock)", "stock_yolo-world-tiny_emoji-world.py"),
        "coop": ("+ CoOp prompts", "coop_yolo-world-tiny_1xb16-8e_emoji-world.py"),
        "negas": ("+ NegAS", "negas_yolo-world-tiny_1xb16-8e_emoji-world.py"),
    },
    "grounding-dino": {
        "stock": ("Grounding DINO (stock)", "stock_grounding-dino-tiny_emoji-world.py"),
        "coop": ("+ CoOp prompts", "coop_grounding-dino-tiny_1xb8-4e_emoji-world.py"),
        "negas": ("+ NegAS", "negas_grounding-dino-tiny_1xb8-4e_emoji-world.py"),
    },
}
# To see it work: so many scenes a split, one short training.
QUICK_NUM = 24
QUICK = {
    "train_cfg.max_epochs": 1,
    "train_cfg.val_interval": 1,
    "train_dataloader.batch_size": 4,
    "test_evaluator.presets": ["val_f1", "objects"],
    "test_evaluator.rotations": 1,
    "test_evaluator.plots": False,
}
QUICK_NOTE = f"--quick: {QUICK_NUM} scenes a split and one epoch, so the numbers mean little"
# Known or unknown in a picture is a verdict: its threshold must not come from the test set.
PICTURE_NOTE = (
    "detections.png: a box is known where it reaches the threshold that keeps 95% of the ID "
    "validation boxes; FPR95 in the tables keeps 95% of the ID test boxes, as VOS has it"
)


def check_weights(
    config_dir: Path, overrides: dict | None = None, detector: str = "yolo-world"
) -> None:
    """Look for the base weights before any work.

    Args:
        config_dir: where the configs are.
        overrides: as ``--cfg-options``.
        detector: of :data:`CONFIGS`.

    Raises:
        FileNotFoundError: naming the file.
        ValueError: it is no text.
    """
    cfg = load_config(str(config_dir / CONFIGS[detector]["negas"][1]))
    weights = (overrides or {}).get("model.base_checkpoint", cfg.model.base_checkpoint)
    check_value("model.base_checkpoint", weights, str)
    if not Path(weights).is_file():
        raise FileNotFoundError(
            f"base_checkpoint={weights!r} does not exist; {RESTORE}, or give weights of your own"
        )


def make_scenes(data_dir: Path = DATA_DIR, num: int | None = None) -> None:
    """Write the splits that the demo needs; intact ones stay.

    Args:
        data_dir: folder of the atlas; scenes go to ``scenes`` in it, below the working directory
            unless a clone has some already.
        num: at most this many images a split; scenes of a clone are then left alone.
    """
    folder = data_dir / "scenes" if num else Path(find(data_dir / "scenes"))
    writers = [SplitWriter(SPLITS[name], data_dir, num) for name in RUN_SPLITS]
    with tqdm(total=sum(w.num for w in writers), desc="EmojiWorld scenes", unit="img") as bar:
        for writer in writers:
            ensure_split(writer, folder, bar.update)


def draw_detections(run_dir: Path, path: Path, title: str, score: str = "negs") -> Path:
    """The page of detections of a run; tau keeps 95% of the ID validation boxes.

    Raises:
        FileNotFoundError: records, annotations or images are missing.
    """
    run = Run.load(run_dir)
    records = run.records
    cut = run.results["cuts"]["run"]["value"]
    tau = validation_tau(records, get_score(score), cut)
    shown = {name: part for name, part in records.items() if name not in VALIDATION_SETS}
    unknown, words = chosen_unknown(run, cut, list(shown))
    return detections_page(shown, score, cut, tau, path, title=title, unknown=unknown, words=words)


def run_demo(
    work_dir: Path,
    config_dir: Path = CONFIG_DIR,
    overrides: dict | None = None,
    fresh: bool = False,
    seed: int = 0,
    detector: str = "yolo-world",
    html: bool = True,
    jobs: int = 1,
) -> list[Path]:
    """Train and test the methods, print the table, draw; returns the files worth a look.

    Args:
        work_dir: one folder per method goes there.
        config_dir: where the configs are.
        overrides: as ``--cfg-options``, for all methods.
        fresh: do again what is done.
        seed: of the trainings.
        detector: of :data:`CONFIGS`.
        html: write the HTML report of NegAS, too.
        jobs: methods at a time, see :func:`run_all`.
    """
    log = Clock(4)
    configs = CONFIGS[detector]
    runs = [
        PlannedRun(config_dir / file, work_dir / name, heading, seed)
        for name, (heading, file) in configs.items()
    ]
    # the longest first, so that no process is left alone with it
    folders = run_all(runs[::-1], overrides, fresh=fresh, log=log, jobs=jobs)[::-1]
    log("scoring all boxes at one shared cut")
    tables = make_report(folders, shared_cut="stock", out=work_dir)
    print()
    print_tables(tables, brief=True)
    last = folders[-1]
    page = draw_detections(last, work_dir / "detections.png", configs["negas"][0])
    files = [work_dir / "report.md", work_dir / "report.json", page]
    found = (last / name for name in ("ood_results.json", "records", "scores.png", "roc.png"))
    files += [file for file in found if file.exists()]
    if html:
        log("writing the HTML report")
        files.append(make_html_report(last, overwrite=True))
    log("written:")
    for file in files:
        print(f"  {file}")
    print(PICTURE_NOTE)
    return files

"""What unknown objects are chosen by: recall on a development set for other scores and words.

Thresholds come from ID validation images, each variant's own, so all cost the same there. Example,
on EmojiWorld's strict near set, which no table of results reads:
    python tools/test.py CONFIG WEIGHTS --work-dir work_dirs/strict --cfg-options \
        test_cfg.ood_dataloaders.near.dataset.ann_file=annotations/near_ood_strict.json \
        test_cfg.ood_dataloaders.near.dataset.data_prefix.img=near_ood_strict/
    python tools/dev/unknown_choices.py work_dirs/strict --ood-set near --out choices.csv
"""

import sys
from dataclasses import dataclass

from negas.cli import user_errors
from negas.files import check_file, write_csv
from negas.options import Options, option, overwrite_option

COLUMNS = ("run", "vocabulary", "words", "id_weight", "agreement_weight", "score_thr")
COLUMNS += ("background_per_image", "on_known_share", "recall", "recall_rotated", "rotated_std")


@dataclass(frozen=True)
class ChoicesOptions(Options):
    """Recall of unknown objects for other scores and vocabularies."""

    runs: tuple[str, ...] = option(help="work dirs of tools/test.py", positional=True)
    ood_set: str = option("near", help="the development set")
    id_weights: tuple[float, ...] = option((0.0, 0.25, 0.5, 0.75), help="that are tried", ge=0)
    agreement_weights: tuple[float, ...] = option(
        (0.0, 6.0, 12.0, 18.0), help="each with each of the others", ge=0
    )
    rotations: int = option(0, help="draws of the rotated vocabulary, refitted", ge=0)
    out: str = option("unknown_choices.csv", help="file to write", output=True)
    overwrite: bool = overwrite_option()


def variants(has_grid: bool, options: ChoicesOptions) -> list[dict]:
    """Settings of ``model.test_cfg.unknown``; without neighbouring cells none agrees."""
    agreement = options.agreement_weights if has_grid else (0.0,)
    return [dict(id_weight=i, agreement_weight=a) for i in options.id_weights for a in agreement]


def measure(run, name: str, settings: dict, rotations: int) -> dict:
    """One row: threshold found anew, then recall without words that name a class of the set."""
    from negas.evaluation.unknown import threshold_of
    from negas.evaluation.unknown.rows import PLAIN, ROTATED_REFITTED, WITHOUT_OOD, Evaluation

    about = run.results["unknown"]
    about["options"] = about["options"] | settings
    about.pop("threshold", None)
    found = threshold_of(run)
    rows = [row for row in Evaluation(run).rows(0, rotations) if row["ood_set"] == name]
    plain = [row for row in rows if row["control"] == PLAIN]
    own = next((row for row in plain if row["vocabulary"] == WITHOUT_OOD), None)
    if own is None:
        raise ValueError(
            f"{run.path}: no word is left that names no class of {name!r}; give a run with a "
            "larger vocabulary"
        )
    turned = next((row for row in rows if row["control"] == ROTATED_REFITTED), {})
    return dict(
        run=run.name,
        vocabulary=WITHOUT_OOD,
        words=own["words"],
        **settings,
        score_thr=found.score_thr,
        background_per_image=found.background_per_image,
        on_known_share=found.on_known_share,
        recall=own["recall"],
        recall_rotated=turned.get("recall"),
        rotated_std=turned.get("recall_std"),
    )


@user_errors
def main() -> int:
    options = ChoicesOptions.parse()
    target = check_file(options.out, "--out", ("run,vocabulary,words,",), options.overwrite)

    from tqdm import tqdm

    from negas.evaluation.recorded import Recorded

    runs = [Recorded.load(path) for path in options.runs]
    for run in runs:
        if options.ood_set not in run.ood_sets:
            raise ValueError(
                f"{run.path}: there is no OOD set {options.ood_set!r}; sets: "
                f"{', '.join(run.ood_sets)}"
            )
    rows = []
    for run in runs:
        agreement = next(iter(run.cells.values())).agreement
        tried = variants(agreement is not None and bool((agreement < 1).any()), options)
        for settings in tqdm(tried, desc=run.name, leave=False, disable=None):
            rows.append(measure(run, options.ood_set, settings, options.rotations))
    columns = [key for key in COLUMNS if options.rotations or "rotated" not in key]
    texts = [{k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    write_csv(target, texts, columns)
    print(f"{len(rows)} rows are in {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

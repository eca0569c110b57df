"""Make a run of COCO results: ``negas import-run OUT --results ... --ann ...``."""

import sys
from dataclasses import dataclass

from negas.cli import files_by_set, user_errors
from negas.options import Options, option


@dataclass(frozen=True)
class ImportOptions(Options):
    """Write a run folder from the COCO results of any detector, for all commands that read runs."""

    out: str = option(help="folder to write, as negas test does", positional=True, output=True)
    results: tuple[str, ...] = option(
        help="COCO results by set: id, perhaps id_val, and OOD sets of any name; category ids are "
        "those of the ID annotations",
        metavar="SET=FILE",
    )
    ann: tuple[str, ...] = option(help="COCO annotations of the same sets", metavar="SET=FILE")
    img: tuple[str, ...] = option(
        (), help="folders of their images, for pictures", metavar="SET=DIR"
    )
    classes: tuple[str, ...] | None = option(
        None, help="categories that the detector knows (default: all of the ID annotations)"
    )
    preset: tuple[str, ...] = option(
        ("val_f1", "matched", "objects"), help="protocols of the reports", metavar="NAME"
    )
    min_score: float = option(
        0.0, help="least confidence that the detector was asked for", ge=0, lt=1
    )
    overwrite: bool = option(False, help="replace the run of a test", secret=True)


@user_errors
def main() -> int:
    """Write the run."""
    options = ImportOptions.parse()
    results, annotations, images = (
        files_by_set(getattr(options, name), f"--{name}") for name in ("results", "ann", "img")
    )
    for name in results.keys() ^ annotations.keys():
        lost = "--ann" if name in results else "--results"
        raise ValueError(f"{lost}: the set {name!r} is missing; give {lost} {name}=FILE")
    from negas.evaluation.write_run import write_run
    from negas.records import ID, BoxRecords
    from negas.reports.scores import run_tables
    from negas.reports.table import print_table

    if ID not in results:
        raise ValueError("--results: the set 'id' is missing; name the ID set 'id'")
    records = {
        name: BoxRecords.from_coco_results(
            file, annotations[name], annotations[ID], options.classes, img_dir=images.get(name)
        )
        for name, file in results.items()
    }
    how = dict(presets=options.preset, min_score=options.min_score, overwrite=options.overwrite)
    run = write_run(options.out, records, **how)
    print_table(run_tables(run)[0])
    print(f"every score and preset: negas score {options.out}")
    print(f"one page with pictures: negas html-report {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

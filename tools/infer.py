"""Verdicts for your images: ``negas infer INPUT CONFIG CHECKPOINT [--out-dir DIR]``.

INPUT is an image, a video or a folder of both. A detector with a name needs no CHECKPOINT: ``negas
infer INPUT emoji-world``. Boxes are judged known or unknown with the calibration that negas
calibrate has put beside the checkpoint. The exit code is 1 if some inputs could not be read (the
others are judged), 2 if nothing could be done.
"""

import sys
from dataclasses import dataclass

from negas.cli import add_config_options, load_config, user_errors
from negas.command_line import CommandLine

# isort: split
from negas.apis.labels import LabelOptions, VocabularyOptions
from negas.files import check_folder, write_json
from negas.options import option
from negas.predictions.label_studio import LOCAL_FILES
from negas.text import counted
from negas.weights.by_name import find_detector, is_name
from negas.weights.released import CHECKPOINT, CONFIG


@dataclass(frozen=True, kw_only=True)
class InferOptions(LabelOptions, VocabularyOptions):
    """Detect objects and judge known or unknown."""

    input: str = option(
        help="image, video, folder, pattern ('shots/*.jpg') or address of an image",
        positional=True,
    )
    config: str = option(help=CONFIG, positional=True)
    checkpoint: str | None = option(None, help=CHECKPOINT, positional=True)
    out_dir: str = option("work_dirs/infer", help="where to put the results", output=True)
    resume: bool = option(
        False, help="go on with <out-dir>/predictions.jsonl, which a run that was stopped has left"
    )
    batch_size: int = option(1, help="pictures at once", ge=1)
    calibration: str = option(
        "auto",
        help="default: <checkpoint>.calibration.json if it is there; 'none': no verdict",
        metavar="FILE",
    )
    score_thr: float | None = option(
        None, help="least confidence (default: calibrated)", ge=0, le=1
    )
    tau: float | None = option(
        None, help="least score of a known box, in place of the calibrated one"
    )
    label_studio: str | None = option(
        None,
        alone=LOCAL_FILES,
        help="also write label_studio.json: tasks in which the unknown boxes are to be named; "
        "PREFIX before a file's path makes its address there (default: Label Studio's local files)",
        metavar="PREFIX",
    )
    vis: bool = option(True, help="paint the results")
    device: str | None = option(None, help="e.g. cuda:0 or cpu")


@user_errors
def main() -> int:
    parser = CommandLine(description=InferOptions.__doc__)
    InferOptions.add_to(parser)
    add_config_options(parser)
    args = parser.parse_args()
    options = InferOptions.from_args(args)
    wanted = options.wanted()
    if options.checkpoint is None and is_name(options.input):
        raise ValueError(f"the input comes first: negas infer {options.config} {options.input}")
    config, checkpoint = find_detector(options.config, options.checkpoint)
    cfg = load_config(config, args.cfg_options)
    from negas.apis.inferencer import Inferencer
    from negas.apis.inputs import Pictures
    from negas.apis.outputs import Painted, print_left_out, print_unreadable

    pictures = Pictures.of(
        options.input
    )  # what is wrong with it shows before the detector is built
    folder = check_folder(options.out_dir, "--out-dir")
    if options.vis:
        Painted(folder, pictures.names())
    inferencer = Inferencer(
        cfg,
        checkpoint,
        options.device,
        **options.labels(),
        calibration=None if options.calibration == "none" else options.calibration,
        unknown=wanted,
    )
    if options.tau is not None:
        inferencer.tau = options.tau
    print_left_out(pictures)
    results = inferencer(
        options.input,
        batch_size=options.batch_size,
        pred_score_thr=options.score_thr,
        no_save_vis=not options.vis,
        out_dir=options.out_dir,
        resume=options.resume,
    )
    if options.label_studio is not None:
        tasks = [one.to_label_studio(options.label_studio) for one in results["predictions"]]
        write_json(folder / "label_studio.json", tasks)
    report(results["predictions"], options.out_dir, inferencer.tau is not None)
    return print_unreadable(results["unreadable"])


def report(predictions: list, out_dir: str, judged: bool) -> None:
    found = sum((one.labels < 0).sum() for one in predictions)
    boxes = sum(map(len, predictions)) - found
    text = f"{counted(len(predictions), 'picture')}, {counted(boxes, 'box')}"
    if judged:
        known = sum((one.known == True).sum() for one in predictions)  # noqa: E712 - None is neither
        print(f"{text}: {known} known, {boxes - known} unknown")
    else:
        print(f"{text}, no verdict", *least_known(predictions), sep="\n")
    if found:
        print(f"{counted(found, 'unknown object')} beside them")
    print(f"results are in {out_dir}")


def least_known(predictions: list, count: int = 5) -> list[str]:
    """The boxes that a tau would call unknown first, a line each."""
    rows = [
        (box.id_score, box.name, one.file_name)
        for one in predictions
        for box in one
        if box.id_score is not None
    ]
    lines = [f"{score:9.4f}  {name}  {file}" for score, name, file in sorted(rows)[:count]]
    return ["the lowest scores (larger = known):", *lines] if lines else []


if __name__ == "__main__":
    sys.exit(main())

"""Command line of the mining run: options out of it, and the report on the terminal."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from negas.apis.mining import MiningReport
from negas.apis.mining_classes import read_classes
from negas.apis.mining_options import MiningOptions

_SHOWN = 50  # negative labels in the table on the terminal


def options_from(args: Namespace) -> MiningOptions:
    """Options from the parsed arguments of ``tools/mine_labels.py``.

    Raises:
        FileNotFoundError: a config, class list or key file does not exist.
        ValueError: it cannot be read, or names no classes.
    """
    classes = read_classes(args.classes)
    out = Path(args.out)
    chat = {
        "model": args.model,
        "base_url": args.base_url,
        "temperature": args.temperature,
        "top_p": args.top_p,
    }
    if args.source == "llm":
        chat |= {"timeout": args.timeout, "max_retries": args.max_retries}
        chat |= {"requests_per_minute": args.requests_per_minute}
    else:
        chat["temperature"] = 0.7 if args.temperature is None else args.temperature
        chat["top_p"] = 0.8 if args.top_p is None else args.top_p
        chat |= {"max_new_tokens": args.max_new_tokens, "thinking": args.thinking}
        chat |= {"device": args.device}
    return MiningOptions(
        class_names=classes.names,
        out=out,
        work_dir=Path(args.work_dir or Path("work_dirs") / f"mine_{out.stem}"),
        source=args.source,
        candidates_file=args.candidates,
        prompt=args.prompt,
        context=args.context,
        num_candidates=args.num_candidates,
        per_turn=args.per_turn,
        patience=args.patience,
        retries=args.retries,
        seed=args.seed,
        chat=chat,
        api_key=read_key(args.api_key_file) if args.api_key_file else None,
        corpus={"parts": args.parts, "clean": args.clean, "all_files": args.all_files},
        refine=args.refine,
        select=args.select,
        num=args.num,
        min_similarity=args.min_similarity,
        scale=args.scale,
        keep_fraction=args.keep_fraction,
        percentile=args.percentile,
        fraction=args.fraction,
        encoder=args.encoder,
        template=args.template,
        device=args.device,
        ann_file=args.ann or classes.ann_file,
        img_dir=args.images or classes.img_dir,
        prototypes=not args.no_prototypes,
        max_per_class=args.max_per_class,
    )


def print_report(report: MiningReport) -> None:
    """Counts of every step, the negative labels with their scores, and the files."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:  # no terminal, no width to respect
        console = Console(width=120)
    steps = Table("step", title="Names", title_justify="left", box=box.SIMPLE_HEAD)
    steps.add_column("left", justify="right")
    for step, count in report.counts.items():
        steps.add_row(step, str(count))
    console.print(steps)
    scores = [key for key in report.kept[0] if key != "label"]
    scores = [key for key in scores if any(row[key] is not None for row in report.kept)]
    labels = Table("negative label", title_justify="left", box=box.SIMPLE_HEAD)
    labels.title = "Negative labels"
    for key in scores:
        text = isinstance(report.kept[0][key], str)
        labels.add_column(key.replace("_", " "), justify="left" if text else "right")
    for row in report.kept[:_SHOWN]:
        # Text, not str: names are data and may hold what rich reads as markup
        cells = [row[key] if isinstance(row[key], str) else f"{row[key]:.3f}" for key in scores]
        labels.add_row(*map(Text, (row["label"], *cells)))
    console.print(labels)
    if len(report.kept) > _SHOWN:
        console.print(Text(f"... and {len(report.kept) - _SHOWN} more"))
    for warning in report.warnings:
        console.print(Text(f"note: {warning}", style="yellow"))
    for file in report.files:
        console.print(Text(f"in {file}", style="dim"), soft_wrap=True)


def read_key(path: str) -> str:
    """The key in a file.

    Raises:
        ValueError: the file is not text.
        FileNotFoundError: it cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        raise ValueError(f"the key file {path!r} is not text") from None
    except OSError as error:
        raise FileNotFoundError(
            f"the key file {path!r} cannot be read ({error.strerror}); check --api-key-file"
        ) from None

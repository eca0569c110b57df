"""Command line of ``tools/image_ood.py``: options out of a preset and the arguments."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

from negas.files import probe_folder

from .methods import ALL
from .options import ImageOodOptions, SetSpec, parse_method_options, read_preset

_SAME = ("encoder", "bank", "classes", "template", "scale", "min_score", "min_size", "batch_size")
_SAME += ("seeds", "rotations", "images_per_class", "device", "dtype", "encoder_batch", "workers")
_SAME += ("cache", "out")
_CAPTIONER = {
    "captioner": "type",
    "captioner_model": "model",
    "words": "words",
    "base_url": "base_url",
    "api_key_file": "api_key_file",
    "requests_per_minute": "requests_per_minute",
    "caption_prompt": "prompt",
}


def options_from(args: Namespace) -> list[ImageOodOptions]:
    """Options of a run per view; what stands on the command line wins over the preset.

    Raises:
        FileNotFoundError: the preset does not exist.
        ValueError: an option that is unknown, missing or out of range.
        OSError: the folder of the results cannot be written.
    """
    settings: dict[str, Any] = read_preset(args.preset) if args.preset else {}
    settings |= {k: getattr(args, k) for k in _SAME if getattr(args, k) is not None}
    for key in ("id", "train"):
        if text := getattr(args, key):
            # whatever it is called there: results and messages know these two by their part
            settings[key] = replace(SetSpec.from_text(text, name=key), name=key)
    given = [
        SetSpec.from_text(text, group=group)
        for group, texts in ((None, args.ood), ("near", args.near), ("far", args.far))
        for text in texts or ()
    ]
    if given:
        settings["ood"] = given
    if args.methods:
        methods = [m for name in args.methods for m in (ALL if name == "all" else [name])]
        settings["methods"] = list(dict.fromkeys(methods))
        stored = settings.get("method_options", {})
        settings["method_options"] = {m: o for m, o in stored.items() if m in methods}
    if found := parse_method_options(args.method_options or []):
        stored = dict(settings.get("method_options", {}))
        changed = {m: {**stored.get(m, {}), **options} for m, options in found.items()}
        settings["method_options"] = stored | changed
    captioner = {key: getattr(args, name) for name, key in _CAPTIONER.items()}
    captioner = {key: value for key, value in captioner.items() if value is not None}
    if captioner:
        before = settings.get("captioner", {})
        same = captioner.get("type") in (None, before.get("type"))
        settings["captioner"] = (before if same else {}) | captioner
    if args.no_plots:
        settings["plots"] = False
    views = args.view or [settings.get("view", "images")]
    if args.preset and "out" not in settings:
        name = "_".join([Path(args.preset).stem, *views])
        settings["out"] = f"work_dirs/image_ood/{name}"
    runs = [ImageOodOptions.from_settings(settings | {"view": view}) for view in views]
    if not args.dry_run:
        _check_writable(Path(runs[0].out), "--out")
        _check_writable(Path(runs[0].cache), "--cache")
    if len(runs) > 1:
        runs = [replace(one, out=str(Path(one.out) / one.view)) for one in runs]
    return runs


def _check_writable(path: Path, option: str) -> None:
    try:
        probe_folder(path)
    except OSError as error:
        raise OSError(
            f"the folder {str(path)!r} cannot be written ({error.strerror}); choose another with "
            f"{option}."
        ) from error

"""Where the files are that come with negas: configs, commands, label banks, built-in weights.

In a clone they lie beside the package; a wheel has them in ``negas/.mim``, as the packages of
OpenMMLab do. They are called by the path that they have in the clone, or by a short name.
"""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
#: the folder that holds ``configs``, ``data`` and ``tools``
HOME = next((place for place in [_PACKAGE / ".mim"] if place.is_dir()), _PACKAGE.parent)
_FOLDERS = ("configs/", "data/", "checkpoints/")  # of a clone; users have the last two, too
CONFIGS = "configs/negas"
#: what to do about one of these files that is gone or broken
RESTORE = "it comes with negas: install that again, or in a clone `git checkout -- data`"
BANKS = "data/labels"
#: name of a built-in detector -> its config and its weights
BUILT_IN = {
    "emoji-world": (
        f"{CONFIGS}/stock_yolo-world-tiny_emoji-world.py",
        "data/emoji_world/yolo_world_tiny.safetensors",
    ),
}


def find(path: str | os.PathLike) -> str:
    """A path as it is; if nothing is there, the file or folder that comes with negas under it.

    So ``data/`` and ``checkpoints/`` are the user's, in the working directory, and shipped banks
    and weights are found from anywhere.
    """
    text = os.fspath(path)
    if not text.startswith(_FOLDERS) or os.path.lexists(text):
        return text
    place = HOME / text
    if not place.exists():
        return text
    return f"{place}/" if text.endswith("/") else str(place)


def users_place(path: str | os.PathLike) -> Path:
    """Where what is made for a file may lie beside it: for one in the package, as in a clone.

    There :data:`HOME` is not the user's; ``data/`` in the working directory is.
    """
    path = Path(path)
    if HOME.parent == _PACKAGE and path.is_relative_to(HOME):
        return path.relative_to(HOME)
    return path


def find_config(name: str | os.PathLike) -> str:
    """The file of a config that is called by a path, by its name alone, or as of :data:`BUILT_IN`.

    Raises:
        FileNotFoundError: there is none.
    """
    text = os.fspath(name)
    path = find(BUILT_IN[text][0] if text in BUILT_IN else text)
    if Path(path).is_file():
        return path
    folder = HOME / CONFIGS
    if text and (folder / f"{text}.py").is_file():
        return str(folder / f"{text}.py")
    names = [*BUILT_IN, *(file.stem for file in folder.glob("*.py"))]
    near = get_close_matches(Path(text).stem, names, 1)
    raise FileNotFoundError(
        f"config {text!r} does not exist; give the path of a config file, or the name of one in "
        f"{CONFIGS}" + (f", such as {near[0]}" if near else "")
    )


def find_bank(name: str | os.PathLike) -> str:
    """The file of a label bank that is called by a path or by its name: ``voc``.

    Returns:
        A path with nothing there, if there is no such bank.
    """
    path = find(name)
    if Path(path).is_file() or Path(path).suffix:
        return path
    place = HOME / BANKS / f"{path}.json"
    return str(place) if place.is_file() else path


def bank_names() -> list[str]:
    """What :func:`find_bank` knows."""
    folder = HOME / BANKS
    found = [*folder.glob("*.json"), *folder.glob("emoji_world/*.json")]
    names = [file.relative_to(folder).with_suffix("").as_posix() for file in found]
    return sorted(name for name in names if name != "vocabulary")


def point_at_shipped(settings: object) -> None:
    """Replace all paths below some settings as :func:`find` does, in place."""
    pairs = settings.items() if isinstance(settings, dict) else enumerate(settings)
    for key, value in list(pairs):
        if isinstance(value, str):
            found = find(value)
            if found != value:
                settings[key] = found
        elif isinstance(value, dict | list):
            point_at_shipped(value)

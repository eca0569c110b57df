"""The classes of EmojiWorld and which of them a detector may see in pre-training."""

from dataclasses import dataclass
from pathlib import Path

from negas.files import read_json
from negas.shipped import RESTORE, find

GROUPS = ("id", "near", "far", "other")
VARIANTS = ("standard", "strict")
# The world of shared instances has fewer, and the built-in CLIP learned from these.
SHARED_SEEN_STYLES = ("noto", "noto-v1", "twemoji", "emojione")
SHARED_HELD_OUT_STYLES = ("fluent-emoji-flat",)
SEEN_STYLES = (*SHARED_SEEN_STYLES, "emojione-v1", "fxemoji", "streamline-emojis")
HELD_OUT_STYLES = (*SHARED_HELD_OUT_STYLES, "fluent-emoji", "openmoji")


@dataclass(frozen=True)
class EmojiClass:
    """One class: its name, the group it plays in, and the glyphs (code points) that show it."""

    name: str
    group: str
    seen: bool
    seen_strict: bool
    hypernym: str
    glyphs: tuple[str, ...]


def load_classes(data_dir: str | Path = "data/emoji_world") -> tuple[EmojiClass, ...]:
    """Read `classes.json`, in file order (ID classes first, in label order).

    Raises:
        FileNotFoundError: `data_dir` has no classes.json.
        ValueError: the file is not the table that this package writes.
    """
    path = Path(find(Path(data_dir) / "classes.json"))
    table = read_json(path, RESTORE)
    try:
        rows = table["classes"]
        return tuple(EmojiClass(**{**row, "glyphs": tuple(row["glyphs"])}) for row in rows)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not a class table of EmojiWorld ({error}); {RESTORE}"
        ) from None


def group_names(classes: tuple[EmojiClass, ...], group: str) -> list[str]:
    """Names of one group (`id`, `near`, `far`, `other`), in file order."""
    if group not in GROUPS:
        raise ValueError(f"group must be one of {', '.join(GROUPS)}, but got {group!r}.")
    return [entry.name for entry in classes if entry.group == group]


def vocabulary(classes: tuple[EmojiClass, ...], variant: str = "standard") -> list[str]:
    """Names that pre-training may use.

    `standard`: ID, all near, half of far, others. `strict`: half of near is held out as well.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, but got {variant!r}.")
    if variant == "strict":
        return [entry.name for entry in classes if entry.seen_strict]
    return [entry.name for entry in classes if entry.seen]

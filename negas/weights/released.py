"""The released weights that configs here are for: name, file, official address, config.

The one table of them; data/README.md is tested against it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from negas.shipped import CONFIGS, HOME

FOLDER = "checkpoints"  # where the configs look
# what commands say that they take
CONFIG = "config file, or alone the name of a detector: emoji-world, or of negas download --list"
CHECKPOINT = "checkpoint (.pth or .safetensors), or a name of negas download --list"
_YOLO_WORLD = "https://huggingface.co/wondervictor/YOLO-World/resolve/main/yolo_world_v2_"
_V2_1 = "https://huggingface.co/wondervictor/YOLO-World-V2.1/resolve/main/"
_OPENMMLAB = "https://download.openmmlab.com/mmdetection/v3.0/"
_DIGEST = re.compile(r"-([0-9a-f]{8})\.\w+$")


@dataclass(frozen=True)
class Released:
    """Released weights.

    Attributes:
        name: what commands and ``Inferencer`` call them.
        file: name in the folder of checkpoints, which the configs have, too.
        address: where they are released.
    """

    name: str
    file: str
    address: str

    @property
    def sha256(self) -> str:
        """The first eight hex digits of the file's SHA-256, by which OpenMMLab names files."""
        return _DIGEST.search(self.address)[1]

    @property
    def config(self) -> Path:
        """Config of the stock detector, with the classes of VOC."""
        return HOME / CONFIGS / f"stock_{self.name}_voc.py"


def _yolo_world(size: str, data: str) -> Released:
    address = f"{_YOLO_WORLD}{size}_obj365v1_goldg_{data}.pth"
    return Released(f"yolo-world-v2-{size}", f"yolo_world_v2_{size}.pth", address)


def _v2_1(size: str, file: str) -> Released:
    name = f"yolo-world-v2.1-{size}"
    return Released(name, f"{name.replace('-', '_')}.pth", f"{_V2_1}{file}.pth")


def _openmmlab(name: str, path: str) -> Released:
    return Released(name, path.rpartition("/")[2], f"{_OPENMMLAB}{path}")


RELEASED = (
    _yolo_world("s", "pretrain-55b943ea"),
    _yolo_world("m", "pretrain-c6237d5b"),
    _yolo_world("l", "pretrain-a82b1fe3"),
    _yolo_world("x", "cc3mlite_pretrain-8698fbfa"),
    _v2_1("s-1280", "s_stage2-4466ab94"),
    _v2_1("m", "m_stage1-7e1e5299"),
    _v2_1("m-1280", "m_stage2-9987dcb1"),
    _v2_1("l", "l_stage1-7d280586"),
    _v2_1("l-1280", "l_stage2-b3e3dc3f"),
    _v2_1("x", "x_stage1-62b674ad"),
    _openmmlab(
        "grounding-dino-swin-t", "grounding_dino/groundingdino_swint_ogc_mmdet-822d7e9d.pth"
    ),
    _openmmlab(
        "grounding-dino-swin-b", "grounding_dino/groundingdino_swinb_cogcoor_mmdet-55949c9c.pth"
    ),
    _openmmlab(
        "mm-grounding-dino-swin-t",
        "mm_grounding_dino/grounding_dino_swin-t_pretrain_obj365_goldg/"
        "grounding_dino_swin-t_pretrain_obj365_goldg_20231122_132602-4ea751ce.pth",
    ),
    _openmmlab(
        "mm-grounding-dino-swin-b",
        "mm_grounding_dino/grounding_dino_swin-b_pretrain_obj365_goldg_v3det/"
        "grounding_dino_swin-b_pretrain_obj365_goldg_v3de-f83eef00.pth",
    ),
)


def released(name: str | os.PathLike) -> Released | None:
    """Weights of this name; ``None``: there are none."""
    return next((one for one in RELEASED if one.name == os.fspath(name)), None)


def find_released(name: str) -> Released:
    """Weights of this name.

    Raises:
        ValueError: there are none; the names that there are.
    """
    if (found := released(name)) is not None:
        return found
    raise ValueError(f"no released weights are called {name!r}; {near_names(name)}")


def near_names(name: str, also: Iterable[str] = ()) -> str:
    """Which names of released weights, or of ``also``, are meant, half a sentence of an error."""
    names = [*also, *(one.name for one in RELEASED)]
    near = get_close_matches(name, names, 3)
    return f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names)}"


def how_to_get(path: str | os.PathLike) -> str:
    """What to do about weights that are not there, half a sentence."""
    file = os.path.basename(os.fspath(path))
    for one in RELEASED:
        if file in (one.file, one.name, one.address.rpartition("/")[2]):
            return (
                f"`negas download {one.name}` fetches it (data/README.md, section "
                "Weights, says what it is), or correct the path"
            )
    return (
        "correct the path, or take the file from where data/README.md says (section Weights: "
        "addresses and checksums)"
    )

"""The snippets of docs/inference.md, run as they stand on the built-in detector."""

import re
import shutil

import numpy as np
import pytest

from negas.predictions import Results
from tests.helpers.shipped_emoji import WEIGHTS, draw_scenes
from tests.helpers.yolo_world import ROOT


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder like a checkout in which the page's commands were run, with a few scenes."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    world = tmp_path / "data/emoji_world"
    world.mkdir(parents=True)
    for source in [*(ROOT / "data").iterdir(), *(ROOT / "data/emoji_world").iterdir()]:
        if source.name not in ("emoji_world", "scenes"):
            (tmp_path / source.relative_to(ROOT)).symlink_to(source)
    for split in ("near_ood", "id_val"):
        draw_scenes(world / "scenes", 8, split)
    (tmp_path / "work_dirs").mkdir()
    shutil.copy(WEIGHTS, tmp_path / "work_dirs/tiny.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_snippets_run_one_after_the_other(checkout, capsys):
    text = (ROOT / "docs/inference.md").read_text(encoding="utf-8")
    snippets = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(snippets) == 4
    names: dict = {}
    exec(snippets[0], names)  # noqa: S102
    found = names["found"]["predictions"]
    assert len(found) == 8 and all(isinstance(one, Results) for one in found)
    assert names["found"]["unreadable"] == [] and any(map(len, found))
    printed = capsys.readouterr().out.splitlines()
    boxes = [line for line in printed if re.fullmatch(r"\w[\w ]* (-?[\d.]+|None) \w[\w ]*", line)]
    assert sum(map(len, found)) == len(boxes)
    assert (checkout / "work_dirs/infer/predictions.json").is_file()
    exec(snippets[1], names)  # noqa: S102
    assert len(names["table"]) == len(names["detections"]) == len(names["results"])
    assert len(names["flagged"]) == np.sum(~names["detections"].data["known"])
    exec(snippets[2], names)  # noqa: S102
    assert len({row["image_id"] for row in names["rows"]}) > 3
    exec(snippets[3], names)  # noqa: S102
    judge = names["inferencer"]
    assert judge.tau is None and len(judge.model.class_names) == 19

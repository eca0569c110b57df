"""The wheel alone, in an environment of its own, far from the repository."""

import zipfile
from email.parser import HeaderParser

import pytest

from negas.shipped import BUILT_IN
from tests.helpers.fresh_environment import FreshEnvironment


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    environment = FreshEnvironment(tmp_path_factory.mktemp("fresh") / "venv", "lite")
    environment.install(wheel)
    environment.seconds = 1200
    return environment


@pytest.mark.slow
def test_what_is_in_it(wheel):
    assert wheel.stat().st_size < 40e6
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        about = next(name for name in names if name.endswith("/METADATA"))
        told = HeaderParser().parsestr(packed.read(about).decode())
    home = "negas/.mim"
    shipped = {path for pair in BUILT_IN.values() for path in pair}
    shipped |= {"data/wordnet/wordnet.txt.gz", "data/labels/voc.json", "data/published_owodb.csv"}
    shipped |= {"tools/test.py", "configs/_base_/default_runtime.py", "configs/tables/main.yaml"}
    shipped |= {"data/emoji_world/tiny_clip/model.safetensors", "data/emoji_world/atlas.json"}
    assert {f"{home}/{name}" for name in shipped} <= names
    assert {"negas/py.typed", "negas-startup.pth"} <= names
    assert not any("scenes/" in name or "VOC/" in name or "tools/dev" in name for name in names)
    assert told["Description-Content-Type"] == "text/markdown"
    assert told.get_payload().startswith("# negas")


LIBRARY = """
import numpy as np
from negas.apis import Inferencer
from negas.labels import NegativeLabelBank
from negas.labels.leakage import audit
from negas.labels.vocabulary import Vocabulary

assert len(NegativeLabelBank.load("voc")) == 20
assert len(Vocabulary.load("common")) > 1000
assert audit(["puppy"], ["dog"])
picture = np.full((160, 160, 3), 200, np.uint8)
inferencer = Inferencer("emoji-world", show_progress=False)
assert len(inferencer(picture)["predictions"]) == 1
for name, says in (
    ("negas_yolo-world-v2-s_8xb20-30e_voc", "yolo_world_v2_s.pth' does not exist"),
    ("negas_yolo-world-v2-s_8xb20-30e_vok", "such as negas_yolo-world-v2-s_8xb20-30e_voc"),
):
    try:
        Inferencer(name, "yolo_world_v2_s.pth")
    except FileNotFoundError as error:
        assert says in str(error), error
    else:
        raise AssertionError(name)
"""


@pytest.mark.slow
def test_names_work_from_anywhere(installed, tmp_path):
    done = installed.run("-c", LIBRARY, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_its_commands_work_from_anywhere(installed, tmp_path):
    negas = installed.folder / "bin" / "negas"
    done = installed.run(negas, "--help", cwd=tmp_path)
    assert done.returncode == 0 and "\n  audit-labels " in done.stdout
    bank = ("voc", "--ood", "data/labels/ood_names/coco_ood_voc.txt")
    done = installed.run(negas, "audit-labels", *bank, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = installed.run(negas, "demo", "--quick", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "+ NegAS" in done.stdout and "the numbers mean little" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["work_dirs"]
    (picture,) = list(tmp_path.rglob("near_ood/*.png"))[:1]
    done = installed.run(negas, "infer", picture, "emoji-world", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 picture, " in done.stdout and "no verdict" in done.stdout
    done = installed.run(negas, "test", "emoji-world", cwd=tmp_path)
    assert done.returncode == 2 and "draw the scenes with negas emoji-world" in done.stderr
    run = tmp_path / "work_dirs/demo_quick/negas"
    done = installed.run(negas, "score", run, "--brief", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "near" in done.stdout and "FPR95" in done.stdout

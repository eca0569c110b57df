"""Bad input ends a command with exit code 2 and one sentence, before any work is done."""

import json
import os
import shutil
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from tests.helpers.commands import run_command, run_tool
from tests.helpers.tiny_coco import EMOJI, emoji_project, user_config
from tests.helpers.yolo_world import ROOT

SCENES = "data/emoji_world/scenes"
REGRESSION = "bbox_head.head_module.reg_preds.0.2.bias"


class Bomb:
    """Runs code when a careless loader unpickles it."""

    def __reduce__(self):
        return os.system, ("touch boom",)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A project with a checkpoint of one epoch."""
    folder = tmp_path_factory.mktemp("trained")
    config = emoji_project(folder, count=2, train_cfg__max_epochs=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        assert run_tool("train", config) == 0
    return folder


@pytest.fixture
def project(trained, tmp_path, monkeypatch):
    """A copy of it to break: ``base.pth``, ``epoch_1.pth``, ``data/...``, ``mine.py``."""
    monkeypatch.chdir(ROOT)
    shutil.copytree(trained / "data", tmp_path / "data")
    shutil.copy(trained / "base.pth", tmp_path)
    shutil.copy(trained / "work/epoch_1.pth", tmp_path)
    configure(tmp_path)
    return tmp_path


def configure(project: Path, **options: object) -> None:
    options = dict(model__neg_labels=["deer", "goat", "tractor"]) | options
    user_config(EMOJI, project, train_cfg__max_epochs=1, **options)


# --- what breaks a project ------------------------------------------------------------------------
def config(**options):
    return lambda project: configure(project, **options)


def text(name, content):
    return lambda project: (project / name).write_text(content)


def lost(name):
    return lambda project: (project / name).unlink()


def weights(name, change, out=None):
    """Other content of a checkpoint."""

    def spoil(project):
        checkpoint = torch.load(project / name, weights_only=False)
        change(checkpoint)
        torch.save(checkpoint, project / (out or name))

    return spoil


def coco(split, change):
    """Another COCO json of a set."""

    def spoil(project):
        path = project / SCENES / f"annotations/{split}.json"
        data = json.loads(path.read_text())
        change(data)
        path.write_text(json.dumps(data))

    return spoil


def first_image(split, change):
    return lambda project: change(sorted((project / SCENES / split).iterdir())[0])


def bank(project, **changes):
    names = json.loads((ROOT / "data/labels/emoji_world/llm.json").read_text())["id_labels"]
    content = dict(id_labels=names, neg_labels=["deer", "goat"], provenance={}) | changes
    (project / "bank.json").write_text(json.dumps(content))
    configure(project, model__neg_labels=f"{project}/bank.json")


def widen(checkpoint):
    state = checkpoint["state_dict"]
    for key in [key for key in state if key.startswith("neck.")]:
        state[key] = torch.cat([state[key], state[key]]) if state[key].dim() else state[key]


def wide_base(project):
    weights("base.pth", widen, "big.pth")(project)
    configure(project, model__base_checkpoint=str(project / "big.pth"))


def own_weights_as_base(project):
    configure(project, model__base_checkpoint=f"{project}/epoch_1.pth")


def reversed_names(project):
    names = json.loads((ROOT / "data/labels/emoji_world/llm.json").read_text())["id_labels"]
    configure(project, model__class_names=names[::-1])


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def annotation(**changes):
    return lambda data: data["annotations"][0].update(changes)


def renamed(data):
    data["categories"][0].update(name="human")


def twice(data):
    data["images"].append(data["images"][0] | dict(id=7))


TRAIN, TEST = ("train", "mine.py"), ("test", "mine.py", "epoch_1.pth")
NONE = dict(model__neg_labels=[])
NAGS = config(model__postprocessor=dict(type="NegSPostProcessor", score="nags"))
CASES = {  # what breaks the project, the command, words of the sentence
    "no config": (None, ("train", "none.py"), "none.py", "does not exist"),
    "half a config": (text("mine.py", "model = dict(\n"), TRAIN, "mine.py", "cannot be read"),
    "no base": (text("mine.py", '_base_ = "./nowhere.py"\n'), TEST, "mine.py", "nowhere.py"),
    "no model": (text("mine.py", "x = 1\n"), TRAIN, "mine.py", "model"),
    "misspelt key": (config(model__use_nego=True), TRAIN, "use_nego"),
    "work dir": (None, (*TRAIN, "--work-dir", "base.pth/work"), "base.pth/work", "--work-dir"),
    "show dir": (None, (*TEST, "--show-dir", "base.pth"), "--show-dir", "base.pth"),
    # checkpoints
    "no checkpoint": (None, ("test", "mine.py", "no.pth"), "no.pth", "not exist"),
    "half a checkpoint": (lambda p: half(p / "epoch_1.pth"), TEST, "epoch_1.pth", "truncated"),
    "code": (weights("epoch_1.pth", lambda c: c.update(x=Bomb())), TEST, "epoch_1.pth", "refused"),
    "other base": (
        weights("base.pth", lambda c: c["state_dict"][REGRESSION].add_(1)),
        TEST, "base.pth", "SHA-256",
    ),
    "other classes": (
        weights("epoch_1.pth", lambda c: c["meta"]["negas"].update(class_names=["wombat", "yak"])),
        TEST, "wombat", "classes",
    ),
    "other size": (
        weights("base.pth", widen, "big.pth"),
        ("test", "mine.py", "big.pth"), "does not fit", "wrong shapes", "size",
    ),
    "base of another size": (wide_base, TRAIN, "does not fit", "wrong shapes", "size"),
    "no base to train": (lost("base.pth"), TRAIN, "base_checkpoint", "base.pth"),
    "no base to test": (lost("base.pth"), TEST, "base_checkpoint", "base.pth"),
    "prompt as base": (own_weights_as_base, TRAIN, "epoch_1.pth", "only trained parameters"),
    "resume": (None, (*TRAIN, "--resume=x.pth"), "x.pth", "not exist"),
    # data
    "no json": (
        text(f"{SCENES}/annotations/id_train.json", "{not json"),
        TRAIN, "train_dataloader", "id_train.json", "not valid JSON",
    ),
    "lost json": (
        lost(f"{SCENES}/annotations/id_train.json"),
        TRAIN, "train_dataloader", "id_train.json", "there is no such file",
    ),
    "category": (coco("id_val", annotation(category_id=99)), TRAIN, "val_dataloader", "99"),
    "name": (coco("id_val", renamed), TRAIN, "val_dataloader", "id_val.json", "'person'"),
    "name, set of the cut": (coco("id_val", renamed), TEST, "id_val_dataloader", "'person'"),
    "box": (
        coco("near_ood", annotation(bbox=[40, 50, -8, 6])),
        TEST, "ood_dataloaders.near", "annotation 1", "of negative size",
    ),
    "image twice": (coco("id_test", twice), TEST, "test_dataloader", "is listed twice", "and 7"),
    "order of classes": (reversed_names, TRAIN, "train_dataloader", "model.class_names"),
    "lost test image": (
        first_image("id_test", Path.unlink), TEST, "test_dataloader", "id_test/", "do not exist",
    ),
    "lost OOD image": (
        first_image("far_ood", Path.unlink), TEST, "ood_dataloaders.far", "do not exist",
    ),
    "lost image of the cut": (
        first_image("id_val", Path.unlink), TEST, "id_val_dataloader", "do not exist",
    ),
    "lost image of the unknowns": (
        first_image("id_val_clean", Path.unlink), TEST, "id_val_clean_dataloader", "do not exist",
    ),
    "half an image": (first_image("id_train", half), TRAIN, "id_train/", "cannot be read"),
    "no image": (
        first_image("id_train", lambda path: path.write_bytes(b"<html>404</html>")),
        TRAIN, "id_train/", "cannot be read",
    ),
    # label banks and scores
    "bank": (partial(bank, neg_labels=["deer", "dog"]), TRAIN, "bank.json", "'dog'"),
    "bank of others": (partial(bank, id_labels=["dog", "wombat"]), TRAIN, "bank.json", "wombat"),
    "lost bank": (config(model__neg_labels="no.json"), TRAIN, "no.json", "no such label bank"),
    "NegA alone": (config(**NONE), TRAIN, "neg_labels"),
    "NegS alone": (
        config(**NONE, model__use_nega=False), TEST, "postprocessor.score", "'negs'", "neg_labels",
    ),
    "score": (NAGS, TRAIN, "nags"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_sentence_before_any_work(project, capsys, case):
    spoil, (tool, *args), *words = CASES[case]
    if spoil:
        spoil(project)
    capsys.readouterr()
    assert run_tool(tool, *(a if a.startswith("--") else project / a for a in args)) == 2
    captured = capsys.readouterr()
    (said,) = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in captured.err + captured.out
    assert [word for word in words if word not in said] == [], said
    assert len(said) < 700, said
    work = project / "work"
    assert not list(work.glob("*.pth")) and not (work / "ood_results.json").exists()
    assert "Epoch(" not in captured.out, "it failed after work had begun"
    assert not Path("boom").exists()


@pytest.mark.slow
def test_no_traceback_in_a_real_process(project):
    bank(project, neg_labels=["deer", "dog"])
    done = run_command(sys.executable, ROOT / "tools/train.py", project / "mine.py", cwd=ROOT)
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "'dog'" in said

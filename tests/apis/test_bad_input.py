"""Bad input ends a command with exit code 2 and one sentence, before any work is done."""

import dataclasses
import json
import os
import runpy
import shutil
import sys
from pathlib import Path

import pytest
import torch

from negas.records import BoxRecords
from tests.helpers.commands import run_command, run_tool
from tests.helpers.fake_runs import fake_run
from tests.helpers.tiny_coco import EMOJI, emoji_project, user_config
from tests.helpers.yolo_world import ROOT


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


def configure(folder: Path, **options: object) -> Path:
    options = dict(model__neg_labels=["deer", "goat", "tractor"]) | options
    return user_config(EMOJI, folder, train_cfg__max_epochs=1, **options)


def fails(capsys, tool: str, *args: object, says: tuple[str, ...]) -> None:
    """The command returns 2, prints one sentence that names what is wrong, and has done nothing."""
    capsys.readouterr()
    work = Path(args[0]).parent / "work"
    assert run_tool(tool, *args) == 2
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, captured.err
    assert "Traceback" not in captured.err + captured.out
    missing = [word for word in says if word not in lines[0]]
    assert not missing, f"{missing} not in: {lines[0]}"
    assert len(lines[0]) < 700, lines[0]
    assert not list(work.glob("*.pth")) and not (work / "ood_results.json").exists()
    assert "Epoch(" not in captured.out, "it failed after work had begun"


# --- config and work dir --------------------------------------------------------------------------
def test_missing_config(project, capsys):
    fails(capsys, "train", project / "none.py", says=("none.py", "does not exist"))


def test_broken_config(project, capsys):
    path = project / "broken.py"
    path.write_text("model = dict(\n")
    fails(capsys, "train", path, says=("broken.py", "cannot be read"))
    path.write_text('_base_ = "./nowhere.py"\n')
    fails(capsys, "test", path, project / "epoch_1.pth", says=("broken.py", "nowhere.py"))
    path.write_text("x = 1\n")
    fails(capsys, "train", path, says=("broken.py", "model"))


def test_config_with_a_misspelt_key(project, capsys):
    config = configure(project, model__use_nego=True)
    fails(capsys, "train", config, says=("use_nego",))


def test_unwritable_work_dir(project, capsys):
    (project / "file").write_text("")
    inside = project / "file" / "work"
    config = project / "mine.py"
    fails(capsys, "train", config, "--work-dir", inside, says=(str(inside), "--work-dir"))


# --- checkpoints ----------------------------------------------------------------------------------
def save(path: Path, change) -> None:
    checkpoint = torch.load(path, weights_only=False)
    change(checkpoint)
    torch.save(checkpoint, path)


def test_missing_checkpoint(project, capsys):
    fails(capsys, "test", project / "mine.py", project / "no.pth", says=("no.pth", "not exist"))


def test_truncated_checkpoint(project, capsys):
    path = project / "epoch_1.pth"
    path.write_bytes(path.read_bytes()[:2000])
    fails(capsys, "test", project / "mine.py", path, says=("epoch_1.pth", "truncated"))


def test_checkpoint_that_runs_code_is_refused(project, capsys):
    path = project / "bomb.pth"
    torch.save(dict(state_dict={}, extra=Bomb()), path)
    fails(capsys, "test", project / "mine.py", path, says=("bomb.pth", "refused"))
    assert not Path("boom").exists()


def test_checkpoint_of_other_base_weights(project, capsys):
    save(
        project / "base.pth",
        lambda c: c["state_dict"]["bbox_head.head_module.reg_preds.0.2.bias"].add_(1),
    )
    path = project / "epoch_1.pth"
    fails(capsys, "test", project / "mine.py", path, says=("base.pth", "SHA-256"))


def test_checkpoint_of_other_classes(project, capsys):
    path = project / "epoch_1.pth"
    save(path, lambda c: c["meta"]["negas"].update(class_names=["wombat", "yak"]))
    fails(capsys, "test", project / "mine.py", path, says=("wombat", "classes"))


def test_checkpoint_of_another_size(project, capsys):
    def widen(checkpoint):
        state = checkpoint["state_dict"]
        for key in [key for key in state if key.startswith("neck.")]:
            state[key] = torch.cat([state[key], state[key]]) if state[key].dim() else state[key]

    path = project / "big.pth"
    shutil.copy(project / "base.pth", path)
    save(path, widen)
    says = ("does not fit", "wrong shapes", "size")
    fails(capsys, "test", project / "mine.py", path, says=says)
    config = configure(project, model__base_checkpoint=str(path))
    fails(capsys, "train", config, says=says)


def test_missing_base_weights(project, capsys):
    (project / "base.pth").unlink()
    fails(capsys, "train", project / "mine.py", says=("base_checkpoint", "base.pth"))
    path = project / "epoch_1.pth"
    fails(capsys, "test", project / "mine.py", path, says=("base_checkpoint", "base.pth"))


def test_trained_parameters_are_no_base_weights(project, capsys):
    config = configure(project, model__base_checkpoint=f"{project}/epoch_1.pth")
    fails(capsys, "train", config, says=("epoch_1.pth", "only trained parameters"))


def test_resuming_from_nothing(project, capsys):
    config = project / "mine.py"
    fails(capsys, "train", config, "--resume", project / "x.pth", says=("x.pth", "not exist"))


# --- data -----------------------------------------------------------------------------------------
def annotations(project: Path, split: str) -> Path:
    return project / f"data/emoji_world/scenes/annotations/{split}.json"


def rewrite(path: Path, change) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_missing_and_malformed_annotations(project, capsys):
    path, config = annotations(project, "id_train"), project / "mine.py"
    path.write_text("{not json")
    fails(capsys, "train", config, says=("train_dataloader", str(path), "not valid JSON"))
    path.write_text('{"images": []}')
    fails(capsys, "train", config, says=("train_dataloader", str(path), "annotations"))
    path.unlink()
    fails(capsys, "train", config, says=("train_dataloader", str(path), "there is no such file"))


def test_unknown_categories(project, capsys):
    path, config = annotations(project, "id_val"), project / "mine.py"
    rewrite(path, lambda data: data["annotations"][0].update(category_id=99))
    fails(capsys, "train", config, says=("val_dataloader", str(path), "99"))
    rewrite(path, lambda data: data["annotations"][0].update(category_id=1))
    rewrite(path, lambda data: data["categories"][0].update(name="human"))
    fails(capsys, "train", config, says=("val_dataloader", str(path), "'person'"))


def test_boxes_that_make_no_sense(project, capsys):
    config, checkpoint = project / "mine.py", project / "epoch_1.pth"
    rewrite(
        annotations(project, "id_train"),
        lambda data: data["annotations"][0].update(bbox=[4, 5, None, 6]),
    )
    fails(capsys, "train", config, says=("train_dataloader", "annotation 1", "no finite bbox"))
    rewrite(
        annotations(project, "near_ood"),
        lambda data: data["annotations"][0].update(bbox=[40, 50, -8, 6]),
    )
    fails(capsys, "test", config, checkpoint, says=("ood_dataloaders.near", "of negative size"))


def test_an_image_listed_twice(project, capsys):
    config, checkpoint = project / "mine.py", project / "epoch_1.pth"
    path = annotations(project, "id_test")
    whole = path.read_text()
    rewrite(path, lambda data: data["images"].append(data["images"][0] | dict(id=7)))
    says = ("test_dataloader", "is listed twice", "and 7")
    fails(capsys, "test", config, checkpoint, says=says)
    path.write_text(whole)
    rewrite(path, lambda data: data["images"].append(data["images"][0]))
    fails(capsys, "test", config, checkpoint, says=("test_dataloader", "two entries of 'images'"))


def test_a_category_renamed_in_the_set_of_the_cut(project, capsys):
    config, checkpoint = project / "mine.py", project / "epoch_1.pth"
    path = annotations(project, "id_val")
    rewrite(path, lambda data: data["categories"][0].update(name="human"))
    fails(capsys, "test", config, checkpoint, says=("id_val_dataloader", str(path), "'person'"))


def test_a_folder_for_painted_images_that_cannot_be_made(project, capsys):
    config, checkpoint = project / "mine.py", project / "epoch_1.pth"
    args = (config, checkpoint, "--show-dir", project / "base.pth")
    fails(capsys, "test", *args, says=("--show-dir", "base.pth"))


def test_classes_of_data_and_model_must_agree(project, capsys):
    names = json.loads((ROOT / "data/labels/emoji_world/llm.json").read_text())["id_labels"]
    config = configure(project, model__class_names=names[::-1])
    fails(capsys, "train", config, says=("train_dataloader", "model.class_names"))


def test_missing_images_of_every_set_are_found_before_testing(project, capsys):
    for split, key in (
        ("id_test", "test_dataloader"),
        ("far_ood", "ood_dataloaders.far"),
        ("id_val", "id_val_dataloader"),
    ):
        image = sorted((project / f"data/emoji_world/scenes/{split}").iterdir())[0]
        content = image.read_bytes()
        image.unlink()
        config, checkpoint = project / "mine.py", project / "epoch_1.pth"
        fails(capsys, "test", config, checkpoint, says=(key, str(image), "do not exist"))
        image.write_bytes(content)


def test_unreadable_images(project, capsys):
    image = sorted((project / "data/emoji_world/scenes/id_train").iterdir())[0]
    whole = image.read_bytes()
    for content in (b"", b"<html>404</html>", whole[: len(whole) // 2]):
        image.write_bytes(content)
        fails(capsys, "train", project / "mine.py", says=(str(image), "cannot be read"))


# --- label banks and scores -----------------------------------------------------------------------
def bank(project: Path, **changes: object) -> Path:
    names = json.loads((ROOT / "data/labels/emoji_world/llm.json").read_text())["id_labels"]
    content = dict(id_labels=names, neg_labels=["deer", "goat"], provenance={}) | changes
    (project / "bank.json").write_text(json.dumps(content))
    return configure(project, model__neg_labels=f"{project}/bank.json")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (dict(neg_labels=["deer", "Deer"]), "twice"),
        (dict(neg_labels=["deer", "dog"]), "'dog'"),
        (dict(neg_labels=[]), "empty"),
        (dict(id_labels=["dog", "wombat"]), "wombat"),
    ],
    ids=["duplicate", "id-label", "empty", "other-classes"],
)
def test_label_banks(project, capsys, changes, says):
    fails(capsys, "train", bank(project, **changes), says=("bank.json", says))


def test_missing_label_bank(project, capsys):
    config = bank(project)
    (project / "bank.json").unlink()
    fails(capsys, "train", config, says=("bank.json", "no such label bank"))


def test_nega_without_negatives(project, capsys):
    fails(capsys, "train", configure(project, model__neg_labels=[]), says=("neg_labels",))


def test_score_that_needs_negatives_without_them(project, capsys):
    config = configure(project, model__neg_labels=[], model__use_nega=False)
    says = ("postprocessor.score", "'negs'", "neg_labels")
    fails(capsys, "test", config, project / "epoch_1.pth", says=says)


def test_unknown_score(project, capsys):
    config = configure(project, model__postprocessor=dict(type="NegSPostProcessor", score="nags"))
    fails(capsys, "train", config, says=("nags",))


# --- recorded boxes -------------------------------------------------------------------------------
def test_a_run_of_another_vocabulary(tmp_path, capsys, monkeypatch):
    one, other = fake_run(tmp_path / "one", "one.py"), fake_run(tmp_path / "other", "two.py", 1)
    (other / "ood_results.json").unlink()
    for file in (other / "records").glob("*.npz"):
        if file.name != "text_feats.npz":
            part = BoxRecords.load(file)
            names = ["cat", "dog", "wombat"]
            dataclasses.replace(part, meta=part.meta | dict(id_labels=names)).save(file)
    command = [str(ROOT / "tools/score.py"), str(one), "--against", str(other), "--bootstrap", "9"]
    monkeypatch.setattr(sys, "argv", command)
    assert runpy.run_path(command[0])["main"]() == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"error: {one} and {other} have different ID labels")
    assert "Traceback" not in "".join(lines)


# --- a process of its own -------------------------------------------------------------------------
@pytest.mark.slow
def test_no_traceback_in_a_real_process(project):
    done = run_command(
        sys.executable, ROOT / "tools/train.py", bank(project, neg_labels=["deer", "dog"]), cwd=ROOT
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")] == [
        line for line in done.stderr.splitlines() if "'dog'" in line
    ]

"""Result files and records that are not what they claim to be: one sentence, exit code 2."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.commands import call_tool
from tests.helpers.fake_runs import fake_run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run and its re-scoring, with the data beside them."""
    root = tmp_path_factory.mktemp("whole")
    fake_run(root / "run")
    arguments = [root / "run", "--scores", "negs", "--bootstrap", "0", "--out", root / "scored"]
    assert call_tool("score", *arguments) == 0
    return root


@pytest.fixture
def broken(whole, tmp_path):
    shutil.copytree(whole / "run", tmp_path / "run")
    shutil.copytree(whole / "scored", tmp_path / "scored")
    return tmp_path


def fails(capsys, tool, *arguments, says):
    capsys.readouterr()
    assert call_tool(tool, *arguments) == 2
    error, hint = capsys.readouterr().err.strip().splitlines()
    assert error.startswith("error: ") and len(error) < 400, error
    for text in [says] if isinstance(says, str) else says:
        assert text in error
    assert "NEGAS_DEBUG" in hint


def rewrite(file, change):
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))


def without(*place):
    def change(data):
        *owners, key = place
        for owner in owners:
            data = data[owner]
        del data[key]

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.update(settings=[]), "settings cannot be []"),
        (lambda d: d.update(settings={}), "the key 'scores' is missing in settings"),
        (lambda d: d["settings"].update(presets=[]), "settings.presets cannot be []"),
        (lambda d: d["settings"].update(presets=["voss"]), "settings.presets[0] cannot be 'voss'"),
        (lambda d: d["rows"][1].update(preset="own"), "rows[1].preset cannot be 'own'"),
        (without("settings", "seed"), "the key 'seed' is missing in settings"),
        (lambda d: d["settings"].update(scores=7), "settings.scores cannot be 7"),
        (lambda d: d.update(rows=5), "rows cannot be 5"),
        (lambda d: d.update(rows=[[1]]), "rows[0] cannot be [1]"),
        (without("rows", 3, "preset"), "the key 'preset' is missing in rows[3]"),
        (without("rows", 3, "bank"), "the key 'bank' is missing in rows[3]"),
        (lambda d: d["rows"][0].update(auroc="high"), "rows[0].auroc cannot be 'high'"),
        (lambda d: d["cuts"].update(run=None), "cuts.run cannot be None"),
        (without("cuts", "run"), "the key 'run' is missing in cuts"),
        (lambda d: d["cuts"]["run"].update(value=float("nan")), "it holds NaN"),
        (lambda d: d.update(banks=dict(model=3)), "banks.model cannot be 3"),
        (without("banks", "oracle"), "rows of the bank 'oracle', which is missing in banks"),
        (without("banks", "model", "labels"), "the key 'labels' is missing in banks.model"),
        (without("banks", "model", "leakage"), "the key 'leakage' is missing in banks.model"),
        (lambda d: d["sets"].update(near=12), "sets.near cannot be 12"),
        (without("sets", "id"), "the key 'id' is missing in sets"),
        (lambda d: d.update(map=dict(coco_ap="48")), "map.coco_ap cannot be '48'"),
        (lambda d: d.update(run="config.py"), "run cannot be 'config.py'"),
        (lambda d: d["run"].update(class_names=3), "run.class_names cannot be 3"),
    ],
)
def test_results_of_a_test(whole, tmp_path, capsys, change, says):
    file = Path(shutil.copy(whole / "run" / "ood_results.json", tmp_path))
    rewrite(file, change)
    fails(capsys, "compare", tmp_path, says=[says, f"{file}: ", "run negas test again"])


@pytest.mark.parametrize("tool", ["score", "report", "html_report", "compare"])
def test_every_command_looks_at_the_results(broken, capsys, tool):
    rewrite(broken / "run" / "ood_results.json", lambda data: data.update(settings=3))
    fails(capsys, tool, broken / "run", says="settings cannot be 3")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.update(runs=5), "runs cannot be 5"),
        (lambda d: d.update(runs=[]), "runs cannot be []"),
        (without("runs", 0, "name"), "the key 'name' is missing in runs[0]"),
        (lambda d: d["runs"][0].update(id_labels="cat"), "runs[0].id_labels cannot be 'cat'"),
        (without("runs", 0, "rows", 0, "rule"), "'rule' is missing in runs[0].rows[0]"),
        (lambda d: d["runs"][0]["sets"].update(id={}), "'images' is missing in runs[0].sets.id"),
    ],
)
def test_results_of_a_scoring(broken, capsys, change, says):
    rewrite(broken / "scored" / "ood_scores.json", change)
    fails(capsys, "compare", broken / "scored", says=[says, "run negas score again"])


@pytest.mark.parametrize(
    ("meta", "says"),
    [
        (dict(id_labels=5), "near.npz: its meta cannot be read"),
        (dict(id_labels="cat"), "meta['id_labels'] must be a list of names, got 'cat'"),
        (dict(id_labels=[1, 2, 3]), "meta['id_labels'] must be a list of names"),
        (dict(neg_labels=dict(a=1, b=2)), "meta['neg_labels'] must be a list of names"),
        (dict(ann_file=4), "meta['ann_file'] must be a text, got 4"),
    ],
)
def test_meta_of_records(broken, capsys, meta, says):
    file = broken / "run" / "records" / "near.npz"
    with np.load(file) as archive:
        data = dict(archive)
    data["meta"] = np.array(json.dumps(json.loads(str(data["meta"])) | meta))
    np.savez(file, **data)
    fails(capsys, "score", broken / "run", says=says)
    fails(capsys, "report", broken / "run", "--shared-cut", "0.5", says=says)


def test_places_that_cannot_be_written_are_found_first(whole, tmp_path, capsys):
    (tmp_path / "file").touch()
    lost = tmp_path / "no_such_run"  # what is looked at second
    for tool in ("score", "report"):
        says = f"--out: '{tmp_path}/file' is a file; name a folder"
        fails(capsys, tool, lost, "--out", tmp_path / "file", says=says)
        below = tmp_path / "file" / "below"
        says = f"--out: '{below}' cannot be written"
        fails(capsys, tool, lost, "--out", below, says=says)
    says = f"--out: '{tmp_path}' is a folder; name a file"
    fails(capsys, "compare", lost, "--out", tmp_path, says=says)
    below = tmp_path / "file" / "table.md"
    fails(capsys, "compare", lost, "--out", below, says="cannot be written")
    arguments = [whole / "run", "--out", tmp_path / "page.html", "--show-dir", tmp_path / "file"]
    fails(capsys, "html_report", *arguments, says="--show-dir: ")
    assert not (tmp_path / "page.html").exists()
    assert not Path(lost).exists()

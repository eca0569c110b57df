"""Result files and dumps that are not what they claim to be: one sentence, exit code 2."""

import json
import runpy
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from negas.records import BoxRecords
from tests.helpers.commands import ROOT
from tests.helpers.fake_runs import fake_run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run and its re-scoring, with the data beside them."""
    root = tmp_path_factory.mktemp("whole")
    fake_run(root / "run")
    with pytest.MonkeyPatch.context() as patch:
        arguments = [root / "run", "--scores", "negs", "--bootstrap", "0", "--out", root / "scored"]
        assert call(patch, "score", *arguments) == 0
    return root


@pytest.fixture
def broken(whole, tmp_path):
    shutil.copytree(whole / "run", tmp_path / "run")
    shutil.copytree(whole / "scored", tmp_path / "scored")
    return tmp_path


def call(patch, tool, *arguments):
    patch.setattr("sys.argv", [f"{tool}.py", *map(str, arguments)])
    patch.delenv("NEGAS_DEBUG", raising=False)
    return runpy.run_path(str(ROOT / "tools" / f"{tool}.py"))["main"]()


def fails(capsys, patch, tool, *arguments, says):
    capsys.readouterr()
    assert call(patch, tool, *arguments) == 2
    error, hint = capsys.readouterr().err.strip().splitlines()
    assert error.startswith("error: ") and says in error and len(error) < 400, error
    assert "NEGAS_DEBUG" in hint


def rewrite(file, change):
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))


def without(key):
    return lambda data: data["rows"][3].pop(key)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.update(settings=[]), "settings cannot be []"),
        (lambda d: d.update(settings={}), "the key 'scores' is missing in settings"),
        (lambda d: d["settings"].update(protocols=["voss"]), "settings.protocols[0] cannot be"),
        (lambda d: d["settings"].update(scores=7), "settings.scores cannot be 7"),
        (lambda d: d.update(rows=5), "rows cannot be 5"),
        (lambda d: d.update(rows=[[1]]), "rows[0] cannot be [1]"),
        (without("cut_kind"), "the key 'cut_kind' is missing in rows[3]"),
        (without("bank"), "the key 'bank' is missing in rows[3]"),
        (lambda d: d["rows"][0].update(auroc="high"), "rows[0].auroc cannot be 'high'"),
        (lambda d: d.update(cut=None), "cut cannot be None"),
        (lambda d: d.update(cut=float("nan")), "it holds NaN"),
        (lambda d: d.update(banks=dict(own=3)), "banks.own cannot be 3"),
        (lambda d: d["banks"]["own"].pop("labels"), "the key 'labels' is missing in banks.own"),
        (lambda d: d["sets"].update(near=12), "sets.near cannot be 12"),
        (lambda d: d["sets"].pop("id"), "the key 'id' is missing in sets"),
        (lambda d: d.update(map=dict(coco_ap="48")), "map.coco_ap cannot be '48'"),
        (lambda d: d.update(run="config.py"), "run cannot be 'config.py'"),
        (lambda d: d["run"].update(class_names=3), "run.class_names cannot be 3"),
    ],
)
def test_results_of_a_test(whole, tmp_path, capsys, monkeypatch, change, says):
    file = Path(shutil.copy(whole / "run" / "ood_results.json", tmp_path))
    rewrite(file, change)
    fails(capsys, monkeypatch, "compare", tmp_path, says=says)
    fails(capsys, monkeypatch, "compare", tmp_path, says=f"{file}: ")


@pytest.mark.parametrize("tool", ["score", "report", "html_report", "compare"])
def test_every_command_looks_at_the_results(broken, capsys, monkeypatch, tool):
    rewrite(broken / "run" / "ood_results.json", lambda data: data.update(settings=3))
    fails(capsys, monkeypatch, tool, broken / "run", says="settings cannot be 3")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.update(dumps=5), "dumps cannot be 5"),
        (lambda d: d.update(dumps=[]), "dumps cannot be []"),
        (lambda d: d["dumps"][0].pop("name"), "the key 'name' is missing in dumps[0]"),
        (lambda d: d["dumps"][0].update(id_labels="cat"), "dumps[0].id_labels cannot be 'cat'"),
        (lambda d: d["dumps"][0]["rows"][0].pop("rule"), "'rule' is missing in dumps[0].rows[0]"),
        (lambda d: d["dumps"][0]["sets"].update(id={}), "'images' is missing in dumps[0].sets.id"),
    ],
)
def test_results_of_a_scoring(broken, capsys, monkeypatch, change, says):
    rewrite(broken / "scored" / "ood_scores.json", change)
    fails(capsys, monkeypatch, "compare", broken / "scored", says=says)
    fails(capsys, monkeypatch, "compare", broken / "scored", says="run tools/score.py again")


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
def test_meta_of_records(broken, capsys, monkeypatch, meta, says):
    file = broken / "run" / "records" / "near.npz"
    with np.load(file) as archive:
        data = dict(archive)
    data["meta"] = np.array(json.dumps(json.loads(str(data["meta"])) | meta))
    np.savez(file, **data)
    fails(capsys, monkeypatch, "score", broken / "run", says=says)
    fails(capsys, monkeypatch, "report", broken / "run", "--shared-cut", "0.5", says=says)


def test_records_of_more_sets_than_the_results_know(broken, capsys, monkeypatch):
    """A set that results name and records lack, or the reverse, ends in no bare name."""
    (broken / "run" / "records" / "near.npz").unlink()
    assert call(monkeypatch, "score", broken / "run", "--scores", "negs", "--bootstrap", "0") == 0
    printed = capsys.readouterr().out
    assert "far FPR95" in printed.replace("\n", " ") or "far" in printed
    fails(capsys, monkeypatch, "report", broken / "run", "--shared-cut", "0.5", says="near.npz")


def test_text_embeddings_that_are_cut_off(broken, capsys, monkeypatch):
    file = broken / "run" / "records" / "text_feats.npz"
    file.write_bytes(file.read_bytes()[:200])
    says = "text_feats.npz: not a readable npz file"
    fails(capsys, monkeypatch, "report", broken / "run", "--shared-cut", "0.5", says=says)


def test_annotations_that_are_no_coco_json(broken, capsys, monkeypatch):
    for name in ("id", "near"):
        file = broken / "run" / "records" / f"{name}.npz"
        records = BoxRecords.load(file)
        (broken / f"{name}.json").write_text("{not json")
        meta = records.meta | dict(ann_file=str(broken / f"{name}.json"))
        replace(records, meta=meta).save(file)
    says = "not valid JSON"
    fails(capsys, monkeypatch, "report", broken / "run", "--shared-cut", "0.5", says=says)
    fails(capsys, monkeypatch, "score", broken / "run", "--preset", "matched", says=says)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--scores", "negs(weight=nan)"], "'weight=nan' in 'negs(weight=nan)': the number must"),
        (["--scores", "negs(weight=-inf)"], "the number must be finite"),
        (["--scores", "negs(weight=1e999)"], "the number must be finite"),
        (["--scores", "negs(weight=much)"], "'negs': an option has the wrong type"),
        (["--scores", "negs(weight=[1])"], "'negs': an option has the wrong type"),
        (["--seed", "-3"], "--seed must be 0 or more, got -3"),
        (["--rotations", "-1"], "--rotations must be 0 or more, got -1"),
    ],
)
def test_options_of_scoring(whole, capsys, monkeypatch, arguments, says):
    fails(capsys, monkeypatch, "score", whole / "run", *arguments, says=says)


def test_places_that_cannot_be_written_are_found_first(whole, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").touch()
    lost = tmp_path / "no_such_run"  # what is looked at second
    for tool in ("score", "report"):
        says = f"--out: '{tmp_path}/file' is a file; name a folder"
        fails(capsys, monkeypatch, tool, lost, "--out", tmp_path / "file", says=says)
        below = tmp_path / "file" / "below"
        says = f"--out: '{below}' cannot be written"
        fails(capsys, monkeypatch, tool, lost, "--out", below, says=says)
    says = f"--out: '{tmp_path}' is a folder; name a file"
    fails(capsys, monkeypatch, "compare", lost, "--out", tmp_path, says=says)
    below = tmp_path / "file" / "table.md"
    fails(capsys, monkeypatch, "compare", lost, "--out", below, says="cannot be written")
    arguments = [whole / "run", "--out", tmp_path / "page.html", "--show-dir", tmp_path / "file"]
    fails(capsys, monkeypatch, "html_report", *arguments, says="--show-dir: ")
    assert not (tmp_path / "page.html").exists()
    assert not Path(lost).exists()

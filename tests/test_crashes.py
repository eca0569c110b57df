"""Every command that writes: killed at any step on disk, it ends as if nothing had been."""

import json
import shutil

import pytest

from negas.evaluation.result_files import RESULTS_FILE
from tests.helpers.commands import call_tool
from tests.helpers.fake_runs import SETS
from tests.helpers.killed import Killed, killed_at
from tests.helpers.tiny_test import tiny_test
from tests.helpers.yolo_world import ROOT

COMMANDS = {  # by name: options, where WORK is a work dir and OUT a folder that may be there
    "score": ("score", "WORK", "--bootstrap", 0, "--rotations", 0, "--out", "OUT"),
    "report": ("report", "WORK", "--out", "OUT"),
    "compare, Markdown": ("compare", "WORK", "--out", "OUT/table.md"),
    "compare, JSON": ("compare", "WORK", "--out", "OUT/table.json"),
    "audit": (
        "audit_labels", ROOT / "data/labels/voc.json", "--ood", "zebra", "--json", "OUT/a.json"
    ),
    "page": ("html_report", "WORK", "--pictures", 0, "--out", "OUT/page.html"),
    "pictures": (
        "html_report", "WORK", "--pictures", 0, "--out", "OUT/page.html", "--show-dir", "OUT/all"
    ),
    "scenes": ("make_emoji_world", "--num", 1, "--splits", "id_val", "--out", "OUT"),
}  # fmt: skip
FEW = {"page": 4, "pictures": 29, "scenes": 3, "audit": 2}  # every so many steps


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tiny_test(tmp_path_factory.mktemp("made") / "work", sets=SETS).out_dir


def written(folder):
    """What is there, but for what a kill leaves until another process removes it."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and not (file.name.startswith(".") and file.suffix == ".tmp")
    }


@pytest.fixture(autouse=True)
def plain_curves(monkeypatch):
    monkeypatch.setattr("negas.reports.html.report.svg_uri", lambda draw: "data:,")  # 3 s a page


@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_command_that_is_run_again_ends_as_one_that_was_not(work, tmp_path, capsys, name):
    before, out = written(work), tmp_path / "out"

    def run():
        named = dict(WORK=work, OUT=out)
        words = [str(word) for word in COMMANDS[name]]
        for key, path in named.items():
            words = [word.replace(key, str(path)) for word in words]
        assert call_tool(*words) == 0, capsys.readouterr().err

    with killed_at(9999) as seen:
        run()
    wanted = written(out)
    assert wanted and len(seen) >= 2
    run()
    assert written(out) == wanted, "again"
    for step in range(0, len(seen), FEW.get(name, 1)):
        shutil.rmtree(out)
        with killed_at(step), pytest.raises(Killed):
            run()
        for file, content in written(out).items():
            assert content == wanted[file], f"a part of {file} after step {step}: {seen[step]}"
        run()
        assert written(out) == wanted, seen[step]
    assert written(work) == before
    capsys.readouterr()


def test_pictures_are_painted_again_but_never_over_those_of_a_set(work, tmp_path, capsys):
    data = shutil.copytree(work.parent / "data", tmp_path / "data")
    shutil.copytree(work, tmp_path / "work")
    page = ("html_report", tmp_path / "work", "--pictures", 0, "--show-dir")
    for _ in range(2):
        assert call_tool(*page, tmp_path / "shown") == 0
    results = json.loads((work / RESULTS_FILE).read_text())
    pictures = {file: file.read_bytes() for file in work.parent.glob("data/*/*.png")}
    assert results["sets"].keys() <= {file.parent.name for file in pictures}
    assert call_tool(*page, work.parent / "data") == 2
    assert "--show-dir: " in (err := capsys.readouterr().err) and "is an input" in err
    assert pictures == {file: file.read_bytes() for file in pictures} and data.is_dir()

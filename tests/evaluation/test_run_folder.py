"""A run folder is one thing: cut off anywhere, tested twice, or mixed with another test's files."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from negas.engine.ood_loop import OODTestLoop
from negas.evaluation.ood_metric import OODMetric
from negas.evaluation.result_files import RESULTS_FILE, read_set, records_folder
from negas.evaluation.run import Run
from negas.records import BoxRecords
from negas.reports.html.run import load_report_run
from negas.reports.methods import make_report
from tests.helpers.commands import call_tool, environment, tool_said
from tests.helpers.fake_runs import SETS
from tests.helpers.killed import Killed, killed_at
from tests.helpers.tiny_test import tiny_test
from tests.helpers.yolo_world import ROOT

OLD, NEW = dict(seed=0, sets=SETS), dict(seed=1, sets=("id_val", "id", "near"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The work dirs of an old and a new test, and what reports read of each."""
    root = tmp_path_factory.mktemp("made")
    tiny_test(root / "old", **OLD)
    tiny_test(root / "new", **NEW)
    return root


@pytest.fixture
def work(made, tmp_path):
    shutil.copytree(made / "data", tmp_path / "data")
    return Path(shutil.copytree(made / "old", tmp_path / "work"))


def read(folder):
    """What re-scoring, the report, the page and calibration read: numbers of one test."""
    run = Run.load(folder)
    assert run.rows(scores=["max_sigmoid", "negs"]) == run.tested_rows
    assert set(run.records) == set(run.results["sets"])
    assert make_report([folder], progress=False)
    page = load_report_run(folder)
    assert list(page.values) == ["id", *run.ood_sets]
    records, results = read_set(records_folder(folder) / "id_val.npz")
    assert results == run.results
    return [row["auroc"] for row in run.tested_rows], records.scores.tolist()


def test_records_say_what_they_are_of_and_no_more(made):
    meta = BoxRecords.load(made / "old/records/near.npz").meta
    assert meta["set"] == "near" and meta["neg_labels"] == ["zebra", "fork"]
    assert "token_reduce" not in meta, "of labels that are sets of tokens"


def content(folder):
    files = [file for file in folder.rglob("*") if file.is_file() and file.suffix != ".lock"]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_a_test_that_is_killed_leaves_one_whole_run(made, work, tmp_path):
    old, new = read(made / "old"), read(made / "new")
    assert old != new
    whole = shutil.copytree(work, tmp_path / "whole")
    with killed_at(999, whole) as seen:
        tiny_test(whole, **NEW)
    found = []
    for step in (0, 2, *range(len(seen) - 18, len(seen))):  # few of those before the last set's
        killed = shutil.copytree(work, tmp_path / f"killed{step}")
        with killed_at(step, killed), pytest.raises(Killed):
            tiny_test(killed, **NEW)
        found.append(read(killed))
        if step % 4 == 0:
            tiny_test(killed, **NEW)
            assert content(killed).keys() == content(made / "new").keys()
            assert read(killed) == new
    assert found == sorted(found, key=lambda each: each == new), "the new one stays"
    assert all(each in (old, new) for each in found) and found[-3] == new, seen


# --- several tests in one place -------------------------------------------------------------------
HOLD = """
import sys, time
from pathlib import Path
from negas.evaluation.collect import RunFolder
RunFolder(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_test_in_a_work_dir_is_refused_until_the_first_is_dead(work):
    before = content(work)
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, work], stdout=subprocess.PIPE, cwd=ROOT, env=environment()
    )
    try:
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(BlockingIOError, match=f"another test .*work.*process {first.pid}"):
            tiny_test(work, **NEW)
        assert content(work) == before
        tiny_test(work, stage="val", **NEW)  # a training's validation writes elsewhere
    finally:
        first.kill()
        first.communicate()
    tiny_test(work, **NEW)


def test_sets_of_an_older_test_go_and_a_copied_one_is_refused(made, work, capsys):
    tiny_test(work, **NEW)
    assert sorted(file.name for file in (work / "records").iterdir()) == [
        "id.npz",
        "id_val.npz",
        "near.npz",
        "text_feats.npz",
    ]
    shutil.copy(made / "old/records/far.npz", work / "records")
    assert read(work) == read(made / "new"), "nobody looks at it"
    with pytest.raises(ValueError, match="far.npz: not of the test .* no such file"):
        read_set(work / "records/far.npz")
    shutil.copy(made / "old/records/near.npz", work / "records")
    for tool, *options in [
        ("score", "--bootstrap", 0),
        ("html_report",),
        ("report", "--shared-cut", 0.5),
    ]:
        code, _, said = tool_said(capsys, tool, work, *options)
        error, _ = said.splitlines()
        assert code == 2
        assert "near.npz: not as the test left it" in error and "negas test" in error


@pytest.mark.parametrize("file", ["id_val.npz", "text_feats.npz"])
def test_a_file_of_another_test_is_refused(made, work, file):
    shutil.copy(made / "new/records" / file, work / "records")
    with pytest.raises(ValueError, match=f"{file}: not as the test left it"):
        Run.load(work).rows(rotations=1)
    (work / RESULTS_FILE).unlink()  # a folder of records by hand
    if file == "id_val.npz":
        assert Run.load(work).rows(scores=["negs"])


def test_results_of_an_older_version_are_compared_by_labels(work):
    results = json.loads((work / RESULTS_FILE).read_text())
    del results["files"]
    results["run"]["class_names"] = ["cat", "dog", "bus"]
    (work / RESULTS_FILE).write_text(json.dumps(results))
    for load in (lambda: Run.load(work).records, lambda: read_set(work / "records/id_val.npz")):
        with pytest.raises(ValueError, match="ood_results.json have different ID labels"):
            load()


def test_a_test_without_records_takes_the_older_ones_away(work):
    tiny_test(work, dump=False, **NEW)
    assert sorted(content(work)) == [RESULTS_FILE]
    assert not (work / "records").exists()


# --- boxes that are not scored yet ----------------------------------------------------------------
@pytest.mark.parametrize("error", [RuntimeError, KeyError, KeyboardInterrupt])
def test_boxes_of_a_test_whose_scoring_failed_can_be_scored(made, work, monkeypatch, capsys, error):
    def fail(*what):
        raise error("scoring")

    with monkeypatch.context() as patch, pytest.raises(error):
        patch.setattr("negas.evaluation.write_run.rows_by_preset", fail)
        tiny_test(work, **NEW)
    assert read(work) == read(made / "old")
    kept = Run.load(work / "records.part")
    wanted = Run.load(made / "new").tested_rows
    assert kept.rows(scores=["max_sigmoid", "negs"]) == wanted
    for tool in ("report", "html_report", "compare"):
        capsys.readouterr()
        assert call_tool(tool, work / "records.part") == 2
        assert "not scored yet" in capsys.readouterr().err
    shutil.rmtree(work / "records")
    (work / RESULTS_FILE).unlink()
    for tool in ("report", "html_report", "score", "compare"):
        assert call_tool(tool, work) == 2
        assert "negas score" in capsys.readouterr().err
    tiny_test(work, **NEW)
    assert read(work) == read(made / "new") and not (work / "records.part").exists()


def test_a_validation_without_a_cut_leaves_no_older_results(work):
    tiny_test(work, stage="val", **NEW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("negas.evaluation.ood_metric.OODMetric._find_cut", lambda *what: None)
        tiny_test(work, stage="val", cut="f1", **OLD)
    assert not (work / "val" / RESULTS_FILE).exists()
    assert len(BoxRecords.load(work / "val/records/far.npz")) > 0


@pytest.mark.parametrize("place", ["", "scores"])
def test_scores_of_an_earlier_test_are_refused(work, capsys, place):
    scores = work / place / "ood_scores.json"
    tiny_test(work, **OLD)
    assert call_tool("score", work, "--bootstrap", 0, "--out", work / place) == 0
    tiny_test(work, **OLD)
    assert call_tool("compare", scores) == 0, "the same test again"
    tiny_test(work, **NEW)
    capsys.readouterr()
    assert call_tool("compare", scores) == 2
    assert "scores of an earlier test" in capsys.readouterr().err
    shutil.move(scores, work.parent)
    assert call_tool("compare", work.parent / scores.name, work) == 0, "kept on purpose"


def test_sets_that_results_without_checksums_do_not_list_are_not_read(work):
    results = json.loads((work / RESULTS_FILE).read_text())
    del results["files"], results["sets"]["far"]
    results["rows"] = [row for row in results["rows"] if row["ood_set"] != "far"]
    (work / RESULTS_FILE).write_text(json.dumps(results))
    assert Run.load(work).ood_sets == ["near"] == list(Run.load(work).records)[2:]
    with pytest.raises(ValueError, match="far.npz: not of the test"):
        read_set(work / "records/far.npz")
    assert len(read_set(work / "records/near.npz")[0]) > 0


def test_one_loop_has_one_metric_of_these(monkeypatch):
    metrics = [OODMetric(), OODMetric()]
    monkeypatch.setattr(
        "mmengine.runner.TestLoop.__init__",
        lambda self, *what: vars(self).update(
            evaluator=SimpleNamespace(metrics=metrics), _runner=SimpleNamespace(seed=0)
        ),
    )
    runner = SimpleNamespace(build_dataloader=lambda cfg, seed: None, seed=0)
    with pytest.raises(ValueError, match="needs one OODMetric"):
        OODTestLoop(runner, None, None)


# --- what is left of a test, or mixed by hand -----------------------------------------------------
def edit(folder, change):
    results = json.loads((folder / RESULTS_FILE).read_text())
    change(results)
    (folder / RESULTS_FILE).write_text(json.dumps(results))


def only_older_records(work):
    (work / "records").rename(work / "records.old")
    (work / RESULTS_FILE).unlink()


LEFT = {  # by what was done to a work dir: what all readers say of it but those in brackets
    "boxes without results; negas score": (only_older_records, ("score", "choose")),
    "without results; negas score": (
        lambda work: (work / RESULTS_FILE).unlink(),
        ("score", "choose"),
    ),
    "a test was cut off; run it again": (
        lambda work: (
            (work / "records").rename(work / "records.part"),
            (work / RESULTS_FILE).unlink(),
        ),
        (),
    ),
    "rows of the set 'far', which is missing in sets": (
        lambda work: edit(work, lambda results: results["sets"].pop("far")),
        (),
    ),
    "the set 'far', which is missing in files": (
        lambda work: edit(work, lambda results: results["files"].pop("far.npz")),
        (),
    ),
    "the set '../x', which is missing in files": (
        lambda work: edit(work, lambda r: r["sets"].update({"../x": r["sets"]["far"]})),
        (),
    ),
}


@pytest.mark.parametrize("said", LEFT)
def test_every_reader_says_what_is_left_of_a_test(work, capsys, said):
    break_it, fine = LEFT[said]
    break_it(work)
    for reader, *command in [
        ("score", "score", work, "--bootstrap", 0),
        ("report", "report", work),
        ("html", "html_report", work),
        ("compare", "compare", work),
        ("choose", "choose_num_labels", work, "--bank", ROOT / "data/labels/voc.json"),
    ]:
        code, _, error = tool_said(capsys, *command)
        if reader not in fine:
            assert code == 2 and said in error, (reader, error)
        assert "cut off" in said or "cut off" not in error


def test_a_set_is_read_where_a_cut_off_swap_has_left_it(work):
    wanted = read_set(work / "records/id_val.npz")[0].scores.tolist()
    (work / "records").rename(work / "records.old")
    assert read_set(work / "records/id_val.npz")[0].scores.tolist() == wanted
    only = work / "records.old/id_val.npz"
    only.unlink()
    with pytest.raises(FileNotFoundError, match="no such record file; run negas test"):
        read_set(work / "records/id_val.npz")


def test_results_without_records_say_that_these_were_not_kept(work, capsys):
    shutil.rmtree(work / "records")
    code, _, error = tool_said(capsys, "score", work, "--bootstrap", 0)
    assert code == 2 and "records were not kept" in error

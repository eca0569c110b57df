"""A table is filled: planned, run without doing anything twice, and printed beside the paper's."""

import json
import os
import re
import runpy
import shutil
from pathlib import Path

import pytest

import negas.register  # noqa: F401
from negas.experiments import reproduce as doors
from negas.experiments import train_and_test as machinery
from negas.experiments.plan import model_of, plan_table, runs_of
from negas.experiments.tables import TABLES, read_table
from negas.reports.table import to_markdown
from tests.helpers.checkpoints import fake_checkpoint
from tests.helpers.commands import ROOT, run_tool
from tests.helpers.fake_runs import fake_run
from tests.helpers.workplace import SHORT, make_workplace

FOLDER = ROOT / "configs/negas"
EMOJI = "negas_yolo-world-tiny_1xb16-8e_emoji-world"
ROWS = """\
title: Ours
source: nobody
config: negas_{model}_{data}
rows:
  - title: full
    published: {voc: {coco: {fpr95: 9.9, auroc: 95.9}}}
  - title: other score
    score: max_sigmoid
  - title: no noise
    overrides: {model.neck.sigma: 0.0}
  - title: tested otherwise
    test_overrides: {model.prompt_negatives: false}
  - title: printed only
    models: [other*]
    note: read off a curve
    published: {voc: {coco: {fpr95: 8, auroc: 90 ± 1}}}
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the repository's data, scenes or not, and a table of one's own."""
    (tmp_path / "data").symlink_to(ROOT / "data")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "t.yaml").write_text(ROWS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan(text=None, data="emoji-world", seeds=(0,), **options):
    if text:
        Path("t.yaml").write_text(text)
    table = read_table("t.yaml")
    return table, plan_table(table, data, model_of(data), seeds, Path("w"), **options)


def without_data(rows):
    """As if all data were there."""
    for row in rows:
        row.problems = [text for text in row.problems if not text.startswith("missing: ")]
    return rows


@pytest.fixture
def calls(monkeypatch):
    """A trainer that only takes notes and leaves what a real one leaves."""
    calls = []

    def train(cfg, resume=None):
        folder = Path(cfg.work_dir)
        calls.append(f"train {folder.parent.name.removeprefix(EMOJI)} {folder.name} {resume}")
        fake_checkpoint(folder / "epoch_8.pth", epoch=8)
        (folder / "last_checkpoint").write_text(str(folder / "epoch_8.pth"))

    def test(cfg, checkpoint):
        folder = Path(cfg.work_dir)
        calls.append(f"test {folder.parent.name.removeprefix(EMOJI)} {folder.name}")
        made = folder.parents[1] / "fake" / f"seed{cfg.randomness.seed}"
        if not made.exists():
            fake_run(made, seed=cfg.randomness.seed)
        shutil.copytree(made, folder, dirs_exist_ok=True)

    monkeypatch.setattr(machinery, "train", train)
    monkeypatch.setattr(machinery, "test", test)
    return calls


# --- running -------------------------------------------------------------------------------------
def test_every_run_is_done_once_and_in_order(place, calls, capsys):
    table, rows = plan(seeds=(0, 1))
    without_data(rows)
    found = doors.reproduce(table, rows, "emoji-world", "yolo-world-tiny")
    assert calls == [
        *("train  seed0 None", "test  seed0", "train  seed1 None", "test  seed1"),
        *("train ,neck.sigma=0.0 seed0 None", "test ,neck.sigma=0.0 seed0"),
        *("train ,neck.sigma=0.0 seed1 None", "test ,neck.sigma=0.0 seed1"),
        *("test ,prompt_negatives=False seed0", "test ,prompt_negatives=False seed1"),
    ]
    assert "(1/6) full seed 0: training in" in capsys.readouterr().out
    text = to_markdown(found[0])
    assert "±" in text and "| full |" in text and "published" not in text
    assert [row.label for row in found[0].sections[0].rows] == [
        *("full", "other score", "no noise", "tested otherwise"),
    ]
    full, other, *_ = found[0].sections[0].rows
    assert full.values["near/fpr95"].n == 2
    assert full.values["near/auroc"] != other.values["near/auroc"]
    reference = found[1]
    assert "other data and another detector" in reference.title
    assert "8.0" in to_markdown(reference) and "90.0 ± 1.0" in to_markdown(reference)

    calls.clear()
    doors.reproduce(table, rows, "emoji-world", "yolo-world-tiny")
    assert calls == [] and capsys.readouterr().out.count("done already") == 6


def test_of_several_at_a_time_tests_wait_for_weights_and_what_is_done_is_left_out(
    place, calls, monkeypatch
):
    handed = []

    def take(jobs, at_once):
        handed.append([(job.name, job.after) for job in jobs])
        assert at_once == 3
        for job in jobs:
            job.call(log=job.log)

    monkeypatch.setattr(machinery, "run_jobs", take)
    table, rows = plan(seeds=(0, 1), only=["full", "tested otherwise"])
    without_data(rows)
    for _ in range(2):
        doors.reproduce(table, rows, "emoji-world", "yolo-world-tiny", jobs=3)
    first, again = handed
    assert [after for _, after in first] == [None, None, *(run.folder for run in rows[0].runs)]
    assert again == []
    fake_checkpoint(rows[0].runs[0].folder / "epoch_8.pth", epoch=9)
    doors.reproduce(table, rows, "emoji-world", "yolo-world-tiny", jobs=3)
    assert handed[2] == [first[2]], "its weights are others, and there"


def test_an_interrupted_training_resumes(place, calls, monkeypatch):
    table, rows = plan(only=["full"])
    without_data(rows)
    train = machinery.train

    def interrupted(cfg, resume=None):
        train(cfg, resume)
        raise KeyboardInterrupt

    monkeypatch.setattr(machinery, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        doors.reproduce(table, rows, "emoji-world", "yolo-world-tiny")
    assert doors.describe(rows)[-2:] == [
        f"  seed 0: started, will go on (w/{EMOJI}/seed0)",
        "1 runs: 0 done, 1 to do",
    ]
    monkeypatch.setattr(machinery, "train", train)
    doors.reproduce(table, rows, "emoji-world", "yolo-world-tiny")
    assert calls == ["train  seed0 None", "train  seed0 auto", "test  seed0"]


def test_another_checkpoint_is_tested_again(place, calls):
    table, rows = plan(only=["full", "tested otherwise"])
    without_data(rows)
    run = ["train  seed0 None", "test  seed0", "test ,prompt_negatives=False seed0"]
    doors.reproduce(table, rows, "emoji-world", "yolo-world-tiny")
    assert calls == run
    fake_checkpoint(Path(f"w/{EMOJI}/seed0/epoch_8.pth"), epoch=9)
    doors.reproduce(table, rows, "emoji-world", "yolo-world-tiny")
    assert calls == [*run, run[-1]]
    doors.reproduce(table, rows, "emoji-world", "yolo-world-tiny", fresh=True)
    assert calls[4:] == run


def test_ours_stand_beside_the_published(place, calls):
    table, rows = plan(data="voc")
    without_data(rows)
    runs = runs_of(rows)
    for run in runs:
        fake_run(run.folder)
    (found,) = doors.build_tables(table, rows, "voc", "yolo-world-v2-s")
    assert [row.label for row in found.sections[0].rows][:3] == [
        *("full", "full [published]", "other score"),
    ]
    published = found.sections[0].rows[1]
    assert published.control and published.values["coco/fpr95"].mean == pytest.approx(0.099)
    (other,) = found.sections[1].rows
    assert other.label == "printed only [published]" and other.values["coco/auroc"].std == 0.01
    assert found.notes[0].startswith("One run per row")
    assert "printed only: read off a curve." in found.notes
    files = doors.write_tables(place / "out", [found], rows, dict(data="voc"))
    written = json.loads(files[1].read_text())
    assert written["options"] == dict(data="voc")
    assert written["rows"][0]["published"]["voc"]["coco/fpr95"] == dict(mean=0.099, std=None)
    assert written["rows"][0]["ours"]["near/fpr95"]["n"] == 1
    assert written["rows"][2]["runs"][0]["settings"] == {"model.neck.sigma": 0.0}
    assert "full [published]" in files[0].read_text()


def test_a_score_that_was_not_tested(tmp_path):
    with pytest.raises(ValueError, match="not tested with the score 'negz'; add it"):
        doors.numbers_of(fake_run(tmp_path / "run"), "negz")


# --- refused before anything runs ----------------------------------------------------------------
SIGMA = "{model.neck.sigma: 0.0}"
SCORE = "score: max_sigmoid"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (SIGMA, "{model.neck.sigm: 0}", "'model.neck.sigm' is no setting of model.neck; did you"),
        (SIGMA, "{model.nec.sigma: 0}", "there is no section 'nec'; did you mean 'neck'"),
        (SIGMA, "{model.guide_gard: no}", "is no setting of model; did you mean 'guide_grad'"),
        ("negas_{model}", "negsa_{model}", "there is no config 'negsa_.*; did you mean 'negas_"),
        (SCORE, "bank: none.json", "the bank 'none.json' does not exist"),
        (SCORE, "bank: data/labels/voc.json", "^row .*: data/labels/voc.json: .*other ID labels"),
        (SCORE, "num: 3", "num=3 takes the first labels of a bank, and there is no 'bank'"),
        (SCORE, "score: negz", "score: .*'negz'"),
        (SIGMA, "{model.neck.sigma: .nan}", "model.neck.sigma must be finite"),
        ("{model.prompt_negatives: false}", "{model.prompt_negatives: no one}", "must be true or"),
        (SIGMA, "{randomness.seed: 5}", "'randomness.seed' is set by --seed"),
        (
            SCORE,
            "bank: data/labels/emoji_world/llm.json\n    num: 30",
            "has 20 labels where 30 are asked",
        ),
    ],
)
def test_refused(place, calls, old, new, message):
    table, rows = plan(ROWS.replace(old, new, 1))
    without_data(rows)
    with pytest.raises(ValueError, match=message):
        doors.reproduce(table, rows, "emoji-world", "yolo-world-tiny")
    assert calls == [] and not Path("w").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(data="emoji"), "has no data set 'emoji'; did you mean 'emoji-world'"),
        (dict(seeds=(1, 1)), "--seeds: 1 is given twice"),
        (dict(only=["ful"]), "has no row 'ful'; did you mean 'full'"),
        (dict(only=["printed only"]), "no row of the table 'Ours' is for emoji-world with yolo"),
        (dict(overrides={"optim.lr": 1}), "none of the configs has a section 'optim'"),
        (dict(overrides={"randomness.seed": 1}), "'randomness.seed' is set by --seed"),
        (dict(overrides={"work_dir": "x"}), "'work_dir' is set by --work-dir"),
    ],
)
def test_options_refused(place, options, message):
    with pytest.raises(ValueError, match=message):
        plan(**options)


def test_a_plan_knows_of_values_that_cannot_be(place):
    for options in (dict(seeds=[2**32]), dict(overrides={"train_cfg.max_epochs": 0})):
        _, rows = plan(only=["full"], **options)
        assert re.search(r"config .*: \S+ must (lie in|be at least)", rows[0].problems[0])


def test_missing_data_are_one_sentence(place, calls, monkeypatch):
    table, rows = plan(data="voc", only=["full"])
    with pytest.raises(ValueError, match="row 'full': missing: checkpoints/yolo_world_v2_s.pth, "):
        doors.reproduce(table, rows, "voc", "yolo-world-v2-s")
    assert "data/VOC/annotations/voc07_test.json" in rows[0].problems[0]
    assert rows[0].problems[0].endswith("data/README.md where weights are from")
    other = {"model.base_checkpoint": "nowhere.pth"}
    table, rows = plan(data="voc", only=["full"], overrides=other)
    assert "nowhere.pth" in rows[0].problems[0]


# --- command -------------------------------------------------------------------------------------
def test_dry_run_prints_the_plan_and_touches_nothing(tmp_path, capsys):
    work = tmp_path / "w"
    arguments = (TABLES / "number_of_labels.yaml", "--data", "voc", "--work-dir", work, "--dry-run")
    assert run_tool("reproduce", *arguments) == 1
    out = capsys.readouterr().out
    assert "LLM, 5: configs/negas/negas_yolo-world-v2-s_8xb20-30e_voc.py, score negs" in out
    assert "make it with: negas mine configs/negas/negas_yolo-world-v2-s_" in out
    assert "things missing or wrong: " in out and not work.exists()
    assert run_tool("reproduce", *arguments[:-1]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: row 'the word \"object\"': missing: ") and not work.exists()
    assert run_tool("reproduce", tmp_path / "none.yaml", "--data", "voc") == 2
    assert "configs/tables has alpha.yaml" in capsys.readouterr().err


@pytest.mark.slow
def test_a_table_from_nothing(tmp_path, monkeypatch, capsys):
    """Two rows on a few scenes with a random detector; the second time nothing is trained."""
    make_workplace(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    command = runpy.run_path(str(ROOT / "tools/reproduce.py"))
    monkeypatch.setitem(command["main"].__wrapped__.__globals__, "ROOT", tmp_path)
    options = [f"{key}={value}" for key, value in SHORT.items()]
    arguments = [str(TABLES / "mask.yaml"), "--data", "emoji-world", "--work-dir", "out"]
    monkeypatch.setattr("sys.argv", ["reproduce.py", *arguments, "--cfg-options", *options])
    monkeypatch.setitem(os.environ, "NEGAS_DEBUG", "1")
    assert command["main"]() == 0
    out = capsys.readouterr().out
    assert "with mask" in out and "without mask [published, YOLO-World]" in out
    text = Path("out/mask_emoji-world_yolo-world-tiny.md").read_text()
    assert "| without mask |" in text and "near FPR95" in text and "10.9" in text
    data = json.loads(Path("out/mask_emoji-world_yolo-world-tiny.json").read_text())
    folders = [row["runs"][0]["folder"] for row in data["rows"]]
    assert folders[1].endswith(f"{EMOJI},background.enabled=False/seed0")
    assert data["options"]["cfg_options"]["train_cfg.max_epochs"] == 1
    assert command["main"]() == 0
    assert capsys.readouterr().out.count("done already") == 2

"""The demo and the seeds command on a few scenes with a random detector."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image

import negas.register  # noqa: F401
from negas.cli import available_cores
from negas.evaluation.run import Run
from negas.experiments import demo, reproduce
from negas.experiments import train_and_test as demo_run
from negas.experiments.seeds import plan_seeds
from negas.experiments.train_and_test import PlannedRun
from negas.reports.methods import make_report, role_of
from negas.reports.table import print_tables
from tests.helpers.checkpoints import fake_checkpoint
from tests.helpers.commands import tool_said
from tests.helpers.workplace import SHORT, make_workplace

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs" / "negas"
NEGAS = CONFIGS / "negas_yolo-world-tiny_1xb16-8e_emoji-world.py"
COOP = CONFIGS / "coop_yolo-world-tiny_1xb16-8e_emoji-world.py"
STOCK = CONFIGS / "stock_yolo-world-tiny_emoji-world.py"


@pytest.mark.parametrize("detector", list(demo.CONFIGS))
def test_configs_are_what_their_headings_say(detector):
    for method, (_, name) in demo.CONFIGS[detector].items():
        cfg = demo_run.load_config(str(CONFIGS / name))
        assert detector in name and cfg.model.get("use_nega", True) == (method == "negas"), name
        assert (cfg.model.get("prompt") is None) == (method == "stock"), name
        assert (cfg.get("train_cfg") is None) == (method == "stock"), name


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """The folder of :func:`make_workplace`, to work in."""
    root = make_workplace(tmp_path_factory.mktemp("demo"))
    before = Path.cwd()
    os.chdir(root)
    yield root
    os.chdir(before)


@pytest.fixture(scope="module")
def finished(workplace):
    """The demo run once: the files it names."""
    return demo.run_demo(Path("work_dirs/demo"), CONFIGS, overrides=dict(SHORT))


@pytest.fixture(scope="module")
def grounding_dino(workplace):
    """The same with the other detector and its shipped weights."""
    folder = Path("work_dirs/grounding")
    return demo.run_demo(folder, CONFIGS, dict(SHORT), detector="grounding-dino")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fixture", "first"), [("finished", "YOLO-World"), ("grounding_dino", "Grounding DINO")]
)
def test_files_of_the_demo(fixture, first, request):
    files = request.getfixturevalue(fixture)
    names = {file.name for file in files}
    plots = {"scores.png", "roc.png"}
    assert {"report.md", "ood_results.json", "records", "report.html"} | plots <= names
    assert all(file.exists() for file in files)
    folder = files[0].parent
    assert f"| {first} (stock) [max sigmoid] |" in (folder / "report.md").read_text()
    with Image.open(folder / "detections.png") as page:
        assert page.width > 300
    for name, role in (("stock", "stock"), ("coop", "coop"), ("negas", "negas")):
        run = Run.load(folder / name)
        assert role_of(run) == role
        assert run.results["sets"]["near"]["images"] == 8
    stock, negas = (Run.load(folder / n) for n in ("stock", "negas"))
    assert stock.info["checkpoint_sha256"] == negas.info["base_sha256"]
    assert not stock.info["prompt"] and negas.info["prompt"]


@pytest.mark.slow
def test_second_demo_does_nothing_again(finished, capsys, monkeypatch):
    def never(*_, **__):
        raise AssertionError("a finished step ran again")

    monkeypatch.setattr(demo_run, "train", never)
    monkeypatch.setattr(demo_run, "test", never)
    demo.run_demo(Path("work_dirs/demo"), CONFIGS, overrides=dict(SHORT))
    printed = capsys.readouterr().out
    assert printed.count("done already") == 3
    assert "keeps 95% of the ID validation boxes; FPR95 in the tables" in printed
    assert f"  {Path('work_dirs/demo/negas/report.html')}\n" in printed
    demo.run_demo(Path("work_dirs/demo"), CONFIGS, overrides=dict(SHORT), html=False)
    assert "report.html" not in capsys.readouterr().out
    changed = dict(SHORT) | {"model.loss_ood.alpha": 1.0}
    with pytest.raises(AssertionError, match="ran again"):
        demo_run.train_and_test(PlannedRun(NEGAS, Path("work_dirs/demo/negas"), "x"), changed)
    assert json.loads(Path("work_dirs/demo/negas/stamp.json").read_text())["state"] == "training"


@pytest.mark.slow
def test_seeds_in_two_processes_give_a_table_with_deviations(workplace, finished, capsys):
    runs = plan_seeds([STOCK, COOP], [0, 1], Path("work_dirs/seeds"))
    folders = demo_run.run_all(runs, dict(SHORT), jobs=2)
    assert [folder.name for folder in folders] == ["seed0", "seed0", "seed1"]
    first, second = (Run.load(folder) for folder in folders[1:])
    assert (first.info["seed"], second.info["seed"]) == (0, 1)
    assert [run.state(dict(SHORT)) for run in runs] == [demo_run.TESTED] * 3
    for folder, name in zip(folders, ("stock", "coop"), strict=False):  # one after the other
        alone = Path("work_dirs/demo", name)
        assert Run.load(folder).results["rows"] == Run.load(alone).results["rows"]
        made = {file.name for file in folder.iterdir() if file.suffix}
        assert made == {file.name for file in alone.iterdir() if file.suffix} - {"report.html"}
    print_tables(make_report(folders, shared_cut="stock", out=Path("work_dirs/seeds")))
    text = Path("work_dirs/seeds/report.md").read_text()
    assert "±" in text and "+ CoOp prompts: 2" in text
    assert "for all" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("tool", "arguments", "default"),
    [
        ("run_seeds", ["--configs", STOCK], 1),
        ("reproduce", [ROOT / "configs/tables/mask.yaml", "--data", "emoji-world"], 1),
        ("demo", ["--quick"], min(2, available_cores())),
    ],
)
def test_commands_hand_on_how_many_runs_at_a_time(
    capsys, monkeypatch, tmp_path, tool, arguments, default
):
    def told(*args, jobs, **options):
        raise ValueError(f"{jobs} at a time")

    for module in (demo_run, demo, reproduce):
        monkeypatch.setattr(module, "run_all", told)
    monkeypatch.setattr(demo, "make_scenes", lambda num: None)
    monkeypatch.setattr(reproduce, "refuse_problems", lambda rows: None)  # that scenes are missing
    for more, number in (([], default), (["--jobs", 3], 3)):
        monkeypatch.chdir(ROOT)
        code, _, error = tool_said(capsys, tool, *arguments, *more, "--work-dir", tmp_path)
        assert code == 2 and f"error: {number} at a time" in error


def test_plan_runs_untrained_configs_once():
    runs = plan_seeds([STOCK, NEGAS], [3, 4], Path("w"))
    assert [(run.name, run.seed) for run in runs] == [
        ("stock seed 3", 3),
        ("negas seed 3", 3),
        ("negas seed 4", 4),
    ]
    assert runs[2].folder == Path("w") / NEGAS.stem / "seed4"
    with pytest.raises(ValueError, match="3 is given twice"):
        plan_seeds([STOCK], [3, 3], Path("w"))
    with pytest.raises(FileNotFoundError, match="nothing.py"):
        plan_seeds(["nothing.py"], [0], Path("w"))


def test_test_only_needs_a_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint to test"):
        demo_run.train_and_test(PlannedRun(NEGAS, tmp_path, "x"), test_only=True)


def test_overrides_go_where_they_fit():
    options = {"train_cfg.max_epochs": 1, "model.neck.sigma": 0.1, "seedling": 1}
    stock, full = (demo_run.load_config(str(path)) for path in (STOCK, NEGAS))
    assert set(demo_run.applicable(stock, options)) == {"model.neck.sigma", "seedling"}
    assert demo_run.applicable(full, options) == options
    demo_run.check_overrides([stock, full], options)
    with pytest.raises(ValueError, match="none of the configs has a section 'optimwrapper'"):
        demo_run.check_overrides([stock, full], {"optimwrapper.lr": 1})


def test_stamp(tmp_path):
    stamp = demo_run.Stamp(tmp_path / "stamp.json", "abc")
    assert stamp.read() is None
    stamp.write(demo_run.TRAINED)
    assert stamp.read() == demo_run.TRAINED
    assert demo_run.Stamp(stamp.path, "other").read() is None
    stamp.path.write_text("{")
    assert stamp.read() is None


def test_fingerprint_sees_settings_and_files(tmp_path):
    cfg = demo_run.load_config(str(NEGAS))
    bank = tmp_path / "bank.json"
    bank.write_text("one")
    cfg.model.neg_labels = str(bank)
    first = demo_run.fingerprint(cfg)
    cfg.work_dir = "elsewhere"
    assert demo_run.fingerprint(cfg) == first
    bank.write_text("two")
    second = demo_run.fingerprint(cfg)
    assert second != first
    cfg.model.loss_ood.alpha = 1.0
    assert demo_run.fingerprint(cfg) not in (first, second)


@pytest.mark.parametrize("detector", list(demo.CONFIGS))
def test_command_reports_missing_weights_in_one_sentence(capsys, monkeypatch, detector):
    monkeypatch.chdir(ROOT)
    options = ["--cfg-options", "model.base_checkpoint=nowhere.safetensors"]
    code, _, error = tool_said(capsys, "demo", "--detector", detector, *options)
    assert code == 2
    assert "error: base_checkpoint='nowhere.safetensors' does not exist" in error
    options = ["--cfg-options", "model.base_checkpoint=5"]
    code, _, error = tool_said(capsys, "demo", "--detector", detector, *options)
    assert code == 2 and "model.base_checkpoint must be a text, got 5" in error


@pytest.mark.parametrize(
    ("cut", "says"),
    [
        ("abc", "--shared-cut: expected 'stock' or a number in (0, 1), got 'abc'"),
        ("nan", "got 'nan'"),
        ("stock", "--shared-cut stock: none of the configs is the stock detector's"),
    ],
)
def test_a_shared_cut_is_looked_at_before_runs(capsys, monkeypatch, tmp_path, cut, says):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(demo_run, "run_all", lambda *args, **kwargs: pytest.fail("it ran"))
    options = ["--configs", NEGAS, "--shared-cut", cut, "--work-dir", tmp_path]
    code, _, error = tool_said(capsys, "run_seeds", *options)
    assert code == 2 and says in error


@pytest.mark.parametrize(
    ("state", "other_settings", "expected"),
    [
        ("training", False, ["train auto", "test epoch_3.pth"]),
        ("training", True, ["train None", "test epoch_3.pth"]),
        ("trained", False, ["test epoch_3.pth"]),
        (None, False, ["train None", "test epoch_3.pth"]),
    ],
)
def test_interrupted_runs_go_on_where_they_were(
    tmp_path, monkeypatch, state, other_settings, expected
):
    cfg = demo_run.load_config(str(NEGAS))
    cfg.merge_from_dict({"randomness.seed": 1 if other_settings else 0})
    if state:
        demo_run.Stamp(tmp_path / "stamp.json", demo_run.fingerprint(cfg)).write(state)
    fake_checkpoint(tmp_path / "epoch_3.pth", epoch=3)
    (tmp_path / "last_checkpoint").write_text("/moved/away/epoch_3.pth")
    calls = []
    monkeypatch.setattr(demo_run, "train", lambda cfg, resume: calls.append(f"train {resume}"))
    monkeypatch.setattr(
        demo_run, "test", lambda cfg, checkpoint: calls.append(f"test {Path(checkpoint).name}")
    )
    demo_run.train_and_test(PlannedRun(NEGAS, tmp_path, "x"))
    assert calls == expected
    assert json.loads((tmp_path / "stamp.json").read_text())["state"] == "tested"

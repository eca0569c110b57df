"""The table of configs: files on disk are its rows, and each ablation changes what it says."""

import re
import runpy
import shlex
import sys
from itertools import product
from pathlib import Path

import pytest
import torch

from negas.experiments.config_files import Family, Row, config_texts, differences, write_configs
from negas.labels.wordnet import WordNet
from tests.helpers.commands import run_tool
from tests.helpers.yolo_world import ROOT

FOLDER = ROOT / "configs/negas"
TOOL = runpy.run_path(str(ROOT / "tools/make_configs.py"))
METHODS = [row.method for row in TOOL["ROWS"]]
MINED = [p for p in sorted(FOLDER.glob("*v2-[sl]_*.py")) if "bank_command" in p.read_text()]


def small(method, data="voc"):
    recipe = "" if method == "stock" else "_8xb20-30e"
    return FOLDER / f"{method}_yolo-world-v2-s{recipe}_{data}.py"


def call(monkeypatch, *args):
    monkeypatch.setattr(sys, "argv", ["make_configs.py", *map(str, args)])
    return TOOL["main"]()


# --- files and table ---
def test_files_are_what_the_table_writes(monkeypatch, capsys):
    assert call(monkeypatch, "--check") == 0, capsys.readouterr().out


def test_check_names_what_differs(monkeypatch, capsys, tmp_path):
    assert call(monkeypatch, "--out", tmp_path) == 0
    changed, missing, foreign = sorted(tmp_path.iterdir())[:3]
    changed.write_text("x = 1\n")
    missing.unlink()
    mine = foreign.rename(tmp_path / f"mine_{foreign.name.split('_', 1)[1]}")
    capsys.readouterr()
    assert call(monkeypatch, "--check", "--out", tmp_path) == 1
    out = capsys.readouterr().out
    assert f"{changed} differs" in out and f"{missing} is missing" in out
    assert f"{mine} is not in the table" in out
    assert changed.read_text() == "x = 1\n", "--check writes nothing"


def test_the_main_comparison_is_complete():
    for method, size, data in product(("negas", "coop", "stock"), "smlx", ("voc", "bdd100k")):
        recipe = "" if method == "stock" else "_8xb20-30e"
        assert (FOLDER / f"{method}_yolo-world-v2-{size}{recipe}_{data}.py").is_file()


def test_files_are_short_and_begin_with_what_they_are():
    for path in [*FOLDER.glob("*yolo-world-v2*.py"), *FOLDER.glob("*dino-swin-*.py")]:
        lines = path.read_text().splitlines()
        assert len(lines) <= 15 and lines[0].startswith("# "), path.name
        assert max(map(len, lines)) <= 100, path.name


def test_the_readme_names_every_row():
    text = (FOLDER / "README.md").read_text()
    named = set()
    for found in re.findall(r"`([a-z{][\w.,{}-]*)`", text):
        parts = re.split(r"\{([^}]*)\}", found)
        options = [part.split(",") if i % 2 else [part] for i, part in enumerate(parts)]
        named |= {"".join(choice) for choice in product(*options)}
    assert not set(METHODS) - named


def test_a_second_family_gets_the_rows_it_has_lines_for(tmp_path):
    rows = [
        Row("full", "All of it.", "full"),
        Row("half", "Half of it.", "share", 0.5),
        Row("wide", "Only some detectors have this.", "width", 3),
        Row("still", "Nothing trained.", "stock", sizes="b"),
    ]
    lines = dict(full="x = '{data}'", share="x = {value}", stock="train_cfg = None")
    family = Family("query-{size}", "tb", "../m_{size}.py", "../s.py", "2xb4", lines)
    texts = config_texts(rows, [family], {"toys": ["dog"]})
    assert set(texts) == {
        "full_query-t_2xb4_toys.py",
        "full_query-b_2xb4_toys.py",
        "half_query-t_2xb4_toys.py",
        "half_query-b_2xb4_toys.py",
        "still_query-b_toys.py",
    }
    assert '"../m_t.py"' in texts["full_query-t_2xb4_toys.py"]
    assert (
        '_base_ = "./full_query-b_2xb4_toys.py"\n\nx = 0.5\n' in texts["half_query-b_2xb4_toys.py"]
    )
    assert len(write_configs(texts, tmp_path)) == 5 and write_configs(texts, tmp_path) == []
    assert list(differences(texts, tmp_path)) == []


def test_two_rows_of_one_name_are_refused():
    rows = [Row("a", "One.", "full"), Row("a", "Two.", "share", 1)]
    family = Family("q", "s", "m.py", "s.py", "r", dict(full="", share=""))
    with pytest.raises(ValueError, match="two rows make the file 'a_q_r_d.py'"):
        config_texts(rows, [family], {"d": ["dog"]})
    with pytest.raises(ValueError, match="one row must have the option 'full', got 0"):
        config_texts(rows[1:], [family], {"d": ["dog"]})


# --- ablations: what they say is what the model does ---
@pytest.mark.parametrize("data", ["voc", "bdd100k"])
@pytest.mark.parametrize(
    ("method", "sigma"),
    [("negas", 0.05), ("negas-no-noise", 0.0)]
    + [(f"negas-sigma-{sigma}", sigma) for sigma in (0.01, 0.1, 0.2)],
)
def test_noise(build, method, sigma, data):
    noise = build(small(method, data)).neck.noise
    drawn = noise(torch.zeros(1, 100, 512), 0)
    assert float(drawn.std()) == pytest.approx(sigma, rel=0.02)


@pytest.mark.parametrize(("name", "alpha"), [("-0.5", 0.5), ("-1", 1), ("-5", 5), ("-10", 10)])
def test_alpha(build, name, alpha):
    cells = (torch.ones(1, 4, 20), torch.zeros(1, 4, 20), torch.ones(1, 4, dtype=torch.bool))
    full, other = build(small("negas")).loss_ood, build(small(f"negas-alpha{name}")).loss_ood
    assert float(other(*cells) / full(*cells)) == pytest.approx(alpha / 3)


def test_background(build):
    masks = {}
    for method in ("negas", "negas-no-mask", "negas-center-mask"):
        background = build(small(method)).background
        # One box over 1.25 x 1.25 cells of a 4 x 4 level: it overlaps 4 cells and has 1 centre.
        masks[method] = background([torch.tensor([[0.0, 0.0, 10.0, 10.0]])], [(4, 4)], [8])
    assert {method: int((~mask).sum()) for method, mask in masks.items()} == {
        "negas": 4,
        "negas-no-mask": 0,
        "negas-center-mask": 1,
    }


def test_prompt(build):
    plain = build(small("negas-plain-negatives"))
    assert not plain.prompt_negatives and build(small("negas")).prompt_negatives
    assert build(small("negas-random-start")).prompt.num_ctx == 3
    assert build(small("negas")).guide_grad and not build(small("negas-fixed-guide")).guide_grad


@pytest.mark.parametrize("path", MINED, ids=lambda path: path.stem)
def test_a_bank_to_be_mined_has_its_number_of_labels_and_its_command(path, read):
    cfg = read(path)
    num = re.match(r"negas-(\d+)-labels", path.name)
    command = shlex.split(cfg.bank_command)
    assert command[:2] == ["python", "tools/mine_labels.py"]
    assert int(command[command.index("--num") + 1]) == (int(num[1]) if num else 20)
    assert cfg.model.neg_labels == cfg.bank == command[command.index("--out") + 1]
    assert Path(command[2]) == next(FOLDER.glob(Path(command[2]).name)).relative_to(ROOT)


def test_mined_banks_are_there_for_every_number_and_source():
    assert {path.name.split("_")[0] for path in MINED} == {
        *(f"negas-{num}-labels" for num in (5, 10, 20, 40, 80)),
        *(f"negas-{source}-labels" for source in ("neglabel", "csp", "interneg")),
    }


@pytest.mark.parametrize("data", ["voc", "bdd100k"])
def test_the_commands_of_mined_banks_run(read, monkeypatch, tmp_path, capsys, data):
    cfg = read(small("negas", data))
    for name in ("configs", "tools"):
        (tmp_path / name).symlink_to(ROOT / name)
    train = cfg.train_dataloader.dataset
    (tmp_path / train.data_root / train.data_prefix.img).mkdir(parents=True)
    (tmp_path / train.data_root / train.ann_file).parent.mkdir(parents=True)
    (tmp_path / train.data_root / train.ann_file).write_text("{}")
    (tmp_path / "data/labels").symlink_to(ROOT / "data/labels")
    commands = {
        read(path).bank_command for path in MINED if path == small(path.name.split("_")[0], data)
    }
    assert len(commands) == 8
    monkeypatch.chdir(tmp_path)
    for command in commands:
        argv = shlex.split(command)[1:]
        monkeypatch.setattr(sys, "argv", [*argv, "--dry-run"])
        assert runpy.run_path(argv[0])["main"]() == 0, capsys.readouterr().err
        assert cfg.class_names[0] in capsys.readouterr().out


def test_a_missing_bank_is_one_sentence_before_any_work(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_tool("train", small("negas-40-labels"), "--work-dir", tmp_path / "work") == 2
    error = capsys.readouterr().err
    assert "work_dirs/banks/voc_clip_40.json" in error and "Traceback" not in error
    assert "make it with: python tools/mine_labels.py" in error


@pytest.mark.parametrize("data", ["voc", "bdd100k"])
def test_random_words_are_twenty_nouns_and_no_class(build, data):
    model = build(small("negas-random-labels", data))
    wordnet = WordNet.load()
    assert len(model.neg_labels) == 20 and not set(model.neg_labels) & set(model.class_names)
    assert all(wordnet.synsets(word, "noun") for word in model.neg_labels)

"""The shipped tables: the paper's numbers, and rows whose changes are what the model does."""

import runpy
import shlex
import sys
from functools import cache, reduce
from operator import attrgetter, getitem
from pathlib import Path

import pytest

from negas.__main__ import commands as shipped_commands
from negas.cli import load_config
from negas.evaluation.provenance import PUBLISHED_MAPS as MAPS
from negas.experiments.plan import plan_table, runs_of
from negas.experiments.tables import TABLES, Number, published_rows, read_table
from negas.labels.bank import NegativeLabelBank
from negas.labels.wordnet import WordNet
from tests.helpers.yolo_world import ROOT

FOLDER = ROOT / "configs/negas"
FILES = sorted(TABLES.glob("*.yaml"))
NAMES = [file.stem for file in FILES]
YOLO_WORLD, DINO = "yolo-world-v2-s", "grounding-dino-swin-t"
OTHERS = [
    *(f"yolo-world-v2-{size}" for size in "mlx"),
    *("grounding-dino-swin-b", "mm-grounding-dino-swin-t", "mm-grounding-dino-swin-b"),
]
PLACES = [
    *(("voc", YOLO_WORLD), ("voc", DINO), ("bdd100k", YOLO_WORLD)),
    *(("emoji-world", "yolo-world-tiny"), ("emoji-world", "grounding-dino-tiny")),
    *(pytest.param("bdd100k", model, marks=pytest.mark.slow) for model in OTHERS),
    *(pytest.param("voc", model, marks=pytest.mark.slow) for model in OTHERS),
]


@cache
def table(name):
    return read_table(TABLES / f"{name}.yaml")


load = cache(load_config)  # planning a table changes no config


@pytest.fixture
def planned(read, tmp_path, monkeypatch):
    """Plans a table where all of the repository's data are, and every bank that is to be mined.

    A mined bank is as large as its command says; weights and images of VOC and BDD100K are missing.
    """
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("negas.experiments.plan.load_config", load)

    def planned(name, data, model, **options):
        for row in table(name).rows:
            cell = table(name).cell(row, data, model)
            if cell and cell.bank_command and not Path(cell.bank).exists():
                num = int(cell.bank_command.split("--num ")[1].split()[0].format(num=cell.num))
                names = NegativeLabelBank.load(f"data/labels/{data}.json").id_labels
                NegativeLabelBank(names, [f"word {i}" for i in range(num)]).save(cell.bank)
        options = dict(seeds=[0], work_dir=Path("runs"), config_dir=FOLDER) | options
        rows = plan_table(table(name), data, model, **options)
        return {row.row.title: row for row in rows}

    return planned


def changes(rows, title):
    """(config, settings) of a row's first run."""
    run = rows[title].runs[0]
    return run.config, dict(run.settings)


# --- numbers -------------------------------------------------------------------------------------
# Read off the paper by hand: FPR95 and AUROC on COCO, the same on Open Images, AP.
PRINTED = {
    ("main", "YOLO-World", "voc"): (21.3, 93.4, 48.8, 81.4, 69.0),
    ("main", "YOLO-World + NegAS", "voc"): (9.9, 95.9, 23.3, 92.6, 72.5),
    ("main", "YOLO-World + NegAS", "bdd100k"): (20.9, 92.0, 3.6, 98.7, 29.0),
    ("main", "Grounding DINO + NegAS", "bdd100k"): (17.8, 95.8, 11.5, 95.2, 25.2),
    ("main", "SIREN-KNN", "bdd100k"): (54.0, 86.6, 47.3, 89.0, 31.3),
    ("scores", "stock, MCM", "voc"): (32.3, 86.4, 56.3, 75.7, None),
    ("nega_x_negs", "NegA and NegS", "bdd100k"): (21.9, 92.0, 3.6, 98.7, None),
    ("labels_source", "Sonnet 4", "voc"): (10.4, 95.6, None, None, None),
    ("noise", "sigma 0.1", "voc"): (15.7, 94.4, 41.9, 87.0, None),
    ("alpha", "alpha 4", "voc"): (12.2, 95.0, None, None, None),
    ("mask", "without mask", "voc"): (10.9, 95.4, 32.2, 88.8, None),
    ("number_of_labels", 'the word "object"', "voc"): (13.9, 96.0, 45.3, 82.9, None),
    ("number_of_labels", "corpus, 30", "voc"): (12.0, 95.8, 40.8, 84.6, None),
}


@pytest.mark.parametrize("key", PRINTED, ids=lambda key: "-".join(key))
def test_published_numbers_are_the_papers(key):
    name, title, data = key
    (row,) = [row for row in table(name).rows if row.title == title]
    found = row.numbers[data]
    keys = ("coco/fpr95", "coco/auroc", "openimages/fpr95", "openimages/auroc", "unstated_ap")
    numbers = [round(100 * found[key].mean, 6) if key in found else None for key in keys]
    assert numbers == list(PRINTED[key])


def test_deviations_are_the_papers():
    rows = {row.title: row.numbers for row in table("labels_source").rows}
    assert rows["simple prompt"]["voc"]["coco/auroc"] == Number(0.958, 0.006)
    assert rows["temperature 1.2, top-p 1.0"]["voc"]["coco/fpr95"] == Number(0.107, 0.005)
    rows = {row.title: row.numbers for row in table("main").rows}
    assert rows["YOLO-World + NegAS"]["bdd100k"]["unstated_ap"] == Number(0.29, 0.002)
    assert rows["YOLO-World"]["bdd100k"]["unstated_ap"] == Number(0.225)


def test_every_row_of_the_paper_is_there():
    counts = {name: len(table(name).rows) for name in NAMES if name != "readings"}
    assert counts == dict(
        alpha=3, labels_source=10, main=20, mask=2, nega_x_negs=4, noise=4, number_of_labels=11,
        scores=7,
    )  # fmt: skip
    for name in counts:
        assert all(row.numbers for row in table(name).rows), name
    numbers = table("number_of_labels").rows
    wanted = [f"{source}, {num}" for source in ("LLM", "corpus") for num in (1, 5, 10, 20, 30)]
    assert [row.title for row in numbers[1:]] == wanted


def test_published_rows_of_the_main_table():
    for data in ("voc", "bdd100k"):
        rows = published_rows(data)
        assert all(row["title"] and row["source"] for row in rows)
        keys = {key for row in rows for key in row["values"]}
        assert keys - {*MAPS, "score_thr"} == {
            f"{ood}/{measure}" for ood in ("coco", "openimages") for measure in ("fpr95", "auroc")
        }
    (row,) = [row for row in published_rows("voc") if row["title"] == "SIREN, Deformable DETR"]
    assert row["values"] == dict(voc07_style_ap=pytest.approx(0.608), score_thr=0.1)
    with pytest.raises(ValueError, match="nothing for 'coco'; choose of bdd100k, voc, or give"):
        published_rows("coco")


# --- rows and configs ----------------------------------------------------------------------------
@pytest.mark.parametrize(("data", "model"), PLACES)
def test_every_row_builds_its_config(planned, read, fresh, data, model):
    """Runs that tables share are looked at once."""
    rows, made = {}, {}
    for name in NAMES:
        if name == "labels_source" and data == "emoji-world":
            with pytest.raises(ValueError, match="no row of the table .* is for emoji-world"):
                planned(name, data, model)
        else:
            found = planned(name, data, model).items()
            rows |= {(name, title): row for title, row in found if row.cell}
    for title, row in rows.items():
        scenes = data == "emoji-world" and not Path("data/emoji_world/scenes").exists()
        assert len(row.problems) == (data != "emoji-world" or scenes), (title, row.problems)
        assert all(problem.startswith("missing: ") for problem in row.problems)
        (run,) = row.runs
        if run.folder not in made:
            assert {model, data} <= set(run.config.stem.split("_"))
            cfg = made[run.folder] = fresh(run.config)
            cfg.merge_from_dict(dict(run.settings))
            base = read(run.config)
            assert cfg.train_cfg == base.train_cfg and cfg.test_cfg == base.test_cfg
        cfg = made[run.folder]
        for key, value in (row.cell.overrides | row.cell.test_overrides).items():
            assert reduce(getitem, key.split("."), cfg) == value, (title, key)
        assert not row.cell.num or len(read_bank(cfg.model.neg_labels)) == row.cell.num, title


def read_bank(source):
    return NegativeLabelBank.load(source).neg_labels if isinstance(source, str) else source


def test_rows_that_are_scores_of_one_run_are_run_once(planned):
    for name, count in (("scores", 3), ("nega_x_negs", 2)):
        rows = planned(name, "voc", YOLO_WORLD, seeds=[0, 1])
        runs = runs_of(list(rows.values()))
        stock = sum("stock" in run.config.name for run in runs)
        assert len(runs) == 2 * count - stock and stock == (name == "scores")


def test_tables_share_runs(planned):
    """What a row changes to the config's own value is no change."""
    rows = [planned("mask", "voc", YOLO_WORLD)["with mask"]]
    rows += [planned("noise", "voc", YOLO_WORLD)["sigma 0.05"]]
    rows += [planned("alpha", "voc", YOLO_WORLD)["alpha 3"]]
    rows += [planned("main", "voc", YOLO_WORLD)["YOLO-World + NegAS"]]
    assert len(runs_of(rows)) == 1
    rows = [planned("number_of_labels", "voc", DINO)["corpus, 20"]]
    rows += [planned("readings", "voc", DINO)["labels of NegLabel"]]
    assert len(runs_of(rows)) == 1 and len(rows[0].runs[0].settings["model.neg_labels"]) == 20


def test_numbers_of_labels_are_the_first_of_one_bank(planned):
    rows = planned("number_of_labels", "voc", YOLO_WORLD)
    for source in ("LLM", "corpus"):
        words = [
            read_bank(rows[f"{source}, {num}"].runs[0].load().model.neg_labels)
            for num in (1, 5, 10, 20, 30)
        ]
        assert [len(some) for some in words] == [1, 5, 10, 20, 30]
        assert all(list(words[-1][: len(some)]) == list(some) for some in words)
    rows = planned("number_of_labels", "emoji-world", "yolo-world-tiny")
    words = [read_bank(rows[f"LLM, {num}"].runs[0].load().model.neg_labels) for num in (5, 20, 30)]
    banks = [NegativeLabelBank.load(f"emoji_world/{name}") for name in ("llm", "llm_ranked")]
    assert tuple(words[0]) == banks[0].neg_labels[:5]
    assert [tuple(some) for some in words[1:]] == [bank.neg_labels for bank in banks]


CHANGED = {  # part of the model and its value, by detector, table and row
    (YOLO_WORLD, "noise", "sigma 0.1"): ("neck.noise.sigma", 0.1),
    (DINO, "noise", "sigma 0.1"): ("noise.sigma", 0.1),
    (YOLO_WORLD, "alpha", "alpha 4"): ("loss_ood.alpha", 4),
    (DINO, "alpha", "alpha 4"): ("loss_ood.alpha", 4),
    (YOLO_WORLD, "mask", "without mask"): ("background.enabled", False),
    (DINO, "mask", "without mask"): ("background.enabled", False),
    (YOLO_WORLD, "number_of_labels", 'the word "object"'): ("neg_labels", ("object",)),
}
READINGS = {
    "background, no box over the cell's centre": ("background.rule", "center"),
    "background, all queries without a match": ("background.rule", "unmatched"),
    "background, by the proposal a query starts from": ("background.boxes", "reference"),
    "loss at every decoder layer": ("ood_layers", "all"),
    "plain BCE, not the focal form": ("loss_ood.__class__.__name__", "MaskedBCELoss"),
    "negatives bypass the fusion by the text layers": ("neg_path", "text_layers"),
    "negatives bypass the fusion by projection alone": ("neg_path", "projected"),
    "prompt before ID labels only": ("prompt_negatives", False),
    "fixed guide": ("guide_grad", False),
    "random start of the prompt": ("prompt.template", "x x x {}"),
}


def in_the_model(maker, rows, title, part):
    return attrgetter(part)(maker(*changes(rows, title)))


@pytest.mark.parametrize("row", CHANGED, ids="-".join)
def test_what_a_row_changes_reaches_the_model(planned, build, build_dino, row):
    (model, name, title), (part, value) = row, CHANGED[row]
    maker = build_dino if model is DINO else build
    assert in_the_model(maker, planned(name, "voc", model), title, part) == value


@pytest.mark.parametrize("model", [YOLO_WORLD, DINO])
def test_readings_reach_the_model(planned, build, build_dino, model):
    rows, maker = planned("readings", "voc", model), build_dino if model is DINO else build
    found = [title for title in READINGS if rows[title].cell]
    assert len(found) == (9 if model is DINO else 4)
    for title in found:
        part, value = READINGS[title]
        assert in_the_model(maker, rows, title, part) == value, title
        assert in_the_model(maker, rows, "NegAS as it is here", part) != value, title


@pytest.mark.parametrize("data", ["voc", "bdd100k"])
def test_random_words_are_twenty_nouns_and_no_class(planned, build, data):
    model = build(*changes(planned("readings", data, YOLO_WORLD), "labels drawn at random"))
    wordnet = WordNet.load()
    assert len(model.neg_labels) == 20 and not set(model.neg_labels) & set(model.class_names)
    assert all(wordnet.synsets(word, "noun") for word in model.neg_labels)


# --- banks that are mined first ------------------------------------------------------------------
def test_a_missing_bank_is_told_with_its_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    args = (table("number_of_labels"), "voc", YOLO_WORLD, [0], Path("runs"))
    rows = plan_table(*args, only=["corpus, 5"], config_dir=FOLDER)
    assert (
        rows[0]
        .problems[0]
        .startswith(
            "the bank 'work_dirs/banks/voc_neglabel_30.json' does not exist; make it with: negas "
            "mine "
        )
    )
    NegativeLabelBank(read_voc(), ["a", "b"]).save("work_dirs/banks/voc_neglabel_30.json")
    rows = plan_table(*args, only=["corpus, 5"], config_dir=FOLDER)
    assert "voc_neglabel_30.json: the bank has 2 labels where 5 are asked" in rows[0].problems[0]
    NegativeLabelBank(["cat"], ["a", "b"]).save("work_dirs/banks/voc_neglabel_30.json")
    rows = plan_table(*args, only=["corpus, 5"], config_dir=FOLDER)
    assert "made for other ID labels" in rows[0].problems[0]


def read_voc():
    return NegativeLabelBank.load(ROOT / "data/labels/voc.json").id_labels


@pytest.mark.parametrize("data", ["voc", "bdd100k"])
def test_the_commands_of_mined_banks_run(read, monkeypatch, tmp_path, capsys, data):
    cfg = read(FOLDER / f"negas_yolo-world-v2-s_8xb20-30e_{data}.py")
    for name in ("configs", "tools"):
        (tmp_path / name).symlink_to(ROOT / name)
    train = cfg.train_dataloader.dataset
    (tmp_path / train.data_root / train.data_prefix.img).mkdir(parents=True)
    (tmp_path / train.data_root / train.ann_file).parent.mkdir(parents=True)
    (tmp_path / train.data_root / train.ann_file).write_text("{}")
    (tmp_path / "data/labels").symlink_to(ROOT / "data/labels")
    monkeypatch.chdir(tmp_path)
    commands = set()
    for name in NAMES:
        for row in plan_table(table(name), data, YOLO_WORLD, [0], Path("runs")):
            found = [p for p in row.problems if p.startswith("the bank")]
            assert bool(found) == bool(row.cell and row.cell.bank_command), row.row.title
            for problem in found:
                command = problem.split("make it with: ")[1]
                assert f"--out {row.cell.bank}" in command
                commands.add(command)
    assert len(commands) == 13
    monkeypatch.setenv("NEGAS_LLM_MODEL", "")
    for command in commands:
        argv = shlex.split(command)[1:]
        monkeypatch.setattr(sys, "argv", [*argv, "--dry-run"])
        assert runpy.run_path(str(shipped_commands()[argv[0]]))["main"]() == 0, (
            capsys.readouterr().err
        )
        assert cfg.class_names[0] in capsys.readouterr().out

"""The shipped tables: the paper's numbers, and rows whose changes are what the model does."""

import runpy
import shlex
import sys
from functools import cache
from pathlib import Path

import pytest
import torch

from negas.evaluation.provenance import PUBLISHED_MAPS as MAPS
from negas.experiments.plan import plan_table, runs_of
from negas.experiments.tables import TABLES, Number, published_rows, read_table
from negas.labels.bank import NegativeLabelBank
from negas.labels.wordnet import WordNet
from tests.helpers.detector import batch
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


@pytest.fixture
def planned(read, tmp_path, monkeypatch):
    """Plans a table where all of the repository's data are, and every bank that is to be mined.

    A mined bank is as large as its command says; weights and images of VOC and BDD100K are missing.
    """
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)

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
    ("main", "Gram matrices", "voc"): (62.8, 79.9, 67.4, 48.7, 60.6),
    ("main", "SIREN-KNN", "bdd100k"): (54.0, 86.6, 47.3, 89.0, 31.3),
    ("main", "WFS", "voc"): (37.5, 85.6, 11.3, 94.9, None),
    ("scores", "stock, MCM", "voc"): (32.3, 86.4, 56.3, 75.7, None),
    ("scores", "CoOp prompts, NegLabel", "voc"): (13.3, 94.5, 42.7, 87.4, None),
    ("nega_x_negs", "NegA", "voc"): (11.8, 96.4, 41.8, 84.4, None),
    ("nega_x_negs", "NegA and NegS", "bdd100k"): (21.9, 92.0, 3.6, 98.7, None),
    ("labels_source", "Sonnet 4", "voc"): (10.4, 95.6, None, None, None),
    ("noise", "sigma 0", "voc"): (9.9, 96.7, 33.4, 89.5, None),
    ("noise", "sigma 0.1", "voc"): (15.7, 94.4, 41.9, 87.0, None),
    ("alpha", "alpha 4", "voc"): (12.2, 95.0, None, None, None),
    ("mask", "without mask", "voc"): (10.9, 95.4, 32.2, 88.8, None),
    ("number_of_labels", 'the word "object"', "voc"): (13.9, 96.0, 45.3, 82.9, None),
    ("number_of_labels", "LLM, 10", "voc"): (13.6, 84.9, 40.6, 85.2, None),
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
@pytest.mark.parametrize("name", NAMES)
def test_every_row_builds_its_config(planned, read, fresh, name, data, model):
    if name == "labels_source" and data == "emoji-world":
        with pytest.raises(ValueError, match="no row of the table .* is for emoji-world"):
            planned(name, data, model)
        return
    rows = planned(name, data, model)
    for title, row in rows.items():
        if row.cell is None:
            continue
        scenes = data == "emoji-world" and not Path("data/emoji_world/scenes").exists()
        assert len(row.problems) == (data != "emoji-world" or scenes), (title, row.problems)
        assert all(problem.startswith("missing: ") for problem in row.problems)
        (run,) = row.runs
        assert {model, data} <= set(run.config.stem.split("_"))
        cfg = fresh(run.config)
        cfg.merge_from_dict(dict(run.settings))
        for key, value in (row.cell.overrides | row.cell.test_overrides).items():
            node = cfg
            for part in key.split("."):
                node = node[part]
            assert node == value, (title, key)
        assert not row.cell.num or len(read_bank(cfg.model.neg_labels)) == row.cell.num, title
        read_base = read(run.config)
        assert cfg.train_cfg == read_base.train_cfg and cfg.test_cfg == read_base.test_cfg


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
    assert words[1][:5] == tuple(words[0])
    wide = NegativeLabelBank.load(ROOT / "data/labels/emoji_world/wide.json").neg_labels
    assert tuple(words[2]) == wide[:30]


# --- what rows change is what the model does -----------------------------------------------------
@pytest.mark.parametrize("sigma", [0, 0.01, 0.05, 0.1])
def test_noise(planned, build, build_dino, sigma):
    for model, maker, width in ((YOLO_WORLD, build, 512), (DINO, build_dino, 256)):
        built = maker(*changes(planned("noise", "voc", model), f"sigma {sigma}"))
        noise = built.neck.noise if maker is build else built.noise
        drawn = noise(torch.zeros(1, 200, width), 0)
        assert float(drawn.std()) == pytest.approx(sigma, rel=0.02)


def test_alpha(planned, build, build_dino):
    cells = (torch.ones(1, 4, 20), torch.zeros(1, 4, 20), torch.ones(1, 4, dtype=torch.bool))
    for model, maker in ((YOLO_WORLD, build), (DINO, build_dino)):
        rows = planned("alpha", "voc", model)
        full = maker(*changes(planned("mask", "voc", model), "with mask")).loss_ood(*cells)
        for alpha in (2, 3, 4):
            other = maker(*changes(rows, f"alpha {alpha}")).loss_ood(*cells)
            assert float(other / full) == pytest.approx(alpha / 3)


def test_background_of_cells(planned, build):
    rows = planned("mask", "voc", YOLO_WORLD) | planned("readings", "voc", YOLO_WORLD)
    counts = {}
    for title in ("with mask", "without mask", "background, no box over the cell's centre"):
        background = build(*changes(rows, title)).background
        # One box over 1.25 x 1.25 cells of a 4 x 4 level: it overlaps 4 cells and has 1 centre.
        mask = background([torch.tensor([[0.0, 0.0, 10.0, 10.0]])], [(4, 4)], [8])
        counts[title] = int((~mask).sum())
    assert list(counts.values()) == [4, 0, 1]


def test_background_of_queries(planned, build_dino):
    """Three objects and 20 queries, all of them on the first object but for the last."""
    inputs, samples = batch(images=2, objects=3)
    gt = samples[0].gt_instances.bboxes / 96
    boxes = torch.cat([(gt[:, :2] + gt[:, 2:]) / 2, gt[:, 2:] - gt[:, :2]], 1)[:1].repeat(20, 1)
    boxes[-1] = torch.tensor([0.99, 0.01, 0.02, 0.02])
    logits = torch.zeros(20, 256)
    rows = planned("mask", "voc", DINO) | planned("readings", "voc", DINO)
    counts = {}
    for title in (
        "with mask",
        "without mask",
        "background, all queries without a match",
        "background, by the proposal a query starts from",
    ):
        model = build_dino(*changes(rows, title))
        for sample in samples:
            positives = torch.ones(len(sample.gt_instances), 256)
            sample.gt_instances.positive_maps = positives
            sample.gt_instances.text_token_mask = positives.bool()
        found = model.is_background(boxes, logits, boxes, samples[0])
        counts[title] = int((~found).sum())
        by_proposal = "proposal" in title
        assert model.background.boxes == ("reference" if by_proposal else "decoder")
    assert list(counts.values()) == [19, 0, 3, 19]


def test_focal_and_plain_loss(planned, build_dino):
    queries = (torch.ones(1, 4, 20), torch.zeros(1, 4, 20), torch.ones(1, 4, dtype=torch.bool))
    chance = torch.tensor(1.0).sigmoid()
    bce = float(-(1 - chance).log())
    rows = planned("readings", "voc", DINO)
    full = build_dino(*changes(rows, "NegAS as it is here")).loss_ood
    assert float(full(*queries)) == pytest.approx(3 * 80 * 0.75 * float(chance**2) * bce)
    plain = build_dino(*changes(rows, "plain BCE, not the focal form")).loss_ood
    assert float(plain(*queries)) == pytest.approx(3 * 80 * bce)


def test_options_of_grounding_dino(planned, build_dino):
    rows = planned("readings", "voc", DINO)
    full = build_dino(*changes(rows, "NegAS as it is here"))
    assert (full.ood_layers, full.neg_path) == ("last", "normed")
    assert build_dino(*changes(rows, "loss at every decoder layer")).ood_layers == "all"
    for title, path in (
        ("negatives bypass the fusion by the text layers", "text_layers"),
        ("negatives bypass the fusion by projection alone", "projected"),
    ):
        (run,) = rows[title].runs
        assert run.weights_of == rows["NegAS as it is here"].runs[0].folder
        model = build_dino(*changes(rows, title))
        model.load_state_dict(full.state_dict())
        assert model.neg_path == path
        # another way around the fusion, other embeddings of the same words
        assert not torch.allclose(model.bank_feats(["deer"]), full.bank_feats(["deer"]), atol=0.01)


@pytest.mark.parametrize(("model", "dino"), [(YOLO_WORLD, False), (DINO, True)])
def test_readings_of_the_prompt(planned, build, build_dino, model, dino):
    rows, maker = planned("readings", "voc", model), build_dino if dino else build
    full = maker(*changes(rows, "NegAS as it is here"))
    assert full.prompt_negatives and full.guide_grad and len(full.neg_labels) == 20
    assert not maker(*changes(rows, "prompt before ID labels only")).prompt_negatives
    assert not maker(*changes(rows, "fixed guide")).guide_grad
    start = maker(*changes(rows, "random start of the prompt"))
    assert start.prompt.num_ctx == 3 and start.prompt.template == "x x x {}"
    assert not dino or not torch.equal(start.prompt.ctx, full.prompt.ctx)


@pytest.mark.parametrize("data", ["voc", "bdd100k"])
def test_random_words_are_twenty_nouns_and_no_class(planned, build, data):
    model = build(*changes(planned("readings", data, YOLO_WORLD), "labels drawn at random"))
    wordnet = WordNet.load()
    assert len(model.neg_labels) == 20 and not set(model.neg_labels) & set(model.class_names)
    assert all(wordnet.synsets(word, "noun") for word in model.neg_labels)


def test_one_word_for_every_object(planned, build):
    rows = planned("number_of_labels", "voc", YOLO_WORLD)
    assert build(*changes(rows, 'the word "object"')).neg_labels == ("object",)


# --- banks that are mined first ------------------------------------------------------------------
def test_a_missing_bank_is_told_with_its_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    args = (table("number_of_labels"), "voc", YOLO_WORLD, [0], Path("runs"))
    rows = plan_table(*args, only=["corpus, 5"], config_dir=FOLDER)
    assert (
        rows[0]
        .problems[0]
        .startswith(
            "the bank 'work_dirs/banks/voc_neglabel_30.json' does not exist; make it with: python "
            "tools/mine_labels.py "
        )
    )
    NegativeLabelBank(read_voc(), ["a", "b"]).save("work_dirs/banks/voc_neglabel_30.json")
    rows = plan_table(*args, only=["corpus, 5"], config_dir=FOLDER)
    assert "has 2 labels where 5 are asked" in rows[0].problems[0]
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
        assert runpy.run_path(argv[0])["main"]() == 0, capsys.readouterr().err
        assert cfg.class_names[0] in capsys.readouterr().out

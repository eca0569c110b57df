"""tools/image_ood.py on tiny sets with a tiny random CLIP: tables, caches, captions, bad input."""

import json
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from PIL import Image

from negas.embeddings.encoders import build_encoder
from negas.embeddings.tensor_file import read_tensors, write_tensors
from negas.files import file_sha256
from negas.image_level.adaneg import AdaNeg
from negas.image_level.ants import ANTS
from negas.image_level.interneg import InterNeg
from negas.image_level.method import Method, MethodOptions
from negas.image_level.online import score_pair
from negas.image_level.registry import METHODS
from negas.image_level.scorers import get_image_score
from negas.metrics import ood_metrics
from negas.metrics.controls import rotated_bank
from negas.options import option
from negas.records import BoxRecords
from negas.reports import image_level
from negas.scores import get_score
from tests.helpers.chat_server import answer, chat_server, cut_off, error, late, raw
from tests.helpers.commands import environment, tool_said
from tests.helpers.killed import Killed, killed_at
from tests.helpers.tiny_encoders import make_encoder_dir
from tests.helpers.tiny_vlm import write_tiny_llava

NEGATIVES = ["zebra", "deer", "tv", "washing machine", "potted plant", "nice photo"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return make_encoder_dir("clip", tmp_path_factory.mktemp("clip"))


def write_coco(root, name, categories, count, seed):
    """`count` noise images with two objects each, 24 and 10 pixels wide."""
    rng = np.random.default_rng(seed)
    folder = root / name
    folder.mkdir(parents=True)
    images, annotations = [], []
    for i in range(1, count + 1):
        pixels = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((64, 48)).save(folder / f"{i:03d}.png")
        images.append(dict(id=i, file_name=f"{i:03d}.png", width=64, height=48))
        for size in (24, 20):
            x, y = int(rng.integers(0, 40)), int(rng.integers(0, 24))
            category = int(rng.integers(len(categories))) + 1
            annotations.append(
                dict(id=len(annotations) + 1, image_id=i, category_id=category, iscrowd=0,
                     bbox=[x, y, size, size], area=size * size)
            )  # fmt: skip
    names = [dict(id=k, name=name) for k, name in enumerate(categories, 1)]
    data = dict(images=images, annotations=annotations, categories=names)
    (root / f"{name}.json").write_text(json.dumps(data))


@pytest.fixture
def place(tmp_path, encoder, monkeypatch):
    """A working directory with sets, bank and preset."""
    for number, (name, categories, count) in enumerate(
        [("id", ["cat", "dog"], 9), ("train", ["cat", "dog"], 8)]
        + [(name, ["zebra", "toaster"], 7) for name in ("near", "far", "other")]
    ):
        write_coco(tmp_path, name, categories, count, number)
    bank = {"id_labels": ["cat", "dog"], "neg_labels": NEGATIVES}
    (tmp_path / "bank.json").write_text(json.dumps(bank))
    (tmp_path / "words.txt").write_text("zebra\ndeer\ntv\nsmall cat\n")
    sets = {n: {"ann_file": f"{n}.json", "img_dir": n} for n in ("id", "train", "near", "far")}
    preset = {
        "about": "a test",
        "encoder": str(encoder),
        "bank": "bank.json",
        "id": sets["id"],
        "train": sets["train"],
        "ood": {n: {**sets[n], "group": n} for n in ("near", "far")},
        "methods": ["mcm", "neglabel"],
        "batch_size": 5,
        "seeds": [0, 1],
        "rotations": 2,
        "captioner": {"type": "names", "words": "words.txt"},
        "out": "out",
        "cache": "cache",
        "plots": False,
    }
    (tmp_path / "preset.json").write_text(json.dumps(preset))
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "NEGAS_LLM_MODEL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def run(place, capsys):
    """Callable: arguments -> (exit code, standard output, standard error)."""

    def call(*args, preset="preset.json"):
        return tool_said(capsys, "image_ood", *(["--preset", preset] if preset else []), *args)

    return call


def change(**settings):
    preset = json.loads(Path("preset.json").read_text()) | settings
    Path("preset.json").write_text(json.dumps(preset))


def results(folder="out"):
    return json.loads(Path(folder, "image_ood_results.json").read_text())


def rows(data, method, control="none"):
    return [r for r in data["rows"] if (r["method"], r["control"]) == (method, control)]


@pytest.mark.slow
def test_every_method_in_one_table(run):
    methods = ["--methods", "all", "--method-options", "ants.min_candidates=2"]
    methods += ["ants.similar_start=1", "tanl.num=4"]
    code, out, err = run(*methods, "--view", "images", "gt_crops")
    assert code == 0, err
    assert "whole images, offline" in out and "crops of annotated objects, online" in out
    assert "1 of 6 negatives name a class of near (zebra)." in out
    assert "nearest of 4 words" in out and "order seeds 0, 1" in out
    for view, counts in (("images", (9, 7, 7)), ("gt_crops", (18, 14, 14))):
        data = results(f"out/{view}")
        assert [data["sets"][n]["num"] for n in ("id", "near", "far")] == list(counts)
        assert set(data["methods"]) == {row["method"] for row in data["rows"]} == set(METHODS)
        assert len(rows(data, "mcm")) == 2 and rows(data, "mcm", "rotated") == []
        assert len(rows(data, "neglabel", "rotated")) == 2 * 2  # sets x draws
        assert len(rows(data, "adaneg")) == len(rows(data, "adaneg", "rotated")) == 2 * 2
        assert rows(data, "ants", "rotated") == []
        assert (data["options"]["batch_size"], data["options"]["seeds"]) == (5, [0, 1])
        assert data["versions"]["torch"] and data["bank"]["labels"] == NEGATIVES
        with np.load(f"out/{view}/scores.npz", allow_pickle=False) as scores:
            for row in data["rows"]:
                if row["control"] == "none":
                    key = f"{row['method']}/{row['ood_set']}/{row['seed']}"
                    found = ood_metrics(scores[f"{key}/id"], scores[f"{key}/ood"])
                    assert found.to_dict() == {k: row[k] for k in found.to_dict()}
        streams = [s for s in data["streams"] if s["control"] == "none"]
        assert len(streams) == sum(method.online for method in METHODS.values()) * 2 * 2
        assert all(s["num_images"] == s["num_id"] + s["num_ood"] for s in streams)
        assert {s["batch_size"] for s in streams} == {5}
    table = Path("out/table.md").read_text()
    assert "near FPR95" in table and "mean AUROC" in table and "near mean" not in table


def test_features_are_encoded_once(run, monkeypatch):
    assert run("--view", "images", "gt_crops")[0] == 0
    first = Path("out/table.md").read_text()

    def again(self, pixels):
        raise AssertionError("encoded twice")

    monkeypatch.setattr("negas.embeddings.encoders.Encoder._encode_pixels", again)
    assert run("--view", "images", "gt_crops")[0] == 0
    assert Path("out/table.md").read_text() == first


def test_online_methods_forget_between_sets_and_depend_on_the_order(run):
    run("--methods", "adaneg", "--rotations", 0)
    both = results()
    run("--methods", "adaneg", "--rotations", 0, "--ood", "far=far.json@far")
    alone = results()
    for key in ("auroc", "fpr95", "threshold"):
        assert [r[key] for r in rows(both, "adaneg") if r["ood_set"] == "far"] == [
            r[key] for r in rows(alone, "adaneg")
        ]
    orders = [s["order_sha1"] for s in both["streams"]]
    assert len(set(orders)) == 2  # equal counts: one order per seed
    run("--methods", "adaneg", "--rotations", 0, "--batch-size", 1)
    assert results()["streams"][0]["batch_size"] == 1


def test_group_means_are_means_of_their_sets(run):
    code, out, _ = run(
        "--near", "a=near.json@near", "b=other.json@other", "--far", "c=far.json@far"
    )
    assert code == 0
    lines = Path("out/table.md").read_text().splitlines()
    head = [cell.strip() for cell in lines[2].split("|")]
    cells = next(line for line in lines if line.startswith("| MCM")).split("|")
    value = {h: float(c.strip(" *")) for h, c in zip(head[2:-1], cells[2:-1], strict=True)}
    assert "far mean FPR95" not in value
    assert value["near mean AUROC"] == pytest.approx(
        (value["a AUROC"] + value["b AUROC"]) / 2, abs=0.11
    )
    three = [value[f"{name} FPR95"] for name in "abc"]
    assert value["mean FPR95"] == pytest.approx(sum(three) / 3, abs=0.11)


@dataclass(frozen=True)
class NearestOptions(MethodOptions):
    """Options of a method that is not there."""

    power: int = option(1, help="of the cosine", ge=1)


def test_a_method_is_what_it_declares(run, monkeypatch):
    """Nothing but its declaration: options, what it needs, its title and its control follow."""
    given = []

    def build(inputs, options):
        given.append(inputs)
        return lambda images, ids, negatives: (images @ inputs.id_feats.T).amax(1) ** options.power

    toy = Method("toy", "Nearest", NearestOptions, build, frozenset({"negatives"}))
    monkeypatch.setitem(METHODS, "toy", toy)
    code, out, err = run("--methods", "toy", "--method-options", "toy.power=3")
    assert code == 0, err
    assert "Nearest, rotated" in out and len(rows(results(), "toy", "rotated")) == 2 * 2
    made = results()["methods"]["toy"]
    assert made == {
        "title": "Nearest",
        "online": False,
        "options": {"scale": 100.0, "template": "clip", "power": 3},
    }
    assert given[-1].class_names == ("cat", "dog") and given[-1].proxies is None
    monkeypatch.setitem(METHODS, "toy", replace(toy, needs=frozenset({"captions"})))
    change(captioner={})
    code, _, err = run("--methods", "toy", "--method-options", "toy.power=0")
    assert code == 2 and "toy: power must be at least 1, got 0" in err
    code, _, err = run("--methods", "toy")
    assert code == 2 and "toy needs a captioner" in err


def test_folders_and_lists_without_a_preset(run, encoder):
    Path("list.txt").write_text("".join(f"id/{i:03d}.png {i % 2}\n" for i in range(1, 10)))
    args = ["--encoder", encoder, "--bank", "bank.json", "--id", "list.txt", "--ood", "far=far"]
    args += ["--methods", "mcm", "negs", "--scale", "encoder", "--out", "x", "--cache", "c"]
    code, out, err = run(*args, preset=None)
    assert code == 0, err
    data = results("x")
    assert data["methods"]["mcm"]["options"]["scale"] == 1.0  # plain cosines, whatever is asked
    scale = data["methods"]["negs"]["options"]["scale"]
    assert scale == pytest.approx(data["encoder"]["logit_scale"])
    assert 0 <= data["id_accuracy"]["mcm"] <= 1 and "named right" in out
    assert {p.name for p in Path("x/histograms").iterdir()} == {"mcm-far.png", "negs-far.png"}
    assert "name a class of far" not in out  # a folder does not tell its classes


def write_records(name, count, neg_labels):
    rng = np.random.default_rng(len(name))
    boxes = np.tile([2, 3, 40, 36], (2 * count, 1)).astype(np.float32)
    boxes[:, :2] += rng.integers(0, 9, (2 * count, 2))
    records = BoxRecords(
        np.repeat(np.arange(1, count + 1), 2),
        boxes,
        np.zeros(2 * count, int),
        np.linspace(0.1, 0.9, 2 * count),
        rng.normal(size=(2 * count, 2)),
        rng.normal(size=(2 * count, len(neg_labels))),
        meta={"id_labels": ["cat", "dog"], "neg_labels": list(neg_labels)},
    )
    records.save(f"run/records/{name}.npz")
    return records


@pytest.mark.parametrize("same_bank", [True, False])
def test_detected_crops_beside_the_detectors_own_scores(run, same_bank):
    labels = NEGATIVES if same_bank else ["bench"]
    made = {name: write_records(name, n, labels) for name, n in (("id", 9), ("far", 7))}
    sets = [f"{n}.json@{n}@run/records/{n}.npz" for n in ("id", "far")]
    args = ["--view", "detected_crops", "--id", sets[0], "--far", f"far={sets[1]}"]
    code, out, err = run(*args, "--min-score", 0.5, "--methods", "mcm")
    assert code == 0, err
    data = results()
    assert data["sets"]["id"]["num"] == (made["id"].scores >= 0.5).sum()
    assert "the detector's own scores" in out
    found = {row["method"]: row for row in data["rows"]}
    assert ("detector: negs" in found) == same_bank
    assert ("other negative labels" in err) != same_bank
    if same_bank:
        values = [
            get_score("negs")(*map(torch.from_numpy, (r.id_logits, r.neg_logits)))
            for r in (r.select(r.scores >= 0.5) for r in made.values())
        ]
        assert found["detector: negs"]["auroc"] == ood_metrics(*values).auroc


def test_captions_of_a_server_are_asked_for_once(run):
    args = ["--methods", "ants", "--seeds", 0, "--captioner", "server", "--captioner-model", "m"]
    args += ["--method-options", "ants.mode=far_only", "ants.min_candidates=2"]
    with chat_server("a <b>zebra</b> near a tv") as server:
        args += ["--base-url", server.url]
        code, out, err = run(*args)
        assert code == 0, err
        asked = len(server.requests)
        assert asked > 0 and results()["captions"]["asked"] == asked
        first = rows(results(), "ants")
        assert run(*args)[0] == 0
    assert len(server.requests) == asked and rows(results(), "ants") == first
    assert results()["captions"]["asked"] == 0 and "m, asked" in out


KEY = "sk-test-0123456789abcdef"
MISBEHAVIOUR = {
    "hangs": (late(1), "no whole answer within 0.3 s"),
    "breaks off": (cut_off, "the connection failed"),
    "500": (error(500, f"boom \x1b[31m {KEY}"), "answered 500 (boom \\x1b[31m [key])"),
    "elsewhere": (raw("", 307, Location="file:///etc/passwd"), "check --base-url"),
    "in circles": (raw("", 307, Location="/v1/chat/completions"), "check --base-url"),
    "huge": (raw(" " * (17 << 20)), "longer than 16 MB"),
    "deep": (raw("[" * 100_000), "the body of the answer is malformed"),
    "table": (raw('{"choices": {"1": 2}}'), "the answer is no chat completion"),
    "number": (answer(7), "the answer is no chat completion"),
}


@pytest.mark.parametrize("how", MISBEHAVIOUR)
@pytest.mark.parametrize("mode", ["far_only", "near_only"])
def test_a_server_that_misbehaves_is_one_sentence(run, monkeypatch, how, mode):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    change(captioner=dict(type="server", model="m", timeout=0.3, max_retries=0))
    args = ["--methods", "mcm", "ants", "--seeds", 0, "--method-options", f"ants.mode={mode}"]
    args += ["ants.min_candidates=2", "ants.similar_start=1"]
    reply, message = MISBEHAVIOUR[how]
    with chat_server(reply) as server:
        code, out, err = run(*args, "--base-url", server.url)
    assert code == 2 and f"error: {server.url}: " in err and message in err
    assert server.keys[0] == f"Bearer {KEY}" and KEY not in out + err and "\x1b" not in out + err
    assert not list(Path("cache").rglob("captions/*")), "no answer, nothing kept"
    assert Path("out/partial_results.json").exists(), "what needs no server is kept"


@pytest.mark.parametrize("mode", ["far_only", "near_only"])
def test_useless_answers_are_counted(run, mode):
    args = ["--methods", "ants", "--seeds", 0, "--captioner", "server", "--captioner-model", "m"]
    args += ["--method-options", f"ants.mode={mode}", "ants.min_candidates=2"]
    args += ["ants.similar_start=1"]
    with chat_server(answer(None)) as server:
        for _ in range(2):
            assert run(*args, "--base-url", server.url)[0] == 0
            told = results()["captions"]
            count = len(server.requests)
            assert told["answers"] == told["useless"] == count > 0
            assert f"{count} of {count} answers held no words" in Path("out/table.md").read_text()
    with chat_server('a <b>zebra</b>\x1b[31m, near, a, small, "tv\x07"') as server:
        code, out, err = run(*args, "--base-url", server.url)
    assert code == 0 and "held no words" not in out and results()["captions"]["useless"] == 0
    assert "\x1b" not in out + err + next(Path("cache/captions").iterdir()).read_text()


def test_a_local_model_captions_and_is_not_loaded_again(run, tmp_path, monkeypatch):
    model = write_tiny_llava(tmp_path / "llava")
    args = ["--methods", "ants", "--seeds", 0, "--captioner", "local", "--captioner-model", model]
    args += ["--method-options", "ants.mode=far_only", "ants.min_candidates=8"]
    captioner = {"type": "local", "max_new_tokens": 3, "max_side": 32}
    change(captioner=captioner)
    code, _, err = run(*args)
    assert code == 0, err
    assert results()["captions"]["asked"] > 0

    def loaded(*args, **options):
        raise AssertionError("loaded again")

    monkeypatch.setattr("negas.image_level.run.captioner.LocalVisionChat", loaded)
    assert run(*args)[0] == 0 and results()["captions"]["asked"] == 0


@pytest.mark.parametrize("view", ["images", "gt_crops"])
def test_a_corrupt_image_in_the_middle_costs_itself_only(run, view):
    Path("near/004.png").write_bytes(Path("near/004.png").read_bytes()[:100])
    code, out, err = run("--view", view)
    assert code == 0
    data = results()
    each = 1 if view == "images" else 2
    assert (data["sets"]["near"]["num"], data["sets"]["far"]["num"]) == (6 * each, 7 * each)
    assert len(data["sets"]["near"]["left_out"]) == each
    assert "near/004.png: not a readable image" in data["sets"]["near"]["left_out"][0]
    assert "near/004.png: not a readable image" in out + err
    assert "unreadable images or crops were left out" in out


def spoil_cache(spoil):
    for file in Path("cache").rglob("*.safetensors"):
        tensors, about = read_tensors(file)
        write_tensors(file, tensors | {"feats": spoil(tensors["feats"])}, about)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda f: f[:, :5], "has 5 channels where the labels have 12"),
        (lambda f: f * float("nan"), "features of the set 'id' holds NaN or infinite values"),
    ],
)
def test_cached_features_that_cannot_be_used(run, spoil, sentence):
    assert run()[0] == 0
    spoil_cache(spoil)
    code, _, err = run()
    assert code == 2 and sentence in err and "cached in 'cache'; delete it" in err


def test_a_dry_run_counts_and_does_nothing(run):
    code, out, _ = run("--dry-run", "--view", "gt_crops")
    assert code == 0 and "id: 18 crops" in out and "methods: mcm, neglabel" in out
    assert not Path("cache").exists() and not Path("out/image_ood_results.json").exists()


def empty_folder():
    Path("empty").mkdir()


def bank_with_id_label():
    bank = {"id_labels": ["cat", "dog"], "neg_labels": ["zebra", "Dog"]}
    Path("bank.json").write_text(json.dumps(bank))


def unknown_label():
    Path("train.txt").write_text("train/001.png 0\ntrain/002.png 7\n")


def no_json():
    Path("preset.json").write_text("{")


BAD = {
    "no preset": (["--preset", "lost.json"], None, "'lost.json': there is no such file"),
    "preset": ([], no_json, "not valid JSON"),
    "preset key": ([], lambda: change(bnak="x"), "unknown key 'bnak'"),
    "set key": ([], lambda: change(id={"dir": "x"}), "unknown key 'dir'"),
    "two sources": ([], lambda: change(id={"folder": "id", "list": "x"}), "exactly one of folder"),
    "no bank": (["--bank", "lost.json"], None, "no such label bank"),
    "bank holds ID label": ([], bank_with_id_label, "'Dog'"),
    "other classes": (["--classes", "words.txt"], None, "is one of the detector's ID labels"),
    "empty OOD set": (["--ood", "x=empty"], empty_folder, "the set 'x' is empty"),
    "no OOD folder": (["--ood", "x=lost"], None, "the folder 'lost' of the set 'x'"),
    "no name": (["--ood", "far"], None, "has no name"),
    "json alone": (["--ood", "x=far.json"], None, "annotations without images"),
    "same name": (["--ood", "x=far", "--near", "x=near"], None, "'x': the name is taken"),
    "crops of a folder": (["--ood", "x=far", "--view", "gt_crops"], None, "is no COCO json"),
    "no detections": (["--view", "detected_crops"], None, "has no detections"),
    "method": (["--methods", "magic"], None, "there is no method 'magic'"),
    "option form": (["--method-options", "groups=3"], None, "METHOD.OPTION=VALUE"),
    "groups": (["--method-options", "neglabel.groups=99"], None, "groups"),
    "pool": (["--methods", "tanl", "--method-options", "tanl.num=99"], None, "num must be in 1..6"),
    "inversion": (
        ["--methods", "interneg", "--method-options", 'interneg.inversion={"x": 1}'],
        None, "inversion has the unknown key 'x'",
    ),
    "option of no method": (["--method-options", "eoe.beta=1"], None, "not among the methods"),
    "template": (["--template", "nothing"], None, "template 'nothing' is neither"),
    "no train": (["--methods", "interneg"], lambda: change(train=None), "needs ID training images"),
    "train label": (
        ["--methods", "interneg", "--train", "train.txt"], unknown_label, "has the label 7 for 2",
    ),
    "train class": (
        ["--methods", "interneg", "--train", "far.json@far"], None, "no image of the class 'cat'",
    ),
    "no captioner": (["--methods", "ants"], lambda: change(captioner={}), "ants needs a captioner"),
    "captioner option": (
        ["--methods", "ants"],
        lambda: change(captioner={"type": "names", "words": "words.txt", "model": "m"}),
        "has no option 'model'",
    ),
    "no words": (["--methods", "ants", "--words", "lost.txt"], None, "'lost.txt' does not exist"),
    "no local model": (
        ["--methods", "ants", "--captioner", "local", "--captioner-model", "./lost"],
        None, "the captioner './lost' cannot be read",
    ),
    "no server model": (
        ["--methods", "ants", "--captioner", "server", "--base-url", "http://x/v1"],
        None, "no model is named",
    ),
    "kind of a preset's options": ([], lambda: change(method_options=[1]), "must be an object"),
    "kind of a method's options": (
        [], lambda: change(method_options={"mcm": 5}), "options of 'mcm' must be an object",
    ),
    "kind of captioner": ([], lambda: change(captioner="names"), "captioner must be an object"),
    "kind of set": ([], lambda: change(id="id"), "the set 'id' must be an object with folder"),
    "kind of OOD sets": ([], lambda: change(ood=["far"]), "ood must be an object of sets"),
    "kind of folder": ([], lambda: change(id={"folder": 5}), "folder must be a text, got 5"),
    "kind of seeds": ([], lambda: change(seeds="abc"), "seeds must be a list, got 'abc'"),
    "name of a mean": (["--ood", "mean=far", "x=near"], None, "'mean': the name is taken"),
    "name of a file": (
        [], lambda: change(ood={"a/b": {"folder": "far"}}), "the name has a slash",
    ),
    "ID label": (["--id", "train.txt", "--ood", "x=far"], unknown_label, "has the label 7 for 2"),
    "inversion value": (
        ["--methods", "interneg", "--method-options", 'interneg.inversion={"steps": 0}'],
        None, "steps must be at least 1",
    ),
    "cache": (["--cache", "bank.json"], None, "--cache: 'bank.json' is a file"),
    "batch": (["--batch-size", "0"], None, "batch_size must be at least 1"),
    "seeds": (["--seeds", "1", "1"], None, "seeds must be distinct"),
    "scale": (["--scale", "-3"], None, "scale must be a positive number"),
    "encoder": (["--encoder", "lost"], None, "encoder 'lost'"),
    "out": (["--out", "bank.json"], None, "--out: 'bank.json' is a file"),
    "no inversion": (
        ["--methods", "interneg", "--encoder", "siglip"],
        lambda: make_encoder_dir("siglip", Path("siglip")),
        "works through a CLIP text encoder",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence(run, case):
    args, prepare, sentence = BAD[case]
    if prepare:
        prepare()
    code, _, err = run(*args)
    said = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(said) == 1 and sentence in said[0], err
    assert "Traceback" not in err
    assert not [*Path("cache").rglob("*.safetensors")], "before images are read"


def test_the_numbers_are_those_of_the_parts(run, encoder):
    """Written out: which features, which bank, which side is ID."""
    assert run("--methods", "energy", "neglabel", "adaneg", "--template", "plain")[0] == 0
    data, clip = results(), build_encoder(str(encoder))
    ids = clip.text(["cat", "dog"], "plain")
    bank = clip.text(NEGATIVES, "plain")
    pixels = {n: clip.images(sorted(Path(n).glob("*.png"))) for n in ("id", "near", "far")}
    for row in data["rows"]:
        pair, seed = (pixels["id"], pixels[row["ood_set"]]), row["seed"]
        negatives = bank if row["control"] == "none" else rotated_bank(bank, seed)
        if row["method"] == "adaneg":
            scorer = AdaNeg(ids, negatives, seed=seed)
            scores = score_pair(scorer, *pair, batch_size=5, seed=seed)[:2]
        else:
            scores = [get_image_score(row["method"])(one, ids, negatives) for one in pair]
        assert row["auroc"] == pytest.approx(ood_metrics(*scores).auroc, abs=1e-6)
    turned = [r["auroc"] for r in rows(data, "neglabel", "rotated")]
    assert len(set(turned)) > 1


def test_ants_captions_are_of_the_images_it_saw_and_proxies_follow_the_seed(run, monkeypatch):
    def spell(self, feats):
        return [json.dumps(row) for row in feats.tolist()]

    update, seen, proxies = ANTS.update, [], []

    def checked(self, feats, images):
        captions = [json.loads(text) for text in self._caption(list(images))]
        torch.testing.assert_close(torch.tensor(captions), feats, atol=1e-5, rtol=0)
        seen.extend(images)
        return update(self, feats, images)

    def interneg(self, *args, **options):
        build(self, *args, **options)
        proxies.append(self.proxies)

    build = InterNeg.__init__
    monkeypatch.setattr("negas.image_level.captions.NearestNames.captions", spell)
    monkeypatch.setattr(ANTS, "update", checked)
    args = ["--rotations", 0, "--far", "far=far.json@far", "--images-per-class", 1]
    assert run("--methods", "ants", *args)[0] == 0
    assert sorted(seen) == sorted([*range(16)] * 2)  # every image once per seed
    monkeypatch.setattr(InterNeg, "__init__", interneg)
    assert run("--methods", "interneg", *args)[0] == 0
    assert not torch.allclose(proxies[-1], proxies[-2], atol=1e-3)


@pytest.mark.parametrize("view", ["images", "gt_crops"])
def test_the_training_set_may_have_a_name(run, view):
    args = ["--methods", "interneg", "--seeds", "0", "--rotations", "0", "--view", view]
    assert run(*args)[0] == 0
    expected = results()["rows"]
    code, _, err = run(*args, "--train", "t=train.json@train", "--id", "near=id.json@id")
    assert code == 0, err
    assert results()["rows"] == expected and set(results()["sets"]) == {"id", "near", "far"}


def test_a_method_that_fails_costs_itself_only(run):
    assert run("--methods", "energy")[0] == 0
    earlier = results()
    args = ["--methods", "mcm", "neglabel", "ants", "--view", "images", "gt_crops"]
    with pytest.MonkeyPatch.context() as patch:

        def fail(self, feats):
            raise ValueError("no captions today")

        patch.setattr("negas.image_level.captions.NearestNames.captions", fail)
        code, _, err = run(*args, "--method-options", "ants.min_candidates=2", "--out", "new")
    assert code == 2 and "no captions today" in err
    partial = json.loads(Path("new/images/partial_results.json").read_text())
    assert {row["method"] for row in partial["rows"]} == {"mcm", "neglabel"}
    with np.load("new/images/partial_scores.npz", allow_pickle=False) as scores:
        assert "neglabel/far/0/ood" in scores
    assert results() == earlier
    assert run(*args, "--out", "new")[0] == 0
    assert not list(Path("new").rglob("partial*")) and Path("new/images/scores.npz").is_file()


# --- one run of the folder ------------------------------------------------------------------------
def whole(folder):
    """Whether the results name the scores beside them."""
    data = json.loads((folder / "image_ood_results.json").read_text())
    return data["files"]["scores.npz"] == file_sha256(folder / "scores.npz")


def test_a_killed_run_leaves_the_older_one_or_says_so_in_the_file(run, tmp_path):
    assert run("--out", "out", "--plots", "--methods", "mcm", "neglabel")[0] == 0
    assert whole(Path("out")) and Path("out/histograms/neglabel-far.png").is_file()
    old = results()
    ended = []
    for step in (1, 4, 6, 10, 11):
        folder = Path(shutil.copytree("out", f"killed{step}"))
        with patch("negas.reports.image_level.begin_report"), killed_at_reports(step):
            try:
                run("--out", folder, "--methods", "energy")
            except Killed:
                ended.append(json.loads((folder / "image_ood_results.json").read_text()) == old)
                assert ended[-1] or whole(folder)
                assert whole(folder) or (folder / "partial_results.json").is_file()
    assert run("--methods", "energy")[0] == 0
    assert whole(Path("out")) and not list(Path("out").rglob("partial*"))
    assert ended and ended[0] and not list(Path("out/histograms").iterdir())


@contextmanager
def killed_at_reports(step):
    """Killed while the report is written, not before."""
    write = image_level.write_report

    def report(found):
        with killed_at(step):
            return write(found)

    with patch("negas.reports.image_level.write_report", report):
        yield


HOLD = """
import sys, time
from negas.files.locks import lock_file
lock_file(sys.argv[1], "x")
print("held", flush=True)
time.sleep(60)
"""


def test_two_runs_in_one_folder(run):
    Path("out").mkdir()
    command = [sys.executable, "-c", HOLD, "out/.image_ood.lock"]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment())
    try:
        first.stdout.readline()
        code, _, err = run()
        assert code == 2 and "another run writes to 'out'" in err
        assert not Path("out/image_ood_results.json").exists()
        assert not list(Path("cache").iterdir())
    finally:
        first.kill()
        first.communicate()
    assert run()[0] == 0

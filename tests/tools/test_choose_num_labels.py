"""The command on a made-up test run whose text space is the shipped tiny CLIP's."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, CLIPTextModelWithProjection

from negas.embeddings.text import encode_labels
from negas.evaluation.num_labels.from_run import load_validation
from negas.files import write_json
from negas.labels import NegativeLabelBank
from negas.metrics import ood_metrics, select_samples
from negas.records import BoxRecords
from negas.scores import get_score
from tests.helpers.commands import call_tool
from tests.helpers.fake_runs import bare_results
from tests.helpers.yolo_world import ROOT

CLIP = str(ROOT / "data/emoji_world/tiny_clip")
IDS = ["cat", "dog", "bus", "bottle"]
BANK = ["zebra", "fox", "truck", "vase", "apple", "drum", "kite", "skull", "tent", "broom"]
UNKNOWN = ["deer", "train", "cup"]


@pytest.fixture(scope="module")
def words():
    tower = CLIPTextModelWithProjection.from_pretrained(CLIP).float().eval()
    with torch.no_grad():
        table = encode_labels(tower, AutoTokenizer.from_pretrained(CLIP), [*IDS, *BANK, *UNKNOWN])
    return dict(zip([*IDS, *BANK, *UNKNOWN], table.numpy(), strict=True))


def write_set(folder, name, shown, words, seed):
    """Boxes exactly on objects; a box's region embedding is its object's text and some noise."""
    rng = np.random.default_rng(seed)
    names = sorted({*IDS, *shown})
    truth = dict(images=[], annotations=[], categories=[dict(id=i, name=n) for i, n in
                                                        enumerate(names)])  # fmt: skip
    rows, places, images = [], [], []
    for i in range(120):
        thing = shown[i % len(shown)]
        if i % 4 == 0:
            truth["images"].append(dict(id=i // 4, file_name=f"{i}.png"))
        place = [20.0 * (i % 4), 0, 12, 12]
        truth["annotations"].append(
            dict(image_id=i // 4, category_id=names.index(thing), bbox=place)
        )
        rows.append(np.append(9 * words[thing] + rng.normal(0, 0.09, 512), -2.5))
        places.append([place[0], 0, place[0] + 12, 12])
        images.append(i // 4)
    (folder / f"{name}.json").write_text(json.dumps(truth))
    embeddings = np.array(rows, dtype=np.float32)
    logits = embeddings[:, :-1] @ np.stack([words[n] for n in IDS]).T + embeddings[:, -1:]
    BoxRecords(
        image_ids=np.array(images),
        bboxes=np.array(places),
        labels=logits.argmax(1),
        scores=1 / (1 + np.exp(-logits.max(1))),
        id_logits=logits,
        embeddings=embeddings,
        meta=dict(id_labels=IDS, ann_file=str(folder / f"{name}.json")),
    ).save(folder / "records" / f"{name}.npz")


@pytest.fixture(scope="module")
def run(tmp_path_factory, words):
    """As tools/test.py leaves it; the bank's embeddings are kept under "wide"."""
    folder = tmp_path_factory.mktemp("run")
    for seed, (name, shown) in enumerate([("id_val", IDS), ("id", IDS), ("near", UNKNOWN)]):
        write_set(folder, name, shown, words, seed)
    np.savez(folder / "records/text_feats.npz", wide=np.stack([words[w] for w in BANK]))
    results = bare_results(("id_val", "id", "near"), cut=0.25, banks=dict(wide=BANK))
    write_json(folder / "ood_results.json", results)
    NegativeLabelBank(tuple(IDS), tuple(BANK), {"by": "hand"}).save(folder / "bank.json")
    return folder


@pytest.fixture
def command(run, monkeypatch, capsys, tmp_path):
    """Call the command; returns exit code, output, report (if there is one)."""
    monkeypatch.setenv("COLUMNS", "160")

    def call(*args, where=run, bank=run / "bank.json", out=tmp_path / "out"):
        code = call_tool("choose_num_labels", where, "--bank", bank, "--out", out, *args)
        text = capsys.readouterr()
        file = out / "num_labels.json"
        return code, text, json.loads(file.read_text()) if file.is_file() else None

    return call


def test_a_choice_with_its_files(command, run, tmp_path):
    code, text, report = command("--ms", 2, 5, 10, "--save-bank", tmp_path / "chosen.json")
    assert code == 0
    choice = report["choice"]
    assert choice["num"] in (2, 5, 10) and choice["order"] == "bank"
    assert f"chosen: M = {choice['num']}, order 'bank'" in text.out
    assert report["curves"][0]["ms"] == [2, 5, 10]
    means = report["curves"][0]["auroc"]["mean"]
    assert choice["value"] == max(means) == means[[2, 5, 10].index(choice["num"])]
    assert report["settings"]["cut"] == 0.25 and "the run's own" in text.out
    assert report["embeddings"] == "the test run"
    assert set(report["boxes"]) | set(report["left_out"]) == set(IDS)
    assert report["test_sets_for_comparison_only"] == {}
    assert (tmp_path / "out/num_labels.png").stat().st_size > 5000
    bank = NegativeLabelBank.load(tmp_path / "chosen.json")
    assert list(bank.neg_labels) == choice["labels"] == BANK[: choice["num"]]
    assert bank.provenance["by"] == "hand"
    assert bank.provenance["choice_of_num"]["num"] == choice["num"]


def test_test_sets_do_not_touch_the_choice(command, run, words):
    _, _, alone = command("--ms", 2, 5, 10)
    code, text, report = command("--ms", 2, 5, 10, "--compare")
    assert code == 0
    assert report["choice"] == alone["choice"] and report["curves"] == alone["curves"]
    assert "Test set near (comparison only)" in text.out
    table = report["test_sets_for_comparison_only"]["bank"]["near"]
    assert len(table["auroc"]) == len(table["fpr95"]) == 4  # none, 2, 5, 10
    sides = []
    for name, role in (("id", "id"), ("near", "ood")):
        records = BoxRecords.load(run / f"records/{name}.npz")
        mask = select_samples(records, 0.25, "matched", records.meta["ann_file"], role)
        sides.append(records.rescore(np.stack([words[w] for w in BANK[:5]])).select(mask))
    for place, score in ((0, get_score("max_sigmoid")), (2, get_score("negs"))):
        wanted = ood_metrics(*(score(each.id_logits, each.neg_logits) for each in sides))
        assert table["auroc"][place] == pytest.approx(wanted.auroc)
        assert table["fpr95"][place] == pytest.approx(wanted.fpr95)


def test_run_and_encoder_agree(command, run, tmp_path):
    """The same labels from the run's own embeddings and from the encoder."""
    _, _, kept = command("--ms", 2, 5)
    (tmp_path / "records").mkdir()
    bare = tmp_path / "records/val.npz"
    bare.write_bytes((run / "records/id_val.npz").read_bytes())
    code, text, fresh = command("--ms", 2, 5, "--encoder", CLIP, "--cut", 0.25, where=bare)
    assert code == 0
    assert CLIP in fresh["embeddings"] and fresh["settings"]["cut_source"] == "given"
    np.testing.assert_allclose(
        fresh["curves"][0]["auroc"]["mean"], kept["curves"][0]["auroc"]["mean"], atol=1e-3
    )
    alone = load_validation(str(bare))  # these made-up boxes are all right: their best cut is high
    assert alone.cut_source == "best F1 of these boxes" and 0.9 < alone.cut < 1


def test_one_class_alone_has_no_error(command):
    high = ("--ms", 2, 5, "--cut", 0.94)
    _, text, report = command(*high)
    assert "points)" in text.out and "± " in text.out.replace("mean ± standard", "")
    boxes = sorted(each["pseudo_ood"] for each in report["boxes"].values())
    assert boxes[-2] < boxes[-1]
    code, text, report = command(*high, "--min-boxes", boxes[-1])
    assert code == 0 and len(report["boxes"]) == 1
    assert "held-out ID classes: 1 class, " in text.out
    assert "points)" in text.out and "± " not in text.out.replace("mean ± standard", "")


def test_orders_and_other_scores(command):
    orders = ("--orders", "bank", "dissimilar", "random", "--encoder", CLIP)
    code, text, report = command("--ms", 3, "--metric", "fpr95", *orders)
    assert code == 0
    assert [curve["order"] for curve in report["curves"]] == ["bank", "dissimilar", "random"]
    best = min(curve["fpr95"]["mean"][0] for curve in report["curves"])
    assert report["choice"]["value"] == best
    options = ("logits=cosine", "temperature=0.01")
    code, _, cosine = command("--ms", 3, "--score", "neglabel", "--score-options", *options)
    assert code == 0
    assert cosine["settings"]["score_options"] == {"logits": "cosine", "temperature": 0.01}
    code, _, vos = command("--ms", 3, "--protocol", "vos")
    assert code == 0
    counts = [sum(b["id"] for b in r["boxes"].values()) for r in (vos, cosine)]
    assert counts[0] >= counts[1]


def test_bad_input_is_one_sentence(command, run, words, tmp_path):
    records = BoxRecords.load(run / "records/id_val.npz")
    bare = tmp_path / "bare.npz"
    replace(records, embeddings=None).save(bare)
    lost = tmp_path / "lost.npz"
    replace(records, meta=records.meta | dict(ann_file="nowhere.json")).save(lost)
    other = tmp_path / "other.json"
    NegativeLabelBank(("cat", "sofa"), ("fox",)).save(other)
    unknown = tmp_path / "unknown.json"
    NegativeLabelBank(tuple(IDS), ("fox", "squid", "oar")).save(unknown)
    learned = tmp_path / "learned.npz"  # as after prompt tuning: other ID logits
    replace(records, id_logits=records.id_logits + 0.5).save(learned)
    alone = tmp_path / "alone/records/val.npz"  # no test sets beside it
    records.save(alone)
    cases = [
        (dict(where=tmp_path / "none.npz"), (), "no such record file"),
        (dict(where=tmp_path), (), "no records of an ID validation set"),
        (dict(where=bare), (), "hold no embeddings"),
        (dict(where=lost), (), "nowhere.json: no such annotation file"),
        (dict(bank=tmp_path / "none.json"), (), "no such label bank"),
        (dict(bank=other), (), "made for other ID labels"),
        (dict(bank=unknown), (), "no embedding of 'squid' (nor of 1 other labels)"),
        (dict(bank=unknown), ("--encoder", tmp_path / "no"), "cannot load a CLIP text encoder"),
        (
            dict(where=learned, bank=unknown),
            ("--encoder", CLIP),
            "does not give the ID logits",
        ),
        (dict(out=bare / "out"), (), "cannot be written"),
        ({}, ("--save-bank", bare / "b.json"), "--save-bank"),
        ({}, ("--score-options", "logits=cos"), "must be 'head' or 'cosine', got 'cos'"),
        ({}, ("--orders", "random", "--seed", -1), "--seed must be at least 0, got -1"),
        ({}, ("--cut", 1.5), "must lie in [0, 1]"),
        ({}, ("--cut", 0.9999), "no ID class can be held out"),
        ({}, ("--orders", "dissimilar"), "--encoder"),
        (dict(where=learned), ("--compare", "--encoder", CLIP), "does not give the ID logits"),
        (dict(where=alone), ("--compare", "--encoder", CLIP, "--cut", 0.3), "nothing to compare"),
    ]
    for places, args, words_ in cases:
        code, text, report = command(*args, **places)
        assert code == 2, (places, args)
        assert words_ in text.err and "Traceback" not in text.err, text.err
        assert text.err.count("error:") == 1
        assert report is None

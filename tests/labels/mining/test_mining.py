"""The mining run behind the command, with the tiny CLIP: selections, refinement, resuming."""

import json

import numpy as np
import pytest
from PIL import Image

from negas.labels import NegativeLabelBank
from negas.labels.corpus import Corpus
from negas.labels.mining.options import MiningOptions
from negas.labels.mining.run import mine
from negas.labels.selection.ranking import Selection
from tests.helpers.chat_server import chat_server, names_reply
from tests.helpers.yolo_world import ROOT

CLIP = str(ROOT / "data/emoji_world/tiny_clip")
WORDS = "wolf kite helicopter poodle vase chandelier scarecrow jet-ski Dogs".split()


@pytest.fixture
def images(tmp_path):
    """A COCO set with two dogs and a bus, as plain colours."""
    draw = np.random.default_rng(0)
    categories = [{"id": 3, "name": "dog"}, {"id": 5, "name": "bus"}]
    anns, files = [], []
    for i, (category, box) in enumerate([(3, [4, 4, 40, 40]), (5, [0, 0, 60, 60])]):
        files.append({"id": i, "file_name": f"{i}.png", "width": 64, "height": 64})
        pixels = draw.integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        anns.append({"id": i + 1, "image_id": i, "category_id": category, "bbox": box})
        anns[-1] |= {"area": box[2] * box[3], "iscrowd": 0}
    truth = {"images": files, "annotations": anns, "categories": categories}
    (tmp_path / "train.json").write_text(json.dumps(truth))
    return {"ann_file": str(tmp_path / "train.json"), "img_dir": str(tmp_path)}


@pytest.fixture
def options(tmp_path):
    def build(**given):
        (tmp_path / "words.txt").write_text("\n".join(WORDS))
        base = {"class_names": ("dog", "bus"), "out": tmp_path / "bank.json", "encoder": CLIP}
        base |= {"work_dir": tmp_path / "work", "source": "file"}
        base |= {"candidates_file": str(tmp_path / "words.txt")}
        return MiningOptions(**base | given)

    return build


def no_encoder(*args, **kwargs):
    raise AssertionError("the encoder must not be loaded")


def test_visual_selection_with_prototypes(options, images):
    told = []
    report = mine(options(num=3, keep_fraction=0.5, **images), told.append)
    assert report.counts == {
        "names refused": 1,
        "candidates": 8,
        "after the visual filter": 4,
        "negative labels": 3,
    }
    bank = NegativeLabelBank.load(options().out)
    assert bank == report.bank and len(bank) == 3 and bank.id_labels == ("dog", "bus")
    made = bank.provenance
    assert made["encoder"] == CLIP and made["prototypes"]["annotations"] == images["ann_file"]
    assert list(made["similarities"]) == list(bank.neg_labels) and told == []
    selection = json.loads((options().work_dir / "selection.json").read_text())
    reasons = {row["label"]: row["why"] for row in selection["dropped"]}
    assert len(reasons) == 5 and set(reasons) | set(bank.neg_labels) == {
        word.lower() for word in WORDS[:-1]
    }
    rows = json.loads((options().work_dir / "similarities.json").read_text())["similarities"]
    assert [row["name"] for row in rows] == [word.lower() for word in WORDS[:-1]]
    kept = [row["dissimilarity"] for row in selection["kept"]]
    cosine = {row["name"]: row["text cosine"] for row in rows}
    assert kept == sorted(kept, reverse=True)
    assert kept[0] == pytest.approx(1 - cosine[bank.neg_labels[0]], abs=2e-4)
    assert {row["looks like"] for row in rows} <= {"dog", "bus"}


def test_without_images_only_on_request_and_said_so(options):
    with pytest.raises(ValueError, match="give --ann, or leave the visual filter out"):
        mine(options())
    report = mine(options(prototypes=False, num=4))
    assert "left out on request" in report.bank.provenance["prototypes"]
    assert len(report.bank) == 4 and report.kept[0]["visual_similarity"] is None


def test_too_few_after_the_filter_is_a_warning_in_the_bank(options, images):
    report = mine(options(num=30, keep_fraction=1.0, **images))
    assert len(report.bank) == 8 and len(report.warnings) == 1 and "30" in report.warnings[0]
    assert report.bank.provenance["warnings"] == report.warnings
    again = mine(options(num=30, keep_fraction=1.0, **images))
    assert again.warnings == report.warnings


def test_stages_are_reused_until_their_inputs_change(options, monkeypatch):
    first = mine(options(prototypes=False, num=4))
    monkeypatch.setattr("negas.embeddings.encoders.build_encoder", no_encoder)
    told = []
    again = mine(options(prototypes=False, num=4), told.append)
    assert (again.bank, told) == (first.bank, [])
    fewer = mine(options(prototypes=False, num=2), told.append)
    assert fewer.bank.neg_labels == first.bank.neg_labels[:2]
    assert len(told) == 1 and "selection.json was made with other inputs (num)" in told[0]
    with pytest.raises(AssertionError, match="must not be loaded"):
        mine(options(prototypes=False, template="mcm"))
    (options().work_dir / "similarities.npz").write_bytes(b"damaged")
    with pytest.raises(AssertionError, match="must not be loaded"):
        mine(options(prototypes=False, num=4))


def test_killed_while_embedding_candidates_stay(options, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("negas.labels.prototypes.class_prototypes", no_encoder)
        patch.setattr("negas.embeddings.encoders.build_encoder", no_encoder)
        with pytest.raises(AssertionError):
            mine(options(prototypes=False))
    assert (options().work_dir / "candidates.json").exists() and not options().out.exists()
    assert len(mine(options(prototypes=False)).bank) == 8


def test_no_selection_needs_no_encoder(options, monkeypatch):
    monkeypatch.setattr("negas.embeddings.encoders.build_encoder", no_encoder)
    report = mine(options(select="none", encoder=None))
    assert report.bank.neg_labels == tuple(word.lower() for word in WORDS[:-1])
    assert "similarities" not in report.bank.provenance
    cut = mine(options(select="none", encoder=None, num=2))
    assert cut.bank.neg_labels == ("wolf", "kite")


def test_refining_with_wordnet_drops_kinds_of_id_classes(options):
    report = mine(options(select="none", refine="wordnet"))
    assert "poodle" not in report.bank.neg_labels and "kite" in report.bank.neg_labels
    refined = json.loads((options().work_dir / "refined.json").read_text())
    assert "'dog'" in refined["dropped"]["poodle"]
    assert report.counts["after refining"] == len(report.bank)
    assert report.bank.provenance["refinement"]["dropped"] == len(refined["dropped"])


def test_refining_with_the_model_that_generates(options, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    # per candidate two questions: a proper noun? the same as or a kind of an ID class?
    replies = [names_reply("poodle", "vase"), "no", "Yes.", "no", "no"]
    with chat_server(*replies) as server:
        chat = {"model": "m", "base_url": server.url}
        given = {"source": "llm", **chat, "num_candidates": 2, "select": "none"}
        report = mine(options(refine="llm", **given))
        assert report.bank.neg_labels == ("vase",) and len(server.requests) == 5
        (options().work_dir / "refined.json").unlink()  # its answers are kept beside it
        assert mine(options(refine="llm", **given)).bank == report.bank
        assert len(server.requests) == 5
    assert '"poodle"' in server.requests[2]["messages"][0]["content"]
    chat["base_url"] = "http://127.0.0.1:9/v1"  # the same model elsewhere: its answers still count
    assert mine(options(refine="llm", **given)).bank.neg_labels == ("vase",)


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"num_candidates": 3, "patience": 1}, ["only 2 of 3 candidates"]),
        ({"num_candidates": 2}, []),
        ({"prompt": "eoe-near"}, []),  # one question a class, as many words as come
    ],
)
def test_fewer_candidates_than_wanted_are_told(options, monkeypatch, wanted, told):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with chat_server(names_reply("kite", "vase")) as server:
        chat = {"source": "llm", "model": "m", "base_url": server.url, "select": "none"}
        found = mine(options(**chat, **wanted)).warnings
    assert [warning[: len("only 2 of 3 candidates")] for warning in found] == told


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"class_names": ("dog", "omnibus")}, "'omnibus' is no category"),
        ({"template": "unknown"}, "template 'unknown' is neither"),
    ],
)
def test_what_cannot_work_is_said_before_a_model_is_asked(options, images, wrong, message):
    with chat_server(names_reply("vase")) as server:
        chat = {"model": "m", "base_url": server.url}
        with pytest.raises(ValueError, match=message):
            mine(options(source="llm", **chat, **images, **wrong))
    assert not server.requests


CORPUS = Corpus(
    ("poodle", "spaniel", "tulip", "galaxy", "furry", "wooden"), ("noun",) * 4 + ("adj",) * 2
)


@pytest.mark.parametrize(
    ("source", "select", "num", "noun", "count"),
    [
        ("wordnet", "neglabel", 2, "the nice {}", 2),
        ("wordnet", "visual", 3, "a photo of a {}.", 3),
        ("csp", "csp", 3, "a close-up photo of the nice {}.", 3),
        ("wordnet", "interneg", 6, "The nice {}.", None),
    ],
)
def test_corpora_bring_their_own_templates(
    options, images, monkeypatch, source, select, num, noun, count
):
    monkeypatch.setattr("negas.labels.corpus.load_corpus", lambda **given: CORPUS)
    report = mine(options(source=source, select=select, num=num, keep_fraction=1.0, **images))
    assert report.bank.provenance["templates"][0] == noun
    names = json.loads((options().work_dir / "candidates.json").read_text())["candidates"]
    assert names[:4] == list(CORPUS.words[:4]) and set(report.bank.neg_labels) <= set(names)
    assert names[4].startswith("furry ") == (source == "csp")
    assert len(report.bank) == count if count else 1 <= len(report.bank) <= 6


@pytest.mark.parametrize(
    ("corpus", "present", "absent"),
    [({}, "furnace", "walrus"), ({"all_files": True, "parts": ("noun",)}, "walrus", "furry")],
)
def test_the_wordnet_corpus_itself(options, corpus, present, absent):
    given = {"source": "wordnet", "select": "none", **corpus}
    labels = mine(options(**given)).bank.neg_labels
    assert len(labels) > 50_000 and present in labels and absent not in labels
    assert "dog" not in labels


def test_nothing_chosen_is_one_sentence(options, images, monkeypatch):
    def none_passes(*args):
        return Selection((), dict.fromkeys(range(8), "too close"))

    monkeypatch.setattr("negas.labels.selection.interneg.select_interneg", none_passes)
    with pytest.raises(ValueError, match="keeps none of 8 candidates; .*more or other candidates"):
        mine(options(select="interneg", **images))
    selection = json.loads((options().work_dir / "selection.json").read_text())
    assert selection["dropped"][0]["why"] == "too close"


def test_a_share_of_each_part_of_speech(options, monkeypatch):
    monkeypatch.setattr("negas.labels.corpus.load_corpus", lambda **given: CORPUS)
    report = mine(options(source="wordnet", select="neglabel", fraction=0.5))
    kept = report.bank.neg_labels
    assert [word in CORPUS.words[:4] for word in kept] == [True, True, False]
    with pytest.raises(ValueError, match="fraction 0.15 of 6 candidates is none"):
        mine(options(source="wordnet", select="neglabel"))


def test_bfloat16_ranks_as_float32_does_and_is_another_result(options):
    plain = mine(options(prototypes=False, num=8))
    told = []
    short = mine(options(prototypes=False, num=8, dtype="bfloat16"), told.append)
    assert "other inputs (encoder)" in told[0]
    assert short.bank.neg_labels[:3] == plain.bank.neg_labels[:3]
    both = [{row["label"]: row["dissimilarity"] for row in rows.kept} for rows in (plain, short)]
    differences = [abs(both[0][label] - both[1][label]) for label in both[0]]
    assert 0 < max(differences) < 0.02
    assert short.bank.provenance["options"]["dtype"] == "bfloat16"

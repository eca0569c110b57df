"""The audit command: what it prints, writes and returns."""

import json

import pytest

from tests.helpers.commands import tool_said
from tests.helpers.yolo_world import ROOT

TINY_CLIP = ROOT / "data" / "emoji_world" / "tiny_clip"


@pytest.fixture
def run(capsys):
    def call(*args):
        code, out, err = tool_said(capsys, "audit_labels", *args)
        return code, " ".join(out.split()), err

    return call


@pytest.fixture
def bank(tmp_path):
    path = tmp_path / "bank.json"
    labels = ["fox", "vehicle", "sofa", "kites", "truck", "jet ski"]
    path.write_text(json.dumps(dict(id_labels=["dog"], neg_labels=labels)))
    return path


def test_table_sentence_and_json(run, bank, tmp_path):
    out_file = tmp_path / "new" / "audit.json"
    names = ["--ood", "couch", "kite,truck", "ski"]
    code, out, _ = run(bank, *names, "--json", out_file)
    assert code == 0
    sentence = (
        "3 of 6 labels (50.0%) name one of the 4 OOD classes: 1 exact, 1 inflection, 1 synonym, "
        "0 hyponym. Listed, not counted: 1 compound, 1 hypernym."
    )
    assert sentence in out and "similar" not in out
    data = json.loads(out_file.read_text())
    assert data["sentence"] == sentence
    assert data["leaks"] == ["sofa", "kites", "truck"] and data["num_leaks"] == 3
    found = {(f["label"], f["ood_name"]): f["kind"] for f in data["findings"]}
    assert found == {
        ("vehicle", "truck"): "hypernym",
        ("sofa", "couch"): "synonym",
        ("kites", "kite"): "inflection",
        ("truck", "truck"): "exact",
        ("jet ski", "ski"): "compound",
    }
    assert data["settings"]["ood"] == ["couch", "kite", "truck", "ski"]
    assert "nearness" not in data


@pytest.mark.parametrize(
    ("names", "kind", "code"),
    [
        ("couch", "exact", 0),
        ("couch", "synonym", 1),
        ("couch", "hypernym", 1),
        ("truck", "exact", 1),
        ("ski", "hyponym", 0),
        ("ski", "compound", 1),
        ("helicopter", "inflection", 0),
    ],
)
def test_fail_on(run, bank, names, kind, code):
    assert run(bank, "--ood", names, "--fail-on", kind)[0] == code


def test_senses(run, tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("caterpillar\n")
    assert "0 of 1 labels" in run(path, "--ood", "cat")[1]
    assert "1 of 1 labels" in run(path, "--ood", "cat", "--senses", 0)[1]


def test_similarity_with_the_tiny_clip(run, tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("wolf\nhammer\npizza\nguitar\nboot\nhuge wolf\n")
    out_file = tmp_path / "audit.json"
    options = ["--ood", "fox", "violin", "--encoder", TINY_CLIP, "--json", out_file]
    code, out, _ = run(path, *options, "--quantile", 0.5)
    assert code == 0 and "50% of the labels have no other label so near" in out
    near = json.loads(out_file.read_text())["nearness"]
    assert near["nearest"][3] == "violin" and near["nearest"][0] == "fox"
    assert near["baseline"][0] == pytest.approx(near["baseline"][5])  # wolf and huge wolf
    assert near["cosines"][0] > near["threshold"] and "wolf fox similar" in out
    given = run(path, *options, "--threshold", 0.99)[1]
    assert "cosine of 0.990 or more (given)" in given and "0 similar" in given
    guitar = near["cosines"][3] - 1e-6
    code, out, _ = run(path, *options, "--threshold", guitar, "--fail-on", "similar")
    assert code == 1 and "violin similar cosine" in out
    assert json.loads(out_file.read_text())["counts"]["similar"] >= 1


def test_words_longer_than_the_encoder_reads_are_cut(run, tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("wolf\nhammer\n" + "united nations educational scientific " * 5 + "\n")
    code, out, err = run(path, "--ood", "fox", "--encoder", TINY_CLIP)
    assert code == 0 and "of 3 labels" in out and not err.count("error:")


def test_bad_input_is_one_sentence(run, bank, tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    empty = tmp_path / "empty.txt"
    empty.write_text("\n")
    for args, words in (
        (["none.json", "--ood", "kite"], "none.json"),
        ([broken, "--ood", "kite"], "not valid JSON"),
        ([empty, "--ood", "kite"], "no candidate"),
        ([bank, "--ood", "none.txt"], "none.txt"),
        ([bank, "--ood", broken], "JSON"),
        ([bank, "--ood", " , "], "no name"),
        ([bank, "--ood", "kite", "--senses", -1], "--senses"),
        ([bank, "--ood", "kite", "--fail-on", "similar"], "--encoder"),
        ([bank, "--ood", "kite", "--encoder", tmp_path / "none"], "none"),
        ([bank, "--ood", "kite", "--encoder", TINY_CLIP, "--quantile", 2], "quantile"),
        ([bank, "--ood", "kite", "--json", broken / "a.json"], "--json"),
        ([bank, "--ood", "kite", "--json", tmp_path], "is a folder"),
    ):
        code, out, err = run(*args)
        assert code == 2 and "Traceback" not in err and not out, args
        assert err.startswith("error: ") and words in err.splitlines()[0], (args, err)

"""Lists of names in files: any suffix, UTF-8 only, one name per entry; names on a command line."""

import json

import pytest
from transformers import BertTokenizerFast

from negas.apis.labels import LabelOptions, read_negatives
from negas.datasets.prepare.id_classes import read_id_names
from negas.embeddings.text import warn_of_equal_tokens
from negas.image_level.image_sets import read_list
from negas.labels.candidates import read_candidates
from negas.labels.mining.classes import read_classes
from negas.labels.names import given_names, read_names, read_ood_names
from negas.text import read_text

TEXT = "Bär\ncat\nдом\n"
NAMES = ("Bär", "cat", "дом")
GOOD = {
    "plain": TEXT.encode(),
    "mark": TEXT.encode("utf-8-sig"),
    "crlf": TEXT.replace("\n", "\r\n").encode(),
    "mark and crlf": TEXT.replace("\n", "\r\n").encode("utf-8-sig"),
    "old mac": TEXT.replace("\n", "\r").encode(),
    "no last line end": TEXT.strip().encode(),
    "empty lines": b"\n\n" + TEXT.encode() + b"\n",
}
BAD = {  # bytes -> what the sentence names
    "utf-16": (TEXT.encode("utf-16"), "UTF-16"),
    "utf-16 big": (b"\xfe\xff" + TEXT.encode("utf-16-be"), "UTF-16"),
    "utf-16 without mark": ("cat\ndog\n".encode("utf-16-le"), "UTF-16"),
    "latin-1": ("dog\ncat\nB\xe4r\n".encode("latin-1"), r"Latin-1.*line 3.*0xe4"),
}
READERS = {  # all doors to a list of names in a text file
    "names": lambda path: read_names(path),
    "ood": lambda path: [name for (name,) in read_ood_names(path)],
    "candidates": read_candidates,
    "classes": lambda path: read_classes([path]).names,
    "id classes": lambda path: read_id_names([path]),
    "infer": lambda path: LabelOptions(classes=(path,)).labels()["classes"],
    "negatives": lambda path: read_names(read_negatives([path])),
    "audit": lambda path: [name for (name,) in read_ood_names(given_names([path]))],
}


@pytest.mark.parametrize("name", ["a.txt", "a.lst", "a.names", "a", "a.TXT", "my names.v2"])
@pytest.mark.parametrize("reader", READERS)
def test_a_file_is_a_file_whatever_its_suffix(tmp_path, reader, name):
    (tmp_path / name).write_text(TEXT, encoding="utf-8")
    assert tuple(READERS[reader](str(tmp_path / name))) == NAMES


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("reader", READERS)
def test_marks_and_line_ends_are_no_part_of_a_name(tmp_path, reader, kind):
    (tmp_path / "a.txt").write_bytes(GOOD[kind])
    assert tuple(READERS[reader](str(tmp_path / "a.txt"))) == NAMES


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("reader", [*READERS, "list of images", "text"])
def test_other_encodings_are_refused_and_named(tmp_path, reader, kind):
    data, said = BAD[kind]
    (tmp_path / "a.txt").write_bytes(data)
    others = {
        "list of images": lambda path: read_list("near", path),
        "text": lambda path: read_text(path, path),
    }
    with pytest.raises(ValueError, match=rf"a\.txt.*{said}.*save it as UTF-8"):
        (READERS | others)[reader](str(tmp_path / "a.txt"))


def test_json_with_a_mark_and_a_large_suffix(tmp_path):
    (tmp_path / "a.JSON").write_text(json.dumps(NAMES), encoding="utf-8-sig")
    for reader in READERS:
        if reader != "negatives":
            assert tuple(READERS[reader](str(tmp_path / "a.JSON"))) == NAMES


def test_names_that_are_no_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("dog", "St. Bernard", "x" * 10_000, "a\0b"):
        assert given_names([name]) == [name]
    assert read_classes(["dog,cat", "wine glass"]).names == ("dog", "cat", "wine glass")
    (tmp_path / "dog").touch()  # a file by chance, among names
    assert read_classes(["dog", "cat"]).names == ("dog", "cat")


@pytest.mark.parametrize("read", [read_classes, read_negatives, given_names])
def test_a_list_among_names_is_refused(tmp_path, read):
    (tmp_path / "a.lst").write_text("dog")
    with pytest.raises(ValueError, match=r"a\.lst.* among names"):
        read([str(tmp_path / "a.lst"), "cat"])
    with pytest.raises(ValueError, match=r"a\.txt.* among names"):
        read(["cat", "a.txt"])


@pytest.mark.parametrize("caption", ["cat . dog .", "cat . dog", "cat ."])
def test_a_caption_is_no_name(tmp_path, caption):
    (tmp_path / "a.txt").write_text(caption)
    for read in (lambda: read_names([caption]), lambda: read_names(str(tmp_path / "a.txt"))):
        with pytest.raises(ValueError, match="caption.*each name on its own"):
            read()
    with pytest.raises(ValueError, match="each name on its own"):
        read_classes([caption])
    assert read_names(["St. Bernard", "U.S. mail box", "no. 5"])


def test_labels_that_a_tokenizer_cannot_tell_apart(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "cat"]))
    rows = BertTokenizerFast(str(tmp_path / "vocab.txt"))(["猫", "cat", "дом", "Cat"])["input_ids"]
    with pytest.warns(UserWarning) as said:
        warn_of_equal_tokens(["猫", "cat", "дом", "Cat"], rows)
    texts = [str(one.message) for one in said]
    assert len(texts) == 2 and "(猫, дом)" in texts[0] and "(cat, Cat)" in texts[1]


def test_labels_of_different_tokens_are_fine(recwarn):
    warn_of_equal_tokens(["a", "b"], [[1, 2], [1, 3]])
    assert not recwarn.list

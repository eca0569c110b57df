"""tools/dev/build_wordnet_corpus.py on a small WordNet: same file each time, clear errors."""

import gzip
import io
import sys
import tarfile

import pytest

from negas.labels.wordnet import WordNet
from tests.helpers.commands import run_command
from tests.helpers.yolo_world import ROOT

LICENCE = "  1 This database is free to use.  \n  2   \n  3 WordNet 3.0 Copyright 2006.  \n"
DICT = {
    "data.noun": LICENCE
    + """00000001 03 n 01 animal 0 001 ~ 00000002 n 0000 | a living thing
00000002 05 n 02 dog 0 Canis_familiaris 0 001 @ 00000001 n 0000 | a | barking animal
00000003 18 n 01 Laika 0 001 @i 00000002 n 0000 | went to space
00000004 18 n 01 dog 1 000 | a dull person
""",
    "index.noun": LICENCE
    + """animal n 1 1 ~ 1 0 00000001
canis_familiaris n 1 1 @ 1 0 00000002
dog n 2 1 @ 2 1 00000002 00000004
laika n 1 1 @i 1 0 00000003
""",
    "data.adj": LICENCE + "00000001 00 s 02 galore(ip) 0 in_plenty 0 000 | in great numbers\n",
    "index.adj": LICENCE + "galore a 1 0 1 0 00000001\nin_plenty a 1 0 1 0 00000001\n",
    "noun.exc": "oxen ox\ncorgwn corgi\nmen_of_war man_of_war\n",
}


def build(source, out):
    tool = ROOT / "tools/dev/build_wordnet_corpus.py"
    return run_command(sys.executable, tool, source, "--out", out, cwd=ROOT)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "dict"
    path.mkdir()
    for name, text in DICT.items():
        (path / name).write_text(text, encoding="latin-1")
    return path


def member(name, content):
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
    return header + content + b"\n" * (len(content) % 2)


def deb(names=DICT):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:xz") as tar:
        for name in names:
            content = DICT[name].encode("latin-1")
            info = tarfile.TarInfo(f"./usr/share/wordnet/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": b"abc", "data.tar.xz": archive.getvalue()}
    return b"!<arch>\n" + b"".join(member(*part) for part in parts.items())


def test_folder_and_package_give_the_same_lexicon(folder, tmp_path):
    package = tmp_path / "wordnet.deb"
    package.write_bytes(deb())
    outs = [tmp_path / "a", tmp_path / "b"]
    for source, out in zip([folder, package], outs, strict=True):
        done = build(source, out)
        assert done.returncode == 0, done.stderr
        assert "4 noun and 1 adjective synsets" in done.stdout
    files = [(out / "wordnet.txt.gz").read_bytes() for out in outs]
    assert files[0] == files[1] and not list(tmp_path.rglob(".*"))
    wordnet = WordNet.load(outs[0] / "wordnet.txt.gz")
    assert [s.id for s in wordnet.synsets("dogs")] == ["n00000002", "n00000004"]
    above = wordnet.above(synset.id for synset in wordnet.synsets("laika"))
    assert [wordnet.by_id[id_].lemmas[0] for id_ in above] == ["dog", "animal"]
    assert wordnet.is_proper_noun("Laika") and not wordnet.is_proper_noun("dog")
    assert wordnet.synsets("in plenty", part="adj")[0].lemmas == ("galore", "in plenty")
    assert wordnet.base_forms("galore") == ["galore"]


def test_the_licence_goes_with_the_data(folder, tmp_path):
    assert build(folder, tmp_path / "out").returncode == 0
    licence = (tmp_path / "out" / "LICENSE").read_text()
    assert licence == "This database is free to use.\n\nWordNet 3.0 Copyright 2006.\n"
    inside = gzip.decompress((tmp_path / "out" / "wordnet.txt.gz").read_bytes()).decode()
    assert "# WordNet 3.0 Copyright 2006.\n" in inside


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file or folder"),
        (b"text", "not a Debian package"),
        (deb()[:300], "data.tar cannot be read"),
        (deb()[:100], "no data.tar in it"),
        (deb(["data.noun", "index.noun"]), "holds no data.adj, index.adj, noun.exc"),
    ],
)
def test_bad_packages(tmp_path, content, message):
    path = tmp_path / "wordnet.deb"
    if content is not None:
        path.write_bytes(content)
    done = build(path, tmp_path / "out")
    assert done.returncode == 2 and message in done.stderr
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_other_formats(folder, tmp_path):
    (folder / "data.noun").write_text("00000009 03 n 01 cat 0 000 | not in the index\n")
    done = build(folder, tmp_path / "out")
    assert done.returncode == 2 and "not in the format of WordNet 3.0's dict files" in done.stderr

"""Make data/wordnet/ from a packaged WordNet.

apt-get download wordnet-base     # Debian, Ubuntu
python tools/dev/build_wordnet_corpus.py wordnet-base_*.deb

Takes the .deb itself or a folder with data.noun, index.noun, data.adj, index.adj and noun.exc. The
same input gives the same file.
"""

import gzip
import io
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from negas.cli import user_errors
from negas.files import check_file, protect, whole_file, write_text
from negas.labels.wordnet import FORMAT, LEXICOGRAPHER_FILES
from negas.options import Options, option

PARTS = {"n": "noun", "a": "adj"}
NEEDED = [f"{kind}.{part}" for part in PARTS.values() for kind in ("data", "index")] + ["noun.exc"]
ISA = ("@", "@i")  # hypernym, instance hypernym


@dataclass(frozen=True)
class CorpusOptions(Options):
    """Make data/wordnet/ from a packaged WordNet."""

    source: Path = option(help="the .deb, or a folder with WordNet's dict files", positional=True)
    out: Path = option(Path("data/wordnet"), help="folder to write", output=True)


def read_source(source: Path, needed: Sequence[str] = NEEDED) -> dict[str, str]:
    """Text of the needed files, by name."""
    if source.is_dir():
        texts = {name: (source / name).read_bytes() for name in needed if (source / name).is_file()}
    elif source.is_file():
        texts = read_deb(source, needed)
    else:
        raise FileNotFoundError(f"{source}: no such file or folder; give WordNet's .deb or folder.")
    missing = [name for name in needed if name not in texts]
    if missing:
        raise ValueError(f"{source}: holds no {', '.join(missing)}; give WordNet 3.0's dict files.")
    return {name: text.decode("latin-1") for name, text in texts.items()}


def read_deb(path: Path, needed: Sequence[str]) -> dict[str, bytes]:
    """The needed files of a Debian package: an `ar` archive with a compressed tar in it."""
    raw = path.read_bytes()
    if not raw.startswith(b"!<arch>\n"):
        raise ValueError(f"{path}: not a Debian package; give a .deb file or a folder.")
    start = 8
    while start + 60 <= len(raw):  # members: 60 bytes of header, content, padding to even length
        name = raw[start : start + 16].decode("ascii", "replace").strip().rstrip("/")
        size = raw[start + 48 : start + 58].strip()
        if not size.isdigit():
            break
        begin = start + 60
        content = raw[begin : begin + int(size)]
        if name.startswith("data.tar"):
            return read_tar(path, content, needed)
        start = begin + int(size) + int(size) % 2
    raise ValueError(f"{path}: no data.tar in it; the download may be cut short.")


def read_tar(path: Path, content: bytes, needed: Sequence[str]) -> dict[str, bytes]:
    found = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for member in archive:
                name = member.name.rsplit("/", 1)[-1]
                if member.isfile() and name in needed:
                    found[name] = archive.extractfile(member).read()
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(
            f"{path}: its data.tar cannot be read ({error}); unpack it and give the folder."
        ) from error
    return found


def licence(text: str) -> str:
    """The licence that opens every file of WordNet, without its line numbers."""
    lines = [line.strip() for line in text.splitlines() if line.startswith("  ")]
    return "\n".join(line.partition(" ")[2].rstrip() for line in lines) + "\n"


def entries(text: str) -> Iterator[list[str]]:
    """Fields of the records of a dict file, without licence and glosses."""
    for line in text.splitlines():
        if line.strip() and not line.startswith("  "):
            yield line.partition(" | ")[0].split()


def sense_numbers(index: str) -> dict[tuple[str, str], int]:
    """(lemma in lower case, offset) -> place among the lemma's senses, 1 for the most frequent."""
    numbers = {}
    for fields in entries(index):
        offsets = fields[-int(fields[2]) :]
        numbers.update({(fields[0], offset): n for n, offset in enumerate(offsets, 1)})
    return numbers


def synset_lines(letter: str, data: str, senses: Mapping[tuple[str, str], int]) -> Iterator[str]:
    """One line per synset: id, lexicographer file, lemma=sense|..., hypernyms, instance of."""
    for fields in entries(data):
        offset, file, count = fields[0], int(fields[1]), int(fields[3], 16)
        # adjectives carry their position in brackets: "galore(ip)"
        lemmas = [lemma.partition("(")[0] for lemma in fields[4 : 4 + 2 * count : 2]]
        numbers = [senses[lemma.lower(), offset] for lemma in lemmas]
        words = "|".join(
            f"{lemma.replace('_', ' ')}={n}" for lemma, n in zip(lemmas, numbers, strict=True)
        )
        pointers = fields[5 + 2 * count :]
        targets = {
            symbol: " ".join(
                letter + target
                for kind, target in zip(pointers[::4], pointers[1::4], strict=False)
                if kind == symbol
            )
            for symbol in ISA
        }
        yield "\t".join([letter + offset, LEXICOGRAPHER_FILES[file], words, *targets.values()])


def build(texts: Mapping[str, str]) -> str:
    """The whole lexicon as text."""
    header = ["WordNet 3.0 without glosses: nouns and adjectives, with hypernyms.", ""]
    lines = [
        "#" + f" {line}".rstrip() for line in [*header, *licence(texts["data.noun"]).split("\n")]
    ]
    lines = [FORMAT, *lines, "%synsets"]
    for letter, part in PARTS.items():
        senses = sense_numbers(texts[f"index.{part}"])
        lines += synset_lines(letter, texts[f"data.{part}"], senses)
    lines.append("%irregular")
    lines += ["\t".join(fields).replace("_", " ") for fields in entries(texts["noun.exc"])]
    return "\n".join(lines) + "\n"


@user_errors
def main() -> int:
    args = CorpusOptions.parse()
    if args.source.is_dir():
        protect(*args.source.iterdir())
    texts = read_source(args.source)
    check_file(args.out / "LICENSE", "--out")
    check_file(args.out / "wordnet.txt.gz", "--out")
    try:
        text = build(texts)
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(
            f"{args.source}: not in the format of WordNet 3.0's dict files "
            f"({type(error).__name__}: {error})."
        ) from error
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, compresslevel=9, mtime=0) as file:
        file.write(text.encode("utf-8"))
    write_text(args.out / "LICENSE", licence(texts["data.noun"]))
    with whole_file(args.out / "wordnet.txt.gz") as partial:
        partial.write_bytes(packed.getvalue())
    body = text[: text.index("%irregular")]
    synsets = body.count("\nn"), body.count("\na")
    print(
        f"{args.out / 'wordnet.txt.gz'}: {synsets[0]:,} noun and {synsets[1]:,} adjective synsets, "
        f"{len(packed.getvalue()) / 1e6:.2f} MB"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

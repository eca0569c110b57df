"""Make data/labels/vocabulary.json, words for common physical things, from RAM's list of tags.

apt-get download wordnet-base     # Debian, Ubuntu
python tools/dev/build_vocabulary.py ram_tag_list.txt wordnet-base_*.deb

The list is `ram/data/ram_tag_list.txt` of github.com/xinyu1205/recognize-anything. WordNet's
package says how often a meaning occurs. The same input gives the same file.
"""

import hashlib
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from build_wordnet_corpus import read_source

from negas.cli import user_errors
from negas.files import check_file, file_sha256, protect
from negas.labels.names import name_forms, name_key, read_names
from negas.labels.vocabulary import Vocabulary
from negas.labels.wordnet import THINGS, Synset, WordNet
from negas.options import Options, option

COUNTS = "cntlist.rev"
# What is no single thing that a box stands around: everything below these meanings (a word and its
# number in WordNet), unless it lies below one of EXCEPT, too. An aquarium is an area and a vessel.
NO_THINGS = {
    "place": (
        *(("structure", 1), ("facility", 1), ("location", 1), ("excavation", 3)),
        *(("area", 5), ("building", 1), ("building complex", 1), ("establishment", 4)),
        *(("housing", 1), ("floor", 2), ("stadium", 1), ("balcony", 1), ("balcony", 2)),
        *(("porch", 1), ("hangar", 1), ("defensive structure", 1), ("embankment", 1)),
    ),
    "way or surface": (
        *(("road", 1), ("access", 3), ("path", 2), ("passageway", 1), ("track", 3)),
        *(("surface", 1), ("horizontal surface", 1), ("side", 5), ("partition", 1), ("masonry", 1)),
    ),
    "fabric": (("fabric", 1),),
    "part of a body": (("body part", 1),),
}
ITSELF = (("structure", 1), ("surface", 1))  # of these only the word, not what lies below
EXCEPT = (("instrumentality", 3), ("covering", 2), ("plaything", 1), ("decoration", 1)) + (
    ("piece of cloth", 1),
)
# Why a word is gone, as the provenance says it.
ABSENT = "not a noun of WordNet"
OTHER = "its usual meaning is no artifact, food, animal or plant"
NAMED = "one named individual"
SPELLED = "another spelling of a word before it"
SAME = "another word for a meaning that a word before it has"


@dataclass(frozen=True)
class VocabularyOptions(Options):
    """Make data/labels/vocabulary.json from RAM's list of tags."""

    tags: Path = option(help="ram_tag_list.txt", positional=True)
    wordnet: Path = option(
        help="WordNet's .deb, or a folder with its dict files", positional=True, metavar="WORDNET"
    )
    out: Path = option(Path("data/labels/vocabulary.json"), help="file to write", output=True)


@dataclass(frozen=True)
class Thing:
    """A tag that names a thing.

    Attributes:
        word: the tag.
        synsets: its most frequent meanings that are things; more than one where equally frequent.
        count: how often the word has the first of them in WordNet's tagged texts.
        meanings: how many meanings the word has as a noun.
    """

    word: str
    synsets: tuple[Synset, ...]
    count: int
    meanings: int

    @property
    def order(self) -> tuple:
        """The most frequent first.

        Most words occur nowhere in the tagged texts: of these, words with more meanings, then those
        of fewer parts, are the more common ones. What is still equal is mixed, so that the first
        words of the list do not all begin with the same letter.
        """
        digest = hashlib.sha256(self.word.encode()).hexdigest()
        return -self.count, -self.meanings, len(self.word.split()), digest


class Judge:
    """Says what a tag means, or why it is left out."""

    def __init__(self, wordnet: WordNet, counts: Mapping[tuple[str, int], int]) -> None:
        self._wordnet = wordnet
        self._counts = counts
        self._itself = {self._root(*root) for root in ITSELF}
        self._except = {self._root(*root) for root in EXCEPT}
        self._no_things = {
            reason: {self._root(*root) for root in roots} for reason, roots in NO_THINGS.items()
        }

    def _root(self, word: str, number: int) -> str:
        """Id of a meaning."""
        for synset in self._wordnet.synsets(word):
            if (word, number) in zip(map(name_key, synset.lemmas), synset.senses, strict=True):
                return synset.id
        raise ValueError(f"WordNet has no meaning {number} of {word!r}; give WordNet 3.0")

    def _count(self, synset: Synset, forms: set[str]) -> int:
        """How often one of these forms has this meaning."""
        return max(
            self._counts.get((name_key(lemma), sense), 0)
            for lemma, sense in zip(synset.lemmas, synset.senses, strict=True)
            if name_key(lemma) in forms
        )

    def no_thing(self, synset: Synset) -> str:
        """Why this is no single thing, or an empty text."""
        above = set(self._wordnet.above([synset.id]))
        if above & self._except:
            return ""
        line = {synset.id} | (above - self._itself)
        return next((why for why, roots in self._no_things.items() if line & roots), "")

    def __call__(self, word: str) -> Thing | str:
        """The thing that a tag names, or why it is left out.

        Of a word's meanings the most frequent one counts. Where several are equally frequent
        (mostly because WordNet's texts have none of them) one of these is enough: "leopard" is a
        fur and an animal.
        """
        synsets = self._wordnet.synsets(word)
        if not synsets:
            return ABSENT
        forms = set(self._wordnet.base_forms(word))
        counts = [self._count(synset, forms) for synset in synsets]
        # the first one as well: plurals of their own ("glasses") stand there
        usual = [s for s, n in zip(synsets, counts, strict=True) if n == max(counts)]
        usual = [s for s in dict.fromkeys([synsets[0], *usual]) if s.file in THINGS]
        if not usual:
            return OTHER
        reasons = [NAMED if synset.instance_of else self.no_thing(synset) for synset in usual]
        if all(reasons):
            return reasons[0]
        things = tuple(s for s, reason in zip(usual, reasons, strict=True) if not reason)
        return Thing(word, things, self._count(things[0], forms), len(synsets))


def choose(tags: Iterable[str], judge: Judge) -> tuple[list[Thing], dict[str, list[str]]]:
    """The things that the tags name, in the order of the list, and the other tags by reason."""
    gone: dict[str, list[str]] = {}
    things = []
    for tag in tags:
        verdict = judge(tag)
        if isinstance(verdict, Thing):
            things.append(verdict)
        else:
            gone.setdefault(verdict, []).append(tag)
    # of several words for one thing the one that WordNet names first stays
    things.sort(key=lambda thing: (thing.order[0], _place(thing), thing.order))
    forms: set[str] = set()
    taken: set[str] = set()
    kept = []
    for thing in things:
        spelled = name_forms(thing.word)
        free = tuple(synset for synset in thing.synsets if synset.id not in taken)
        if spelled & forms or not free:
            gone.setdefault(SPELLED if spelled & forms else SAME, []).append(thing.word)
            continue
        forms |= spelled
        taken.add(free[0].id)
        kept.append(replace(thing, synsets=free))
    return sorted(kept, key=lambda thing: thing.order), gone


def _place(thing: Thing) -> int:
    """Place of the word among those of its meaning."""
    lemmas = [name_key(lemma) for lemma in thing.synsets[0].lemmas]
    return lemmas.index(name_key(thing.word)) if name_key(thing.word) in lemmas else len(lemmas)


def read_counts(text: str) -> dict[tuple[str, int], int]:
    """(noun, number of its meaning) -> how often it was found in tagged texts."""
    counts = {}
    for key, number, count in re.findall(r"^(\S+)%1:\S+ (\d+) (\d+)$", text, re.MULTILINE):
        counts[key.replace("_", " "), int(number)] = int(count)
    if not counts:
        raise ValueError(f"{COUNTS} holds no count of a noun; give WordNet 3.0's dict files")
    return counts


def provenance(options: VocabularyOptions, things: list[Thing], gone: dict, total: int) -> dict:
    """Where the words are from, and what was taken out."""
    kinds = Counter(thing.synsets[0].file for thing in things)
    return {
        "source": "ram/data/ram_tag_list.txt of github.com/xinyu1205/recognize-anything, "
        f"{total} tags",
        "source_sha256": file_sha256(options.tags),
        "licence": "Apache-2.0 (Copyright the authors of Recognize Anything), changed by selection "
        "and order; data/labels/vocabulary.NOTICE.txt",
        "command": "python tools/dev/build_vocabulary.py ram_tag_list.txt wordnet-base_*.deb",
        "kept": "tags whose most frequent meaning in WordNet 3.0 (of equally frequent ones: one) "
        "is an artifact, food, animal or plant by its lexicographer file, and a single thing",
        "order": "how often WordNet's tagged texts have the word in this meaning (cntlist.rev, "
        "Princeton licence), then number of meanings, number of words, SHA-256 of the word. "
        "wordfreq knows more words, but its data are CC BY-SA, which an order made from them may "
        "inherit",
        "counts": {
            "words": len(things),
            **{kind.partition(".")[2]: kinds[kind] for kind in THINGS},
            "found_in_tagged_texts": sum(thing.count > 0 for thing in things),
        },
        "taken_out": {why: len(words) for why, words in gone.items()},
        "taken_out_words": {
            why: words for why, words in gone.items() if why not in (ABSENT, OTHER)
        },
    }


@user_errors
def main() -> int:
    args = VocabularyOptions.parse()
    protect(args.tags)
    if args.wordnet.is_dir():
        protect(*args.wordnet.iterdir())
    check_file(args.out, "--out")
    tags = read_names(str(args.tags), "tags")
    counts = read_counts(read_source(args.wordnet, [COUNTS])[COUNTS])
    things, gone = choose(tags, Judge(WordNet.load(), counts))
    words = tuple(thing.word for thing in things)
    Vocabulary(words, provenance(args, things, gone, len(tags))).save(args.out)
    print(f"{args.out}: {len(words):,} of {len(tags):,} tags")
    for why, some in gone.items():
        print(f"  left out: {len(some)} ({why})")
    return 0


if __name__ == "__main__":
    sys.exit(main())

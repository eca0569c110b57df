"""Candidate words from WordNet: what is in, in which order, and their features."""

import numpy as np
import pytest

from negas.labels.corpus import CSP_EXCLUDED, Corpus, corpus_features, is_clean, load_corpus
from negas.labels.wordnet import Synset, WordNet


@pytest.fixture(scope="module")
def wordnet():
    return WordNet.load()


@pytest.fixture(scope="module")
def corpus(wordnet):
    return load_corpus(wordnet=wordnet)


def tiny(*rows):
    """A lexicon of (id, file, words)."""
    return WordNet([Synset(i, f, tuple(w), (1,) * len(w)) for i, f, w in rows], {})


def test_size_of_the_released_selection(corpus):
    # NegLabel's released list: 58,546 nouns and 11,454 adjectives that are not nouns
    assert (len(corpus.of("noun")), len(corpus.of("adj"))) == (58514, 12280)
    assert len(set(corpus.words)) == len(corpus) == len(corpus.parts)
    assert corpus.parts.index("adj") == 58514 and "noun" not in corpus.parts[58514:]


def test_words_of_the_released_selection(corpus):
    words = set(corpus.words)
    released = "yellow clintonia, genus caladenia, empire state building, st.-bruno's-lily, kremlin"
    assert words.issuperset(released.split(", "))
    assert "bus" in words and "autobus" not in words  # synonyms are left out
    assert not words & {"zebra", "beagle", "pizza", "Kremlin"}


def test_other_selections(wordnet, corpus):
    everything = load_corpus(exclude_files=(), lemmas="all", wordnet=wordnet)
    assert {"zebra", "pizza", "autobus"} <= set(everything.words)
    fewer = load_corpus(exclude_files=CSP_EXCLUDED, wordnet=wordnet)
    assert len(fewer) == 57493 and "plumber" in corpus.words and "plumber" not in fewer.words
    assert set(load_corpus(("adj",), wordnet=wordnet).parts) == {"adj"}
    assert load_corpus(("adj", "noun"), wordnet=wordnet) == corpus


def test_order_and_repeats():
    wordnet = tiny(
        ("n3", "noun.plant", ["Rose", "rosebush"]),
        ("a1", "adj.all", ["light"]),
        ("a2", "adj.all", ["rosy"]),
        ("n1", "noun.act", ["light"]),
        ("n2", "noun.act", ["rose"]),
        ("n4", "noun.food", ["bread"]),
    )
    assert load_corpus(wordnet=wordnet) == Corpus(
        ("light", "rose", "rosy"), ("noun", "noun", "adj")
    )
    assert load_corpus(wordnet=wordnet, drop=["ROSE", "Rosy"]).words == ("light",)
    assert "rosebush" in load_corpus(wordnet=wordnet, lemmas="all").words


def test_clean_leaves_out_debris(wordnet, corpus):
    kept = set(load_corpus(clean=True, wordnet=wordnet).words)
    gone = [word for word in corpus.words if word not in kept]
    assert {"war of 1812", "vitamin b6", "d"} <= set(gone) and len(gone) == 94
    assert all(map(is_clean, ["o'clock", "mouse-ear hawkweed", "st. elias", "éclair"]))
    assert not any(map(is_clean, ["[terminal", 'k2"', '1750"s', "24/7", "x", ""]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": ("verb",)}, "parts must be some of noun, adj, got"),
        ({"parts": ()}, "parts must be some of"),
        (
            {"exclude_files": ("noun.pet",)},
            "exclude_files names no file of WordNet with 'noun.pet'",
        ),
        ({"lemmas": "second"}, "lemmas must be 'first' or 'all', got 'second'"),
        ({"drop": ["rose"]}, "the corpus is empty"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        load_corpus(wordnet=tiny(("n1", "noun.act", ["rose"])), **options)


def test_features_with_sentences_per_part():
    corpus = Corpus(("cat", "dog", "red"), ("noun", "noun", "adj"))
    asked = []

    def features(words, templates):
        asked.append((words, tuple(templates)))
        return np.full((len(words), 2), len(asked), np.float32)

    templates = {"noun": ["the nice {}"], "adj": ["This is a {} photo"]}
    assert corpus_features(corpus, features, templates).tolist() == [[1, 1], [1, 1], [2, 2]]
    assert asked == [(["cat", "dog"], ("the nice {}",)), (["red"], ("This is a {} photo",))]
    with pytest.raises(ValueError, match="templates has no sentence for 'adj'"):
        corpus_features(corpus, features, {"noun": ["{}"]})

"""The shipped lexicon: look-up, plurals, relations, names, damaged files."""

import gzip

import pytest

from negas.labels.wordnet import FORMAT, WordNet


@pytest.fixture(scope="module")
def wordnet():
    return WordNet.load()


def test_holds_all_of_wordnet(wordnet):
    assert len(wordnet) == 82115 + 18156
    entity = wordnet.by_id["n00001740"]
    assert entity.lemmas == ("entity",) and entity.file == "noun.Tops" and not entity.hypernyms
    assert "zebra" in wordnet and "gaudy" in wordnet and "qwxyz" not in wordnet


@pytest.mark.parametrize(
    ("word", "forms"),
    [
        ("Dogs", ["dog"]),
        ("glasses", ["glasses", "glass"]),
        ("mice", ["mouse"]),
        ("wolves", ["wolf"]),
        ("axes", ["ax", "axis", "axe"]),
        ("gas", ["gas"]),
        ("bus", ["bus"]),
        ("wine  glasses", ["wineglass"]),
        ("fire_hydrants", ["fire hydrant"]),
        ("snow-flake", ["snowflake"]),
        ("T-Shirts", ["t-shirt"]),
        ("qwxyz", []),
        ("", []),
    ],
)
def test_base_forms(wordnet, word, forms):
    assert sorted(wordnet.base_forms(word)) == sorted(forms)


def test_meanings_come_in_the_order_of_frequency(wordnet):
    first, *others = wordnet.synsets("dog")
    assert first.id == "n02084071" and "Canis familiaris" in first.lemmas and len(others) == 6
    assert wordnet.synsets("dog", senses=1) == [first]
    assert {s.file for s in wordnet.synsets("dead", part="adj")} <= {"adj.all", "adj.pert"}
    both = wordnet.synsets("dead", part=None)
    assert set(both) == {*wordnet.synsets("dead"), *wordnet.synsets("dead", part="adj")}
    with pytest.raises(ValueError, match="part must be 'noun', 'adj' or None, got 'verb'"):
        wordnet.synsets("run", part="verb")


def test_meanings_above_and_below(wordnet):
    def words(reach, word, senses=None):
        ids = reach(synset.id for synset in wordnet.synsets(word, senses=senses))
        return [lemma for id_ in ids for lemma in wordnet.by_id[id_].lemmas]

    up = words(wordnet.above, "puppy", senses=1)
    assert up[-1] == "entity" and "puppy" not in up
    assert set(up[:5]) == {"pup", "whelp", "dog", "domestic dog", "Canis familiaris"}
    down = words(wordnet.below, "dogs", senses=1)
    assert "puppy" in down and down.index("puppy") < down.index("beagle") and "dog" not in down
    assert "Paris" in words(wordnet.below, "national capital")
    assert words(wordnet.above, "entity") == [] == words(wordnet.below, "qwxyz")


def test_proper_nouns(wordnet):
    names = "Paris, Nile, eiffel tower, Frisbee, NATO, de Kooning, Sunday, German, Sahara"
    things = "turkey, china, dog, TV, T-shirt, Great Dane, dalmatian, Windsor chair, C-clamp, qwxyz"
    assert [w for w in names.split(", ") if not wordnet.is_proper_noun(w)] == []
    assert [w for w in things.split(", ") if wordnet.is_proper_noun(w)] == []


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no WordNet lexicon; it comes with negas"):
        WordNet.load(tmp_path / "none.gz")
    whole = gzip.compress(
        f"{FORMAT}\n# x\n%synsets\nn1\tnoun.Tops\tdog=1\t\t\n%irregular\n".encode()
    )
    path = tmp_path / "words.gz"
    path.write_bytes(whole)
    assert [s.lemmas for s in WordNet.load(path).synsets("dogs")] == [("dog",)]
    for bad in (
        whole[:-9],
        b"text",
        gzip.compress(b"text"),
        gzip.compress(f"{FORMAT}\nx".encode()),
    ):
        path.write_bytes(bad)
        with pytest.raises(ValueError, match="not a WordNet lexicon of this version") as caught:
            WordNet.load(path)
        assert "\n" not in str(caught.value)

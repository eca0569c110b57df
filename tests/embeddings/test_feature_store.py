"""Embeddings on disk: encoded once, resumed after a stop, made again when damaged."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from negas.embeddings.store import TextFeatureStore
from tests.helpers.memory import PEAK_KIB

CLIP = Path(__file__).parents[2] / "data" / "emoji_world" / "tiny_clip"
WORDS = [f"word {i}" for i in range(23)]


class Encoder:
    """Embeddings that depend on the text alone; may stop at one text."""

    def __init__(self, stop_at=None):
        self.stop_at, self.texts = stop_at, []

    def __call__(self, texts):
        if self.stop_at in texts:
            raise KeyboardInterrupt
        self.texts += texts
        seeds = [sum(map(ord, text)) * len(text) for text in texts]
        rows = [torch.randn(6, generator=torch.Generator().manual_seed(s)) for s in seeds]
        return torch.stack(rows)


def store(root, encode, model="tiny", **options):
    return TextFeatureStore(root, encode, model, **{"batch_size": 4, "piece": 10} | options)


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_encodes_once(tmp_path):
    encode = Encoder()
    first = store(tmp_path, encode).features(WORDS)
    assert first.shape == (23, 6) and first.dtype == np.float32 and encode.texts == WORDS
    expected = torch.nn.functional.normalize(Encoder()(WORDS), dim=1)
    np.testing.assert_allclose(first, expected, 0, 1e-6)
    again = store(tmp_path, Encoder(stop_at="word 3")).features(WORDS)
    assert (first == again).all() and isinstance(again, np.memmap)
    assert files(store(tmp_path, encode).folder(WORDS)) == ["features.npy"]


def test_goes_on_after_a_stop(tmp_path):
    whole = store(tmp_path / "whole", Encoder()).features(WORDS)
    with pytest.raises(KeyboardInterrupt):
        store(tmp_path, Encoder(stop_at="word 21")).features(WORDS)
    folder = store(tmp_path, Encoder()).folder(WORDS)
    assert files(folder) == ["piece-00000.npy", "piece-00001.npy"]
    encode = Encoder()
    assert (store(tmp_path, encode).features(WORDS) == whole).all()
    assert encode.texts == WORDS[20:]


def test_damaged_files_are_made_again(tmp_path):
    whole = np.array(store(tmp_path, Encoder()).features(WORDS))
    path = store(tmp_path, Encoder()).folder(WORDS) / "features.npy"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.warns(UserWarning, match=r"features\.npy is damaged .* is made again"):
        assert (store(tmp_path, Encoder()).features(WORDS) == whole).all()
    with pytest.raises(KeyboardInterrupt):
        store(tmp_path / "b", Encoder(stop_at="word 21")).features(WORDS)
    piece = store(tmp_path / "b", Encoder()).folder(WORDS) / "piece-00000.npy"
    for bad in (b"", piece.read_bytes()[:100]):
        piece.write_bytes(bad)
        encode = Encoder(stop_at="word 21")
        with pytest.warns(UserWarning, match="is damaged"), pytest.raises(KeyboardInterrupt):
            store(tmp_path / "b", encode).features(WORDS)
        assert encode.texts == WORDS[:10]
    assert (store(tmp_path / "b", Encoder()).features(WORDS) == whole).all()


def test_never_reads_pickles(tmp_path):
    folder = store(tmp_path, Encoder()).folder(WORDS)
    folder.mkdir(parents=True)
    np.save(folder / "features.npy", np.array([{"a": 1}] * 23, dtype=object), allow_pickle=True)
    with pytest.warns(UserWarning, match="is damaged"):
        assert store(tmp_path, Encoder()).features(WORDS).shape == (23, 6)


def test_model_words_and_sentences_are_part_of_the_key(tmp_path):
    a, b = store(tmp_path, Encoder()), store(tmp_path, Encoder(), model="other")
    folders = [
        a.folder(WORDS),
        b.folder(WORDS),
        a.folder(WORDS[::-1]),
        a.folder(WORDS[:-1]),
        a.folder(WORDS, ["a {}"]),
        a.folder(WORDS, ["a {}", "the {}"]),
    ]
    assert len(set(folders)) == 6 and not any(folder.exists() for folder in folders)


def test_several_sentences_are_averaged_before_normalising(tmp_path):
    sentences = ["a {}", "the {} there"]
    found = store(tmp_path, Encoder()).features(["cat", "{}", "dog"], sentences)
    parts = [Encoder()([s.replace("{}", w) for w in ["cat", "{}", "dog"]]) for s in sentences]
    mean = torch.stack(parts).mean(dim=0)
    np.testing.assert_allclose(found, torch.nn.functional.normalize(mean, dim=1), 0, 1e-6)


def test_calls_are_no_larger_than_the_batch(tmp_path):
    sizes = []

    def encode(texts):
        sizes.append(len(texts))
        return torch.ones(len(texts), 2)

    store(tmp_path, encode, batch_size=9).features(WORDS, ["{}", "a {}"])
    assert max(sizes) == 8 and sum(sizes) == 2 * len(WORDS)


@pytest.mark.parametrize(
    ("encode", "message"),
    [
        (lambda texts: torch.ones(len(texts)), "the encoder returned [4] for 4 texts"),
        (lambda texts: torch.ones(1, 3), "the encoder returned [1, 3] for 4 texts"),
        (lambda texts: torch.full((len(texts), 3), torch.nan), "or zero values for 'word 0'"),
        (lambda texts: torch.zeros(len(texts), 3), "or zero values for 'word 0'"),
    ],
)
def test_bad_encoders(tmp_path, encode, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        store(tmp_path, encode).features(WORDS)
    assert not list(tmp_path.rglob("*.npy"))


def test_bad_input(tmp_path):
    good = store(tmp_path, Encoder())
    for words, templates, message in (
        ([], ["{}"], "words is empty"),
        (["a"], [], "templates is empty"),
        (["a"], ["a photo"], "must contain exactly one"),
    ):
        with pytest.raises(ValueError, match=message):
            good.features(words, templates)
    with pytest.raises(ValueError, match="model is empty"):
        store(tmp_path, Encoder(), model="")
    with pytest.raises(ValueError, match="batch_size and piece must be >= 1, got 0 and 10"):
        store(tmp_path, Encoder(), batch_size=0)


def test_with_the_tiny_clip(tmp_path):
    from transformers import AutoTokenizer, CLIPTextModelWithProjection

    from negas.embeddings import encode_labels

    tower = CLIPTextModelWithProjection.from_pretrained(CLIP).float().eval()
    tokenizer = AutoTokenizer.from_pretrained(CLIP)

    def encode(texts):
        return encode_labels(tower, tokenizer, texts, template="{}", normalize=False)

    words = ["dog", "wolf", "teapot", "red apple"]
    found = store(tmp_path, encode, batch_size=2).features(words, ["a photo of {}"])
    with torch.no_grad():
        expected = encode_labels(tower, tokenizer, words, template="a photo of {}")
    np.testing.assert_allclose(found, expected, 0, 1e-5)


_CORPUS_RUN = f"""{PEAK_KIB}
import sys
import numpy as np, torch
from negas.labels.selection.neglabel import select_neglabel
from negas.embeddings.store import TextFeatureStore

draw = torch.Generator().manual_seed(0)
encode = lambda texts: torch.randn(len(texts), 512, generator=draw)
feats = TextFeatureStore(sys.argv[1], encode, "m").features([f"w{{i}}" for i in range(70_000)])
ids = np.random.default_rng(0).standard_normal((100, 512))
print(len(select_neglabel(feats, ids)), peak_kib())
"""


@pytest.mark.slow
def test_a_corpus_of_70_000_words_needs_under_2_gb(tmp_path):
    command = [sys.executable, "-c", _CORPUS_RUN, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    count, kilobytes = map(int, done.stdout.split())
    assert count == 10_500 and kilobytes < 2_000_000

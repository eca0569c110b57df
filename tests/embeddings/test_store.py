"""The feature store: encoded once, resumed after a stop, made again when damaged."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from negas.embeddings.encoders import build_encoder
from negas.embeddings.images import ImageItem
from negas.embeddings.store import (
    FeatureStore,
    encode_images,
    encode_texts,
)
from negas.embeddings.tensor_file import read_tensors, write_tensors
from tests.helpers.memory import PEAK_KIB

WORDS = [f"word {i}" for i in range(23)]


def stored(root):
    return sorted(root.rglob("*.safetensors"))


# Texts


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


def words(root, encode=None, texts=WORDS, model="tiny", **options):
    options = {"batch_size": 4, "chunk": 10} | options
    return encode_texts(encode or Encoder(), texts, model, root, **options)


def test_texts_are_encoded_once(tmp_path):
    encode = Encoder()
    first = words(tmp_path, encode)
    assert first.shape == (23, 6) and first.dtype == np.float32 and encode.texts == WORDS
    expected = torch.nn.functional.normalize(Encoder()(WORDS), dim=1)
    np.testing.assert_allclose(first, expected, 0, 1e-6)
    assert (words(tmp_path, Encoder(stop_at="word 3")) == first).all()
    assert len(stored(tmp_path)) == 3
    assert (words(None) == first).all()


def test_texts_go_on_after_a_stop(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        words(tmp_path, Encoder(stop_at="word 21"))
    assert len(stored(tmp_path)) == 2 == sum(path.is_file() for path in tmp_path.rglob("*"))
    encode = Encoder()
    assert (words(tmp_path, encode) == words(None)).all()
    assert encode.texts == WORDS[20:]


def pickled(path):
    np.save(path.with_suffix(".npy"), np.array([{"a": 1}] * 23, dtype=object), allow_pickle=True)
    os.replace(path.with_suffix(".npy"), path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-5]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:100]),
        pickled,
        lambda path: save_file({"feats": torch.ones(10, 6)}, path),
        lambda path: write_tensors(path, {"feats": torch.ones(10, 6)}, {"broken": {}}),
        lambda path: write_tensors(path, {"feats": torch.ones(10, 6)}, {}),
        lambda path: write_tensors(
            path, {"feats": torch.ones(7, 6), "index": torch.arange(7)}, {"broken": {}}
        ),
    ],
)
def test_a_damaged_file_is_made_again(tmp_path, capsys, spoil):
    whole = words(tmp_path)
    path = FeatureStore(tmp_path, "tiny").path("texts", tuple(WORDS[:10]))
    spoil(path)
    capsys.readouterr()
    encode = Encoder()
    assert (words(tmp_path, encode) == whole).all() and encode.texts == WORDS[:10]
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and str(path) in said and "damaged" in said


def test_files_of_another_width_are_one_sentence(tmp_path):
    words(tmp_path)
    path = FeatureStore(tmp_path, "tiny").path("texts", tuple(WORDS[:10]))
    tensors, about = read_tensors(path)
    write_tensors(path, tensors | {"feats": torch.ones(10, 5)}, about)
    with pytest.raises(ValueError, match="have 5 and 6 channels; delete the folder"):
        words(tmp_path)


def test_model_and_items_are_part_of_the_name(tmp_path):
    a, b = FeatureStore(tmp_path, "tiny"), FeatureStore(tmp_path, "other")
    paths = [a.path("texts", ("x", "y")), b.path("texts", ("x", "y")), a.path("texts", ("y", "x"))]
    paths += [a.path("texts", ("x",)), a.path("images", ("x", "y"))]
    assert len(set(paths)) == 5 and not any(path.parent.exists() for path in paths)


def test_calls_are_no_larger_than_the_batch(tmp_path):
    sizes = []

    def encode(texts):
        sizes.append(len(texts))
        return torch.ones(len(texts), 2)

    words(tmp_path, encode, batch_size=8)
    assert max(sizes) == 8 and sum(sizes) == len(WORDS)


def test_a_batch_holds_texts_of_about_one_length_and_the_order_stays(tmp_path):
    texts = ["a long name of a thing", "b", "another long name", "cc", "c", "a middle one"]
    encode = Encoder()
    found = words(None, encode, texts, batch_size=3)
    assert set(encode.texts[:3]) == {"b", "cc", "c"}
    want = torch.nn.functional.normalize(Encoder()(texts), dim=1)
    np.testing.assert_allclose(found, want, 0, 1e-6)


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
        words(tmp_path, encode)
    assert not stored(tmp_path)


def test_bad_input(tmp_path):
    for options, message in (
        ({"texts": []}, "there is no text to encode"),
        ({"model": ""}, "model is empty"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"chunk": 0}, "chunk must be at least 1, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            words(tmp_path, **options)


_CORPUS_RUN = f"""{PEAK_KIB}
import sys
import numpy as np, torch
from negas.labels.selection.neglabel import select_neglabel
from negas.embeddings.store import encode_texts

draw = torch.Generator().manual_seed(0)
encode = lambda texts: torch.randn(len(texts), 512, generator=draw)
feats = encode_texts(encode, [f"w{{i}}" for i in range(70_000)], "m", sys.argv[1])
ids = np.random.default_rng(0).standard_normal((100, 512))
print(len(select_neglabel(feats, ids)), peak_kib())
"""


@pytest.mark.slow
def test_a_corpus_of_70_000_words_needs_under_2_gb(tmp_path):
    command = [sys.executable, "-c", _CORPUS_RUN, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    count, kilobytes = map(int, done.stdout.split())
    assert count == 10_500 and kilobytes < 2_000_000


# Images and crops


@pytest.fixture(scope="module")
def encoder(encoder_dir):
    return build_encoder(encoder_dir("clip"), batch_size=2)


@pytest.fixture
def files(pictures, tmp_path):
    paths = []
    for i in range(11):
        paths.append(tmp_path / "images" / f"{i}.png")
        paths[-1].parent.mkdir(exist_ok=True)
        pictures[i % len(pictures)].rotate(i).save(paths[-1])
    return paths


@pytest.fixture(params=["images", "crops"])
def items(request, files):
    """Eleven images, or eleven crops out of six of them."""
    if request.param == "images":
        return [ImageItem(str(path)) for path in files]
    boxes = [(0, 0, 8, 9), (1, 2, 9, 14)]
    return [ImageItem(str(path), box) for path in files for box in boxes][:11]


@pytest.fixture
def counted(encoder, monkeypatch):
    """The encoder, and how many images it has encoded."""
    seen = []
    encode = type(encoder)._encode_pixels
    monkeypatch.setattr(
        type(encoder),
        "_encode_pixels",
        lambda self, pixels: seen.append(len(pixels)) or encode(self, pixels),
    )
    return encoder, seen


def test_equal_to_plain_encoding_and_reused(counted, items, tmp_path):
    encoder, seen = counted
    plain = encoder.images([item.load() for item in items])
    first = encode_images(encoder, items, tmp_path / "c", chunk=4)
    torch.testing.assert_close(first.feats, plain, rtol=0, atol=1e-6)
    assert torch.equal(first.index, torch.arange(11)) and not first.broken
    seen.clear()
    second = encode_images(encoder, items, tmp_path / "c", chunk=4)
    assert torch.equal(first.feats, second.feats) and seen == []
    again = encode_images(encoder, items, None).feats
    torch.testing.assert_close(again, first.feats, rtol=0, atol=1e-6)


def test_a_killed_run_goes_on(counted, items, tmp_path, monkeypatch):
    encoder, seen = counted
    encode = type(encoder)._encode_pixels

    def killed(self, pixels):
        if sum(seen) >= 6:
            raise KeyboardInterrupt
        return encode(self, pixels)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(type(encoder), "_encode_pixels", killed)
        encode_images(encoder, items, tmp_path / "c", chunk=4)
    assert len(stored(tmp_path / "c")) == 1 and not list(tmp_path.rglob(".*.tmp"))
    seen.clear()
    result = encode_images(encoder, items, tmp_path / "c", chunk=4)
    assert sum(seen) == 7
    plain = encoder.images([item.load() for item in items])
    torch.testing.assert_close(result.feats, plain, rtol=0, atol=1e-6)


def test_what_changes_the_features_makes_them_anew(counted, files, tmp_path):
    encoder, seen = counted
    first = encode_images(encoder, files, tmp_path / "c", chunk=4)
    seen.clear()
    files[5].write_bytes(files[7].read_bytes())
    changed = encode_images(encoder, files, tmp_path / "c", chunk=4)
    assert sum(seen) == 4  # the chunk of that file
    torch.testing.assert_close(changed.feats[5], first.feats[7], rtol=0, atol=1e-6)
    seen.clear()
    os.utime(files[0], ns=(1, 1))
    encode_images(encoder, files, tmp_path / "c", chunk=4)
    assert sum(seen) == 4
    seen.clear()
    usual = encoder.preprocess
    encoder.preprocess = replace(usual, resize=48)
    try:
        other = encode_images(encoder, files, tmp_path / "c", chunk=4)
    finally:
        encoder.preprocess = usual
    assert sum(seen) == 11
    assert not torch.allclose(other.feats, changed.feats, atol=1e-3)
    seen.clear()
    encode_images(encoder, list(reversed(files)), tmp_path / "c", chunk=4)
    assert sum(seen) == 11  # the order is part of the list


def test_boxes_are_part_of_the_name(counted, files, tmp_path):
    encoder, seen = counted
    crops = [ImageItem(str(path), (0, 0, 20, 20)) for path in files[:8]]
    encode_images(encoder, crops, tmp_path / "c", chunk=4)
    moved = [*crops[:-1], replace(crops[-1], box=(0, 0, 60, 40))]
    seen.clear()
    encode_images(encoder, moved, tmp_path / "c", chunk=4)
    assert sum(seen) == 4
    seen.clear()
    encode_images(encoder, [ImageItem(one.path) for one in crops], tmp_path / "c", chunk=4)
    assert sum(seen) == 8


def test_files_share_what_is_stored_of_whole_images(counted, files, tmp_path):
    encoder, seen = counted
    first = encode_images(encoder, files, tmp_path / "c")
    seen.clear()
    items = [ImageItem(str(path)) for path in files]
    assert torch.equal(encode_images(encoder, items, tmp_path / "c").feats, first.feats)
    assert seen == []


def test_a_corrupt_image_costs_itself_only(counted, files, tmp_path, capsys):
    encoder, seen = counted
    whole = encoder.images(files)
    files[5].write_bytes(files[5].read_bytes()[:70])
    files[6].unlink()
    result = encode_images(encoder, files, tmp_path / "c", chunk=4)
    assert sorted(result.broken) == [5, 6]
    assert str(files[5]) in result.broken[5] and "not a readable image" in result.broken[5]
    assert "no such image" in result.broken[6]
    rest = [i for i in range(11) if i not in (5, 6)]
    assert result.index.tolist() == rest
    torch.testing.assert_close(result.feats, whole[rest], rtol=0, atol=1e-6)
    assert capsys.readouterr().out.count("left out:") == 2
    seen.clear()
    again = encode_images(encoder, files, tmp_path / "c", chunk=4)
    assert again.broken == result.broken and seen == []


def test_crops_that_cannot_be_had_are_left_out(encoder, files, tmp_path, capsys):
    boxes = [(0, 0, 20, 20), (10, 5, 50, 30)]
    items = [ImageItem(str(path), box) for path in files[:4] for box in boxes]
    files[1].write_bytes(b"no image")
    items[5] = replace(items[5], box=(500, 500, 600, 600))
    found = encode_images(encoder, items, tmp_path / "c", chunk=4)
    assert found.index.tolist() == [0, 1, 4, 6, 7] and set(found.broken) == {2, 3, 5}
    assert items[2].path in found.broken[3] and "has no area" in found.broken[5]
    lines = capsys.readouterr().out.splitlines()
    assert sum(items[2].path in line for line in lines) == 1  # once per file, not per crop
    assert encode_images(encoder, items, tmp_path / "c", chunk=4).broken == found.broken
    with pytest.raises(ValueError, match="none of the 2 crops can be read"):
        encode_images(encoder, items[2:4])


def test_nothing_to_encode(encoder, tmp_path):
    with pytest.raises(ValueError, match="no image to encode"):
        encode_images(encoder, [])
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(ValueError, match=r"none of the 2 images can be read; the first: .*a\.png"):
        encode_images(encoder, [tmp_path / "a.png", tmp_path / "b.png"])


@pytest.mark.parametrize("of", ["other items", "another encoder", "fewer rows", "another number"])
def test_a_file_that_is_not_what_was_written_is_made_again(tmp_path, capsys, of):
    whole = words(tmp_path)
    store = FeatureStore(tmp_path, "tiny")
    path, later = (store.path("texts", tuple(part)) for part in (WORDS[:10], WORDS[10:20]))
    if of == "other items":
        path.write_bytes(later.read_bytes())
    elif of == "another encoder":
        encode_texts(Encoder(), [w + "!" for w in WORDS], "other", tmp_path, chunk=10)
        foreign = FeatureStore(tmp_path, "other").folder
        path.write_bytes(next(foreign.glob("*.safetensors")).read_bytes())
    else:
        with safe_open(str(path), framework="pt") as file:
            metadata, feats = file.metadata(), file.get_tensor("feats")
        index = torch.arange(10)
        if of == "fewer rows":  # and as many said to be broken
            about = json.loads(metadata["about"]) | {"broken": {"9": "lost"}}
            metadata, feats, index = metadata | {"about": json.dumps(about)}, feats[:9], index[:9]
        else:
            feats = feats + torch.eye(10, 6)
        save_file({"feats": feats, "index": index}, path, metadata=metadata)
    capsys.readouterr()
    encode = Encoder()
    assert (words(tmp_path, encode) == whole).all() and encode.texts == WORDS[:10]
    assert "damaged" in capsys.readouterr().out

"""Features of crops on disk: reuse, resumption, damage, and images that cannot be read."""

import pytest
import torch

from negas.embeddings.encoders import build_encoder
from negas.embeddings.images import ImageItem
from negas.embeddings.store import encode_items


@pytest.fixture(scope="module")
def encoder(encoder_dir):
    return build_encoder(encoder_dir("clip"), batch_size=2)


@pytest.fixture
def items(pictures, tmp_path):
    found = []
    for i in range(4):
        path = tmp_path / f"{i}.png"
        pictures[0].rotate(i).save(path)
        found += [ImageItem(str(path), (0, 0, 20, 20)), ImageItem(str(path), (10, 5, 50, 30))]
    return found


@pytest.fixture
def counted(encoder, monkeypatch):
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
    first = encode_items(encoder, items, tmp_path / "c", chunk=3)
    torch.testing.assert_close(first.feats, plain, rtol=0, atol=1e-6)
    assert torch.equal(first.index, torch.arange(8)) and first.reused == 0
    seen.clear()
    second = encode_items(encoder, items, tmp_path / "c", chunk=3)
    assert torch.equal(first.feats, second.feats) and seen == [] and second.reused == 3
    moved = [*items[:-1], ImageItem(items[-1].path, (0, 0, 60, 40))]
    assert encode_items(encoder, moved, tmp_path / "c", chunk=3).reused == 2
    again = encode_items(encoder, items, None).feats
    torch.testing.assert_close(again, first.feats, rtol=0, atol=1e-6)


def test_whole_images_share_the_cache_of_files(counted, items, tmp_path):
    encoder, seen = counted
    whole = [ImageItem(item.path) for item in items[::2]]
    first = encode_items(encoder, whole, tmp_path / "c")
    seen.clear()
    assert torch.equal(encode_items(encoder, whole, tmp_path / "c").feats, first.feats)
    assert seen == []


def test_a_killed_run_goes_on(counted, items, tmp_path, monkeypatch):
    encoder, seen = counted
    encode = type(encoder)._encode_pixels

    def killed(self, pixels):
        if sum(seen) >= 4:
            raise KeyboardInterrupt
        return encode(self, pixels)

    with monkeypatch.context() as patch:
        patch.setattr(type(encoder), "_encode_pixels", killed)
        with pytest.raises(KeyboardInterrupt):
            encode_items(encoder, items, tmp_path / "c", chunk=2)
    assert encode_items(encoder, items, tmp_path / "c", chunk=2).reused == 2


def test_a_truncated_cache_is_made_again(encoder, items, tmp_path, capsys):
    first = encode_items(encoder, items, tmp_path / "c", chunk=4)
    for file in (tmp_path / "c").rglob("crops-*.safetensors"):
        file.write_bytes(file.read_bytes()[:50])
    again = encode_items(encoder, items, tmp_path / "c", chunk=4)
    assert torch.equal(first.feats, again.feats) and again.reused == 0
    assert "is damaged" in capsys.readouterr().out


def test_unreadable_images_and_boxes_are_left_out(encoder, items, tmp_path, capsys):
    with open(items[2].path, "wb") as file:
        file.write(b"no image")
    items[5] = ImageItem(items[5].path, (500, 500, 600, 600))
    found = encode_items(encoder, items, tmp_path / "c", chunk=4)
    assert found.index.tolist() == [0, 1, 4, 6, 7] and set(found.broken) == {2, 3, 5}
    assert items[2].path in found.broken[3] and "has no area" in found.broken[5]
    lines = capsys.readouterr().out.splitlines()
    assert sum(items[2].path in line for line in lines) == 1  # once per file, not per crop
    assert encode_items(encoder, items, tmp_path / "c", chunk=4).broken == found.broken
    bad = [items[2], items[3]]
    with pytest.raises(ValueError, match="none of the 2 crops can be read"):
        encode_items(encoder, bad)

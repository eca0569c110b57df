"""Features on disk: reuse, resumption, damage, and files that cannot be read."""

import os
from dataclasses import replace

import pytest
import torch

from negas.embeddings.encoders import build_encoder
from negas.embeddings.store import encode_files


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


def test_equal_to_plain_encoding_and_reused(counted, files, tmp_path):
    encoder, seen = counted
    plain = encoder.images(files)
    first = encode_files(encoder, files, tmp_path / "cache", chunk=4)
    assert torch.equal(first.index, torch.arange(11)) and not first.broken and first.reused == 0
    torch.testing.assert_close(first.feats, plain, rtol=0, atol=1e-6)
    seen.clear()
    second = encode_files(encoder, files, tmp_path / "cache", chunk=4)
    assert torch.equal(first.feats, second.feats)
    assert seen == [] and second.reused == 3
    assert torch.equal(encode_files(encoder, files, None).feats, plain)


def test_a_killed_run_goes_on(counted, files, tmp_path, monkeypatch):
    encoder, seen = counted
    encode = type(encoder)._encode_pixels

    def killed(self, pixels):
        if sum(seen) >= 6:
            raise KeyboardInterrupt
        return encode(self, pixels)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(type(encoder), "_encode_pixels", killed)
        encode_files(encoder, files, tmp_path / "cache", chunk=4)
    assert not list((tmp_path / "cache").rglob("*.part"))
    assert not list((tmp_path / "cache").rglob(".*.tmp"))
    seen.clear()
    result = encode_files(encoder, files, tmp_path / "cache", chunk=4)
    assert result.reused == 1 and sum(seen) == 7
    torch.testing.assert_close(result.feats, encoder.images(files), rtol=0, atol=1e-6)


def test_what_changes_the_features_makes_them_anew(counted, files, tmp_path):
    encoder, seen = counted
    first = encode_files(encoder, files, tmp_path / "cache", chunk=4)
    seen.clear()
    files[5].write_bytes(files[7].read_bytes())
    changed = encode_files(encoder, files, tmp_path / "cache", chunk=4)
    assert sum(seen) == 4  # the chunk of that file
    torch.testing.assert_close(changed.feats[5], first.feats[7], rtol=0, atol=1e-6)
    seen.clear()
    os.utime(files[0], ns=(1, 1))
    encode_files(encoder, files, tmp_path / "cache", chunk=4)
    assert sum(seen) == 4
    seen.clear()
    usual = encoder.preprocess
    encoder.preprocess = replace(usual, resize=48)
    try:
        other = encode_files(encoder, files, tmp_path / "cache", chunk=4)
    finally:
        encoder.preprocess = usual
    assert sum(seen) == 11
    assert not torch.allclose(other.feats, changed.feats, atol=1e-3)
    seen.clear()
    encode_files(encoder, list(reversed(files)), tmp_path / "cache", chunk=4)
    assert sum(seen) == 11  # the order is part of the list


@pytest.mark.parametrize("keep", [0, 60, 200])
def test_a_truncated_chunk_is_made_again(counted, files, tmp_path, capsys, keep):
    encoder, seen = counted
    first = encode_files(encoder, files, tmp_path / "cache", chunk=4)
    chunk = sorted((tmp_path / "cache").rglob("*.safetensors"))[0]
    chunk.write_bytes(chunk.read_bytes()[:keep])
    seen.clear()
    again = encode_files(encoder, files, tmp_path / "cache", chunk=4)
    assert torch.equal(first.feats, again.feats)
    assert 3 <= sum(seen) <= 4 and again.reused == 2
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and str(chunk) in said and "damaged" in said


def test_a_corrupt_image_costs_itself_only(counted, files, tmp_path, capsys):
    encoder, seen = counted
    whole = encoder.images(files)
    files[5].write_bytes(files[5].read_bytes()[:70])
    files[6].unlink()
    result = encode_files(encoder, files, tmp_path / "cache", chunk=4)
    assert sorted(result.broken) == [5, 6]
    assert str(files[5]) in result.broken[5] and "not a readable image" in result.broken[5]
    assert "no such image" in result.broken[6]
    rest = [i for i in range(11) if i not in (5, 6)]
    assert result.index.tolist() == rest
    torch.testing.assert_close(result.feats, whole[rest], rtol=0, atol=1e-6)
    assert capsys.readouterr().out.count("left out:") == 2
    seen.clear()
    again = encode_files(encoder, files, tmp_path / "cache", chunk=4)
    assert again.broken == result.broken and seen == []


def test_nothing_to_encode(encoder, tmp_path):
    with pytest.raises(ValueError, match="no image to encode"):
        encode_files(encoder, [])
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(ValueError, match=r"none of the 2 images can be read; the first: .*a\.png"):
        encode_files(encoder, [tmp_path / "a.png", tmp_path / "b.png"])

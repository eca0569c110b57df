"""One picture, one decoder: whatever the file, all see the pixels that OpenCV sees."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from negas import pictures
from negas.pictures import PictureError, picture_size, read_picture, read_rgb
from tests.helpers.pictures import HEIGHT, KINDS, SCENE, WIDTH, make


def chunks(data):
    place = 8
    while place < len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        yield data[place + 4 : place + 8], data[place:end]
        place = end


def png(*parts):
    said = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + said


def header(width, height):
    """A bomb: a PNG of some dozen bytes with a large promise."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return png((b"IHDR", head), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b""))


@pytest.mark.parametrize("name", KINDS)
def test_pixels_and_size_are_those_that_opencv_sees(tmp_path, name):
    path = make(tmp_path, name)
    want = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(read_picture(path), want)
    np.testing.assert_array_equal(read_rgb(path), want[..., ::-1])
    assert picture_size(path) == want.shape[1::-1]
    if "exif6" in name or "exif8" in name:
        assert picture_size(path) == (HEIGHT, WIDTH)


@pytest.mark.parametrize("name", KINDS)
def test_pillow_sees_the_same_where_opencv_is_not_installed(tmp_path, monkeypatch, name):
    path = make(tmp_path, name)
    want, size = read_picture(path), picture_size(path)
    monkeypatch.setattr(pictures, "_opencv", lambda: None)
    found = read_picture(path)
    assert picture_size(path) == size and found.shape == want.shape
    assert np.abs(found.astype(int) - want).max() <= (1 if "cmyk" in name else 0)


def test_without_opencv_no_other_formats_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "_opencv", lambda: None)
    SCENE.save(tmp_path / "scene.tga")
    (tmp_path / "text.png").write_text("not a picture")
    for name in ("scene.tga", "text.png"):
        for reader in (read_picture, picture_size):
            with pytest.raises(PictureError, match=name):
                reader(tmp_path / name)


def test_exif_behind_the_pixels_of_a_png(tmp_path):
    path = make(tmp_path, "exif6.png")
    parts = list(chunks(path.read_bytes()))
    early = [part for kind, part in parts if kind not in (b"eXIf", b"IEND")]
    late = [part for kind, part in parts if kind in (b"eXIf", b"IEND")]
    path.write_bytes(path.read_bytes()[:8] + b"".join(early + late))
    assert picture_size(path) == read_picture(path).shape[1::-1] == (HEIGHT, WIDTH)


def test_damaged_exif_is_no_orientation(tmp_path):
    SCENE.save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    assert picture_size(tmp_path / "a.jpg") == read_picture(tmp_path / "a.jpg").shape[1::-1]


def test_the_size_needs_the_header_only(tmp_path):
    for name in ("exif6.jpg", "exif6.png", "plain.bmp"):
        path = make(tmp_path, name)
        path.write_bytes(path.read_bytes()[:-100])
        assert set(picture_size(path)) == {WIDTH, HEIGHT}
        with pytest.raises(PictureError, match=name):
            read_picture(path)


def test_what_opencv_reads_is_no_bomb(tmp_path):
    """Over Pillow's limit of 179 million pixels, under OpenCV's."""
    path = tmp_path / "wide.png"
    path.write_bytes(header(20_000, 10_000) + bytes(20_000))
    assert picture_size(path) == (20_000, 10_000)


@pytest.mark.parametrize("reader", [read_picture, picture_size])
def test_a_few_bytes_do_not_fill_the_memory(tmp_path, reader):
    """OpenCV would fill what a JPEG promises with grey: for minutes, in gigabytes."""
    SCENE.save(tmp_path / "bomb.jpg")
    data = bytearray((tmp_path / "bomb.jpg").read_bytes())
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", 30_000, 30_000)
    (tmp_path / "bomb.jpg").write_bytes(data)
    with pytest.raises(PictureError, match=r"bomb\.jpg.*bytes for 30000x30000 pixels"):
        reader(tmp_path / "bomb.jpg")


@pytest.mark.parametrize("size", [(40_000, 40_000), (100_000, 100_000), (1_000_001, 1)])
@pytest.mark.parametrize("reader", [read_picture, picture_size])
def test_bombs_are_refused_with_file_size_and_limit(tmp_path, reader, size):
    path = tmp_path / "bomb.png"
    path.write_bytes(header(*size))
    with pytest.raises(PictureError, match=r"bomb\.png.*pixels.*2\^30"):
        reader(path)


@pytest.mark.parametrize("reader", [read_picture, picture_size])
def test_files_that_are_no_picture(tmp_path, reader):
    with pytest.raises(FileNotFoundError, match="none.png"):
        reader(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(PictureError, match="text.png.*OpenCV"):
        reader(tmp_path / "text.png")
    SCENE.save(tmp_path / "scene.tga")  # Pillow's alone: no detector can look at it
    with pytest.raises(PictureError, match="scene.tga.*OpenCV"):
        reader(tmp_path / "scene.tga")
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(PictureError, match="empty.jpg"):
        reader(tmp_path / "empty.jpg")


def test_a_format_that_pillow_does_not_know(tmp_path):
    path = tmp_path / "light.hdr"
    cv2.imwrite(str(path), np.asarray(SCENE, np.float32) / 255)
    with pytest.raises(Image.UnidentifiedImageError):
        Image.open(io.BytesIO(path.read_bytes()))
    assert picture_size(path) == (WIDTH, HEIGHT)
    assert read_picture(path).dtype == np.uint8


def test_another_decoder_of_a_pipeline(tmp_path):
    path = make(tmp_path, "exif1.jpg")
    assert read_picture(path, lambda data: np.ones((len(data), 1, 3), np.uint8)).all()

"""Images, folders, arrays and videos as the Inferencer reads them, and what it cannot read."""

import cv2
import mmcv
import numpy as np
import pytest
import torch
from PIL import Image

from negas.apis.inputs import Pictures


def write(path, size=(40, 30), colour=(10, 20, 200)):
    Image.new("RGB", size, colour).save(path)
    return path


def truncate(path):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def test_a_folder_gives_its_images_by_name_and_nothing_else(tmp_path):
    write(tmp_path / "b.png")
    write(tmp_path / "a.JPG")
    write(tmp_path / ".hidden.png")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "deep.png").mkdir()
    pictures = Pictures.of(tmp_path)
    assert [picture.name for picture in pictures] == ["a.JPG", "b.png"]
    assert pictures.total == pictures.count == 2 and pictures.unreadable == []


def test_pixels_are_bgr_and_arrays_pass_through(tmp_path):
    array = np.zeros((5, 7, 3), np.uint8)
    first, second = Pictures.of([str(write(tmp_path / "a.png")), array])
    assert first.pixels.shape == (30, 40, 3) and first.pixels[0, 0].tolist() == [200, 20, 10]
    assert second.pixels is array and second.path is None


def test_pictures_that_the_pipeline_cannot_prepare_are_left_out(tmp_path):
    """A strip of 200x1 pixels, resized to 40 pixels of width, has no row left."""
    write(tmp_path / "a.png")
    write(tmp_path / "strip.png", (200, 1))
    path = tmp_path / "strips.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5, (200, 2))
    for _ in range(3):
        writer.write(np.zeros((2, 200, 3), np.uint8))
    writer.release()

    def pipeline(pixels):
        assert pixels.flags["C_CONTIGUOUS"]
        height, width = pixels.shape[:2]
        return dict(img=cv2.resize(pixels, (40, int(height * 40 / width))))

    pictures = Pictures.of([tmp_path / "a.png", tmp_path / "strip.png", path])
    array = np.zeros((30, 40, 3), np.uint8)[..., ::-1]
    pictures.inputs.append(array)
    found = list(pictures.prepared(pipeline))
    assert [picture.name for picture, _ in found] == ["a.png", "00000003.png"]
    assert found[0][1]["img"].shape == (30, 40, 3) and pictures.count == 2
    assert pictures.unreadable == [
        dict(
            path=str(tmp_path / "strip.png"),
            reason="200x1 pixels, which the test pipeline cannot prepare",
        ),
        dict(path=str(path), reason="200x2 pixels, which the test pipeline cannot prepare"),
    ]


def test_a_batch_holds_pictures_of_one_size_for_the_network():
    widths = [8, 8, 8, 6, 8, 8]
    pictures = Pictures.of([np.zeros((4, width, 3), np.uint8) for width in widths])
    stream = pictures.batches(lambda pixels: dict(inputs=pixels), 2)
    assert [[data["inputs"].shape[1] for _, data in batch] for batch in stream] == [
        *([8, 8], [8], [6], [8, 8])
    ]


def test_images_are_decoded_as_the_pipeline_of_the_config_says(tmp_path, monkeypatch):
    used, decode = [], mmcv.imfrombytes

    def spy(data, backend=None):
        used.append(backend)
        return decode(data, backend=backend)

    monkeypatch.setattr(mmcv, "imfrombytes", spy)
    pictures = Pictures.of(write(tmp_path / "a.png"))
    for decoder in (None, "pillow"):
        pictures.decoder = decoder
        assert next(iter(pictures)).pixels[0, 0].tolist() == [200, 20, 10]
    assert used == [None, "pillow"]


def test_a_photograph_taken_upright_is_upright(tmp_path):
    """As MMDetection's pipelines load it: the camera's orientation is applied."""
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg", exif=exif)
    [picture] = Pictures.of(tmp_path / "a.jpg")
    assert picture.pixels.shape == (40, 30, 3)


def test_files_of_one_name_do_not_overwrite_each_other(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "a.png")
    pictures = Pictures.of([tmp_path / "x/a.png", tmp_path / "y/a.png"])
    assert [picture.name for picture in pictures] == ["a.png", "a_2.png"]


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_truncated_image_is_reported_and_the_rest_goes_on(tmp_path, suffix):
    write(tmp_path / "a.png")
    broken = truncate(tmp_path / f"b{suffix}")
    (tmp_path / "c.png").write_bytes(b"no image at all")
    (tmp_path / "d.png").touch()
    write(tmp_path / "e.png")
    pictures = Pictures.of(tmp_path)
    assert [picture.name for picture in pictures] == ["a.png", "e.png"]
    reasons = {entry["path"]: entry["reason"] for entry in pictures.unreadable}
    assert reasons == {
        str(broken): "the file is truncated",
        str(tmp_path / "c.png"): "OpenCV cannot decode it",
        str(tmp_path / "d.png"): "OpenCV cannot decode it",
    }


def test_a_missing_file_of_a_list_is_reported(tmp_path):
    pictures = Pictures.of([write(tmp_path / "a.png"), tmp_path / "lost.png"])
    assert len(list(pictures)) == 1
    assert pictures.unreadable[0]["reason"].startswith("no such image file")


def test_frames_of_a_video_are_numbered(tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5, (32, 24))
    for level in (0, 100, 200):
        writer.write(np.full((24, 32, 3), level, np.uint8))
    writer.release()
    pictures = Pictures.of(path)
    frames = list(pictures)
    assert [frame.frame for frame in frames] == [0, 1, 2] and pictures.total is None
    assert [round(frame.pixels.mean(), -2) for frame in frames] == [0, 100, 200]
    assert {frame.name for frame in frames} == {"clip.avi"} and frames[0].fps == 5


def test_a_broken_video_is_reported(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"not a video")
    pictures = Pictures.of(tmp_path)
    assert list(pictures) == []
    assert pictures.unreadable[0]["reason"] == "no frame can be decoded"


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        ("nowhere.png", FileNotFoundError, "'nowhere.png' does not exist"),
        (".", ValueError, "holds no image or video"),
        ([], ValueError, "the list is empty"),
        ([3], ValueError, "input 0 is a int"),
        (None, ValueError, "the input is a NoneType; give a path"),
        (True, ValueError, "the input is a bool"),
        ("*.nothing", FileNotFoundError, r"the pattern '\*.nothing' fits no image or video"),
        ("ftp://x.org/a.png", ValueError, "of the scheme 'ftp'; expected http, https or rtsp"),
        ("file:///etc/passwd", ValueError, "of the scheme 'file'"),
        (["http://x.org/a.mp4"], ValueError, "is a video on a server; download it first"),
        (np.zeros((4, 4, 2), np.uint8), ValueError, r"\[H, W, C\] in BGR .* shape \(4, 4, 2\)"),
        (np.zeros((3, 40, 50), np.uint8), ValueError, r"shape \(3, 40, 50\)"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, "input 0 must be a picture"),
        (np.zeros((4, 4, 3), np.int64), ValueError, "got int64"),
        ([np.zeros((4, 4, 3), bool)], ValueError, "got bool"),
        (torch.zeros(5, 5, 3), ValueError, r"\[C, H, W\] in RGB .* got float32"),
    ],
)
def test_inputs_that_make_no_sense_are_refused(tmp_path, monkeypatch, inputs, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        Pictures.of(inputs)

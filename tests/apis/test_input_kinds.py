"""Patterns, addresses, arrays of all kinds, cameras: what they become, and what is refused."""

import http.server
import threading
from io import BytesIO

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from negas.apis.inputs import Pictures, arrays, remote

RGB = (200, 100, 40)


def rgb(width=40, height=30):
    """A picture whose corner is red, so that sides and channels cannot be swapped unseen."""
    image = Image.new("RGB", (width, height), RGB)
    image.putpixel((0, 0), (255, 0, 0))
    return image


def bgr():
    return np.asarray(rgb())[..., ::-1].copy()


def chw(image=None):
    return torch.from_numpy(np.asarray(image or rgb()).copy()).permute(2, 0, 1)


GRAY = np.arange(30 * 40, dtype=np.uint8).reshape(30, 40)


@pytest.mark.parametrize(
    "given",
    [
        lambda: rgb(),
        lambda: rgb().convert("RGBA"),
        lambda: bgr(),
        lambda: np.dstack([bgr(), np.full((30, 40), 7, np.uint8)]),
        lambda: bgr()[:, ::-1][:, ::-1],  # not contiguous
        lambda: bgr().astype(np.uint16) << 8,
        lambda: bgr().astype(np.float64) / 255,
        lambda: bgr().astype(np.float16) / 255,
        lambda: chw(),
        lambda: chw().float() / 255,
        lambda: (chw() / 255).to(torch.bfloat16),
        lambda: (chw().float() / 255).requires_grad_(),
        lambda: chw(rgb().convert("RGBA")),
        lambda: chw()[None],
        lambda: bgr()[None],
    ],
)
def test_colours_are_the_same_from_every_kind(given):
    (picture,) = Pictures.of(given())
    assert picture.pixels.dtype == np.uint8 and picture.pixels.shape == (30, 40, 3)
    assert np.abs(picture.pixels.astype(int) - bgr()).max() <= 1
    assert picture.path is None and not picture.is_file and picture.name == "00000000.png"


@pytest.mark.parametrize(
    "given",
    [
        lambda: GRAY,
        lambda: GRAY[..., None],
        lambda: GRAY / 255,
        lambda: Image.fromarray(GRAY),
        lambda: Image.fromarray(GRAY.astype(np.uint16) << 8),
        lambda: Image.fromarray((GRAY / 255).astype(np.float32)),
        lambda: torch.from_numpy(GRAY),
        lambda: torch.from_numpy(GRAY)[None],
    ],
)
def test_gray_pictures_get_three_channels(given):
    (picture,) = Pictures.of(given())
    assert (picture.pixels == GRAY[..., None]).all() and picture.pixels.shape == (30, 40, 3)


def test_other_modes_of_pillow():
    for mode in ("P", "LA", "CMYK", "1"):
        (picture,) = Pictures.of(rgb().convert(mode))
        assert picture.pixels.shape == (30, 40, 3) and picture.pixels.dtype == np.uint8
    exif = Image.Exif()
    exif[0x0112] = 6
    file = BytesIO()
    rgb().save(file, "JPEG", exif=exif)
    (upright,) = Pictures.of(Image.open(file))
    assert upright.pixels.shape == (40, 30, 3)


def test_a_batch_is_its_pictures():
    pair = [bgr(), 255 - bgr()]
    for batch in (np.stack(pair), [np.stack(pair)], pair):
        found = list(Pictures.of(batch))
        assert [one.name for one in found] == ["00000000.png", "00000001.png"]
        assert all((one.pixels == wanted).all() for one, wanted in zip(found, pair, strict=True))
    mixed = Pictures.of([torch.stack([chw(), chw()]), rgb(), bgr()])
    assert mixed.total == 4 and [one.pixels.shape for one in mixed] == [(30, 40, 3)] * 4


@pytest.mark.parametrize("given", [chw().float(), chw().float() / 255 - 0.5, bgr() / 255 * np.nan])
def test_floats_out_of_range_are_told_and_not_painted_black(given):
    pictures = Pictures.of(given)
    assert list(pictures) == []
    assert "expected [0, 1] (divide by 255" in pictures.unreadable[0]["reason"]


def test_pixels_are_made_when_their_turn_comes(monkeypatch):
    made = []
    whole = arrays.as_pixels
    monkeypatch.setattr(
        "negas.apis.inputs.pictures.as_pixels", lambda *a: made.append(1) or whole(*a)
    )
    stream = iter(Pictures.of([rgb()] * 5))
    next(stream), next(stream)
    assert len(made) == 2


# --- patterns ---------------------------------------------------------------------------------
def test_a_pattern_gives_its_files_by_name(tmp_path):
    for name in ("b.png", "a.png", "c.jpg", "deep/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        rgb().save(tmp_path / name)
    (tmp_path / "a.txt").touch()
    names = [one.name for one in Pictures.of(f"{tmp_path}/*.png")]
    assert names == ["a.png", "b.png"]
    assert [one.name for one in Pictures.of(tmp_path / "**/[cd].*")] == ["c.jpg", "d.png"]
    pictures = Pictures.of(f"{tmp_path}/a*")
    assert pictures.total == 1 and pictures.left_out == "1 without such an ending"
    rgb().save(tmp_path / "odd[1].png")
    assert [one.name for one in Pictures.of(f"{tmp_path}/odd[1].png")] == ["odd[1].png"]


# --- addresses --------------------------------------------------------------------------------
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: N802 - the library's name
        content = BytesIO()
        rgb().save(content, "PNG")
        body = content.getvalue()
        path = self.path.partition("?")[0]
        if path in self.server.moves:
            self.send_response(302)
            self.send_header("Location", self.server.moves[path])
            self.end_headers()
            return
        if path == "/lost.png":
            self.send_error(404)
            return
        self.send_response(200)
        if path == "/huge.png":
            self.send_header("Content-Length", str(2**40))
        elif path == "/cut.png":
            self.send_header("Content-Length", str(len(body) + 100))
        self.end_headers()
        if path == "/endless.png":
            body = bytes(3000)
        self.wfile.write(b"no picture" if path == "/text.png" else body)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        server.moves = {
            "/moved.png": f"{address}/a.png",
            "/to_file.png": "file:///etc/passwd",
            "/to_ftp.png": "ftp://127.0.0.1/a.png",
            "/circle.png": "/circle.png",
        }
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield address
        server.shutdown()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.mark.parametrize("path", ["a.png", "moved.png", "a.png?size=large#top"])
def test_an_address_is_a_picture(server, path):
    (picture,) = Pictures.of(f"{server}/{path}")
    assert (picture.pixels == bgr()).all() and picture.path == f"{server}/{path}"
    assert picture.name == path.partition("?")[0] and not picture.is_file


def test_names_of_painted_copies_stay_in_their_folder():
    urls = [
        "http://x.org/",
        "http://x.org/a/%2e%2e%2fb.png",
        "http://x.org/.hidden",
        "http://x.org",
    ]
    names = Pictures.of(urls).names()
    assert len({*names}) == 4 and all(set(name).isdisjoint("/\\") for name in names)
    assert not any(name.startswith(".") for name in names)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("lost.png", "the server answers 404"),
        ("huge.png", "larger than 64 MiB; download it first"),
        ("cut.png", "less than it announced"),
        ("text.png", "cannot decode it"),
        ("to_file.png", "'file:///etc/passwd' is not allowed"),
        ("to_ftp.png", "leads to 'ftp://127.0.0.1/a.png', which is no http or https"),
        ("circle.png", "infinite loop"),
    ],
)
def test_what_a_server_does_wrong_is_told_and_the_rest_goes_on(server, path, reason):
    pictures = Pictures.of([f"{server}/{path}", f"{server}/a.png"])
    assert [one.path for one in pictures] == [f"{server}/a.png"]
    (found,) = pictures.unreadable
    assert found["path"] == f"{server}/{path}" and reason in found["reason"]


def test_a_server_that_tells_no_length_cannot_fill_the_memory(server):
    assert len(remote.download(f"{server}/endless.png", 3000)) == 3000
    with pytest.raises(ValueError, match="is larger than 0.00"):
        remote.download(f"{server}/endless.png", 2999)


def test_a_server_that_is_not_there_is_told():
    pictures = Pictures.of("http://127.0.0.1:1/a.png")
    assert list(pictures) == [] and "cannot be fetched" in pictures.unreadable[0]["reason"]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x.org/a", "data://a", "http:///a"])
def test_nothing_else_is_opened(url):
    with pytest.raises((ValueError, OSError)):
        remote.download(url)


# --- cameras ----------------------------------------------------------------------------------
class Camera:
    """What stands for OpenCV's, as no machine of a test has one."""

    frames, opened, released = 3, [], []

    def __init__(self, source):
        self.source, self.left = source, self.frames
        self.opened.append(source)

    def get(self, _):
        return 0.0

    def read(self):
        self.left -= 1
        return (True, bgr()) if self.left >= 0 else (False, None)

    def release(self):
        self.released.append(self.source)


@pytest.fixture
def camera(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    monkeypatch.setattr(Camera, "opened", [])
    monkeypatch.setattr(Camera, "released", [])
    return Camera


@pytest.mark.parametrize(
    ("source", "path"), [(0, "camera 0"), ("rtsp://host/stream", "rtsp://host/stream")]
)
def test_frames_of_a_camera_come_until_it_ends(camera, source, path):
    pictures = Pictures.of(source)
    assert pictures.is_live and pictures.total is None and camera.opened == []
    found = list(pictures)
    assert [(one.frame, one.path, one.fps) for one in found] == [(i, path, 25.0) for i in range(3)]
    assert camera.opened == camera.released == [source]
    stream = iter(Pictures.of(source))
    next(stream)
    stream.close()
    assert camera.released == [source] * 2, "who stops early lets go of it"


def test_a_camera_without_a_frame_is_told(camera, monkeypatch):
    monkeypatch.setattr(camera, "frames", 0)
    pictures = Pictures.of(7)
    assert list(pictures) == [] and "no frame comes" in pictures.unreadable[0]["reason"]
    assert pictures.unreadable[0]["path"] == "camera 7" and camera.released == [7]

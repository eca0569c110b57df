"""Pictures of single boxes."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from negas.reports.html.crops import box_picture
from negas.reports.html.page import Verdict
from negas.visualization.boxes import KNOWN, UNKNOWN
from tests.helpers.pictures import share


def picture(file, bbox=(40, 20, 80, 60), text="cat 0.93"):
    bbox = np.array(bbox, np.float32)
    return box_picture(file, bbox, text, "a box", ["below"], Verdict(0.93, True))


def pixels(shown, known=True):
    head, _, content = (shown.uri if known else shown.verdict.unknown_uri).partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB")).astype(int)


@pytest.fixture
def image(tmp_path):
    """Grey, with a blue object at (40, 20)-(80, 60) of 200 x 100 pixels."""
    scene = Image.new("RGB", (200, 100), (128, 128, 128))
    scene.paste((0, 0, 255), (40, 20, 80, 60))
    scene.save(tmp_path / "scene.png")
    return tmp_path / "scene.png"


@pytest.mark.parametrize(("known", "colour", "other"), [(1, KNOWN, UNKNOWN), (0, UNKNOWN, KNOWN)])
def test_the_object_stands_in_the_picture_with_a_box_of_its_verdict(image, known, colour, other):
    values = pixels(picture(image), known)
    assert max(values.shape[:2]) == 320
    assert share(values, (0, 0, 255), 40) > 0.1
    assert share(values, colour, 40) > 0.005 and share(values, other, 40) == 0


@pytest.mark.parametrize("known", [True, False])
def test_one_way_is_drawn_as_of_both(image, known):
    one = box_picture(image, np.array([40, 20, 80, 60]), "cat 0.93", "a box", [], known=known)
    assert one.verdict is None and (pixels(one) == pixels(picture(image), known)).all()


@pytest.mark.parametrize(
    "bbox",
    [
        (0, 0, 200, 100),
        (190, 90, 260, 140),
        (-50, -50, 4, 4),
        (300, 300, 310, 310),
        (80, 60, 40, 20),
        (50, 50, 50, 50),
    ],
)
def test_any_box_gives_a_picture(image, bbox):
    values = pixels(picture(image, bbox))
    assert max(values.shape[:2]) == 320 and min(values.shape[:2]) >= 100


def test_labels_may_have_several_lines(image):
    assert pixels(picture(image, text="a\nb 0.5")).size


def test_what_is_missing_is_said(tmp_path, image):
    gone = picture(tmp_path / "gone.png")
    assert gone.uri is None and gone.missing == f"image not on disk: {tmp_path / 'gone.png'}"
    (tmp_path / "broken.png").write_bytes(image.read_bytes()[:60])
    broken = picture(tmp_path / "broken.png")
    assert broken.uri is None and "cannot be read" in broken.missing
    (tmp_path / "text.jpg").write_text("no image")
    assert "cannot be read" in picture(tmp_path / "text.jpg").missing
    assert "do not list" in picture(None).missing and picture(None).caption == ["below"]

"""What the page for browsers does itself, in a browser, against the runtime in Python."""

import base64
import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image

from negas.export.page import PAGE
from negas.runtime.letterbox import Letterbox
from tests.helpers.chromium import Chromium
from tests.helpers.folder_server import folder_server
from tests.helpers.yolo_world import ROOT

TOKENIZER = ROOT / "data/emoji_world/tiny_clip"
PLAIN = Letterbox((96, 64), (96, 64), fill=(114, 7, 255))
SIZES = [(96, 64), (200, 31), (31, 200), (1, 1), (1, 300), (77, 90), (640, 427), (48, 48)]
WORDS = [
    *("dog", "a photo of a dog", "Traffic  Light", "fire\u00a0hydrant", "can't", "2024's 7up!?"),
    *(
        "naïve",
        "nai\u0308ve café",
        "ΣΊΣΥΦΟΣ",
        "İstanbul",
        "犬 und Katze",
        "🐕‍🦺 dog",
        "x" * 70,
        "ß½ⅷ",
    ),
    *(
        "<|endoftext|>",
        "a <|startoftext|> b",
        "<|EndOfText|>",
        "!'s",
        "they'll",
        "\ttab\n",
        "a\u200bb",
    ),
    *("", "…---…", "ﬁsh", "\U0001f1e9\U0001f1ea"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with (
        folder_server(PAGE) as address,
        Chromium(tmp_path_factory.mktemp("profile") / "new") as browser,
    ):
        browser.open(address + "style.css", 400)
        yield browser


def test_words_become_the_same_tokens(browser):
    from transformers import AutoTokenizer

    backend = AutoTokenizer.from_pretrained(TOKENIZER, local_files_only=True).backend_tokenizer
    ours = browser.evaluate(
        "import('/tokenizer.js').then(({Tokenizer}) => {"
        f"const one = new Tokenizer({backend.to_str()});"
        f"return {json.dumps(WORDS)}.map(word => one.encode(word))}})"
    )
    assert ours == [backend.encode(word).ids for word in WORDS]


@pytest.mark.parametrize(
    "box",
    [
        PLAIN,
        replace(PLAIN, shrink="area", center=True, rounding="down", scale_up=False),
        replace(PLAIN, fit=(90, 50), shrink="area", rounding="half_even", center=True),
        replace(PLAIN, size=(64, 96), fit=(64, 96), rounding="half_even"),
    ],
)
def test_pictures_become_the_same_pixels(browser, box):
    rng = np.random.default_rng(0)
    for size in SIZES:
        picture = rng.integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
        pixels, place = box(Image.fromarray(picture[..., :3]))
        corners = np.array([[3.5, -2, 70.25, 60]], np.float32)
        where, ours, back = browser.evaluate(
            "import('/letterbox.js').then(({placeOf, fill, restore}) => {"
            f"const [box, size] = {json.dumps([asdict(box), size])};"
            f"const data = Uint8Array.from(atob({json.dumps(base64.b64encode(picture).decode())}),"
            "letter => letter.charCodeAt(0));"
            "const place = placeOf(box, size);"
            f"return [place, Array.from(fill(box, place, {{data}})),"
            f"restore(place, Float32Array.from({corners[0].tolist()}))]}})"
        )
        assert where == json.loads(json.dumps(place._asdict()))
        np.testing.assert_array_equal(np.array(ours).reshape(pixels.shape), pixels)
        assert back == box.restore(corners, place)[0].tolist()

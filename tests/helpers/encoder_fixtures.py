"""One tiny directory per architecture, and noise images of odd shapes."""

import numpy as np
import pytest
from PIL import Image

from tests.helpers.tiny_encoders import make_encoder_dir


@pytest.fixture(scope="session")
def encoder_dir(tmp_path_factory):
    """Callable: family -> directory, made once."""
    made = {}

    def get(family):
        if family not in made:
            made[family] = make_encoder_dir(family, tmp_path_factory.mktemp(family))
        return made[family]

    return get


@pytest.fixture(scope="session")
def pictures():
    """Smooth noise: wide, tall, tiny, exact, odd."""
    rng = np.random.default_rng(7)
    found = []
    for width, height in ((61, 40), (33, 97), (9, 14), (32, 32), (47, 31), (36, 40)):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        found.append(coarse.resize((width, height), Image.Resampling.BICUBIC))
    return found

"""Random backgrounds, uint8 BGR [S, S, 3]: nothing in them is an object."""

from collections.abc import Sequence

import cv2
import numpy as np

KINDS = ("camouflage", "gradient", "noise", "stripes")
SHARES = (0.30, 0.25, 0.25, 0.20)


def background(rng: np.random.Generator, size: int, fragments: Sequence[np.ndarray]) -> np.ndarray:
    """Draw a background: 30% camouflage, 25% gradient, 25% noise, 20% stripes or checks.

    `fragments` are straight-alpha BGRA tiles; camouflage shows blurred pieces of them.
    """
    kind = KINDS[int(rng.choice(len(KINDS), p=SHARES))]
    if kind == "camouflage":
        return camouflage(rng, size, fragments)
    return {"gradient": gradient, "noise": noise, "stripes": stripes}[kind](rng, size)


def _colours(rng: np.random.Generator, number: int) -> np.ndarray:
    """Random colours [number, 3], around a common one so that a background is calm."""
    base = rng.uniform(30, 225, size=3)
    return np.clip(base + rng.normal(0, 45, size=(number, 3)), 0, 255).astype(np.float32)


def gradient(rng: np.random.Generator, size: int) -> np.ndarray:
    """Bilinear blend of four corner colours."""
    corners = _colours(rng, 4).reshape(2, 2, 3)
    # Two cells of the enlarged 2x2 image lie outside its corner centres: cut the middle half.
    large = cv2.resize(corners, (2 * size, 2 * size), interpolation=cv2.INTER_LINEAR)
    half = size // 2
    return np.ascontiguousarray(large[half : half + size, half : half + size]).astype(np.uint8)


def noise(rng: np.random.Generator, size: int) -> np.ndarray:
    """Smooth blobs of random scale plus fine grain."""
    cells = int(rng.integers(3, 20))
    blobs = rng.normal(0, rng.uniform(10, 50), size=(cells, cells, 3)).astype(np.float32)
    image = cv2.resize(blobs, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(image + _colours(rng, 1), 0, 255).astype(np.uint8)


def stripes(rng: np.random.Generator, size: int) -> np.ndarray:
    """Stripes at any angle, or a checkerboard."""
    angle, period = rng.uniform(0, np.pi), rng.uniform(8, 48)
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    along = columns * np.cos(angle) + rows * np.sin(angle)
    parity = np.floor(along / period)
    if rng.random() < 0.5:
        across = rows * np.cos(angle) - columns * np.sin(angle)
        parity = parity + np.floor(across / period)
    return _colours(rng, 2).astype(np.uint8)[parity.astype(np.int64) % 2]


def camouflage(rng: np.random.Generator, size: int, fragments: Sequence[np.ndarray]) -> np.ndarray:
    """Blurred pieces of glyphs: their colours and curves, but no recognisable thing."""
    small = size // 2  # drawn at half size: the blur removes what that loses
    image = np.empty((small, small, 3), np.float32)
    image[:] = _colours(rng, 1)
    for _ in range(int(rng.integers(10, 22))):
        tile = fragments[int(rng.integers(len(fragments)))]
        side = tile.shape[0] // 2
        top, left = rng.integers(0, side + 1, size=2)
        extent = int(rng.integers(small // 5, small // 2))
        piece = cv2.resize(tile[top : top + side, left : left + side], (extent, extent))
        row, column = rng.integers(-extent // 2, small - extent // 2, size=2)
        y0, x0 = max(row, 0), max(column, 0)
        piece = piece[y0 - row : small - row, x0 - column : small - column].astype(np.float32)
        region = image[y0 : y0 + piece.shape[0], x0 : x0 + piece.shape[1]]
        region += (piece[..., :3] - region) * (piece[..., 3:] / 255)
    image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(1.2, 3.0)))
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR).astype(np.uint8)

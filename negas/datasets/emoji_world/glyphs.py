"""Draw one glyph: colours, size, rotation, aspect. Pure functions of the tile and a generator."""

from dataclasses import dataclass

import cv2
import numpy as np

from negas.datasets.emoji_world.atlas import Atlas, premultiply

VISIBLE_ALPHA = 48  # of 255; fainter pixels (soft shadows, anti-aliasing) do not widen the box


@dataclass(frozen=True)
class Photometry:
    """How far the colours of a glyph may move.

    Sigmas of a normal around "no change"; hue in degrees; saturation, contrast and gamma as the
    sigma of a log factor; brightness as a share of full scale; flatten_prob is the probability of
    removing gradients (median filter, then few steps), which makes one style look like another.
    """

    hue: float = 8.0
    saturation: float = 0.08
    brightness: float = 0.05
    contrast: float = 0.08
    gamma: float = 0.0
    flatten_prob: float = 0.0


PLAIN = Photometry()
STRONG = Photometry(
    hue=18.0, saturation=0.3, brightness=0.08, contrast=0.15, gamma=0.25, flatten_prob=0.3
)

# ITU-R BT.601 luma and chroma axes (YIQ), written for BGR vectors.
_TO_YIQ = np.array([[0.114, 0.587, 0.299], [-0.322, -0.274, 0.596], [0.312, -0.523, 0.211]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)


def colour_matrix(rng: np.random.Generator, photometry: Photometry) -> np.ndarray:
    """Random hue turn, saturation, contrast and brightness as a 4x4 matrix on premultiplied BGRA.

    On premultiplied colours an offset has to be scaled by alpha, hence the fourth column.
    """
    hue, saturation, contrast, brightness = rng.normal(size=4)
    angle = np.deg2rad(photometry.hue * hue)
    chroma = np.exp(photometry.saturation * saturation)
    turn = np.eye(3)
    turn[1:, 1:] = chroma * np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    gain = np.exp(photometry.contrast * contrast)
    matrix = np.eye(4, dtype=np.float32)
    matrix[:3, :3] = gain * (_FROM_YIQ @ turn @ _TO_YIQ)
    matrix[:3, 3] = photometry.brightness * brightness + 0.5 * (1 - gain)
    return matrix


def recolour(
    tile: np.ndarray, rng: np.random.Generator, photometry: Photometry
) -> tuple[np.ndarray, np.ndarray]:
    """Non-linear part of the photometry: straight BGRA in, straight BGRA and colour matrix out."""
    flatten, gamma = rng.random(), rng.normal()
    levels = int(rng.integers(4, 8))
    table = np.arange(256, dtype=np.float64) / 255
    if photometry.gamma > 0:
        table = table ** np.exp(photometry.gamma * gamma)
    if flatten < photometry.flatten_prob:
        table = np.round(table * levels) / levels
        tile = np.dstack([cv2.medianBlur(np.ascontiguousarray(tile[..., :3]), 5), tile[..., 3]])
    if photometry.gamma > 0 or flatten < photometry.flatten_prob:
        lookup = np.round(table * 255).astype(np.uint8)
        tile = np.dstack([cv2.LUT(np.ascontiguousarray(tile[..., :3]), lookup), tile[..., 3]])
    return tile, colour_matrix(rng, photometry)


def warp(tile: np.ndarray, size: float, angle: float, aspect: float, flip: bool) -> np.ndarray:
    """Scale a tile to `size` pixels, turn it by `angle` degrees; the whole result is in view."""
    side = tile.shape[0]
    scale_x, scale_y = size / side * np.sqrt(aspect), size / side / np.sqrt(aspect)
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag([-scale_x if flip else scale_x, scale_y])
    width, height = (int(np.ceil(extent)) + 2 for extent in np.abs(linear) @ [side, side])
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    shift = centre - linear @ np.array([(side - 1) / 2, (side - 1) / 2])
    return cv2.warpAffine(tile, np.column_stack([linear, shift]), (width, height))


def draw_glyph(
    atlas: Atlas,
    style: str,
    glyph: str,
    size: float,
    rng: np.random.Generator,
    photometry: Photometry,
) -> np.ndarray:
    """Draw a glyph with random pose and colours.

    Returns premultiplied BGRA uint8 [H, W, 4], cropped to the tight bounds of its visible pixels.
    """
    angle, aspect, flip = rng.normal(0, 14), np.exp(rng.normal(0, 0.1)), rng.random() < 0.5
    tile = atlas.tile(style, glyph, half=size <= 0.6 * atlas.tile_size)
    tile, matrix = recolour(tile, rng, photometry)
    patch = warp(premultiply(tile), size, angle, float(np.clip(aspect, 0.75, 1.33)), flip)
    patch = cv2.transform(patch, matrix)
    patch[..., :3] = np.minimum(patch[..., :3], patch[..., 3:])
    left, top, width, height = cv2.boundingRect((patch[..., 3] >= VISIBLE_ALPHA).astype(np.uint8))
    return patch[top : top + height, left : left + width]

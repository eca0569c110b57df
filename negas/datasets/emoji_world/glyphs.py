"""Draw one glyph: colours, shape, size, rotation. Pure functions of the tile and a generator."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from .atlas import Atlas, premultiply

VISIBLE_ALPHA = 48  # of 255; fainter pixels (soft shadows, anti-aliasing) do not widen the box


@dataclass(frozen=True)
class Photometry:
    """How far the colours and the shape of a glyph may move.

    Sigmas of a normal around "no change"; hue in degrees; saturation, contrast, gamma (of all
    channels) and tint (gamma of each channel) as the sigma of a log factor; brightness as a share
    of full scale; shear as a slope; bend as the amplitude of a smooth wave, in tile sides.
    flatten_prob is the probability of removing gradients (median filter, then few steps), which
    makes one style look like another; gray_prob that of removing all colour; outline_prob that of
    dark lines around the glyph and its parts. shade is the sigma of a light from one side, as a
    share of the colour at the edge.
    """

    hue: float = 8.0
    saturation: float = 0.08
    brightness: float = 0.05
    contrast: float = 0.08
    gamma: float = 0.0
    flatten_prob: float = 0.0
    tint: float = 0.0
    gray_prob: float = 0.0
    shear: float = 0.0
    bend: float = 0.0
    outline_prob: float = 0.0
    shade: float = 0.0


PLAIN = Photometry()
STRONG = Photometry(
    hue=18.0, saturation=0.3, brightness=0.08, contrast=0.15, gamma=0.25, flatten_prob=0.3
)
WIDE = Photometry(
    hue=28.0,
    saturation=0.4,
    brightness=0.1,
    contrast=0.2,
    gamma=0.3,
    flatten_prob=0.4,
    tint=0.2,
    gray_prob=0.1,
    shear=0.12,
    bend=0.03,
)
DRAWN = replace(STRONG, tint=0.1, shear=0.08, bend=0.02, outline_prob=0.35, shade=0.25)
PHOTOMETRIES = {"plain": PLAIN, "strong": STRONG, "wide": WIDE, "drawn": DRAWN}
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
    if photometry.gray_prob and rng.random() < photometry.gray_prob:
        chroma = 0.0
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
    exponent = np.exp(photometry.gamma * gamma)
    if photometry.tint:
        exponent = exponent * np.exp(photometry.tint * rng.normal(size=3))
    # one column per channel
    table = (np.arange(256)[:, None] / 255) ** np.broadcast_to(exponent, 3)
    if flatten < photometry.flatten_prob:
        table = np.round(table * levels) / levels
        tile = np.dstack([cv2.medianBlur(np.ascontiguousarray(tile[..., :3]), 5), tile[..., 3]])
    if photometry.gamma > 0 or photometry.tint > 0 or flatten < photometry.flatten_prob:
        lookup = np.round(table * 255).astype(np.uint8)[None]
        tile = np.dstack([cv2.LUT(np.ascontiguousarray(tile[..., :3]), lookup), tile[..., 3]])
    if photometry.outline_prob and rng.random() < photometry.outline_prob:
        tile = outline(tile, rng)
    if photometry.shade:
        tile = shade(tile, rng, photometry.shade)
    return tile, colour_matrix(rng, photometry)


def outline(tile: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Dark lines, a sixtieth to a thirtieth of the side wide, along the rim and inner edges."""
    ink = rng.uniform(0, 60, 3)
    width = max(1, round(tile.shape[0] / 64 * rng.integers(1, 3)))
    colour, alpha = tile[..., :3].astype(np.float32), tile[..., 3]
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    grown = cv2.dilate(alpha, disc)
    inside = alpha[..., None] / np.maximum(grown, 1)[..., None]
    gray = cv2.cvtColor(np.ascontiguousarray(tile[..., :3]), cv2.COLOR_BGR2GRAY)
    edges = cv2.morphologyEx(gray, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    paper = inside * (edges < 60)[..., None]
    colour = paper * colour + (1 - paper) * ink
    return np.dstack([np.round(colour).astype(np.uint8), grown])


def shade(tile: np.ndarray, rng: np.random.Generator, sigma: float) -> np.ndarray:
    """Lighter towards one side, darker towards the other."""
    strength, angle = rng.normal(0, sigma), rng.uniform(0, 2 * np.pi)
    at = np.linspace(-1, 1, tile.shape[0], dtype=np.float32)
    light = 1 + strength * (np.cos(angle) * at[None, :] + np.sin(angle) * at[:, None])
    colour = np.clip(tile[..., :3] * light[..., None], 0, 255)
    return np.dstack([np.round(colour).astype(np.uint8), tile[..., 3]])


def bend(tile: np.ndarray, rng: np.random.Generator, amplitude: float) -> np.ndarray:
    """Shift rows and columns by smooth random waves of `amplitude` tile sides (sigma)."""
    side = tile.shape[0]
    amplitudes = rng.normal(0, amplitude * side, 2)
    periods, phases = rng.uniform(0.7, 1.6, 2), rng.uniform(0, 2 * np.pi, 2)
    at = np.arange(side, dtype=np.float32)
    shift_x, shift_y = (
        (a * np.sin(2 * np.pi * at / (side * period) + phase)).astype(np.float32)
        for a, period, phase in zip(amplitudes, periods, phases, strict=True)
    )
    map_x = at[None, :] + shift_x[:, None]
    map_y = at[:, None] + shift_y[None, :]
    return cv2.remap(tile, map_x, map_y, cv2.INTER_LINEAR)  # transparent outside


def warp(
    tile: np.ndarray, size: float, angle: float, aspect: float, flip: bool, shear: float = 0.0
) -> np.ndarray:
    """Scale a tile to `size` pixels, turn it by `angle` degrees; the whole result is in view."""
    side = tile.shape[0]
    scale_x, scale_y = size / side * np.sqrt(aspect), size / side / np.sqrt(aspect)
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag([-scale_x if flip else scale_x, scale_y])
    linear = linear @ np.array([[1.0, shear], [0.0, 1.0]])
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
    tile = premultiply(tile)
    if photometry.bend:
        tile = bend(tile, rng, photometry.bend)
    shear = photometry.shear * rng.normal() if photometry.shear else 0.0
    patch = warp(tile, size, angle, float(np.clip(aspect, 0.75, 1.33)), flip, shear)
    patch = cv2.transform(patch, matrix)
    patch[..., :3] = np.minimum(patch[..., :3], patch[..., 3:])
    left, top, width, height = cv2.boundingRect((patch[..., 3] >= VISIBLE_ALPHA).astype(np.uint8))
    return patch[top : top + height, left : left + width]

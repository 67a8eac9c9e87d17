"""Our own wall, floor and ceiling textures, drawn by a few procedural rules.

Doom-engine assets carry fine pixel noise that no small model resolves and licences that travel with them. These are drawn
here from scratch: a handful of patterns (bricks, planks, panels, tiles, blocks, stripes) in a handful of colours, soft
enough to survive being seen at 128x96 and distinct enough to tell one room from the next.
"""

from __future__ import annotations

import colorsys
import zlib

import cv2
import numpy as np

TEXTURE_SIZE = 128
"""Texels along each side; one texel is one map unit, so a texture repeats every 128 units."""

WALL_PATTERNS = ("brick", "planks", "panel", "blocks", "stripes", "arches")
FLAT_PATTERNS = ("tiles", "slabs", "plain", "boards")
WALL_COLOURS = {
    "red": (0.00, 0.62, 0.66),
    "amber": (0.08, 0.62, 0.76),
    "gold": (0.14, 0.62, 0.74),
    "green": (0.33, 0.55, 0.60),
    "blue": (0.66, 0.68, 0.74),
    "grey": (0.00, 0.00, 0.66),
    "sand": (0.09, 0.34, 0.74),
    "umber": (0.07, 0.50, 0.42),
}
"""Hue, saturation, value; chosen where the engine's 256-colour palette has shades to spare."""
FLAT_COLOURS = {"slate": (0.60, 0.0, 0.42), "earth": (0.08, 0.48, 0.46), "moss": (0.27, 0.32, 0.40), "chalk": (0.12, 0.0, 0.60)}


def wall_names() -> list[str]:
    """All wall texture names, at most eight characters each as the WAD format demands."""
    return [f"W{p[:3]}{h[:4]}".upper() for p in WALL_PATTERNS for h in WALL_COLOURS]


def flat_names() -> list[str]:
    """All floor and ceiling texture names."""
    return [f"F{p[:3]}{h[:4]}".upper() for p in FLAT_PATTERNS for h in FLAT_COLOURS]


def draw(name: str) -> np.ndarray:
    """Draw the texture called `name`; the same name always gives the same pixels.

    Returns RGB uint8 of shape (128, 128, 3). Raises KeyError for a name this module does not list.
    """
    kind, pattern_key, colour_key = name[0], name[1:4].lower(), name[4:].lower()
    if kind == "W":
        pattern = next(p for p in WALL_PATTERNS if p[:3] == pattern_key)
        colour = next(v for k, v in WALL_COLOURS.items() if k[:4] == colour_key)
    elif kind == "F":
        pattern = next(p for p in FLAT_PATTERNS if p[:3] == pattern_key)
        colour = next(v for k, v in FLAT_COLOURS.items() if k[:4] == colour_key)
    else:
        raise KeyError(name)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    shade = _PATTERNS[pattern](rng) * _mottle(rng)
    base = np.array(colorsys.hsv_to_rgb(*colour))
    image = np.clip(shade[..., None] * base, 0, 1)
    return (cv2.GaussianBlur(image, (0, 0), 1.0, borderType=cv2.BORDER_REFLECT) * 255).astype(np.uint8)


def _mottle(rng: np.random.Generator) -> np.ndarray:
    coarse = rng.uniform(0.93, 1.07, (4, 4))
    tiled = np.tile(coarse, (3, 3))
    return cv2.resize(tiled, (3 * TEXTURE_SIZE, 3 * TEXTURE_SIZE), interpolation=cv2.INTER_CUBIC)[
        TEXTURE_SIZE : 2 * TEXTURE_SIZE, TEXTURE_SIZE : 2 * TEXTURE_SIZE
    ]


def _courses(rng: np.random.Generator, rows: int, columns: int, joint: int, offset: bool, spread: float) -> np.ndarray:
    """A wall of `rows` x `columns` units with darker joints; odd rows are shifted by half a unit when `offset`."""
    shade = np.empty((TEXTURE_SIZE, TEXTURE_SIZE))
    height, width = TEXTURE_SIZE // rows, TEXTURE_SIZE // columns
    for row in range(rows):
        strip = np.empty((height, TEXTURE_SIZE))
        for column in range(columns):
            unit = np.full((height, width), 1.0 + rng.uniform(-spread, spread))
            unit[:joint] *= 0.55
            unit[:, :joint] *= 0.55
            strip[:, column * width : (column + 1) * width] = unit
        shift = width // 2 if offset and row % 2 else 0
        shade[row * height : (row + 1) * height] = np.roll(strip, shift, axis=1)
    return shade


def _panel(rng: np.random.Generator) -> np.ndarray:
    shade = np.full((TEXTURE_SIZE, TEXTURE_SIZE), 0.82)
    shade[12:116, 10:118] = 0.5
    shade[18:110, 16:112] = 1.12
    shade[52:76, 16:112] = 0.7 + rng.uniform(-0.1, 0.1)
    return shade


def _stripes(rng: np.random.Generator) -> np.ndarray:
    shade = np.full((TEXTURE_SIZE, TEXTURE_SIZE), 1.0)
    for column in range(4):
        shade[:, column * 32 : column * 32 + 14] = 0.62 + rng.uniform(-0.08, 0.08)
    shade[:10], shade[-16:] = 0.5, 0.5
    return shade


def _arches(rng: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[:TEXTURE_SIZE, :TEXTURE_SIZE]
    inside = (np.abs(x - 64) < 36) & (y > 60) | ((x - 64) ** 2 + (y - 60) ** 2 < 36**2)
    return np.where(inside, 0.55 + rng.uniform(-0.05, 0.05), 1.0)


_PATTERNS = {
    "brick": lambda rng: _courses(rng, 8, 4, 3, True, 0.14),
    "blocks": lambda rng: _courses(rng, 4, 2, 4, True, 0.16),
    "planks": lambda rng: _courses(rng, 1, 4, 4, False, 0.2),
    "panel": _panel,
    "stripes": _stripes,
    "arches": _arches,
    "tiles": lambda rng: _courses(rng, 2, 2, 4, False, 0.12),
    "slabs": lambda rng: _courses(rng, 2, 1, 4, True, 0.1),
    "boards": lambda rng: _courses(rng, 1, 4, 3, False, 0.1),
    "plain": lambda rng: np.ones((TEXTURE_SIZE, TEXTURE_SIZE)),
}

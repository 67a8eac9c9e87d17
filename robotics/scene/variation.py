"""How scenes differ in looks: nothing that matters to the task, all of it decided by the seed."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, replace

import numpy as np

from core.errors import ZoetropeError
from robotics.scene.cameras import Camera

COLOURS: dict[str, tuple[float, float, float]] = {
    "floor": (0.36, 0.38, 0.42),
    "table": (0.80, 0.76, 0.69),
    "arm": (0.90, 0.90, 0.92),
    "hand": (0.25, 0.27, 0.32),
    "finger": (0.10, 0.10, 0.12),
    "block": (0.85, 0.20, 0.16),
    "target": (0.20, 0.65, 0.30),
    "door": (0.30, 0.45, 0.75),
    "handle": (0.95, 0.75, 0.15),
}
"""Of each kind of thing, RGB in [0, 1]."""
LIGHT = (0.25, 0.35, -1.0)
"""Direction in which light travels."""
TABLE = (0.40, 0.36)
"""Half the table's width and depth in metres, about y = TABLE_Y."""
TABLE_Y = 0.04
TEXTURE_SIZE = 128
"""Pixels of a table texture along x and y."""
MOST_DISTRACTORS = 6
"""Places at the table's edges, out of the hand's reach, where a distractor can stand."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Variation:
    """What may differ between seeds. The default: nothing."""

    colours: float = 0.0
    """How far hue turns and brightness changes, 0 to 1."""
    textures: bool = False
    """Whether the table has a pattern."""
    camera: float = 0.0
    """Metres by which a camera may stand off its place, along each axis."""
    light: float = 0.0
    """How far the light may come from elsewhere, 0 to 1."""
    distractors: int = 0
    """Things at the table's edge, at most."""

    def __post_init__(self) -> None:
        for name, most in (("colours", 1.0), ("camera", 0.2), ("light", 1.0), ("distractors", MOST_DISTRACTORS)):
            if not 0 <= getattr(self, name) <= most:
                raise ZoetropeError(f"variation: {name}: expected 0 to {most}, found {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """How one scene looks."""

    colours: dict[str, str]
    """rgba text of MJCF."""
    light: tuple[float, float, float]
    cameras: tuple[Camera, ...]
    texture: np.ndarray | None
    """uint8 (TEXTURE_SIZE, TEXTURE_SIZE, 3) of the table's top, or None for its plain colour."""
    distractors: str
    """MJCF of what stands at the edges."""


def draw_look(variation: Variation, cameras: tuple[Camera, ...], rng: np.random.Generator) -> Look:
    """The look of one scene. Each kind of change has its own stream, so that one does not shift another."""
    colour, texture, camera, light, thing = rng.spawn(5)
    colours = {name: _shift(rgb, variation.colours, colour) for name, rgb in COLOURS.items()}
    tilt = variation.light * light.uniform(-0.5, 0.5, 2)
    return Look(
        colours={name: _rgba(rgb) for name, rgb in colours.items()},
        light=(LIGHT[0] + float(tilt[0]), LIGHT[1] + float(tilt[1]), LIGHT[2]),
        cameras=tuple(_moved(c, variation.camera, camera) for c in cameras),
        texture=_texture(colours["table"], texture) if variation.textures else None,
        distractors=_distractors(variation.distractors, thing),
    )


def _rgba(rgb: tuple[float, ...]) -> str:
    return " ".join(f"{v:.4f}" for v in (*rgb, 1.0))


def _shift(rgb: tuple[float, float, float], amount: float, rng: np.random.Generator) -> tuple[float, float, float]:
    turn, bright = rng.uniform(-0.5, 0.5), rng.uniform(-0.25, 0.25)
    hue, saturation, value = colorsys.rgb_to_hsv(*rgb)
    return colorsys.hsv_to_rgb((hue + amount * turn) % 1, saturation, min(max(value + amount * bright, 0.05), 1.0))


def _moved(camera: Camera, amount: float, rng: np.random.Generator) -> Camera:
    x, y, z = np.add(camera.position, amount * rng.uniform(-1, 1, 3))
    return replace(camera, position=(float(x), float(y), float(z)))


def _texture(rgb: tuple[float, float, float], rng: np.random.Generator) -> np.ndarray:
    """Checks, stripes or speckles in two shades of one colour."""
    row, column = np.mgrid[:TEXTURE_SIZE, :TEXTURE_SIZE]
    period = int(rng.integers(8, 25))
    kind = rng.integers(3)
    if kind == 0:
        pattern = (row // period + column // period) % 2
    elif kind == 1:
        angle = rng.uniform(0, np.pi)
        pattern = (row * np.sin(angle) + column * np.cos(angle)) // period % 2
    else:
        cells = -(-TEXTURE_SIZE // 4)
        pattern = np.kron(rng.random((cells, cells)) < 0.3, np.ones((4, 4)))[:TEXTURE_SIZE, :TEXTURE_SIZE]
    other = np.array(rgb) * rng.uniform(0.65, 0.9)
    return (255 * np.where(pattern[..., None] > 0, other, rgb)).astype(np.uint8)


def _distractors(most: int, rng: np.random.Generator) -> str:
    spots = [(side * 0.30, y) for side in (-1, 1) for y in (-0.20, -0.06, 0.08)]
    chosen = rng.permutation(MOST_DISTRACTORS)[: int(rng.integers(most + 1))]
    things = []
    for x, y in (spots[i] for i in chosen):
        half, tall = rng.uniform(0.015, 0.030), rng.uniform(0.015, 0.045)
        colour = _rgba(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.4, 0.9), rng.uniform(0.4, 0.9)))
        size = f"{half:.4f} {half:.4f} {tall:.4f}" if rng.random() < 0.5 else f"{half:.4f} {tall:.4f}"
        kind = "box" if size.count(" ") == 2 else "cylinder"
        turn = f"{rng.uniform(0, 90):.2f}"
        things.append(
            f'<geom type="{kind}" size="{size}" pos="{x:.3f} {y + rng.uniform(-0.02, 0.02):.4f} {tall:.4f}" '
            f'euler="0 0 {turn}" rgba="{colour}" contype="0" conaffinity="0" group="1"/>'
        )
    return "".join(things)

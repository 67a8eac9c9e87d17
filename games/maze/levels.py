"""Our own generated mazes: rooms joined by corridors with loops, written as UDMF text in a WAD.

A level is a grid of square cells, open or solid. UDMF (the plain-text map format of the Doom family) needs no node builder:
the engine builds its own on loading. Specification: https://zdoom.org/wiki/Universal_Doom_Map_Format
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import cv2
import numpy as np

from games.maze import textures

CELL = 192.0
"""Side of a cell in map units. The player is 32 units wide."""
CEILING = 128.0
"""Height of every room in map units."""
MAP_NAME = "MAP01"

LANDMARKS: dict[int, str] = {
    30: "tall green column",
    32: "tall red column",
    2028: "floor lamp",
    48: "technical pillar",
    35: "candelabra",
    31: "short green column",
    33: "short red column",
}
"""Engine thing numbers of still, solid decorations (drawn by Freedoom, BSD-3)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LevelConfig:
    """What varies between levels. Grow the variety with the compute that trains on it."""

    size: int = 11
    """Cells along each side, walls included; odd."""
    rooms: int = 5
    loops: float = 0.18
    """Share of the remaining inner walls opened into loops."""
    wall_textures: int = 12
    """How many of the wall textures levels may draw from."""
    flat_textures: int = 8
    landmarks: int = 8


@dataclass(frozen=True, slots=True)
class Level:
    """One maze: what is open, what each cell looks like, and where things stand."""

    seed: int
    open: np.ndarray
    """bool (N, N), indexed [row, column]; row grows with world y, column with world x."""
    region: np.ndarray
    """int (N, N): 0 for corridors, 1.. for rooms; what shares a region shares its look."""
    walls: tuple[str, ...]
    floors: tuple[str, ...]
    ceilings: tuple[str, ...]
    lights: tuple[int, ...]
    things: tuple[tuple[int, float, float], ...]
    """(engine number, x, y) of each landmark."""

    @property
    def cells(self) -> np.ndarray:
        """Open cells as int (M, 2) of (row, column)."""
        return np.argwhere(self.open)

    def centre(self, cell: tuple[int, int]) -> tuple[float, float]:
        """World x, y of a cell's middle."""
        row, column = cell
        return (column + 0.5) * CELL, (row + 0.5) * CELL


def generate(seed: int, config: LevelConfig) -> Level:
    """Carve a maze. The same seed and config give the same level."""
    rng = np.random.default_rng((seed, 0x3A2E))
    size = config.size
    open_, region = _carve(rng, size, config.loops)
    _dig_rooms(rng, open_, region, config.rooms)
    count = int(region.max()) + 1
    shuffle = np.random.default_rng(0x7E87).permutation  # the same few textures for every level of a config
    walls = rng.permutation(shuffle(textures.wall_names())[: config.wall_textures])
    flats = rng.permutation(shuffle(textures.flat_names())[: config.flat_textures])
    return Level(
        seed=seed,
        open=open_,
        region=region,
        walls=tuple(str(walls[i % len(walls)]) for i in range(count)),
        floors=tuple(str(flats[i % len(flats)]) for i in range(count)),
        ceilings=tuple(str(flats[(i * 3 + 1) % len(flats)]) for i in range(count)),
        lights=tuple(int(v) for v in rng.choice([176, 192, 208, 224, 240], count)),
        things=_place(rng, open_, region, config.landmarks),
    )


def _carve(rng: np.random.Generator, size: int, loops: float) -> tuple[np.ndarray, np.ndarray]:
    open_ = np.zeros((size, size), bool)
    stack = [(1, 1)]
    open_[1, 1] = True
    while stack:
        row, column = stack[-1]
        steps = [(row + dr, column + dc) for dr, dc in ((2, 0), (-2, 0), (0, 2), (0, -2))]
        steps = [(r, c) for r, c in steps if 0 < r < size - 1 and 0 < c < size - 1 and not open_[r, c]]
        if not steps:
            stack.pop()
            continue
        r, c = steps[rng.integers(len(steps))]
        open_[(row + r) // 2, (column + c) // 2] = open_[r, c] = True
        stack.append((r, c))
    for row in range(1, size - 1):
        for column in range(1, size - 1):
            between = (row % 2 == 1) != (column % 2 == 1)
            if between and not open_[row, column] and rng.random() < loops:
                open_[row, column] = True
    return open_, np.zeros((size, size), int)


def _dig_rooms(rng: np.random.Generator, open_: np.ndarray, region: np.ndarray, rooms: int) -> None:
    size = len(open_)
    for index in range(1, rooms + 1):
        height, width = rng.choice([2, 3], 2)
        row, column = rng.integers(1, size - 1 - height + 1), rng.integers(1, size - 1 - width + 1)
        area = (slice(row, row + height), slice(column, column + width))
        if not (region[area] > 0).any():
            open_[area], region[area] = True, index


def _place(rng: np.random.Generator, open_: np.ndarray, region: np.ndarray, count: int) -> tuple[tuple[int, float, float], ...]:
    rooms = np.argwhere(open_ & (region > 0))
    if len(rooms) == 0:
        return ()
    kinds = list(LANDMARKS)
    things = []
    for row, column in rng.permutation(rooms)[:count]:
        dx, dy = rng.uniform(-0.28, 0.28, 2) * CELL
        things.append((kinds[rng.integers(len(kinds))], (column + 0.5) * CELL + dx, (row + 0.5) * CELL + dy))
    return tuple(things)


def udmf(level: Level, start: tuple[float, float, float]) -> str:
    """The level as UDMF text with the player at `start` = (x, y, heading in degrees)."""
    vertices: dict[tuple[int, int], int] = {}
    sectors: dict[tuple[int, int], int] = {}
    lines, sides, out = [], [], ['namespace = "zdoom";']

    def vertex(row: int, column: int) -> int:
        return vertices.setdefault((row, column), len(vertices))

    for row, column in level.cells:
        sectors[row, column] = len(sectors)
    for (row, column), sector in sectors.items():
        texture = level.walls[level.region[row, column]]
        corners = [(row, column), (row + 1, column), (row + 1, column + 1), (row, column + 1)]
        neighbours = [(row, column - 1), (row + 1, column), (row, column + 1), (row - 1, column)]
        for i, neighbour in enumerate(neighbours):  # clockwise, so that each line's right side faces the cell
            a, b = vertex(*corners[i]), vertex(*corners[(i + 1) % 4])
            if neighbour not in sectors:
                sides.append(f'sidedef {{ sector = {sector}; texturemiddle = "{texture}"; }}')
                lines.append(f"linedef {{ v1 = {a}; v2 = {b}; sidefront = {len(sides) - 1}; blocking = true; }}")
            elif neighbour > (row, column):
                sides += [f"sidedef {{ sector = {sector}; }}", f"sidedef {{ sector = {sectors[neighbour]}; }}"]
                lines.append(
                    f"linedef {{ v1 = {a}; v2 = {b}; sidefront = {len(sides) - 2}; sideback = {len(sides) - 1}; "
                    "twosided = true; }"
                )
    out += [f"vertex {{ x = {column * CELL}; y = {row * CELL}; }}" for row, column in vertices]
    out += lines + sides
    for row, column in sectors:
        look = level.region[row, column]
        out.append(
            f'sector {{ heightfloor = 0; heightceiling = {int(CEILING)}; texturefloor = "{level.floors[look]}"; '
            f'textureceiling = "{level.ceilings[look]}"; lightlevel = {level.lights[look]}; }}'
        )
    x, y, heading = start
    flags = "skill1 = true; skill2 = true; skill3 = true; skill4 = true; skill5 = true; single = true; dm = true; coop = true;"
    out.append(f"thing {{ x = {x}; y = {y}; angle = {int(round(heading))}; type = 1; {flags} }}")
    out += [f"thing {{ x = {tx:.1f}; y = {ty:.1f}; angle = 0; type = {kind}; {flags} }}" for kind, tx, ty in level.things]
    return "\n".join(out) + "\n"


def wad(level: Level, start: tuple[float, float, float]) -> bytes:
    """A PWAD with the level and the textures it uses. Format: https://doomwiki.org/wiki/WAD"""
    used = sorted({*level.walls, *level.floors, *level.ceilings})
    lumps = [(MAP_NAME, b""), ("TEXTMAP", udmf(level, start).encode()), ("ENDMAP", b""), ("TX_START", b"")]
    for name in used:
        _, png = cv2.imencode(".png", cv2.cvtColor(textures.draw(name), cv2.COLOR_RGB2BGR))
        lumps.append((name, png.tobytes()))
    lumps.append(("TX_END", b""))
    body, directory, offset = b"", b"", 12
    for name, data in lumps:
        directory += struct.pack("<ii8s", offset, len(data), name.encode())
        body += data
        offset += len(data)
    return struct.pack("<4sii", b"PWAD", len(lumps), offset) + body + directory

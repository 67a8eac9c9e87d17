"""What lies or stands on a road without an engine or legs."""

from __future__ import annotations

import math

from driving.source.mesh import Colour, Mesh, box, joined, lathe, prism, shade, tapered
from driving.source.vehicles import Size


def cone(size: Size, colour: Colour) -> Mesh:
    """A traffic cone with two white bands."""
    width, length, height = size
    r = min(width, length) / 2
    at = lambda z: r * 0.78 * (1 - 0.82 * z / height)  # noqa: E731 - its radius at a height
    rings = [
        (0.05 * height, colour),
        (0.35 * height, (240, 240, 236)),
        (0.55 * height, colour),
        (0.72 * height, (240, 240, 236)),
        (0.85 * height, colour),
    ]
    ends = [z for z, _ in rings[1:]] + [height]
    return joined(
        [
            tapered(
                (-length / 2, length / 2, -width / 2, width / 2, 0),
                (-length / 2, length / 2, -width / 2, width / 2, 0.05 * height),
                shade(colour, 0.7),
            ),
            *(lathe([(at(z), z), (at(end), end)], 8, paint) for (z, paint), end in zip(rings, ends)),
        ]
    )


def barrier(size: Size, colour: Colour) -> Mesh:
    """Two boards of red and white across its width, on feet."""
    width, length, height = size
    stripes = max(4, round(width / 0.3))
    pitch = width / stripes
    boards = [
        box(
            (-length * 0.08, -width / 2 + i * pitch, z0 * height),
            (length * 0.08, -width / 2 + (i + 1) * pitch, z1 * height),
            colour if (i + k) % 2 else (238, 238, 234),
        )
        for k, (z0, z1) in enumerate(((0.72, 1.0), (0.36, 0.58)))
        for i in range(stripes)
    ]
    feet = [
        box((-length / 2, s * width * 0.4 - 0.06, 0), (length / 2, s * width * 0.4 + 0.06, 0.08 * height), (60, 60, 62))
        for s in (-1, 1)
    ]
    posts = [
        box(
            (-length * 0.06, s * width * 0.4 - 0.04, 0.08 * height),
            (length * 0.06, s * width * 0.4 + 0.04, 0.8 * height),
            (60, 60, 62),
        )
        for s in (-1, 1)
    ]
    return joined([*boards, *feet, *posts])


def debris(size: Size, colour: Colour) -> Mesh:
    """A burst crate and a board."""
    width, length, height = size
    x, y = length / 2, width / 2
    return joined(
        [
            tapered((-x, x * 0.3, -y, y * 0.4, 0), (-x * 0.9, x * 0.1, -y * 0.8, y * 0.5, height), colour),
            prism(
                [(0, -y * 0.2, 0), (x, -y * 0.6, 0), (x, y * 0.2, 0), (x * 0.2, y, 0)],
                [
                    (0, -y * 0.2, height * 0.5),
                    (x * 0.8, -y * 0.4, height * 0.3),
                    (x * 0.9, y * 0.2, height * 0.2),
                    (x * 0.2, y, height * 0.35),
                ],
                shade(colour, 0.7),
            ),
            box((-x * 0.6, y * 0.5, 0), (x * 0.9, y * 0.7, 0.1 * height), shade(colour, 1.2)),
        ]
    )


def ball(size: Size, colour: Colour) -> Mesh:
    """Striped."""
    r = size[2] / 2
    side = min(size[0], size[1]) / 2
    heights = [(-math.pi / 2 + math.pi * k / 6) for k in range(7)]
    rings = [(side * math.cos(a), r + r * math.sin(a)) for a in heights]
    bands = [lathe([p, q, q], 8, colour if k % 2 else (240, 240, 240)) for k, (p, q) in enumerate(zip(rings, rings[1:]))]
    return joined(bands)

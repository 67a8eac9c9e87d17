"""What has an engine: bodies of cars, vans, trucks, buses and those with beacons. Front along +x, wheels on z = 0."""

from __future__ import annotations

from driving.source.mesh import Colour, Lamp, Mesh, Surface, box, joined, quads, shade, tapered, wheel

GLASS: Colour = (46, 56, 68)
HEAD_LAMP: Colour = (255, 246, 214)
TAIL_LAMP: Colour = (196, 24, 20)
RUBBER: Colour = (28, 28, 30)
BODY = 0.96
"""Width of the body in that of the vehicle, over its wheels."""
GAP = 0.02
"""How far paint and glass stand out of what they lie on, so that they are in front of it."""

Size = tuple[float, float, float]
Corners = list[tuple[float, float, float]]
"""Of a quadrilateral."""


def car(size: Size, colour: Colour, *, beacons: bool = False, stripe: Colour | None = None) -> Mesh:
    """A saloon: lower body, cabin of glass with a painted roof."""
    width, length, height = size
    top = height - 0.12 if beacons else height
    half, y = length / 2, width / 2 * BODY
    floor, waist = 0.16 * top, 0.58 * top
    parts = [
        tapered((-half, half, -y, y, floor), (-half * 0.98, half * 0.97, -y * 0.95, y * 0.95, waist), colour),
        tapered(
            (-half * 0.86, half * 0.42, -y * 0.92, y * 0.92, waist),
            (-half * 0.60, half * 0.10, -y * 0.74, y * 0.74, top - 0.05),
            GLASS,
            Surface.GLASS,
        ),
        tapered(
            (-half * 0.62, half * 0.12, -y * 0.76, y * 0.76, top - 0.06),
            (-half * 0.56, half * 0.06, -y * 0.70, y * 0.70, top),
            colour,
        ),
        box((-half * 0.28, -y * 0.9, waist), (-half * 0.22, y * 0.9, top - 0.06), shade(colour, 0.9)),
        *_wheels(size, 0.62 * half, 0.2 * min(top, 1.7)),
        *_lamps(half, y, 0.38 * top, 0.52 * top),
        quads(_plate(half, y * 0.55, 0.2 * top, 0.33 * top), shade(colour, 0.25)),
    ]
    if stripe is not None:
        parts += _stripes(half * 0.9, y, 0.3 * top, 0.42 * top, stripe)
    if beacons:
        parts += _beacons(-half * 0.25, y * 0.55, top, height)
    return joined(parts)


def van(size: Size, colour: Colour, *, beacons: bool = False, stripe: Colour | None = None) -> Mesh:
    """One tall body with a short nose."""
    width, length, height = size
    top = height - 0.15 if beacons else height
    half, y = length / 2, width / 2 * BODY
    floor, waist = 0.12 * top, 0.5 * top
    nose = half * 0.62
    parts = [
        tapered((-half, half, -y, y, floor), (-half, half * 0.98, -y, y, waist), colour),
        tapered((-half, nose, -y, y, waist), (-half, nose * 0.75, -y * 0.92, y * 0.92, top), colour),
        tapered(
            (nose - 0.1, half * 0.92, -y * 0.9, y * 0.9, waist),
            (nose * 0.75, nose * 0.85, -y * 0.84, y * 0.84, top * 0.93),
            GLASS,
            Surface.GLASS,
        ),
        *_wheels(size, 0.62 * half, 0.17 * min(top, 2.2)),
        *_lamps(half, y, 0.3 * top, 0.4 * top),
        _band(nose * 0.15, nose * 0.8, y * 0.99, 0.55 * top, 0.85 * top),
        quads(_back(-half, y * 0.7, 0.55 * top, 0.85 * top), GLASS, Surface.GLASS),
    ]
    if stripe is not None:
        parts += _stripes(half * 0.95, y, 0.34 * top, 0.46 * top, stripe)
    if beacons:
        parts += _beacons(nose * 0.4, y * 0.7, top, height)
    return joined(parts)


def truck(size: Size, colour: Colour) -> Mesh:
    """A painted cab before a pale box."""
    width, length, height = size
    half, y = length / 2, width / 2
    cab = half - min(2.2, 0.28 * length)
    floor, cab_top = 0.17 * height, 0.8 * height
    return joined(
        [
            tapered((cab, half, -y * 0.96, y * 0.96, floor), (cab, half - 0.25, -y * 0.92, y * 0.92, cab_top), colour),
            box((-half, -y, 0.3 * height), (cab - 0.25, y, height), (206, 206, 200)),
            box((-half, -y * 0.5, 0.15 * height), (cab, y * 0.5, 0.3 * height), (52, 52, 54)),
            quads(_front(half - 0.1, y * 0.84, 0.47 * height, 0.72 * height, lean=0.09), GLASS, Surface.GLASS),
            _band(cab + 0.45, half - 0.4, y * 0.955, 0.48 * height, 0.7 * height),
            quads(_back(-half, y * 0.95, 0.15 * height, 0.2 * height), (150, 30, 26)),
            *_lamps(half, y * 0.96, 0.2 * height, 0.26 * height, back=-half, back_at=(0.31 * height, 0.36 * height)),
            *(wheel(x, s * (y - 0.17), 0.15 * height, 0.32) for x in (-half * 0.72, -half * 0.44, cab + 0.75) for s in (-1, 1)),
        ]
    )


def bus(size: Size, colour: Colour) -> Mesh:
    """A long body with a band of windows and a wide windscreen."""
    width, length, height = size
    half, y = length / 2, width / 2 * BODY
    bays = max(3, round(length / 1.6))
    pitch = (length - 1.0) / bays
    return joined(
        [
            tapered((-half, half, -y, y, 0.1 * height), (-half, half * 0.985, -y * 0.97, y * 0.97, height), colour),
            *(
                _band(
                    -half + 0.5 + i * pitch + 0.08, -half + 0.5 + (i + 1) * pitch - 0.08, y * 0.99, 0.42 * height, 0.8 * height
                )
                for i in range(bays)
            ),
            quads(_front(half, y * 0.9, 0.34 * height, 0.82 * height, lean=0.06), GLASS, Surface.GLASS),
            quads(_front(half * 0.988, y * 0.6, 0.86 * height, 0.95 * height), (240, 180, 60), lamp=Lamp.WINDOW),
            quads(_back(-half, y * 0.8, 0.55 * height, 0.82 * height), GLASS, Surface.GLASS),
            *_lamps(half, y, 0.16 * height, 0.23 * height),
            *(wheel(x, s * (width / 2 - 0.17), 0.15 * height, 0.32) for x in (-half * 0.55, half * 0.6) for s in (-1, 1)),
        ]
    )


def _wheels(size: Size, at: float, radius: float) -> list[Mesh]:
    return [wheel(x, s * (size[0] / 2 - 0.12), radius, 0.22) for x in (-at, at) for s in (-1, 1)]


def _front(x: float, y: float, z0: float, z1: float, lean: float = 0.0) -> list[Corners]:
    """Corners of a quad that looks ahead; its upper edge `lean` further back."""
    return [[(x + GAP, -y, z0), (x + GAP, y, z0), (x + GAP - lean, y, z1), (x + GAP - lean, -y, z1)]]


def _back(x: float, y: float, z0: float, z1: float) -> list[Corners]:
    return [[(x - GAP, y, z0), (x - GAP, -y, z0), (x - GAP, -y, z1), (x - GAP, y, z1)]]


def _plate(half: float, y: float, z0: float, z1: float) -> list[Corners]:
    """Grille ahead and bumper behind."""
    return [*_front(half, y, z0, z1), *_back(-half, y, z0, z1)]


def _band(x0: float, x1: float, y: float, z0: float, z1: float) -> Mesh:
    """A window on either side."""
    out = y + GAP
    right = [(x0, -out, z0), (x1, -out, z0), (x1, -out, z1), (x0, -out, z1)]
    left = [(x1, out, z0), (x0, out, z0), (x0, out, z1), (x1, out, z1)]
    return quads([right, left], GLASS, Surface.GLASS)


def _stripes(x: float, y: float, z0: float, z1: float, colour: Colour) -> list[Mesh]:
    out = y + GAP
    right = [(-x, -out, z0), (x, -out, z0), (x, -out, z1), (-x, -out, z1)]
    left = [(x, out, z0), (-x, out, z0), (-x, out, z1), (x, out, z1)]
    return [quads([right, left], colour)]


def _lamps(
    half: float, y: float, z0: float, z1: float, back: float | None = None, back_at: tuple[float, float] | None = None
) -> list[Mesh]:
    """Head-lamps and tail-lamps at both sides."""
    b0, b1 = back_at or (z0, z1)
    rear = -half if back is None else back
    lamp = lambda quad, to: [(px, py + to, pz) for px, py, pz in quad]  # noqa: E731 - moved sideways
    sides = (y * 0.74, -y * 0.74)
    front = [lamp(_front(half, y * 0.18, z0, z1)[0], to) for to in sides]
    tails = [lamp(_back(rear, y * 0.16, b0, b1)[0], to) for to in sides]
    return [quads(front, HEAD_LAMP, lamp=Lamp.HEAD), quads(tails, TAIL_LAMP, lamp=Lamp.TAIL)]


def _beacons(x: float, y: float, z0: float, z1: float) -> list[Mesh]:
    return [
        box((x - 0.15, 0.02, z0), (x + 0.15, y, z1), (40, 80, 255), lamp=Lamp.BEACON_A),
        box((x - 0.15, -y, z0), (x + 0.15, -0.02, z1), (255, 40, 40), lamp=Lamp.BEACON_B),
    ]

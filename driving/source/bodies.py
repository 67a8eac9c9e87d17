"""Every kind of actor as parts that swing: walkers' legs and arms, riders' legs; the rest are rigid.

Front along +x, feet and wheels on z = 0, origin in the middle of the footprint, within the actor's width, length, height.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from driving.scene import Actor, State
from driving.source.mesh import Colour, Lamp, Mesh, box, joined, lathe, prism, quads, shade, tapered, turned, wheel
from driving.source.vehicles import HEAD_LAMP, TAIL_LAMP, Size, bus, car, truck, van

SKINS: tuple[Colour, ...] = ((232, 190, 160), (198, 150, 112), (142, 96, 66), (96, 64, 46))
HAIRS: tuple[Colour, ...] = ((40, 30, 24), (84, 58, 36), (24, 22, 22), (168, 130, 80))
TROUSERS: tuple[Colour, ...] = ((44, 52, 76), (60, 58, 56), (96, 84, 66), (30, 30, 34))
STRIDE = 1.45
"""Metres that an adult of 1.75 m walks in two steps."""
PEDAL = 4.0
"""Metres that a bicycle rolls in a turn of its pedals."""
HEADINGS = 8
"""Distance walked is read from the position along the nearest of so many directions, so that a moment alone decides the pose."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A mesh that swings around a level axis across the body."""

    mesh: Mesh
    pivot: tuple[float, float, float] = (0.0, 0.0, 0.0)
    swing: float = 0.0
    """Radians to either side."""
    phase: float = 0.0
    """Radians."""


@dataclass(frozen=True, slots=True)
class Body:
    """The parts of an actor and how far it goes in one period of their swing."""

    parts: tuple[Part, ...]
    period: float = 1.0

    def pose(self, state: State) -> list[np.ndarray]:
        """float64 (4, 4) part to world, one for each part."""
        base = np.eye(4)
        base[:2, :2] = [[math.cos(state.yaw), -math.sin(state.yaw)], [math.sin(state.yaw), math.cos(state.yaw)]]
        base[:2, 3] = state.x, state.y
        step = 2 * math.pi / HEADINGS
        heading = round(state.yaw / step) * step
        walked = state.x * math.cos(heading) + state.y * math.sin(heading)
        gait = min(1.0, abs(state.speed))  # legs come together when it stands
        angle = 2 * math.pi * walked / self.period
        return [base @ turned(1, gait * p.swing * math.sin(angle + p.phase), p.pivot) if p.swing else base for p in self.parts]


def body(actor: Actor) -> Body:
    """The body of an actor; those of the same looks differ by their number."""
    return _BUILDERS[actor.category](actor)


def _rigid(build: Callable[[Size, Colour], Mesh]) -> Callable[[Actor], Body]:
    return lambda actor: Body((Part(mesh=build(actor.size, actor.colour)),))


def _pick(choices: Sequence[Colour], actor: Actor, salt: int) -> Colour:
    return choices[(actor.id * 7 + salt * 3 + sum(actor.colour)) % len(choices)]


def _walker(actor: Actor) -> Body:
    w, l, h = actor.size
    skin, hair, cloth = _pick(SKINS, actor, 1), _pick(HAIRS, actor, 2), _pick(TROUSERS, actor, 3)
    hip, neck = 0.5 * h, 0.83 * h
    y, depth = 0.33 * w, 0.14 * min(l, w)
    swing = math.asin(min(0.75, 0.42 * l / hip))
    parts = [
        Part(
            mesh=joined(
                [
                    tapered((-depth, depth, -y * 0.8, y * 0.8, hip * 0.94), (-depth, depth, -y, y, neck), actor.colour),
                    lathe([(0.02 * h, 0.82 * h), (0.058 * h, 0.88 * h), (0.058 * h, 0.94 * h)], 6, skin),
                    lathe([(0.066 * h, 0.925 * h), (0.06 * h, 0.97 * h), (0.02 * h, h)], 6, hair),
                ]
            )
        )
    ]
    for side, phase in ((1, 0.0), (-1, math.pi)):
        leg = tapered(
            (-depth * 0.8, depth, side * y * 0.45 - 0.045 * h, side * y * 0.45 + 0.045 * h, 0.05 * h),
            (-depth, depth, side * y * 0.45 - 0.05 * h, side * y * 0.45 + 0.05 * h, hip),
            cloth,
        )
        shoe = box(
            (-depth * 0.8, side * y * 0.45 - 0.045 * h, 0.0),
            (depth * 1.6, side * y * 0.45 + 0.045 * h, 0.05 * h),
            (40, 36, 34),
        )
        parts.append(Part(mesh=joined([leg, shoe]), pivot=(0, 0, hip), swing=swing, phase=phase))
        out = side * (y + 0.032 * h)
        arm = box((-depth * 0.7, out - 0.03 * h, 0.56 * h), (depth * 0.7, out + 0.03 * h, 0.81 * h), shade(actor.colour, 0.85))
        hand = box((-depth * 0.6, out - 0.026 * h, 0.49 * h), (depth * 0.6, out + 0.026 * h, 0.56 * h), skin)
        parts.append(Part(mesh=joined([arm, hand]), pivot=(0, 0, 0.8 * h), swing=swing * 0.8, phase=phase + math.pi))
    return Body(tuple(parts), STRIDE * h / 1.75)


def _rider(actor: Actor, hip: tuple[float, float], lean: float, foot: float, swing: float) -> list[Part]:
    """Who sits on a cycle: hip (x, z), how far the shoulders are ahead of it, height of the feet."""
    w, _, h = actor.size
    skin, cloth = _pick(SKINS, actor, 1), _pick(TROUSERS, actor, 3)
    x, z = hip
    y, shoulder, reach = 0.36 * w, 0.82 * h, 0.3
    top = x + lean
    d = 0.11
    torso = prism(
        [(x - d, -y * 0.8, z), (x + d, -y * 0.8, z), (x + d, y * 0.8, z), (x - d, y * 0.8, z)],
        [(top - d, -y, shoulder), (top + d, -y, shoulder), (top + d, y, shoulder), (top - d, y, shoulder)],
        actor.colour,
    )
    head = lathe([(0.03, 0.83 * h), (0.1, 0.88 * h), (0.1, 0.93 * h)], 6, skin).shifted(top + 0.04, 0)
    helmet = lathe([(0.12, 0.92 * h), (0.1, 0.97 * h), (0.03, h)], 6, shade(actor.colour, 0.5)).shifted(top + 0.03, 0)
    arms = [
        prism(
            [
                (top + reach, s * y * 0.7 - 0.05, 0.58 * h),
                (top + reach, s * y * 0.7 + 0.05, 0.58 * h),
                (top, s * y, shoulder - 0.02),
            ],
            [
                (top + reach, s * y * 0.7 - 0.05, 0.64 * h),
                (top + reach, s * y * 0.7 + 0.05, 0.64 * h),
                (top, s * (y - 0.08), shoulder - 0.02),
            ],
            shade(actor.colour, 0.85),
        )
        for s in (-1, 1)
    ]
    parts = [Part(mesh=joined([torso, head, helmet, *arms]))]
    for s, phase in ((1, 0.0), (-1, math.pi)):
        a, b = s * y * 0.5 - 0.06, s * y * 0.5 + 0.06
        knee = x + 0.3
        leg = prism(
            [(knee - 0.12, a, foot), (knee + 0.08, a, foot), (knee + 0.08, b, foot), (knee - 0.12, b, foot)],
            [(x - 0.1, a, z + 0.05), (x + 0.14, a, z + 0.05), (x + 0.14, b, z + 0.05), (x - 0.1, b, z + 0.05)],
            cloth,
        )
        parts.append(Part(mesh=leg, pivot=(x, 0, z), swing=swing, phase=phase))
    return parts


def _bicycle(actor: Actor) -> Body:
    w, l, h = actor.size
    r = min(0.34, 0.19 * l)
    a = l / 2 - r
    frame = shade(actor.colour, 0.6)
    saddle = 0.54 * h
    bars = [
        box((-a, -0.025, r - 0.03), (0.1, 0.025, r + 0.03), frame),
        prism(
            [(-0.05, -0.025, r), (0.05, -0.025, r), (0.05, 0.025, r), (-0.05, 0.025, r)],
            [(-0.28, -0.025, saddle), (-0.2, -0.025, saddle), (-0.2, 0.025, saddle), (-0.28, 0.025, saddle)],
            frame,
        ),
        prism(
            [(a - 0.04, -0.03, r), (a + 0.04, -0.03, r), (a + 0.04, 0.03, r), (a - 0.04, 0.03, r)],
            [(a - 0.2, -0.03, 0.6 * h), (a - 0.14, -0.03, 0.6 * h), (a - 0.14, 0.03, 0.6 * h), (a - 0.2, 0.03, 0.6 * h)],
            frame,
        ),
        box((-0.3, -0.02, saddle - 0.1), (a - 0.15, 0.02, saddle - 0.04), frame),
        box((a - 0.22, -w * 0.45, 0.59 * h), (a - 0.16, w * 0.45, 0.62 * h), (40, 40, 42)),
        quads(
            [[(a - 0.1, -0.05, 0.5 * h), (a - 0.1, 0.05, 0.5 * h), (a - 0.1, 0.05, 0.56 * h), (a - 0.1, -0.05, 0.56 * h)]],
            HEAD_LAMP,
            lamp=Lamp.HEAD,
        ),  # type: ignore[arg-type]
        quads(
            [[(-0.36, 0.05, 0.4 * h), (-0.36, -0.05, 0.4 * h), (-0.36, -0.05, 0.46 * h), (-0.36, 0.05, 0.46 * h)]],
            TAIL_LAMP,
            lamp=Lamp.TAIL,
        ),  # type: ignore[arg-type]
    ]
    cycle = [wheel(-a, 0.0, r, 0.05), wheel(a, 0.0, r, 0.05), *bars]
    rider = [] if actor.parked else _rider(actor, (-0.24, saddle), 0.3, 0.12 * h, 0.35)
    return Body((Part(mesh=joined(cycle)), *rider), PEDAL)


def _motorcycle(actor: Actor) -> Body:
    w, l, h = actor.size
    r = min(0.32, 0.16 * l)
    a = l / 2 - r
    y = 0.16
    parts = [
        wheel(-a, 0.0, r, 0.15),
        wheel(a, 0.0, r, 0.12),
        tapered((-a * 0.6, a * 0.6, -y, y, 0.25), (-a * 0.5, a * 0.6, -y, y, 0.42 * h), (70, 70, 74)),
        tapered((-a * 0.1, a * 0.75, -y, y, 0.42 * h), (0.0, a * 0.5, -y * 0.8, y * 0.8, 0.56 * h), actor.colour),
        tapered((-a * 1.1, 0.0, -y, y, 0.42 * h), (-a * 1.2, 0.0, -y, y, 0.5 * h), shade(actor.colour, 0.4)),
        prism(
            [(a - 0.05, -0.05, r), (a + 0.05, -0.05, r), (a + 0.05, 0.05, r), (a - 0.05, 0.05, r)],
            [(a - 0.32, -0.05, 0.6 * h), (a - 0.22, -0.05, 0.6 * h), (a - 0.22, 0.05, 0.6 * h), (a - 0.32, 0.05, 0.6 * h)],
            (120, 120, 124),
        ),
        box((a - 0.34, -w * 0.45, 0.6 * h), (a - 0.26, w * 0.45, 0.64 * h), (40, 40, 42)),
        quads([[(a, -0.1, 0.46 * h), (a, 0.1, 0.46 * h), (a, 0.1, 0.57 * h), (a, -0.1, 0.57 * h)]], HEAD_LAMP, lamp=Lamp.HEAD),  # type: ignore[arg-type]
        quads(
            [[(-a * 1.2, 0.1, 0.43 * h), (-a * 1.2, -0.1, 0.43 * h), (-a * 1.2, -0.1, 0.49 * h), (-a * 1.2, 0.1, 0.49 * h)]],
            TAIL_LAMP,
            lamp=Lamp.TAIL,
        ),  # type: ignore[arg-type]
    ]
    rider = [] if actor.parked else _rider(actor, (-0.15, 0.5 * h), 0.15, 0.2 * h, 0.0)
    return Body((Part(mesh=joined(parts)), *rider))


def _animal(actor: Actor) -> Body:
    w, l, h = actor.size
    coat, dark = actor.colour, shade(actor.colour, 0.65)
    y, back = w * 0.36, 0.68 * h
    trunk = [
        tapered((-0.38 * l, 0.22 * l, -y * 0.8, y * 0.8, 0.4 * h), (-0.38 * l, 0.24 * l, -y, y, back), coat),
        prism(
            [
                (0.1 * l, -y * 0.5, 0.55 * h),
                (0.24 * l, -y * 0.5, 0.5 * h),
                (0.24 * l, y * 0.5, 0.5 * h),
                (0.1 * l, y * 0.5, 0.55 * h),
            ],
            [
                (0.24 * l, -y * 0.4, 0.95 * h),
                (0.34 * l, -y * 0.4, 0.85 * h),
                (0.34 * l, y * 0.4, 0.85 * h),
                (0.24 * l, y * 0.4, 0.95 * h),
            ],
            coat,
        ),
        tapered((0.22 * l, 0.5 * l, -y * 0.4, y * 0.4, 0.76 * h), (0.22 * l, 0.4 * l, -y * 0.5, y * 0.5, 0.94 * h), dark),
        box((0.22 * l, -y * 0.6, 0.92 * h), (0.27 * l, -y * 0.3, h), dark),
        box((0.22 * l, y * 0.3, 0.92 * h), (0.27 * l, y * 0.6, h), dark),
        prism(
            [(-0.38 * l, -0.03, 0.6 * h), (-0.38 * l, 0.03, 0.6 * h), (-0.38 * l, 0, 0.67 * h)],
            [(-0.5 * l, -0.02, 0.42 * h), (-0.5 * l, 0.02, 0.42 * h), (-0.5 * l, 0, 0.47 * h)],
            dark,
        ),
    ]
    t = 0.05 * l
    legs = [
        Part(
            mesh=tapered(
                (x - t, x + t, s * y * 0.7 - t, s * y * 0.7 + t, 0),
                (x - t, x + t, s * y * 0.7 - t, s * y * 0.7 + t, 0.42 * h),
                dark,
            ),
            pivot=(x, 0, 0.42 * h),
            swing=0.3,
            phase=math.pi * (k % 2),
        )
        for k, (x, s) in enumerate(((0.17 * l, 1), (0.17 * l, -1), (-0.32 * l, -1), (-0.32 * l, 1)))
    ]
    return Body((Part(mesh=joined(trunk)), *legs), 0.8 * l)


def _cone(size: Size, colour: Colour) -> Mesh:
    w, l, h = size
    r = min(w, l) / 2
    at = lambda z: r * 0.78 * (1 - 0.82 * z / h)  # noqa: E731 - its radius at a height
    rings = [
        (0.05 * h, colour),
        (0.35 * h, (240, 240, 236)),
        (0.55 * h, colour),
        (0.72 * h, (240, 240, 236)),
        (0.85 * h, colour),
    ]
    ends = [z for z, _ in rings[1:]] + [h]
    return joined(
        [
            tapered((-l / 2, l / 2, -w / 2, w / 2, 0), (-l / 2, l / 2, -w / 2, w / 2, 0.05 * h), shade(colour, 0.7)),
            *(lathe([(at(z), z), (at(end), end)], 8, paint) for (z, paint), end in zip(rings, ends)),
        ]
    )


def _barrier(size: Size, colour: Colour) -> Mesh:
    """Two boards of red and white across its width, on feet."""
    w, l, h = size
    stripes = max(4, round(w / 0.3))
    pitch = w / stripes
    boards = [
        box(
            (-l * 0.08, -w / 2 + i * pitch, z0 * h),
            (l * 0.08, -w / 2 + (i + 1) * pitch, z1 * h),
            colour if (i + k) % 2 else (238, 238, 234),
        )
        for k, (z0, z1) in enumerate(((0.72, 1.0), (0.36, 0.58)))
        for i in range(stripes)
    ]
    feet = [box((-l / 2, s * w * 0.4 - 0.06, 0), (l / 2, s * w * 0.4 + 0.06, 0.08 * h), (60, 60, 62)) for s in (-1, 1)]
    posts = [
        box((-l * 0.06, s * w * 0.4 - 0.04, 0.08 * h), (l * 0.06, s * w * 0.4 + 0.04, 0.8 * h), (60, 60, 62)) for s in (-1, 1)
    ]
    return joined([*boards, *feet, *posts])


def _debris(size: Size, colour: Colour) -> Mesh:
    """A burst crate and a board."""
    w, l, h = size
    x, y = l / 2, w / 2
    return joined(
        [
            tapered((-x, x * 0.3, -y, y * 0.4, 0), (-x * 0.9, x * 0.1, -y * 0.8, y * 0.5, h), colour),
            prism(
                [(0, -y * 0.2, 0), (x, -y * 0.6, 0), (x, y * 0.2, 0), (x * 0.2, y, 0)],
                [(0, -y * 0.2, h * 0.5), (x * 0.8, -y * 0.4, h * 0.3), (x * 0.9, y * 0.2, h * 0.2), (x * 0.2, y, h * 0.35)],
                shade(colour, 0.7),
            ),
            box((-x * 0.6, y * 0.5, 0), (x * 0.9, y * 0.7, 0.1 * h), shade(colour, 1.2)),
        ]
    )


def _ball(size: Size, colour: Colour) -> Mesh:
    r = size[2] / 2
    side = min(size[0], size[1]) / 2
    heights = [(-math.pi / 2 + math.pi * k / 6) for k in range(7)]
    rings = [(side * math.cos(a), r + r * math.sin(a)) for a in heights]
    bands = [lathe([p, q, q], 8, colour if k % 2 else (240, 240, 240)) for k, (p, q) in enumerate(zip(rings, rings[1:]))]
    return joined(bands)


_BUILDERS: dict[str, Callable[[Actor], Body]] = {
    "car": _rigid(car),
    "van": _rigid(van),
    "truck": _rigid(truck),
    "bus": _rigid(bus),
    "ambulance": _rigid(lambda size, colour: van(size, colour, beacons=True, stripe=(206, 40, 36))),
    "police": _rigid(lambda size, colour: car(size, colour, beacons=True, stripe=(30, 70, 170))),
    "motorcycle": _motorcycle,
    "bicycle": _bicycle,
    "pedestrian": _walker,
    "child": _walker,
    "animal": _animal,
    "cone": _rigid(_cone),
    "barrier": _rigid(_barrier),
    "debris": _rigid(_debris),
    "ball": _rigid(_ball),
}

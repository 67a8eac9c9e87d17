"""Bicycles and motorcycles, with their riders unless parked."""

from __future__ import annotations

import math

from driving.scene import Actor
from driving.source.limbs import SKINS, TROUSERS, Body, Part, pick
from driving.source.mesh import Lamp, box, joined, lathe, prism, quads, shade, tapered, wheel
from driving.source.vehicles import HEAD_LAMP, TAIL_LAMP

PEDAL = 4.0
"""Metres that a bicycle rolls in a turn of its pedals."""


def bicycle(actor: Actor) -> Body:
    """Its rider's legs go up and down."""
    width, length, height = actor.size
    r = min(0.34, 0.19 * length)
    a = length / 2 - r
    frame = shade(actor.colour, 0.6)
    saddle = 0.54 * height
    bars = [
        box((-a, -0.025, r - 0.03), (0.1, 0.025, r + 0.03), frame),
        prism(
            [(-0.05, -0.025, r), (0.05, -0.025, r), (0.05, 0.025, r), (-0.05, 0.025, r)],
            [(-0.28, -0.025, saddle), (-0.2, -0.025, saddle), (-0.2, 0.025, saddle), (-0.28, 0.025, saddle)],
            frame,
        ),
        prism(
            [(a - 0.04, -0.03, r), (a + 0.04, -0.03, r), (a + 0.04, 0.03, r), (a - 0.04, 0.03, r)],
            [
                (a - 0.2, -0.03, 0.6 * height),
                (a - 0.14, -0.03, 0.6 * height),
                (a - 0.14, 0.03, 0.6 * height),
                (a - 0.2, 0.03, 0.6 * height),
            ],
            frame,
        ),
        box((-0.3, -0.02, saddle - 0.1), (a - 0.15, 0.02, saddle - 0.04), frame),
        box((a - 0.22, -width * 0.45, 0.59 * height), (a - 0.16, width * 0.45, 0.62 * height), (40, 40, 42)),
        quads(
            [
                [
                    (a - 0.1, -0.05, 0.5 * height),
                    (a - 0.1, 0.05, 0.5 * height),
                    (a - 0.1, 0.05, 0.56 * height),
                    (a - 0.1, -0.05, 0.56 * height),
                ]
            ],
            HEAD_LAMP,
            lamp=Lamp.HEAD,
        ),
        quads(
            [
                [
                    (-0.36, 0.05, 0.4 * height),
                    (-0.36, -0.05, 0.4 * height),
                    (-0.36, -0.05, 0.46 * height),
                    (-0.36, 0.05, 0.46 * height),
                ]
            ],
            TAIL_LAMP,
            lamp=Lamp.TAIL,
        ),
    ]
    cycle = [wheel(-a, 0.0, r, 0.05), wheel(a, 0.0, r, 0.05), *bars]
    rider = [] if actor.parked else _rider(actor, (-0.24, saddle), 0.3, 0.12 * height, 0.35)
    return Body((Part(mesh=joined(cycle)), *rider), PEDAL)


def motorcycle(actor: Actor) -> Body:
    """Its rider sits still."""
    width, length, height = actor.size
    r = min(0.32, 0.16 * length)
    a = length / 2 - r
    y = 0.16
    parts = [
        wheel(-a, 0.0, r, 0.15),
        wheel(a, 0.0, r, 0.12),
        tapered((-a * 0.6, a * 0.6, -y, y, 0.25), (-a * 0.5, a * 0.6, -y, y, 0.42 * height), (70, 70, 74)),
        tapered((-a * 0.1, a * 0.75, -y, y, 0.42 * height), (0.0, a * 0.5, -y * 0.8, y * 0.8, 0.56 * height), actor.colour),
        tapered((-a * 1.1, 0.0, -y, y, 0.42 * height), (-a * 1.2, 0.0, -y, y, 0.5 * height), shade(actor.colour, 0.4)),
        prism(
            [(a - 0.05, -0.05, r), (a + 0.05, -0.05, r), (a + 0.05, 0.05, r), (a - 0.05, 0.05, r)],
            [
                (a - 0.32, -0.05, 0.6 * height),
                (a - 0.22, -0.05, 0.6 * height),
                (a - 0.22, 0.05, 0.6 * height),
                (a - 0.32, 0.05, 0.6 * height),
            ],
            (120, 120, 124),
        ),
        box((a - 0.34, -width * 0.45, 0.6 * height), (a - 0.26, width * 0.45, 0.64 * height), (40, 40, 42)),
        quads(
            [[(a, -0.1, 0.46 * height), (a, 0.1, 0.46 * height), (a, 0.1, 0.57 * height), (a, -0.1, 0.57 * height)]],
            HEAD_LAMP,
            lamp=Lamp.HEAD,
        ),
        quads(
            [
                [
                    (-a * 1.2, 0.1, 0.43 * height),
                    (-a * 1.2, -0.1, 0.43 * height),
                    (-a * 1.2, -0.1, 0.49 * height),
                    (-a * 1.2, 0.1, 0.49 * height),
                ]
            ],
            TAIL_LAMP,
            lamp=Lamp.TAIL,
        ),
    ]
    rider = [] if actor.parked else _rider(actor, (-0.15, 0.5 * height), 0.15, 0.2 * height, 0.0)
    return Body((Part(mesh=joined(parts)), *rider))


def _rider(actor: Actor, hip: tuple[float, float], lean: float, foot: float, swing: float) -> list[Part]:
    """Who sits on a cycle: hip (x, z), how far the shoulders are ahead of it, height of the feet."""
    width, _, height = actor.size
    skin, cloth = pick(SKINS, actor, 1), pick(TROUSERS, actor, 3)
    x, z = hip
    y, shoulder, reach = 0.36 * width, 0.82 * height, 0.3
    top = x + lean
    d = 0.11
    torso = prism(
        [(x - d, -y * 0.8, z), (x + d, -y * 0.8, z), (x + d, y * 0.8, z), (x - d, y * 0.8, z)],
        [(top - d, -y, shoulder), (top + d, -y, shoulder), (top + d, y, shoulder), (top - d, y, shoulder)],
        actor.colour,
    )
    head = lathe([(0.03, 0.83 * height), (0.1, 0.88 * height), (0.1, 0.93 * height)], 6, skin).shifted(top + 0.04, 0)
    helmet = lathe([(0.12, 0.92 * height), (0.1, 0.97 * height), (0.03, height)], 6, shade(actor.colour, 0.5)).shifted(
        top + 0.03, 0
    )
    arms = [
        prism(
            [
                (top + reach, s * y * 0.7 - 0.05, 0.58 * height),
                (top + reach, s * y * 0.7 + 0.05, 0.58 * height),
                (top, s * y, shoulder - 0.02),
            ],
            [
                (top + reach, s * y * 0.7 - 0.05, 0.64 * height),
                (top + reach, s * y * 0.7 + 0.05, 0.64 * height),
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

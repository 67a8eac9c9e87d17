"""Who goes on legs: people, children, animals."""

from __future__ import annotations

import math

from driving.scene import Actor
from driving.source.limbs import SKINS, TROUSERS, Body, Part, pick
from driving.source.mesh import Colour, box, joined, lathe, prism, shade, tapered

HAIRS: tuple[Colour, ...] = ((40, 30, 24), (84, 58, 36), (24, 22, 22), (168, 130, 80))
STRIDE = 1.45
"""Metres that an adult of 1.75 m walks in two steps."""
TOE = 1.3
"""How far a shoe reaches ahead, in half depths of the body."""


def person(actor: Actor) -> Body:
    """Who walks, in clothes of the actor's colour."""
    width, length, height = actor.size
    skin, hair, cloth = pick(SKINS, actor, 1), pick(HAIRS, actor, 2), pick(TROUSERS, actor, 3)
    hip, neck = 0.5 * height, 0.83 * height
    y, depth = 0.33 * width, 0.12 * min(length, width)
    swing = math.asin(min(0.5, (0.5 * length - TOE * depth) / hip))
    parts = [
        Part(
            mesh=joined(
                [
                    tapered((-depth, depth, -y * 0.8, y * 0.8, hip * 0.94), (-depth, depth, -y, y, neck), actor.colour),
                    lathe(
                        [(0.02 * height, 0.82 * height), (0.058 * height, 0.88 * height), (0.058 * height, 0.94 * height)],
                        6,
                        skin,
                    ),
                    lathe([(0.066 * height, 0.925 * height), (0.06 * height, 0.97 * height), (0.02 * height, height)], 6, hair),
                ]
            )
        )
    ]
    for side, phase in ((1, 0.0), (-1, math.pi)):
        leg = tapered(
            (-depth * 0.8, depth, side * y * 0.45 - 0.045 * height, side * y * 0.45 + 0.045 * height, 0.05 * height),
            (-depth, depth, side * y * 0.45 - 0.05 * height, side * y * 0.45 + 0.05 * height, hip),
            cloth,
        )
        shoe = box(
            (-depth * 0.8, side * y * 0.45 - 0.045 * height, 0.0),
            (depth * TOE, side * y * 0.45 + 0.045 * height, 0.05 * height),
            (40, 36, 34),
        )
        parts.append(Part(mesh=joined([leg, shoe]), pivot=(0, 0, hip), swing=swing, phase=phase))
        out = side * (y + 0.032 * height)
        arm = box(
            (-depth * 0.7, out - 0.03 * height, 0.56 * height),
            (depth * 0.7, out + 0.03 * height, 0.81 * height),
            shade(actor.colour, 0.85),
        )
        hand = box(
            (-depth * 0.6, out - 0.026 * height, 0.49 * height), (depth * 0.6, out + 0.026 * height, 0.56 * height), skin
        )
        parts.append(Part(mesh=joined([arm, hand]), pivot=(0, 0, 0.8 * height), swing=swing * 0.8, phase=phase + math.pi))
    return Body(tuple(parts), STRIDE * height / 1.75)


def animal(actor: Actor) -> Body:
    """On four legs, with a tail."""
    width, length, height = actor.size
    coat, dark = actor.colour, shade(actor.colour, 0.65)
    y, back = width * 0.36, 0.68 * height
    trunk = [
        tapered(
            (-0.38 * length, 0.22 * length, -y * 0.8, y * 0.8, 0.4 * height), (-0.38 * length, 0.24 * length, -y, y, back), coat
        ),
        prism(
            [
                (0.1 * length, -y * 0.5, 0.55 * height),
                (0.24 * length, -y * 0.5, 0.5 * height),
                (0.24 * length, y * 0.5, 0.5 * height),
                (0.1 * length, y * 0.5, 0.55 * height),
            ],
            [
                (0.24 * length, -y * 0.4, 0.95 * height),
                (0.34 * length, -y * 0.4, 0.85 * height),
                (0.34 * length, y * 0.4, 0.85 * height),
                (0.24 * length, y * 0.4, 0.95 * height),
            ],
            coat,
        ),
        tapered(
            (0.22 * length, 0.5 * length, -y * 0.4, y * 0.4, 0.76 * height),
            (0.22 * length, 0.4 * length, -y * 0.5, y * 0.5, 0.94 * height),
            dark,
        ),
        box((0.22 * length, -y * 0.6, 0.92 * height), (0.27 * length, -y * 0.3, height), dark),
        box((0.22 * length, y * 0.3, 0.92 * height), (0.27 * length, y * 0.6, height), dark),
        prism(
            [(-0.38 * length, -0.03, 0.6 * height), (-0.38 * length, 0.03, 0.6 * height), (-0.38 * length, 0, 0.67 * height)],
            [(-0.5 * length, -0.02, 0.42 * height), (-0.5 * length, 0.02, 0.42 * height), (-0.5 * length, 0, 0.47 * height)],
            dark,
        ),
    ]
    t = 0.05 * length
    legs = [
        Part(
            mesh=tapered(
                (x - t, x + t, s * y * 0.7 - t, s * y * 0.7 + t, 0),
                (x - t, x + t, s * y * 0.7 - t, s * y * 0.7 + t, 0.42 * height),
                dark,
            ),
            pivot=(x, 0, 0.42 * height),
            swing=0.3,
            phase=math.pi * (k % 2),
        )
        for k, (x, s) in enumerate(((0.17 * length, 1), (0.17 * length, -1), (-0.32 * length, -1), (-0.32 * length, 1)))
    ]
    return Body((Part(mesh=joined(trunk)), *legs), 0.8 * length)

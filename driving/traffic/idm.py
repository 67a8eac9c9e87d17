"""The Intelligent Driver Model (Treiber, Hennecke and Helbing 2000, arXiv cond-mat/0002177)."""

from __future__ import annotations

import math
from dataclasses import dataclass

HARDEST = 8.0
"""Braking that no driver exceeds, m/s2."""
GENTLE = 2.5
"""Braking when merely going faster than wished, m/s2."""

LINE_ROOM = 1.0
"""How much nearer to a stop line than to a bumper one comes to rest, metres."""
SPARE = 1.2
"""How much harder than needed one brakes for a line that came up suddenly."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """How somebody drives."""

    acceleration: float = 1.5
    """The most they use, m/s2."""
    braking: float = 2.0
    """What they find comfortable, m/s2."""
    headway: float = 1.5
    """Seconds behind the one ahead."""
    standstill: float = 2.0
    """Metres behind the one ahead when all stand."""

    @staticmethod
    def of(aggressiveness: float) -> Style:
        """From 0 (long gaps, soft pedals) over 0.5 (the values above) to 1."""
        return Style(
            acceleration=0.8 + 1.4 * aggressiveness,
            braking=1.5 + aggressiveness,
            headway=2.1 - 1.2 * aggressiveness,
            standstill=2.5 - aggressiveness,
        )


def acceleration(style: Style, speed: float, wish: float, gap: float, ahead: float) -> float:
    """m/s2 for somebody at `speed` who wishes `wish`, `gap` metres behind something that moves at `ahead` along the same
    path; an infinite gap: a free road."""
    free = max(style.acceleration * (1 - (speed / max(wish, 0.1)) ** 4), -GENTLE)
    if math.isinf(gap):
        return free
    closing = speed * (speed - ahead) / (2 * math.sqrt(style.acceleration * style.braking))
    wanted = style.standstill + max(0.0, speed * style.headway + closing)
    return max(free - style.acceleration * (wanted / max(gap, 0.1)) ** 2, -HARDEST)


def halt(style: Style, speed: float, wish: float, distance: float) -> float:
    """m/s2 to come to rest before a line `distance` metres ahead: as for a body that stands there, but hardly harder than
    needed, where a light turned while one was near."""
    needed = speed**2 / (2 * max(distance, 0.1))
    return max(acceleration(style, speed, wish, distance + LINE_ROOM, 0.0), -max(SPARE * needed, style.braking))

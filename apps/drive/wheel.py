"""The keys of the driver's window: wheel and pedals, and what the window itself can be asked."""

from __future__ import annotations

from enum import Enum

from apps.play.controls import Keys

GAS, BRAKE, LEFT, RIGHT = ("w", "up"), ("s", "down"), ("a", "left"), ("d", "right")
PUSH, STOP, DRAG = 2.5, 6.0, 0.3
"""Accelerations of gas, brakes, and of rolling with neither, m/s^2."""
TURN = 0.35
"""Angle of the front wheels with a key held, radians; at speed the car bounds it to what its tyres hold."""


class Command(Enum):
    """(key, what the help says)."""

    PAUSE = ("p", "pause and go on")
    NEW = ("r", "new scene")
    VIDEO = ("v", "start and stop a video")
    SOURCE = ("g", "the source world below the dream")
    HELP = ("h", "this help")
    LEAVE = ("escape", "leave")

    @property
    def key(self) -> str:
        return self.value[0]


BY_KEY = {command.key: command for command in Command}


def help_columns() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(keys, meaning) of everything that can be pressed."""
    driving = [("W  Up", "accelerate"), ("S  Down", "brake"), ("A  Left", "steer left"), ("D  Right", "steer right")]
    return driving, [({"escape": "Esc"}.get(c.key, c.key.upper()), c.value[1]) for c in Command]


def steering(keys: Keys) -> tuple[float, float]:
    """Angle of the wheels in radians and acceleration in m/s^2 that these keys ask for."""
    pressed = set(keys.all)
    left, right, gas, brake = (not pressed.isdisjoint(names) for names in (LEFT, RIGHT, GAS, BRAKE))
    return TURN * (left - right), -STOP if brake else PUSH if gas else -DRAG

"""The window's own keys, the same in every game. Game keys are in `games.keys`; no key is in both."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from games.keys import KeyMap


class Command(Enum):
    """What the window itself can be asked: (key, what the help says)."""

    PAUSE = ("p", "pause and go on")
    NEW = ("r", "new world")
    SAVE = ("f5", "save")
    RESTORE = ("f9", "restore the last save")
    REWIND = ("backspace", "rewind (hold)")
    BRANCH = ("tab", "fork, then flip between the two branches")
    FORGET = ("delete", "forget the other branch")
    VIDEO = ("v", "start and stop a video")
    MEMORY = ("m", "show what the memory holds")
    ENGINE = ("g", "the real engine beside the dream")
    REMEMBER = ("n", "memory on and off")
    MORE_STEPS = ("page up", "more denoising steps a frame")
    FEWER_STEPS = ("page down", "fewer denoising steps a frame")
    HELP = ("h", "this help")
    LEAVE = ("escape", "leave")

    @property
    def key(self) -> str:
        return self.value[0]

    @property
    def text(self) -> str:
        return self.value[1]


BY_KEY = {command.key: command for command in Command}


@dataclass(frozen=True, slots=True)
class Keys:
    """The keyboard during one frame: what went down since the last one, in order, and what is held."""

    struck: tuple[str, ...] = ()
    held: Collection[str] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """Newest first: a short tap between two frames counts, and wins over what is merely held."""
        return (*reversed(self.struck), *(key for key in self.held if key not in self.struck))


def help_lines(game: KeyMap) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(keys, meaning) of everything that can be pressed: the game's, and the window's."""
    playing = [("  ".join(_title(key) for key in binding.keys), binding.text) for binding in game.bindings]
    return playing, [(_title(command.key), command.text) for command in Command]


_SHORT = {"escape": "Esc", "page up": "PgUp", "page down": "PgDn"}


def _title(key: str) -> str:
    return _SHORT.get(key, key.capitalize())

"""Display and keyboard: whether there is one, and what is pressed. Needs pygame, which is imported only when it is used."""

from __future__ import annotations

import os
import sys

from apps.play.controls import Keys
from core.errors import ZoetropeError


def need_pygame() -> None:
    """Its absence is one clear line."""
    os.environ["PYGAME_HIDE_SUPPORT_PROMPT"] = "1"  # pygame greets on standard output otherwise
    try:
        import pygame  # noqa: F401 - asked for now, so that its absence is one clear line
    except ImportError:
        raise ZoetropeError("playing needs pygame; run: pip install pygame-ce") from None


def has_display(otherwise: str) -> bool:
    """Whether a window can be opened; if not, says why, and what happens instead."""
    try:
        open_display()
    except NoDisplayError as reason:
        print(f"no display ({reason}): {otherwise}")
        return False
    return True


class NoDisplayError(Exception):
    """There is nothing to open a window on."""


def open_display() -> None:
    """Start the video part of pygame, and only that. Raises NoDisplayError."""
    import pygame

    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise NoDisplayError("neither an X nor a Wayland display is set")
    try:
        pygame.display.init()
    except pygame.error as error:
        raise NoDisplayError(str(error)) from None
    if pygame.display.get_driver() in ("dummy", "offscreen"):
        pygame.display.quit()
        raise NoDisplayError("only a pretended display is there")


class Keyboard:
    """Collects pygame's events into `Keys`."""

    def __init__(self) -> None:
        self.closed = False
        self._held: dict[str, None] = {}
        """Names of held keys, in the order they went down."""
        self._struck: list[str] = []

    def wait(self, seconds: float) -> None:
        """Sleep until something happens, or at most so long."""
        import pygame

        event = pygame.event.wait(round(seconds * 1000))
        self._take(event)

    def read(self) -> Keys:
        """The keys since the last read."""
        import pygame

        for event in pygame.event.get():
            self._take(event)
        keys = Keys(tuple(self._struck), tuple(reversed(self._held)))
        self._struck.clear()
        return keys

    def _take(self, event) -> None:  # noqa: ANN001 - pygame is not imported at the top
        import pygame

        if event.type == pygame.QUIT:
            self.closed = True
        elif event.type == pygame.KEYDOWN:
            name = pygame.key.name(event.key)
            self._struck.append(name)
            self._held[name] = None
        elif event.type == pygame.KEYUP:
            self._held.pop(pygame.key.name(event.key), None)
        elif event.type == pygame.WINDOWFOCUSLOST:
            self._held.clear()

"""A window that shows one surface after another, as large as it fits."""

from __future__ import annotations

import pygame

from apps.play.canvas import BACKGROUND

DESKTOP = 0.9
"""Share of the desktop that a new window takes at most."""


class Screen:
    """`open_display` came before."""

    def __init__(self, caption: str):
        pygame.display.set_caption(caption)
        self._size: tuple[int, int] | None = None

    def show(self, surface: pygame.Surface) -> None:
        """Show it at the window's size, keeping its shape; the first one decides how large the window opens."""
        if self._size is None:
            desktop = pygame.display.get_desktop_sizes()[0]
            share = min(1.0, *(DESKTOP * room / side for room, side in zip(desktop, surface.get_size())))
            self._size = (round(surface.get_width() * share), round(surface.get_height() * share))
            pygame.display.set_mode(self._size, pygame.RESIZABLE)
        screen = pygame.display.get_surface() or pygame.display.set_mode(self._size, pygame.RESIZABLE)
        share = min(a / b for a, b in zip(screen.get_size(), surface.get_size()))
        fitted = pygame.transform.smoothscale(surface, [max(1, round(side * share)) for side in surface.get_size()])
        screen.fill(BACKGROUND)
        screen.blit(fitted, fitted.get_rect(center=screen.get_rect().center))
        pygame.display.flip()

    @staticmethod
    def close() -> None:
        pygame.display.quit()

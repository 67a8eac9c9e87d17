"""The window: keyboard and screen around a `Player`. Opens no sound."""

from __future__ import annotations

import time

from apps.play.controls import Keys
from apps.play.display import Keyboard
from apps.play.loop import Player, View

SCALE = 6
"""How much a 96-pixel frame is enlarged at first."""
REST_SECONDS = 0.5
"""While nothing changes, how long to sleep before looking whether a message has faded."""


def play(player: Player) -> None:
    """Play until the player leaves. `open_display` came before."""
    import pygame

    from apps.play import draw
    from apps.play.recorder import Recorder

    game, rate = player.game, player.rate
    recorder = Recorder(game.keys, rate)
    keyboard = Keyboard()
    view = player.tick(Keys())
    scale = max(1, SCALE * 96 // view.frame.shape[0])
    try:
        pygame.display.set_caption(f"Zoetrope: {player.dream.loaded.name}")
        chosen, panels = _fitting(view, scale), draw.size(view, 1)
        screen = pygame.display.set_mode(chosen, pygame.RESIZABLE)
        clock = pygame.time.Clock()
        keys = Keys()
        while not player.leaving:
            if player.resting(keys):
                keyboard.wait(REST_SECONDS)
            keys = keyboard.read()
            if keyboard.closed:
                break
            view = player.tick(keys)
            screen = pygame.display.get_surface() or screen
            if draw.size(view, 1) != panels and screen.get_size() == chosen:
                # a panel came or went: keep the enlargement, unless the user has given the window a size of their own
                chosen = _fitting(view, scale)
                screen = pygame.display.set_mode(chosen, pygame.RESIZABLE)
                _keep_on_desktop(chosen)
            panels = draw.size(view, 1)
            begun = time.perf_counter()
            screen.blit(draw.compose(view, screen.get_size(), game.keys), (0, 0))
            pygame.display.flip()
            recorder.see(view)
            player.took("draw", time.perf_counter() - begun)
            clock.tick(rate)
    finally:
        recorder.close()
        pygame.display.quit()


def _fitting(view: View, scale: int) -> tuple[int, int]:
    """The window's size at `scale`, or at the largest smaller one that the desktop has room for."""
    import pygame

    from apps.play import draw

    desktop = pygame.display.get_desktop_sizes()[0]
    room = (round(desktop[0] * 0.95), round(desktop[1] * 0.88))
    while scale > 1 and any(a > b for a, b in zip(draw.size(view, scale), room, strict=True)):
        scale -= 1
    return draw.size(view, scale)


def _keep_on_desktop(size: tuple[int, int]) -> None:
    """Move a window that has grown past the desktop's edge back onto it, where the system lets us (Wayland does not)."""
    import pygame

    try:
        at, desktop = pygame.display.get_window_position(), pygame.display.get_desktop_sizes()[0]
        inside = tuple(max(0, min(a, d - s)) for a, d, s in zip(at, desktop, size, strict=True))
        if inside != tuple(at):
            pygame.display.set_window_position((inside[0], inside[1]))
    except pygame.error:
        return

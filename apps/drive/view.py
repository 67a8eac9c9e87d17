"""`zoetrope drive view`: a dataset's scenes with their boxes, in a window or as a video."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from apps.play.display import Keyboard, has_display, need_pygame
from apps.writing import writing
from core.errors import ZoetropeError
from driving.nuscenes.read import Dataset
from driving.nuscenes.view import Page, draw, scene_video
from driving.scene import RATE

REST_SECONDS = 0.5
HELP = "left/right scene   up/down frame   space play/pause   Esc leave"


def run(args: argparse.Namespace) -> int:
    data = Dataset(args.dataset)
    names = data.names()
    if not names:
        raise ZoetropeError(f"{args.dataset}: a dataset without scenes")
    name = args.scene or names[0]
    data.scene(name)
    if args.out is None:
        need_pygame()
        if has_display("writing the scene's video instead"):
            _look(data, names, names.index(name))
            return 0
    out = args.out or Path(f"zoetrope-{name}.mp4")
    with writing(out.parent):
        scene_video(args.dataset, name, out)
    print(out.resolve())
    return 0


class _Film:
    """One scene, drawn frame by frame."""

    def __init__(self, data: Dataset, name: str):
        self._recording = data.read(name)
        self._page = Page(self._recording.scene.road, [c.name for c in self._recording.scene.rig.cameras])
        self.frames = len(self._recording.episode)

    def draw(self, t: int) -> np.ndarray:
        """uint8 (H, W, 3)."""
        return np.ascontiguousarray(draw(self._recording, t, self._page))


def _look(data: Dataset, names: list[str], index: int) -> None:
    """Show scenes until the viewer leaves."""
    import pygame

    from apps.drive.screen import Screen
    from apps.play.canvas import GAP, write

    screen, keyboard, clock = Screen("Zoetrope: view"), Keyboard(), pygame.time.Clock()
    film, t, playing = _Film(data, names[index]), 0, True
    try:
        while not keyboard.closed:
            page = film.draw(t)
            surface = pygame.image.frombuffer(page.tobytes(), (page.shape[1], page.shape[0]), "RGB")
            write(surface, f"{names[index]}   {t / RATE:.1f} s   {HELP}", (GAP, page.shape[0] - 3 * GAP), shadow=True)
            screen.show(surface)
            if not playing:
                keyboard.wait(REST_SECONDS)
            keys = keyboard.read()
            if "escape" in keys.struck:
                break
            playing ^= "space" in keys.struck
            turn = ("right" in keys.struck) - ("left" in keys.struck)
            if turn:
                index, t = (index + turn) % len(names), 0
                film = _Film(data, names[index])
                continue
            step = ("up" in keys.struck) - ("down" in keys.struck)
            t = (t + (step or playing)) % film.frames
            clock.tick(RATE)
    finally:
        screen.close()

"""Draw a ride's view onto a pygame surface: cameras, the source world below them, the road from above, the figures."""

from __future__ import annotations

import pygame

from apps.drive.ride import View
from apps.drive.wheel import help_columns
from apps.play.canvas import ACCENT, ALERT, BACKGROUND, DIM, GAP, LINE, TEXT, banner, help_page, picture, write, write_fitting

WIDE = 768
"""Pixels that the cameras are enlarged to fill, about."""


def compose(view: View) -> pygame.Surface:
    """The whole picture of one frame."""
    height, width = view.cameras.shape[:2]
    scale = max(1, round(WIDE / width))
    rows = [view.cameras] if view.source is None else [view.cameras, view.source]
    above = view.above.shape[0]
    size = (width * scale + above + 3 * GAP, max(len(rows) * (height * scale + GAP), above + GAP) + GAP + LINE + GAP)
    canvas = pygame.Surface(size)
    canvas.fill(BACKGROUND)
    for number, row in enumerate(rows):
        box = pygame.Rect(GAP, GAP + number * (height * scale + GAP), width * scale, height * scale)
        picture(canvas, row, box)
        if len(rows) > 1:
            write(canvas, ("dream", "source world")[number], (box.x + 6, box.y + 4), shadow=True)
    picture(canvas, view.above, pygame.Rect(size[0] - above - GAP, GAP, above, above))
    if view.video is not None:
        pygame.draw.circle(canvas, ALERT, (GAP + width * scale - 16, GAP + 16), 7)
    if view.label:
        banner(canvas, view.label.upper(), GAP + width * scale // 2, GAP + height * scale // 2, ACCENT)
    if view.message:
        banner(canvas, view.message, size[0] // 2, size[1] - 3 * LINE, TEXT)
    write_fitting(canvas, list(view.figures), (GAP, size[1] - LINE - GAP // 2), size[0] - 2 * GAP, DIM)
    if view.help:
        help_page(canvas, help_columns())
    return canvas

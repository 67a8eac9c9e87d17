"""Draw a view onto a pygame surface: the frames, the figures, the map of what is remembered, the help. Needs no display."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pygame

from apps.play.canvas import (
    ACCENT,
    ALERT,
    BACKGROUND,
    DIM,
    GAP,
    LINE,
    TEXT,
    banner,
    help_page,
    picture,
    write,
    write_fitting,
)
from apps.play.controls import Command, help_lines
from apps.play.loop import Beside, Hud, View
from games.keys import KeyMap

if TYPE_CHECKING:
    from core.streaming.session import MemoryView

WALL = (84, 92, 108)
REMEMBERED = (104, 172, 255)
HERE = (255, 255, 255)
HUD_LINES = 2
HUD_HEIGHT = HUD_LINES * LINE + GAP
CURVE_RANGE_DB = (10.0, 40.0)


def size(view: View, scale: int) -> tuple[int, int]:
    """Width and height of a canvas that shows the view's panels `scale` times enlarged."""
    height, width = view.frame.shape[:2]
    columns = _panel_widths(view, scale)
    return max(sum(columns) + GAP * (len(columns) + 1), width * scale), height * scale + 2 * GAP + HUD_HEIGHT


def scale_for(view: View, available: tuple[int, int]) -> int:
    """The largest whole enlargement that fits, so that every pixel stays a square."""
    scale = 1
    while all(a <= b for a, b in zip(size(view, scale + 1), available, strict=True)):
        scale += 1
    return scale


def compose(view: View, canvas_size: tuple[int, int], keys: KeyMap) -> pygame.Surface:
    """The whole picture of one frame."""
    canvas = pygame.Surface(canvas_size)
    canvas.fill(BACKGROUND)
    scale = scale_for(view, canvas_size)
    columns = _panel_widths(view, scale)
    height = view.frame.shape[0] * scale
    x = max(GAP, (canvas_size[0] - sum(columns) - GAP * (len(columns) - 1)) // 2)
    y = max(GAP, (canvas_size[1] - HUD_HEIGHT - height) // 2)
    boxes = []
    for width in columns:
        boxes.append(pygame.Rect(x, y, width, height))
        x += width + GAP
    picture(canvas, view.frame, boxes[0])
    if view.engine is not None:
        write(canvas, "dream", (boxes[0].x + 6, boxes[0].y + 4), shadow=True)
        _engine(canvas, view.engine, boxes[1])
    if view.memory_panel:
        _memory(canvas, view.memory, boxes[-1])
    if view.label:
        banner(canvas, view.label.upper(), boxes[0].centerx, boxes[0].centery, ACCENT)
    if view.message:
        banner(canvas, view.message, canvas_size[0] // 2, boxes[0].bottom - LINE, TEXT)
    if view.video is not None:
        pygame.draw.circle(canvas, ALERT, (boxes[0].right - 16, boxes[0].y + 16), 7)
    _hud(canvas, view.hud)
    if view.help:
        help_page(canvas, help_lines(keys))
    return canvas


def _panel_widths(view: View, scale: int) -> list[int]:
    height, width = view.frame.shape[:2]
    widths = [width * scale]
    if view.engine is not None:
        widths.append((width if view.engine.frame is None else view.engine.frame.shape[1]) * scale)
    if view.memory_panel:
        widths.append(height * scale)
    return widths


def _engine(canvas: pygame.Surface, engine: Beside, box: pygame.Rect) -> None:
    if engine.frame is not None:
        picture(canvas, engine.frame, box)
    write(canvas, engine.text, (box.x + 6, box.y + 4), shadow=True)
    if len(engine.curve) > 1:
        low, high = CURVE_RANGE_DB
        tall = box.height // 5
        points = [
            (
                box.x + box.width * i / (len(engine.curve) - 1),
                box.bottom - tall * (min(max(v, low), high) - low) / (high - low) - 2,
            )
            for i, v in enumerate(engine.curve)
        ]
        pygame.draw.aalines(canvas, ACCENT, False, points)


def _memory(canvas: pygame.Surface, memory: MemoryView | None, box: pygame.Rect) -> None:
    """The map: walls that were seen, an arrow for every remembered view, the recalled ones lit, and where we are."""
    pygame.draw.rect(canvas, (24, 26, 31), box)
    if memory is None:
        write(canvas, "this world keeps no map", (box.x + 6, box.y + 4), DIM)
        return
    points, views = np.asarray(memory.points).reshape(-1, 2), np.asarray(memory.keyframes).reshape(-1, 3)
    here = np.asarray(memory.here, np.float64)
    everything = np.concatenate([points, views[:, :2], here[None, :2]])
    low, high = everything.min(0), everything.max(0)
    span = max(float((high - low).max()), 1e-6)
    inner = box.inflate(-24, -24 - 2 * LINE)
    middle, unit = (low + high) / 2, min(inner.size) / span

    def place(xy: np.ndarray) -> tuple[int, int]:
        """World to canvas; the world's y points up."""
        return (
            round(inner.centerx + (xy[0] - middle[0]) * unit),
            round(inner.centery - (xy[1] - middle[1]) * unit),
        )

    clip = canvas.get_clip()
    canvas.set_clip(box)
    _dots(canvas, (points - middle) * (unit, -unit) + inner.center, box)
    recalled = set(memory.recalled)
    for index, view in enumerate(views):
        if index not in recalled:
            _arrow(canvas, place(view), view[2], 7, REMEMBERED)
    for index in recalled:
        if index < len(views):
            _arrow(canvas, place(views[index]), views[index][2], 10, ACCENT)
    _arrow(canvas, place(here), here[2], 13, HERE)
    canvas.set_clip(clip)
    write(canvas, f"remembered {len(views)}", (box.x + 6, box.y + 4), REMEMBERED)
    write(canvas, f"recalled {len(recalled)}", (box.x + 6, box.bottom - LINE - 2), ACCENT)


def _dots(canvas: pygame.Surface, points: np.ndarray, box: pygame.Rect) -> None:
    """Dots of 2x2 pixels at canvas positions (M, 2); thousands of them, so all at once."""
    at = np.rint(points).astype(int)
    box = box.clip(canvas.get_rect())
    inside = (at >= box.topleft).all(1) & (at < np.array(box.bottomright) - 1).all(1)
    x, y = at[inside].T
    pixels = pygame.surfarray.pixels2d(canvas)
    colour = canvas.map_rgb(WALL)
    for dx in (0, 1):
        for dy in (0, 1):
            pixels[x + dx, y + dy] = colour
    del pixels  # the surface stays locked while the array lives


def _arrow(canvas: pygame.Surface, at: tuple[int, int], heading: float, length: float, colour: tuple[int, int, int]) -> None:
    corners = []
    for turn, reach in ((0.0, 1.0), (2.5, 0.7), (math.pi, 0.25), (-2.5, 0.7)):
        angle = heading + turn
        corners.append((at[0] + length * reach * math.cos(angle), at[1] - length * reach * math.sin(angle)))
    pygame.draw.polygon(canvas, colour, corners)


def _hud(canvas: pygame.Surface, hud: Hud) -> None:
    stages = "   ".join(f"{name} {ms:.1f}" for name, ms in hud.milliseconds.items())
    steps = f"{hud.steps} step{'s' if hud.steps > 1 else ''} a frame"
    held = f"{hud.tokens} tokens   {hud.megabytes:.1f} MB   {hud.keyframes} views kept"
    rest = [f"frame {hud.number}"]
    if hud.reward:
        rest.append(f"reward {hud.reward:.1f}")
    if hud.branch:
        rest.append(f"branch {hud.branch}")
    if not hud.memory_on:
        rest.append("memory off")
    top = canvas.get_height() - HUD_HEIGHT
    wide = canvas.get_width() - 2 * GAP
    write_fitting(canvas, [f"{hud.fps:.0f} frames/s", f"ms: {stages}", steps], (GAP, top), wide, TEXT)
    write_fitting(canvas, [held, *rest, f"{Command.HELP.key.upper()} help"], (GAP, top + LINE), wide, DIM)

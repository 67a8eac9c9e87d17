"""What every window of ours is drawn with: colours, letters, plates and enlarged frames on a pygame surface."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pygame

BACKGROUND = (14, 15, 18)
TEXT = (222, 224, 228)
DIM = (140, 146, 156)
ACCENT = (255, 196, 64)
ALERT = (255, 110, 90)
GAP = 8
"""Pixels around and between panels."""
TEXT_SIZE = 15
LINE = 19


def to_array(canvas: pygame.Surface) -> np.ndarray:
    """uint8 (H, W, 3) RGB, for a video."""
    width, height = canvas.get_size()
    return np.frombuffer(pygame.image.tobytes(canvas, "RGB"), np.uint8).reshape(height, width, 3)


def picture(canvas: pygame.Surface, frame: np.ndarray, box: pygame.Rect) -> None:
    """A frame, enlarged without smoothing."""
    small = pygame.image.frombuffer(frame.tobytes(), (frame.shape[1], frame.shape[0]), "RGB")
    canvas.blit(pygame.transform.scale(small, box.size), box)


def write_fitting(
    canvas: pygame.Surface, parts: list[str], at: tuple[int, int], width: int, colour: tuple[int, int, int]
) -> None:
    """Parts in a row, in the largest letters with which all of them fit."""
    text = "    ".join(parts)
    for letters in range(TEXT_SIZE, 7, -1):
        if _font(letters).size(text)[0] <= width:
            break
    canvas.blit(_font(letters).render(text, True, colour), at)


def help_page(canvas: pygame.Surface, columns: Sequence[Sequence[tuple[str, str]]]) -> None:
    """Columns of (keys, meaning) over a darkened canvas."""
    shade = pygame.Surface(canvas.get_size(), pygame.SRCALPHA)
    shade.fill((8, 9, 12, 215))
    canvas.blit(shade, (0, 0))
    longest = max(len(column) for column in columns)
    line = max(10, min(LINE + 4, (canvas.get_height() - 2 * LINE) // longest))
    letters = max(8, min(TEXT_SIZE, line - 4))
    for number, column in enumerate(columns):
        x = canvas.get_width() * number // len(columns) + 2 * GAP
        key_width = max(_font(letters).size(key)[0] for key, _ in column) + 12
        for row, (key, meaning) in enumerate(column):
            y = LINE + row * line
            canvas.blit(_text(key, letters, ACCENT), (x, y))
            canvas.blit(_text(meaning, letters, TEXT), (x + key_width, y))


def banner(canvas: pygame.Surface, text: str, x: int, y: int, colour: tuple[int, int, int]) -> None:
    """One line on a dark plate, centred; a long one in smaller letters."""
    for letters in range(TEXT_SIZE + 1, 7, -1):
        label = _text(text, letters, colour)
        if label.get_width() <= canvas.get_width() - 4 * GAP:
            break
    box = label.get_rect(center=(x, y))
    box.clamp_ip(canvas.get_rect())
    plate = pygame.Surface(box.inflate(20, 10).size, pygame.SRCALPHA)
    plate.fill((8, 9, 12, 190))
    canvas.blit(plate, box.inflate(20, 10))
    canvas.blit(label, box)


def write(
    canvas: pygame.Surface, text: str, at: tuple[int, int], colour: tuple[int, int, int] = TEXT, shadow: bool = False
) -> None:
    if shadow:
        canvas.blit(_text(text, TEXT_SIZE, (0, 0, 0)), (at[0] + 1, at[1] + 1))
    canvas.blit(_text(text, TEXT_SIZE, colour), at)


@lru_cache(maxsize=256)
def _text(text: str, letters: int, colour: tuple[int, int, int]) -> pygame.Surface:
    return _font(letters).render(text, True, colour)


@lru_cache(maxsize=32)
def _font(letters: int) -> pygame.font.Font:
    pygame.font.init()
    return pygame.font.Font(None, round(letters * 1.35))

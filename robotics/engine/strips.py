"""Strips of a few frames of an attempt, for the contact sheet of what was kept and what was not."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from core.errors import ZoetropeError
from core.files import atomic_path

SHOWN = 6
"""Attempts of each way and verdict that are shown."""
FRAMES = 8
"""Frames of a strip, spread over the episode; its cameras stand one below the other."""


def path(out: Path, name: str) -> Path:
    """Where the strip of an attempt lies."""
    return out / "strips" / f"{name}.png"


def strip(frames: np.ndarray) -> np.ndarray:
    """uint8 (T, V, H, W, 3) -> one picture uint8 (V * H, FRAMES * W, 3), fewer columns for a shorter episode."""
    chosen = np.linspace(0, len(frames) - 1, min(FRAMES, len(frames))).round().astype(int)
    return np.concatenate([np.concatenate(list(frames[t])) for t in chosen], 1)


def write(path: Path, frames: np.ndarray) -> None:
    """Draw the strip of an episode into a PNG, atomically."""
    import cv2

    with atomic_path(path) as temporary:
        if not cv2.imwrite(str(temporary), cv2.cvtColor(strip(frames), cv2.COLOR_RGB2BGR)):
            raise ZoetropeError(f"{path}: cannot be written")

"""From the lens that filmed to the lens that is wanted: a crop and a resize, and what they make of the intrinsics."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class Lens:
    """How a pinhole camera filmed. Pixels; pixel centres at half-integers."""

    width: int
    height: int
    focal: float
    centre: tuple[float, float]
    """Where the optical axis meets the picture: column, row."""


@dataclass(frozen=True, slots=True)
class Crop:
    """A rectangle of a filmed picture, shown at another size."""

    left: int
    top: int
    width: int
    height: int
    size: tuple[int, int]
    """Width and height of what comes out."""

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """uint8 (H, W, 3) of the lens's size -> uint8 (size[1], size[0], 3)."""
        part = picture[self.top : self.top + self.height, self.left : self.left + self.width]
        smaller = self.size[0] < self.width
        return cv2.resize(part, self.size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)

    def intrinsics(self, lens: Lens) -> np.ndarray:
        """float32 (3, 3) in pixels of what comes out."""
        across, down = self.size[0] / self.width, self.size[1] / self.height
        column, row = (lens.centre[0] - self.left) * across, (lens.centre[1] - self.top) * down
        return np.array([[lens.focal * across, 0, column], [0, lens.focal * down, row], [0, 0, 1]], np.float32)


def crop(lens: Lens, width: int, height: int, focal: float) -> Crop:
    """The rectangle that shows most nearly what a camera of `focal` picture widths sees, in width x height pixels.

    It lies about the optical axis, or as near to that as the filmed picture reaches. A lens that saw less than is wanted
    gives all it has of that shape: the focal length then comes out longer, which `Crop.intrinsics` says.
    """
    across = lens.focal / focal  # filmed pixels that the wanted width spans
    down = across * height / width
    share = min(1.0, lens.width / across, lens.height / down)
    columns, rows = max(1, round(across * share)), max(1, round(down * share))
    left = int(np.clip(round(lens.centre[0] - columns / 2), 0, lens.width - columns))
    top = int(np.clip(round(lens.centre[1] - rows / 2), 0, lens.height - rows))
    return Crop(left, top, columns, rows, (width, height))

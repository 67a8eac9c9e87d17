"""A sketch: what is known of a frame before it is imagined (a map, boxes of what moves), drawn as the cameras would see it.

Memory shows what stands still and was seen; the sketch shows what is merely known, and everything that moves. A frame to be
imagined is given both in one picture: remembered surfaces over the sketch, moving ones over memory.

A sketch travels as two arrays: `Episode.conditions["sketch"]` uint8 (T, V, H, W, 4), colour and whether the surface moves
(255), and `Episode.conditions["sketch_depth"]` float16 (T, V, H, W) along the optical axis, 0 where nothing is known of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from core.memory.spatial import Views

SKETCH, SKETCH_DEPTH = "sketch", "sketch_depth"
"""Its conditions' names."""
HIDDEN = 0.1
"""Something moving is behind a remembered surface when it is farther by more than this share."""
SAME = 0.2
"""A decoded surface is the known one when their depths differ by less than this share."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """Sketches of some views."""

    colour: Tensor
    """float (..., 3, H, W) in [-1, 1]."""
    depth: Tensor
    """float (..., H, W), 0 where unknown."""
    moving: Tensor
    """float (..., H, W): 1 where the surface moves."""

    @staticmethod
    def unpack(picture: np.ndarray, depth: np.ndarray) -> Sketch:
        """From arrays as they travel, (..., H, W, 4) and (..., H, W)."""
        planes = torch.from_numpy(np.ascontiguousarray(picture)).movedim(-1, -3).float()
        colour, moving = planes[..., :3, :, :] / 127.5 - 1, planes[..., 3, :, :] / 255
        return Sketch(colour, torch.from_numpy(np.asarray(depth, np.float32)), moving)

    def blank(self) -> Sketch:
        """The same of which nothing is known."""
        return Sketch(torch.zeros_like(self.colour), torch.zeros_like(self.depth), torch.zeros_like(self.moving))

    def under(self, views: Views) -> Views:
        """What memory shows, over this sketch, and what moves over both."""
        colour, depth, valid, coarseness = views
        nearer = (self.depth < depth * (1 + HIDDEN)).float()
        shown = valid.sign() * (1 - self.moving * torch.where(valid > 0, nearer, 1.0))
        known = torch.where(self.depth > 0, self.depth, depth)
        return (
            torch.lerp(self.colour, colour, shown[..., None, :, :]),
            torch.where(shown > 0, depth, known),
            valid * shown,
            coarseness * shown,
        )

    def remembered_depth(self, depth: Tensor) -> Tensor:
        """Depth (..., H, W) to remember of an imagined frame: exact where the surface is known, 0 where it moves."""
        same = (self.depth > 0) & ((depth / self.depth.clamp(min=1e-3)).log().abs() < SAME)
        return torch.where(same, self.depth, depth) * (1 - self.moving)

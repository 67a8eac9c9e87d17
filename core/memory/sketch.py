"""A sketch: what is known of a frame before it is imagined (a map, boxes of what moves), drawn as the cameras would see it.

Memory shows what stands still and was seen; the sketch shows what is merely known, and everything that moves. A sketch is
drawn in plain colours. What the seen frames look like says how light and weather change them: an affine map of colours, the
tint, fitted where a seen frame shows the very surface that its sketch does, brings every later sketch into the same light.

A sketch travels as two arrays: `Episode.conditions["sketch"]` uint8 (T, V, H, W, 4), colour and whether the surface moves
(255), and `Episode.conditions["sketch_depth"]` float16 (T, V, H, W) along the optical axis, 0 where nothing is known of it. A
view that is zero throughout is of a frame of which nothing is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from core.memory.spatial import Views

SKETCH, SKETCH_DEPTH = "sketch", "sketch_depth"
"""Its conditions' names."""
TINT_EVIDENCE, TINT = (4, 7), (4, 3)
"""Shapes of what `tint_evidence` returns, and of a tint."""
HIDDEN = 0.1
"""Something moving is behind a remembered surface when it is farther by more than this share."""
SAME = 0.2
"""A seen or decoded surface is the known one when their depths differ by less than this share."""
SKY = 500.0
"""What is seen to be farther than this, and of no known depth, is the same: the sky."""
STIFFNESS = 0.01
"""How strongly a tint is held to no tint at all, in shares of the evidence."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """Sketches of some views."""

    colour: Tensor
    """float (..., 3, H, W) in [-1, 1]."""
    depth: Tensor
    """float (..., H, W), 0 where unknown."""
    moving: Tensor
    """float (..., H, W): 1 where the surface moves."""
    told: Tensor
    """float (..., 1, 1): 0 for a view of which nothing is known; then the rest is 0 too."""

    @staticmethod
    def unpack(picture: np.ndarray, depth: np.ndarray) -> Sketch:
        """From arrays as they travel, (..., H, W, 4) and (..., H, W)."""
        planes = torch.from_numpy(np.ascontiguousarray(picture)).movedim(-1, -3).float()
        told = (planes.amax((-3, -2, -1)) > 0).float()[..., None, None]
        colour, moving = (planes[..., :3, :, :] / 127.5 - 1) * told[..., None], planes[..., 3, :, :] / 255
        return Sketch(colour, torch.from_numpy(np.asarray(depth, np.float32)), moving, told)

    def map(self, function: Callable[[Tensor], Tensor]) -> Sketch:
        """The same with every tensor put through a function of its leading axes."""
        return Sketch(function(self.colour), function(self.depth), function(self.moving), function(self.told))

    def blank(self) -> Sketch:
        """The same of which nothing is known."""
        return self.map(torch.zeros_like)

    def tinted(self, tint: Tensor) -> Sketch:
        """In the light that tints (..., 4, 3) say, one for each of what comes before a rig's views."""
        turn, shift = tint[..., None, :3, :], tint[..., None, 3, :, None, None]
        mixed = (turn.mT @ self.colour.flatten(-2)).unflatten(-1, self.colour.shape[-2:]) + shift
        return replace(self, colour=mixed.clamp(-1, 1) * self.told[..., None])

    def disparity(self, near: float) -> Tensor:
        """(..., H, W) near / depth in [0, 1]; 0 where the depth is unknown."""
        return torch.where(self.depth > 0, near / self.depth.clamp(min=1e-3), 0).clamp(max=1)

    def before(self, views: Views) -> Views:
        """What memory shows behind this sketch: nothing, where something that moves stands nearer or nothing was seen."""
        colour, depth, valid, coarseness = views
        hides = self.moving * (self.depth < depth * (1 + HIDDEN))
        return colour, depth, valid * (1 - hides), coarseness * (1 - hides)

    def remembered_depth(self, depth: Tensor) -> Tensor:
        """Depth (..., H, W) to remember of an imagined frame: exact where the surface is known, 0 where it moves."""
        same = (self.depth > 0) & ((depth / self.depth.clamp(min=1e-3)).log().abs() < SAME)
        return torch.where(same, self.depth, depth) * (1 - self.moving)


def tint_evidence(sketch: Sketch, colour: Tensor, depth: Tensor) -> Tensor:
    """(4, 7) sums that `fit_tint` needs, of a rig's views as they were seen: colour (V, 3, H, W) in [-1, 1], depth (V, H, W).

    Evidence of several frames adds up.
    """
    known = (sketch.depth > 0) & (depth > 0) & ((depth / sketch.depth.clamp(min=1e-3)).clamp(min=1e-3).log().abs() < SAME)
    sky = (sketch.depth == 0) & (sketch.told > 0) & (depth > SKY)
    same = known | sky
    plain, seen = sketch.colour.movedim(1, -1)[same], colour.movedim(1, -1)[same]
    plain = torch.cat([plain, torch.ones_like(plain[:, :1])], 1)
    return plain.T @ torch.cat([plain, seen], 1)


def fit_tint(evidence: Tensor) -> Tensor:
    """Tints (..., 4, 3) by ridge regression from `tint_evidence` (..., 4, 7): colour (c, 1) is seen as (c, 1) tint."""
    square, mixed = evidence[..., :4], evidence[..., 4:]
    hold = STIFFNESS * evidence[..., 3, 3, None, None] + 1
    plain = torch.eye(4, device=evidence.device)
    return torch.linalg.solve(square + hold * plain, mixed + hold * plain[:, :3])

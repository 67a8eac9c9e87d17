"""How the tokens of a frame are dealt out to processes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.backbone.rotary import Rotation
from core.backbone.transformer import FrameShape
from core.errors import ZoetropeError
from core.memory.context import ContextConfig

AXES = ("cameras", "columns", "rows")
"""Along which a frame may be cut, in the order in which it is tried."""
_ORDER = ("cameras", "rows", "columns")


@dataclass(frozen=True, slots=True)
class Cut:
    """A frame's tokens (V h w), cut into equal parts along one axis of its grid."""

    grid: tuple[int, int, int]
    axis: int
    parts: int

    @staticmethod
    def of(shape: FrameShape, parts: int, context: ContextConfig | None = None) -> Cut:
        """Along the first axis that `parts` divides; with a `context`, no packed token of it may lie across a cut.

        Raises ZoetropeError where there is none.
        """
        levels = context.spans() if context is not None else []
        packing = {
            "cameras": [1],
            "rows": [rows for _, _, rows, _ in levels],
            "columns": [columns for _, _, _, columns in levels],
        }
        for axis in AXES:
            size = getattr(shape, axis)
            if size % parts == 0 and not any(size // parts % packed for packed in packing[axis]):
                return Cut((shape.cameras, shape.rows, shape.columns), _ORDER.index(axis), parts)
        whole = f"{shape.cameras} camera(s) of {shape.rows}x{shape.columns} tokens"
        packed = "" if context is None else ", packed tokens whole,"
        raise ZoetropeError(f"parallel: {whole}{packed} cannot be dealt out to {parts} equally; choose another number")

    def own(self, x: Tensor, dim: int, part: int) -> Tensor:
        """The tokens of one part, of x with all along `dim` (not negative)."""
        return self.deal(x, dim)[part]

    def deal(self, x: Tensor, dim: int) -> list[Tensor]:
        """The tokens of every part."""
        image = x.unflatten(dim, self.grid)
        return [part.flatten(dim, dim + 2) for part in image.chunk(self.parts, dim + self.axis)]

    def join(self, parts: list[Tensor], dim: int) -> Tensor:
        """The inverse of `deal`."""
        grid = list(self.grid)
        grid[self.axis] //= self.parts
        return torch.cat([part.unflatten(dim, grid) for part in parts], dim + self.axis).flatten(dim, dim + 2)

    def rotation(self, whole: Rotation, part: int) -> Rotation:
        """Of one part's tokens, of that of one whole frame's."""
        return Rotation(self.own(whole.cos, 0, part), self.own(whole.sin, 0, part))

    def shape(self, whole: FrameShape) -> FrameShape:
        """Of a part, as if it were a frame."""
        name = _ORDER[self.axis]
        return replace(whole, **{name: getattr(whole, name) // self.parts})

"""Coarse to fine over noise levels: while a frame is mostly noise, a patch of tokens goes through the blocks as one.

After FlexiDiT (arXiv 2502.20126) and Pyramidal Flow Matching (arXiv 2410.05954), without training: noise hides fine detail, so
the steps that start from much of it run on the means of `patch` x `patch` tokens, and every token is given what its patch
gained. The last step always runs in full, and so does the call that takes the finished frame into memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from core.acceleration.positions import ALONE
from core.acceleration.stack import Acceleration, Stage, Undo
from core.acceleration.wrapping import check_dense, check_range, wrap
from core.backbone.attention import Cached, KeyValues, Layout
from core.backbone.rotary import Places
from core.backbone.transformer import Backbone
from core.errors import ZoetropeError
from core.memory.context import pool_tokens
from core.streaming.world import World

COARSE = "both decide which tokens of a step go through the blocks"
MOVED = "it must find every token of a frame at its place"


@dataclass(frozen=True, kw_only=True, slots=True)
class CoarseToFine(Acceleration):
    """Steps that start with less than `until` of signal run on means of `patch` x `patch` tokens; `until` 0 coarsens none."""

    name: ClassVar[str] = "coarse"
    stage: ClassVar[Stage] = Stage.CALLS
    compared_at: ClassVar[int | None] = 4
    excludes = {
        **ALONE,
        **dict.fromkeys(("merging", "asymmetric_merging", "token_cache"), COARSE),
        "sparse": MOVED,
    }
    until: float = 0.25
    patch: int = 2

    def __post_init__(self) -> None:
        check_range(self.name, 0, 1, until=self.until)
        check_range(self.name, 2, patch=self.patch)

    def check(self, world: World) -> None:
        check_dense(self.name, world)
        shape = world.config.frame_shape
        if shape.rows % self.patch or shape.columns % self.patch:
            raise ZoetropeError(
                f"accelerations: coarse: patch {self.patch} does not divide the {shape.rows}x{shape.columns} tokens"
            )

    def apply(self, world: World) -> Undo:
        return wrap(world.model.backbone, "through", _Coarse(world.model.backbone, self))


class _Coarse:
    """`Backbone.through` on fewer, larger tokens."""

    def __init__(self, backbone: Backbone, settings: CoarseToFine):
        self.settings, self.shape, patch = settings, backbone.shape, settings.patch
        cameras, rows, columns = self.shape.cameras, self.shape.rows, self.shape.columns
        exact, device = backbone.places[0], backbone.place.device
        assert isinstance(exact, Places)
        grid = torch.meshgrid(torch.arange(cameras), torch.arange(rows), torch.arange(columns), indexing="ij")
        camera, row, column = (axis.flatten() for axis in grid)
        self.places = Places(self._pool(torch.stack([row, column], -1).float()), backbone.config.head).to(device)
        self.places.frequency = exact.frequency
        self.patch = ((camera * rows + row) // patch * (columns // patch) + column // patch).to(device)
        """int64 (n,): the patch that each token is in."""

    def __call__(
        self,
        inner: Callable[..., Any],
        x: Tensor,
        modulation: Tensor,
        layout: Layout,
        cached: tuple[Cached, ...] | None,
        blocks: slice = slice(None),
    ) -> tuple[Tensor, tuple[KeyValues, ...]]:
        call = layout.call
        if call is None or call.step + 1 >= call.steps or call.step >= self.settings.until * call.steps:
            return inner(x, modulation, layout, cached, blocks)
        few = self._pool(x)
        bias = layout.bias
        if bias is not None:  # the same for all tokens of a frame, the one at hand comes first
            bias = torch.cat([bias[: few.shape[2], : few.shape[2]], bias[: few.shape[2], x.shape[2] :]], 1)
        part = replace(layout, rotation=self.places.at(layout.times), bias=bias)
        out, kept = inner(few, modulation, part, cached, blocks)
        every = [KeyValues(layer.keys[:, :, :, self.patch], layer.values[:, :, :, self.patch]) for layer in kept]
        return x + (out - few)[:, :, self.patch], tuple(every)

    def _pool(self, x: Tensor) -> Tensor:
        return pool_tokens(x, (self.shape.rows, self.shape.columns), self.settings.patch, self.settings.patch)

"""Caching over frames: while nothing that a frame is told changes, what was imagined of the last one is still true.

The noise of every frame is new, so features of one frame's denoising say little of the next one's. What a frame is told does
say much: where the camera goes, what memory shows there, which action was taken. While all that stays as it was, the prediction
of the same denoising step of the frame before is used again (a player who stands still costs next to nothing).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from core.acceleration.stack import Acceleration, Stage, Undo
from core.acceleration.wrapping import cached_of, check_range, inputs_of, merge_rows, wrap
from core.backbone.attention import Cached, Layout
from core.backbone.call import ACROSS
from core.backbone.transformer import Inputs, Outputs
from core.streaming.world import World

KEEPERS = ("broadcast", "timestep_cache", "block_cache", "shallow_refresh", "token_cache")
"""Techniques that keep features of a whole batch from call to call."""
PARTS = ("clean", "reward", "ended", "state")


@dataclass(frozen=True, kw_only=True, slots=True)
class StillFrames(Acceleration):
    """Use a step's prediction of the frame before while what is told has changed by less than `threshold`."""

    name: ClassVar[str] = "still_frames"
    stage: ClassVar[Stage] = Stage.REUSE
    excludes: ClassVar[Mapping[str, str]] = dict.fromkeys(KEEPERS, "it may compute some of a batch alone, the other keeps all")
    threshold: float = 0.02
    """Mean absolute change of the condition over its mean absolute value, added up over frames; 0 uses none again."""
    limit: int = 8
    """Frames in a row for which one prediction may serve."""

    def __post_init__(self) -> None:
        check_range(self.name, threshold=self.threshold)
        check_range(self.name, 0, limit=self.limit)

    def apply(self, world: World) -> Undo:
        return wrap(world.model.backbone, "forward", self._forward)

    def _forward(
        self, inner: Callable[..., Outputs], inputs: Inputs, layout: Layout, cached: tuple[Cached, ...] | None = None
    ) -> Outputs:
        call = layout.call
        if call is None or not call.denoises or self.threshold == 0 or self.limit == 0:
            return inner(inputs, layout, cached)
        name = f"{ACROSS}still.{call.step}of{call.steps}."
        told, before = told_of(inputs), call.get(name + "told")
        parts = {part: call.get(name + part) for part in PARTS}
        run = torch.ones(len(told), dtype=torch.bool, device=told.device)
        age = told.new_zeros(len(told))
        if before is not None and parts["clean"] is not None:
            age = call.get(name + "age")
            assert age is not None
            run = ((told - before).abs().mean(1) > self.threshold * before.abs().mean(1)) | (age >= self.limit)
        if bool(run.all()):
            out = inner(inputs, layout, cached)
            found: dict[str, Any] = {part: getattr(out, part) for part in PARTS}
        elif not bool(run.any()):
            found = parts
        else:
            some = inner(inputs_of(inputs, run), layout, cached_of(cached, run))
            found = {p: None if v is None else merge_rows(run, getattr(some, p), v) for p, v in parts.items()}
        call.put(name + "told", told if before is None else torch.where(run[:, None], told, before))
        call.put(name + "age", torch.where(run, 0, age + 1))
        for part, value in found.items():
            if value is not None:
                call.put(name + part, value)
        return Outputs(found["clean"], found["reward"], found["ended"], (), found["state"])


def told_of(inputs: Inputs) -> Tensor:
    """(B, F) all that a frame is told but its noise."""
    told = (inputs.action, inputs.motion, inputs.condition, inputs.facts, inputs.state)
    return torch.cat([x.flatten(1).float() for x in told if x is not None], 1)

"""A latent frame rate that follows the content: while next to nothing changes, what was imagined last is shown again.

After DLFR-VAE (arXiv 2502.11897) and VGDFR (arXiv 2504.12259), for worlds that answer every frame: how far the latents moved
from one imagined frame to the next says for how many frames they may stand. Such a frame is not denoised, nor computed again
for memory: its keys and values are taken in once more, under the new frame's number. An action that is not the last one, or
anything else told that has changed, ends the stand at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from core.acceleration.caching_frames import PARTS, told_of
from core.acceleration.positions import ALONE
from core.acceleration.stack import Acceleration, Stage, Undo
from core.acceleration.wrapping import all_of, cached_of, changed, check_range, inputs_of, merge_rows, wrap
from core.backbone.attention import Cached, KeyValues, Layout
from core.backbone.call import ACROSS, Call
from core.backbone.transformer import Inputs, Outputs
from core.streaming.world import World

NAME = f"{ACROSS}frame_rate."
HELD = "frame_rate.held"
"""bool (B,): who stands still in the frame at hand."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameRate(Acceleration):
    """Latents stand for as many frames as their change would take to add up to `threshold`, at most `limit`."""

    name: ClassVar[str] = "frame_rate"
    stage: ClassVar[Stage] = Stage.REUSE
    excludes = {
        **ALONE,
        "guidance_parallel": "each process would decide for itself which frames are imagined",
        "still_frames": "both decide which frames are imagined",
        "cascade": "the second world's memory has no place for frames that are not imagined",
    }
    threshold: float = 0.3
    """Mean absolute change of the latents over their mean absolute value; 0 imagines every frame."""
    told: float = 0.02
    """Change, measured likewise, of what is told since the frame that stands; from there on it stands no more."""
    limit: int = 8

    def __post_init__(self) -> None:
        check_range(self.name, threshold=self.threshold, told=self.told)
        check_range(self.name, 0, limit=self.limit)

    def apply(self, world: World) -> Undo:
        backbone = world.model.backbone
        return all_of([wrap(backbone, "forward", self._forward), wrap(backbone, "remember", self._remember)])

    @property
    def _off(self) -> bool:
        return self.threshold == 0 or self.limit == 0

    def _forward(
        self, inner: Callable[..., Outputs], inputs: Inputs, layout: Layout, cached: tuple[Cached, ...] | None = None
    ) -> Outputs:
        if layout.call is None or not layout.call.denoises or self._off:
            return inner(inputs, layout, cached)
        call = replace(layout.call, branch="told")  # what is decided for one prediction holds for the other
        held = call.get(HELD)
        if held is None:
            held = self._decide(call, inputs)
            call.put(HELD, held)
        if not bool(held.any()):
            return self._keep(layout.call, inner(inputs, layout, cached))
        found: dict[str, Any] = {part: call.get(NAME + part) for part in PARTS}
        if not bool(held.all()):
            some = inner(inputs_of(inputs, ~held), layout, cached_of(cached, ~held))
            found = {p: None if v is None else merge_rows(~held, getattr(some, p), v) for p, v in found.items()}
        return self._keep(layout.call, Outputs(found["clean"], found["reward"], found["ended"], (), found["state"]))

    @staticmethod
    def _keep(call: Call, out: Outputs) -> Outputs:
        for part in PARTS:
            if call.branch == "told" and (value := getattr(out, part)) is not None:
                call.put(NAME + part, value)
        return out

    def _decide(self, call: Call, inputs: Inputs) -> Tensor:
        """bool (B,): whose latents stand for this frame too."""
        told, action = told_of(inputs), inputs.action.flatten(1).float()
        before, last, change = (call.get(NAME + part) for part in ("told", "action", "change"))
        count = call.get(NAME + "count")
        held = torch.zeros(len(told), dtype=torch.bool, device=told.device)
        if before is not None and last is not None and change is not None and count is not None:
            due = (count + 1) * change < self.threshold
            same = (action == last).all(1) & (changed(told, before) < self.told)
            held = due & same & (count < self.limit)
        call.put(NAME + "told", told if before is None else torch.where(held[:, None], before, told))
        call.put(NAME + "action", action)
        return held

    def _remember(
        self, inner: Callable[..., Any], inputs: Inputs, layout: Layout, cached: tuple[Cached, ...] | None = None
    ) -> tuple[KeyValues, ...]:
        call = layout.call
        if call is None or self._off:
            return inner(inputs, layout, cached)
        held, stored = call.get(HELD), call.get(NAME + "memory")
        if held is None or stored is None or not bool(held.any()):
            held, memory = None, _stacked(inner(inputs, layout, cached))
        elif bool(held.all()):
            memory = stored
        else:
            some = inner(inputs_of(inputs, ~held), layout, cached_of(cached, ~held))
            memory = merge_rows(~held, _stacked(some), stored)
        call.put(NAME + "memory", memory)
        self._measure(call, inputs.latents.flatten(1), held)
        return tuple(KeyValues(layer[:, 0, :, None], layer[:, 1, :, None]) for layer in memory.unbind(1))

    @staticmethod
    def _measure(call: Call, latents: Tensor, held: Tensor | None) -> None:
        """How fast the latents move, of those who were imagined or seen anew; how long the others have stood."""
        before, change, count = (call.get(NAME + part) for part in ("latents", "change", "count"))
        still = latents.new_zeros(len(latents))
        if before is None or change is None or count is None:
            change, count = still + float("inf"), still
        else:
            rate = changed(latents, before) / (count + 1)
            held = torch.zeros_like(still, dtype=torch.bool) if held is None else held
            change, count = torch.where(held, change, rate), torch.where(held, count + 1, 0)
        call.put(NAME + "latents", latents if before is None or held is None else torch.where(held[:, None], before, latents))
        call.put(NAME + "change", change)
        call.put(NAME + "count", count)


def _stacked(layers: tuple[KeyValues, ...]) -> Tensor:
    """Of one frame: (B, L, 2, H, n, e)."""
    return torch.stack([torch.stack([layer.keys[:, :, 0], layer.values[:, :, 0]], 1) for layer in layers], 1)

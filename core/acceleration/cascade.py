"""Big, then small over noise levels: the whole world lays a frame out, a smaller one of the same latents finishes it.

After T-Stitch (arXiv 2402.14167): what a scene is gets decided at high noise; cleaning up needs less of a network. The small
world is one that `zoetrope prune` made of the big one, or any other with the same frames, latents, memory and actions. It
remembers in keys and values of its own, so every frame is taken in twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from core.acceleration.positions import ALONE
from core.acceleration.stack import Acceleration, Stage, Undo
from core.acceleration.wrapping import all_of, check_range, wrap
from core.backbone.attention import Cached, KeyValues, Layout
from core.backbone.call import ACROSS, Call
from core.backbone.mixers.config import Dense
from core.backbone.transformer import Backbone, Inputs, Outputs
from core.errors import ZoetropeError
from core.memory.ring import KeyValueRing
from core.streaming.model import WorldModel
from core.streaming.world import World

MEMORY = f"{ACROSS}cascade."
"""Under such names the small world's memory is kept, the batch first."""
PLAIN = "the small world's memory is filled from the context that the big one was trained with"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cascade(Acceleration):
    """Steps that start with at least `at` of signal are taken by the world in the folder `small`; `at` 1 leaves it none."""

    name: ClassVar[str] = "cascade"
    stage: ClassVar[Stage] = Stage.CALLS
    compared_at: ClassVar[int | None] = 4
    excludes = {
        **ALONE,
        "still_frames": "the small world's memory has no place for some members of a batch alone",
        **dict.fromkeys(("context", "age_decay", "block_positions", "frequency_shift"), PLAIN),
    }
    small: str = ""
    at: float = 0.25

    def __post_init__(self) -> None:
        check_range(self.name, 0, 1, at=self.at)

    def check(self, world: World) -> None:
        if not self.small:
            raise ZoetropeError(
                "accelerations: cascade: small must name the folder of a smaller world; zoetrope prune makes them"
            )
        made = WorldModel.load(Path(self.small))
        big, small = world.config, made.config
        pairs = {
            "frames": (big.frame_shape, small.frame_shape),
            "actions": (big.action, small.action),
            "memory": (big.backbone.context, small.backbone.context),
            "size of heads": (big.backbone.head, small.backbone.head),
        }
        for what, (wanted, found) in pairs.items():
            if wanted != found:
                raise ZoetropeError(f"accelerations: cascade: {self.small}: its {what} are not those of world '{big.name}'")
        if not isinstance(small.backbone.mixer, Dense):
            raise ZoetropeError(f"accelerations: cascade: {self.small}: needs dense attention")

        wanted, found = world.model.tokenizer.encoder.state_dict(), made.tokenizer.encoder.state_dict()
        if wanted.keys() != found.keys() or any(not torch.equal(t.cpu(), found[n]) for n, t in wanted.items()):
            raise ZoetropeError(f"accelerations: cascade: {self.small}: its latents are not those of world '{big.name}'")

    def apply(self, world: World) -> Undo:
        if self.at == 1:
            return lambda: None
        small = WorldModel.load(Path(self.small)).requires_grad_(False).to(world.model.device)
        led = _Second(small.backbone, world.model.make_ring, self.at)
        return all_of(
            [wrap(world.model.backbone, "forward", led.forward), wrap(world.model.backbone, "remember", led.remember)]
        )


class _Second:
    """The small backbone, and its memory in what calls keep."""

    def __init__(self, backbone: Backbone, make_ring: Callable[[Backbone, int], KeyValueRing], at: float):
        self.backbone, self.make_ring, self.at = backbone, make_ring, at

    def forward(
        self, inner: Callable[..., Outputs], inputs: Inputs, layout: Layout, cached: tuple[Cached, ...] | None = None
    ) -> Outputs:
        call = layout.call
        if call is None or not call.denoises or call.step < self.at * call.steps:
            return inner(inputs, layout, cached)
        return self.backbone(inputs, layout, self._ring(call, len(inputs.latents)).read(layout))

    def remember(
        self, inner: Callable[..., Any], inputs: Inputs, layout: Layout, cached: tuple[Cached, ...] | None = None
    ) -> tuple[KeyValues, ...]:
        if (call := layout.call) is not None:
            ring = self._ring(call, len(inputs.latents))
            ring.append(self.backbone.remember(inputs, layout, ring.read(layout)), 0, layout.newest)
            for name in ring.STATE:
                call.kept[MEMORY + name] = getattr(ring, name).transpose(0, 1)
            for part, times in enumerate(ring.times):
                call.kept[f"{MEMORY}times.{part}"] = times.expand(len(inputs.latents), -1)
        return inner(inputs, layout, cached)

    def _ring(self, call: Call, batch: int) -> KeyValueRing:
        """The memory as it was kept, to be read and written."""
        ring = self.make_ring(self.backbone, batch)
        if MEMORY + ring.STATE[0] in call.kept:
            for name in ring.STATE:
                getattr(ring, name).copy_(call.kept[MEMORY + name].transpose(0, 1))
            ring.times = [call.kept[f"{MEMORY}times.{part}"][0].cpu().clone() for part in range(len(ring.times))]
        return ring

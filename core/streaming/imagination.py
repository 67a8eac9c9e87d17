"""The imagining part of a session: denoise the next frame against the key/value ring, and commit what was imagined.

Shape letters: B sessions in the batch, V cameras.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from core.backbone.attention import Cached, Layout
from core.backbone.call import Call, forget
from core.backbone.transformer import Backbone, Inputs, Outputs
from core.diffusion.flow import BASE_STRIDE, euler
from core.memory.ring import KeyValueRing
from core.streaming.frames import Newest
from core.streaming.model import WorldModel

Guide = Callable[[Callable[[Newest], Outputs], Newest, Newest | None, float], tuple[Outputs, Tensor]]
"""(what the backbone says of a frame, the frame, the same told nothing, guidance) -> what is said, clean (B, V, C, h, w)."""


def guided(told: Callable[[Newest], Outputs], fresh: Newest, weak: Newest | None, guidance: float) -> tuple[Outputs, Tensor]:
    """Both predictions, one after the other."""
    out = told(fresh)
    if weak is None:
        return out, out.clean[:, -1]
    return out, torch.lerp(told(weak).clean[:, -1], out.clean[:, -1], guidance)


class Imagination:
    """One batch of sessions' key/value ring and the backbone that reads and fills it."""

    def __init__(self, model: WorldModel, batch: int):
        self.model, self.ring = model, model.make_ring(model.backbone, batch)
        self.backbone: Backbone = model.backbone
        self.guide: Guide = guided
        self.kept: dict[str, Tensor] = {}
        """What accelerations keep from call to call (see `core.backbone.call`)."""
        self._view: tuple[tuple[int, bool], Layout, tuple[Cached, ...]] | None = None
        """What `_seen` last gave, and of which frame."""

    def imagine(
        self, fresh: Newest, number: int, steps: int, packed: bool, weak: Newest | None = None, guidance: float = 1.0
    ) -> tuple[Tensor, Outputs]:
        """Denoise frame `number` from the noise in `fresh` -> latents (B, V, C, h, w), and what the last step said of it.

        Everything before must be committed. `weak` is the same frame told nothing: away from what would be imagined of it goes
        the prediction, `guidance` times as far (classifier-free guidance, arXiv 2207.12598).
        """
        backbone = self.backbone
        layout, cached = self._seen(number, packed)
        said: list[Outputs] = []

        def predict(x: Tensor, signal: Tensor, stride: Tensor) -> Tensor:
            def told(frame: Newest) -> Outputs:
                step = round(float(signal[0] / stride[0]))
                call = Call(self.kept, step, steps, "told" if frame is fresh else "untold")
                return backbone(self._inputs(frame, x, signal, stride), replace(layout, call=call), cached)

            out, clean = self.guide(told, fresh, weak, guidance)
            said[:] = [out]
            return clean

        return euler(predict, fresh.latents, steps), said[0]

    @torch.inference_mode()
    def commit(self, frame: Newest, number: int, packed: bool) -> None:
        """Take a clean frame into the ring as `number`."""
        backbone, batch = self.backbone, len(frame.latents)
        layout, cached = self._seen(number, packed)
        inputs = self._inputs(
            frame, frame.latents, frame.latents.new_ones(batch), frame.latents.new_full((batch,), BASE_STRIDE)
        )
        self.ring.append(backbone.remember(inputs, replace(layout, call=Call(self.kept)), cached), 0, number)
        self._view = None
        forget(self.kept)

    def copy(self) -> Imagination:
        return self._with(self.ring.copy(), dict(self.kept))

    def select(self, members: Tensor) -> Imagination:
        """Of these members of the batch alone, int64 (n,)."""
        return self._with(self.ring.select(members), {name: x[members] for name, x in self.kept.items()})

    def _with(self, ring: KeyValueRing, kept: dict[str, Tensor]) -> Imagination:
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.ring, twin.kept, twin._view = ring, kept, None
        return twin

    def _seen(self, number: int, packed: bool) -> tuple[Layout, tuple[Cached, ...]]:
        """What frame `number` sees of the ring: the same when it is imagined and when it is taken in, so it is read once."""
        if self._view is None or self._view[0] != (number, packed):
            layout = self.backbone.layout(torch.tensor([number]), self._slots(packed))
            self._view = (number, packed), layout, self.ring.read(layout)
        return self._view[1:]

    def _inputs(self, frame: Newest, latents: Tensor, signal: Tensor, stride: Tensor) -> Inputs:
        """One frame a session as the backbone's inputs (adds the time axis)."""
        head, units = self.model.motion, self.model.state
        add = lambda x: None if x is None else x[:, None]  # noqa: E731
        condition = self.model.with_draft(frame.condition, frame.before, frame.action, frame.started)
        return Inputs(
            latents[:, None],
            signal[:, None],
            stride[:, None],
            frame.action[:, None],
            frame.started[:, None],
            None if head is None else (frame.motion / head.scale)[:, None],
            add(condition),
            add(frame.facts),
            None if units is None or frame.before is None else units.told(frame.before)[:, None],
        )

    def _slots(self, packed: bool) -> list[tuple[int, Tensor]]:
        slots = self.ring.slots()
        return slots if packed else [(level, t if level == 0 else torch.full_like(t, -1)) for level, t in slots]

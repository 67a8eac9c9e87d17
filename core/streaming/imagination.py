"""The imagining part of a session: denoise the next frame against the key/value ring, and commit what was imagined.

Shape letters: B sessions in the batch, V cameras.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.backbone.transformer import Inputs, Outputs
from core.diffusion.flow import BASE_STRIDE, euler
from core.memory.ring import KeyValueRing
from core.streaming.frames import Newest
from core.streaming.model import WorldModel


class Imagination:
    """One batch of sessions' key/value ring and the backbone that reads and fills it."""

    def __init__(self, model: WorldModel, batch: int):
        self.model, self.ring = model, KeyValueRing(model.backbone, batch)

    def imagine(
        self, fresh: Newest, number: int, steps: int, packed: bool, weak: Newest | None = None, guidance: float = 1.0
    ) -> tuple[Tensor, Outputs]:
        """Denoise frame `number` from the noise in `fresh` -> latents (B, V, C, h, w), and what the last step said of it.

        Everything before must be committed. `weak` is the same frame told nothing: away from what would be imagined of it goes
        the prediction, `guidance` times as far (classifier-free guidance, arXiv 2207.12598).
        """
        backbone = self.model.backbone
        layout = backbone.layout(torch.tensor([number]), self._slots(packed))
        cached = self.ring.read(layout)
        said: list[Outputs] = []

        def predict(x: Tensor, signal: Tensor, stride: Tensor) -> Tensor:
            out = backbone(self._inputs(fresh, x, signal, stride), layout, cached)
            said[:] = [out]
            if weak is None:
                return out.clean[:, -1]
            without = backbone(self._inputs(weak, x, signal, stride), layout, cached)
            return torch.lerp(without.clean[:, -1], out.clean[:, -1], guidance)

        return euler(predict, fresh.latents, steps), said[0]

    @torch.inference_mode()
    def commit(self, frame: Newest, number: int, packed: bool) -> None:
        """Take a clean frame into the ring as `number`."""
        backbone, batch = self.model.backbone, len(frame.latents)
        layout = backbone.layout(torch.tensor([number]), self._slots(packed))
        inputs = self._inputs(frame, frame.latents, torch.ones(batch), torch.full((batch,), BASE_STRIDE))
        self.ring.append(backbone.remember(inputs, layout, self.ring.read(layout)), 0, number)

    def copy(self) -> Imagination:
        return self._with(self.ring.copy())

    def select(self, members: Tensor) -> Imagination:
        """Of these members of the batch alone, int64 (n,)."""
        return self._with(self.ring.select(members))

    def _with(self, ring: KeyValueRing) -> Imagination:
        twin = object.__new__(Imagination)
        twin.model, twin.ring = self.model, ring
        return twin

    def _inputs(self, frame: Newest, latents: Tensor, signal: Tensor, stride: Tensor) -> Inputs:
        """One frame a session as the backbone's inputs (adds the time axis)."""
        head, units = self.model.motion, self.model.state
        add = lambda x: None if x is None else x[:, None]  # noqa: E731
        return Inputs(
            latents[:, None],
            signal[:, None],
            stride[:, None],
            frame.action[:, None],
            frame.started[:, None],
            None if head is None else (frame.motion / head.scale)[:, None],
            add(frame.condition),
            add(frame.facts),
            None if units is None or frame.before is None else units.told(frame.before)[:, None],
        )

    def _slots(self, packed: bool) -> list[tuple[int, Tensor]]:
        slots = self.ring.slots()
        return slots if packed else [(level, t if level == 0 else torch.full_like(t, -1)) for level, t in slots]

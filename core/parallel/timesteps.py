"""Pipeline over timesteps: each process does one denoising step, and several frames are on their way at once.

StreamDiffusion (arXiv 2312.12491) and the timestep-forcing pipeline of Live Avatar (arXiv 2512.04677): while one process begins
frame t, the next does the second step of frame t - 1, and so on; a frame costs one step, and is shown P - 1 frames after it was
asked for. A causal world must see frames that are not finished yet: each process remembers every frame as it has itself
predicted it. So this is another world's sampler, equal to itself in one process (P rings), not to waiting for every frame.
Until the first frame has come through, what is known of it so far is shown.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from core.backbone.call import Call
from core.backbone.transformer import Outputs
from core.parallel.group import Group
from core.parallel.messages import blank, messaged, unpacked
from core.streaming.frames import Newest
from core.streaming.imagination import Imagination
from core.streaming.model import WorldModel

Asked = tuple[Newest, Newest | None]
"""A frame, and the same told nothing."""


class StepPipeline(Imagination):
    """Does denoising step `group.rank` of every frame, of as many as there are processes, whatever a session asks for."""

    def __init__(self, model: WorldModel, batch: int, group: Group):
        super().__init__(model, batch)
        self.group = group
        self._asked: tuple[Asked, ...] = ()
        """Frames on their way, the newest first; the oldest is the first one asked for, or has been through."""
        self._coming: Tensor | None = None
        """Latents of the frame whose turn it is here next."""
        self._imagined = -1
        """Number of the newest frame on its way."""

    def imagine(
        self, fresh: Newest, number: int, steps: int, packed: bool, weak: Newest | None = None, guidance: float = 1.0
    ) -> tuple[Tensor, Outputs]:
        """Begin frame `number`, and show the oldest frame on its way; only what is said of a state is of `number` itself."""
        group, oldest = self.group, min(len(self._asked), self.group.size - 1)
        self._asked = ((fresh, weak), *self._asked)[: group.size]
        said = blank(self.backbone, fresh.latents)
        if group.rank <= oldest:
            x = fresh.latents if self._coming is None else self._coming
            asked, told_nothing = self._asked[group.rank]
            x, said = self._denoise(x, asked, told_nothing, number - group.rank, packed, guidance)
            if group.rank + 1 < group.size:
                group.send(x, group.rank + 1)
        if 0 < group.rank <= oldest + 1:
            self._coming = group.receive(fresh.latents, group.rank - 1)
        shown = unpacked(group.spread(messaged(said), oldest), said)
        if said.state is not None:
            shown = replace(shown, state=group.spread(said.state, 0))
        group.finish()
        self._imagined = number
        return shown.clean[:, -1], shown

    @torch.inference_mode()
    def commit(self, frame: Newest, number: int, packed: bool) -> None:
        """A real frame ends what was on its way; imagined ones are remembered as they pass."""
        if number == self._imagined:
            return
        self._asked, self._coming = (), None
        super().commit(frame, number, packed)

    def _denoise(
        self, x: Tensor, fresh: Newest, weak: Newest | None, number: int, packed: bool, guidance: float
    ) -> tuple[Tensor, Outputs]:
        """Latents (B, V, C, h, w) of a frame one step further, and what is said of it; as it is guessed it is remembered."""
        step, steps = self.group.rank, self.group.size
        layout = self.backbone.layout(torch.tensor([number]), self._slots(packed))
        cached = self.ring.read(layout)
        signal = x.new_full((len(x),), step / steps)
        stride = torch.full_like(signal, 1 / steps)

        def told(frame: Newest) -> Outputs:
            call = Call(self.kept, step, steps, "told" if frame is fresh else "untold")
            return self.backbone(self._inputs(frame, x, signal, stride), replace(layout, call=call), cached)

        out, clean = self.guide(told, fresh, weak, guidance)
        super().commit(replace(fresh, latents=clean), number, packed)
        return x + (clean - x) / (1 - step / steps) / steps, replace(out, clean=clean[:, None])

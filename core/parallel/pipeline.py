"""Pipeline over patches: each process holds some of the layers, and a frame's patches flow through them one after another.

PipeFusion (arXiv 2405.14430): a patch attends to the others as they were when they last came by, in this denoising step or the
one before. So patch 0 starts the next step while the others are still in this one, no process waits once the pipe is full,
and only activations travel, from neighbour to neighbour. A frame's first `warmup` steps, and taking a clean frame in, send the
frame through whole; a world of one step a frame stays exact.

Shape letters: B sessions, n tokens of a frame, m of a patch, d width, C latent channels.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from core.backbone.attention import Cached, DenseAttention, KeyValues, Layout
from core.backbone.call import Call
from core.backbone.rotary import rotate
from core.backbone.transformer import Backbone, Block, Inputs, Outputs
from core.errors import ZoetropeError
from core.parallel.context import check_plain, exchanged, twin
from core.parallel.cut import Cut
from core.parallel.group import Group
from core.parallel.messages import blank, messaged, unpacked
from core.streaming.frames import Newest
from core.streaming.imagination import Imagination
from core.streaming.model import WorldModel


class Passing:
    """Which patch is coming by, and the frame's keys and values as they last came by."""

    def __init__(self, cut: Cut):
        self.cut = cut
        self.patch: int | None = None
        """None for the whole frame."""
        self._seen: dict[tuple[str, int], Tensor] = {}

    def pick(self, x: Tensor) -> Tensor:
        """The patch's tokens of (B, 1, n, channels)."""
        return x if self.patch is None else self.cut.own(x, 2, self.patch)

    def update(self, layer: int, fresh: Tensor, call: Call) -> Tensor:
        """Keys and values (2, B, H, m, e) of the patch -> (2, B, H, n, e) of the frame."""
        key = call.branch, layer
        if self.patch is None:
            self._seen[key] = fresh
        else:
            parts = self.cut.deal(self._seen[key], 3)
            parts[self.patch] = fresh
            self._seen[key] = self.cut.join(parts, 3)
        return self._seen[key]


class PassingAttention(DenseAttention):
    """Queries of a patch; keys and values of the whole frame."""

    passing: Passing
    layer: int

    def forward(self, x: Tensor, layout: Layout, cached: Cached | None = None) -> tuple[Tensor, KeyValues]:
        """x (B, 1, m, d) -> (B, 1, m, d), and keys and values (B, H, 1, n, e)."""
        assert layout.call is not None
        normed, value = self._heads(x)
        passing, rotation = self.passing, layout.rotation
        here = rotation if passing.patch is None else passing.cut.rotation(rotation, passing.patch)
        fresh, seen = passing.update(self.layer, torch.stack([normed[1], value]), layout.call).unbind(0)
        keys, values = [rotate(fresh, rotation)], [seen]
        if cached is not None:
            keys, values = keys + cached[0], values + cached[1]
        mixed = self.mix(rotate(normed[0], here), torch.cat(keys, 2), torch.cat(values, 2), layout)
        return self.write(mixed, mixed.shape[2]), KeyValues(fresh.unsqueeze(2), seen.unsqueeze(2))


class StageBackbone(Backbone):
    """A backbone of which this process runs some of the layers."""

    group: Group
    layers: slice
    passing: Passing

    @property
    def first(self) -> bool:
        return self.group.rank == 0

    @property
    def last(self) -> bool:
        return self.group.rank == self.group.size - 1

    def stage(
        self, inputs: Inputs, arriving: Tensor | None, layout: Layout, cached: tuple[Cached, ...]
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """What arrives from the stage before, (B, 1, m, d), through these layers; with the frame's vector and known tokens."""
        x, frame, known = self._enter(inputs)
        modulation = self.modulate(frame).unflatten(-1, (6, -1))
        x = self.passing.pick(x) if arriving is None else arriving
        x, _ = self.through(x, modulation, layout, self._placed(cached), self.layers)
        return x, frame, known

    def remember(self, inputs: Inputs, layout: Layout, cached: tuple[Cached, ...] | None = None) -> tuple[KeyValues, ...]:
        """Keys and values of these layers."""
        self.passing.patch = None
        x, frame, _ = self._enter(inputs)
        modulation = self.modulate(frame).unflatten(-1, (6, -1))
        if not self.first:
            x = self.group.receive(x, self.group.rank - 1)
        through = slice(self.layers.start, self.layers.stop - self.last)
        x, kept = self.through(x, modulation, layout, self._placed(cached or ()), through)
        if not self.last:
            self.group.send(x, self.group.rank + 1)
            return kept
        block = self.blocks[-1]
        assert isinstance(block, Block)
        return (*kept, block.remember(x, modulation, layout, None))

    def clean(self, x: Tensor, frame: Tensor, known: Tensor | None) -> Tensor:
        """Clean latents (B, 1, m, C) of the patch, from the last layer's (B, 1, m, d)."""
        return self._clean(x, frame, None if known is None else self.passing.pick(known))

    def scores(self, x: Tensor, frame: Tensor, known: Tensor | None) -> Outputs:
        """Of a whole frame's last layer (B, 1, n, d)."""
        return self._leave(x, frame, known, ())

    def _placed(self, cached: tuple[Cached, ...]) -> tuple[Cached, ...]:
        """These layers' part of the past, where all layers' would be."""
        return (([], []),) * self.layers.start + cached


def stage_backbone(backbone: Backbone, group: Group, patches: int) -> StageBackbone:
    """One stage of the same network. Raises ZoetropeError where layers or frames cannot be dealt out so."""
    check_plain(backbone)
    layers = backbone.config.layers
    if layers < group.size:
        raise ZoetropeError(f"patch_pipeline: {layers} layers are too few for {group.size} processes")
    made = twin(backbone, StageBackbone)
    made.group, made.passing = group, Passing(Cut.of(backbone.shape, patches))
    made.layers = slice(layers * group.rank // group.size, layers * (group.rank + 1) // group.size)
    made.blocks = nn.ModuleList(exchanged(block, PassingAttention) for block in backbone.blocks)
    for layer, block in enumerate(made.blocks):
        attention = block.attention
        assert isinstance(attention, PassingAttention)
        attention.passing, attention.layer = made.passing, layer
    return made


class PatchPipeline(Imagination):
    """Imagines as one stage of a pipeline; its ring holds what its own layers remember."""

    def __init__(self, model: WorldModel, batch: int, group: Group, patches: int, warmup: int):
        super().__init__(model, batch)
        self.group, self.warmup = group, warmup
        self.backbone: StageBackbone = stage_backbone(model.backbone, group, patches)
        layers, part = self.backbone.layers, twin(model.backbone, Backbone)
        part.config = replace(part.config, layers=layers.stop - layers.start)
        self.ring = model.make_ring(part, batch)

    def imagine(
        self, fresh: Newest, number: int, steps: int, packed: bool, weak: Newest | None = None, guidance: float = 1.0
    ) -> tuple[Tensor, Outputs]:
        backbone, group, passing = self.backbone, self.group, self.backbone.passing
        layout = backbone.layout(torch.tensor([number]), self._slots(packed))
        cached, cut, last = self.ring.read(layout), passing.cut, group.size - 1
        told = {"told": fresh} if weak is None else {"told": fresh, "untold": weak}
        latents = cut.deal(_as_tokens(fresh.latents), 2)
        said = blank(backbone, fresh.latents)
        for step in range(steps):
            signal = fresh.latents.new_full((len(fresh.latents),), step / steps)
            stride = torch.full_like(signal, 1 / steps)
            features = []
            for patch in [None] if step < self.warmup else range(cut.parts):
                passing.patch = patch
                coming = range(cut.parts) if patch is None else [patch]
                if backbone.first and step > 0:
                    for i in coming:
                        latents[i] = group.receive(latents[i], last)
                x = passing.pick(cut.join(latents, 2))
                arriving = None
                if not backbone.first:
                    arriving = group.receive(x.new_empty(len(told), *x.shape[:3], backbone.config.width), group.rank - 1)
                passed = []
                for branch, frame in enumerate(told.values()):
                    inputs = self._inputs(frame, self._as_image(cut.join(latents, 2)), signal, stride)
                    call = replace(layout, call=Call(self.kept, step, steps, list(told)[branch]))
                    passed.append(backbone.stage(inputs, None if arriving is None else arriving[branch], call, cached))
                if not backbone.last:
                    group.send(torch.stack([x for x, _, _ in passed]), group.rank + 1)
                    continue
                clean, *untold = (backbone.clean(*out) for out in passed)
                clean = torch.lerp(untold[0], clean, guidance) if untold else clean
                x = x + (clean - x) / (1 - step / steps) / steps
                for i, part in zip(coming, cut.deal(x, 2) if patch is None else [x]):
                    latents[i] = part
                    if step + 1 < steps:
                        group.send(part, 0)
                features.append(passed[0][0])
                if len(latents) == len(features) or patch is None:
                    whole = features[0] if patch is None else cut.join(features, 2)
                    scores = backbone.scores(whole, *passed[0][1:])
                    said = replace(scores, clean=self._as_image(cut.join(latents, 2))[:, None])
        said = unpacked(group.spread(messaged(said), last), said)
        group.finish()
        return said.clean[:, -1], said

    def _as_image(self, tokens: Tensor) -> Tensor:
        """(B, 1, n, C) -> (B, V, C, h, w)."""
        shape = self.backbone.shape
        return tokens[:, 0].unflatten(1, (shape.cameras, shape.rows, shape.columns)).movedim(-1, 2)


def _as_tokens(latents: Tensor) -> Tensor:
    """(B, V, C, h, w) -> (B, 1, n, C)."""
    return latents.movedim(2, -1).flatten(1, 3)[:, None]

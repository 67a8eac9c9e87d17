"""The backbone: a diffusion transformer over latent frames, with a noise level, an action and a step size for every frame.

After DiT (arXiv 2212.09748) with one shared modulation network (PixArt-alpha, arXiv 2310.00426); causal over frames, full
within a frame and across cameras; a noise level per frame (Diffusion Forcing, arXiv 2407.01392).

Shape letters: B batch, T frames, V cameras, C latent channels, h w token grid, n = V h w tokens a frame, d width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.backbone.action import ActionConfig
from core.backbone.attention import Cached, KeyValues, Layout, Packed, Seen
from core.backbone.mixers.build import make_mixer
from core.backbone.mixers.config import Dense, Mixer
from core.backbone.mixers.site import Site
from core.backbone.rotary import Places, Rotation
from core.errors import ZoetropeError
from core.memory.context import ContextConfig, mask_bias, pool_tokens, visible


@dataclass(frozen=True, kw_only=True, slots=True)
class BackboneConfig:
    width: int = 256
    layers: int = 6
    heads: int = 4
    expansion: int = 4
    """Channels of a block's hidden layer, in widths."""
    head_size: int = 0
    """Channels of a head; 0 for width / heads. Pruned worlds have fewer heads of the size they had."""
    hidden: tuple[int, ...] = ()
    """Channels of each block's hidden layer, where pruning left other numbers than `expansion` says."""
    context: ContextConfig
    mixer: Mixer = field(default_factory=Dense)
    """How tokens see each other."""

    def __post_init__(self) -> None:
        if self.hidden and len(self.hidden) != self.layers:
            raise ZoetropeError(f"backbone: hidden: expected {self.layers} numbers, one a layer, found {len(self.hidden)}")

    @property
    def head(self) -> int:
        """Channels of a head."""
        return self.head_size or self.width // self.heads

    def hidden_of(self, layer: int) -> int:
        """Channels of the hidden layer of a block."""
        return self.hidden[layer] if self.hidden else self.expansion * self.width


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameShape:
    """What the backbone must know of a frame; derived from the tokenizer and the world, never configured twice."""

    cameras: int
    channels: int
    rows: int
    columns: int
    condition: int
    """Channels of what is known of a frame before it is imagined, token by token (renderings, layouts, rays); 0 for none."""
    motion: bool
    """Whether the camera's motion is given."""
    facts: int = 0
    """Numbers that say what is known of a frame as a whole."""
    state: int = 0
    """Numbers that are measured of a frame as a whole and predicted of the next (`core.backbone.state`)."""

    @property
    def tokens(self) -> int:
        return self.cameras * self.rows * self.columns


MOTION_SIZE = 6


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the backbone sees of T frames."""

    latents: Tensor
    """(B, T, V, C, h, w), noisy."""
    signal: Tensor
    """(B, T) share of signal: 0 is pure noise, 1 clean."""
    stride: Tensor
    """(B, T) length of the denoising step asked for, in shares of the whole path; 0 for an infinitesimal one."""
    action: Tensor
    """(B, T, A) or (B, T) int: the action that led to each frame; for the first frame of an episode, see `started`."""
    started: Tensor
    """bool (B, T): False where no action led to the frame."""
    motion: Tensor | None
    """(B, T, 6) camera motion from the frame before, in units of the world's typical step."""
    condition: Tensor | None
    """(B, T, V, D, h, w)."""
    facts: Tensor | None = None
    """(B, T, G) what is known of each frame as a whole."""
    state: Tensor | None = None
    """(B, T, S) what was measured of the frame before, in the units of `StateHead`; for no frame before, see `started`."""

    def frames(self, cut: slice) -> Inputs:
        """Some of the frames."""
        pick = lambda x: None if x is None else x[:, cut]  # noqa: E731
        return Inputs(
            self.latents[:, cut],
            self.signal[:, cut],
            self.stride[:, cut],
            self.action[:, cut],
            self.started[:, cut],
            pick(self.motion),
            pick(self.condition),
            pick(self.facts),
            pick(self.state),
        )


@dataclass(frozen=True, slots=True)
class Outputs:
    clean: Tensor
    """(B, T, V, C, h, w) the predicted clean latents."""
    reward: Tensor
    """(B, T)."""
    ended: Tensor
    """(B, T) logit of termination."""
    cache: tuple[KeyValues, ...]
    """Keys and values of all frames, layer by layer."""
    state: Tensor | None = None
    """(B, T, S) by how much the state changed from the frame before, in typical changes."""


class Block(nn.Module):
    def __init__(self, config: BackboneConfig, site: Site):
        super().__init__()
        d = config.width
        self.attention = make_mixer(config.mixer, site)
        hidden = config.hidden_of(site.layer)
        self.up = nn.Linear(d, hidden)
        self.down = nn.Linear(hidden, d)
        self.table = nn.Parameter(torch.randn(6, d) / d**0.5)

    def forward(self, x: Tensor, modulation: Tensor, layout: Layout, cached: Cached | None) -> tuple[Tensor, KeyValues]:
        """x (B, T, n, d), modulation (B, T, 6, d) -> (B, T, n, d) and keys and values of all T frames."""
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = (modulation + self.table)[..., None, :].unbind(2)
        mixed, fresh = self.attention(_modulated(x, shift_a, scale_a), layout, cached)
        x = torch.addcmul(x, gate_a, mixed)
        hidden = self.up(_modulated(x, shift_m, scale_m))
        return torch.addcmul(x, gate_m, self.down(F.gelu(hidden, approximate="tanh"))), fresh

    def remember(self, x: Tensor, modulation: Tensor, layout: Layout, cached: Cached | None) -> KeyValues:
        """Keys and values alone of the same."""
        shift, scale = (modulation + self.table)[:, :, :2, None].unbind(2)
        return self.attention.remember(_modulated(x, shift, scale), layout, cached)


class Backbone(nn.Module):
    """Predicts clean latents of each frame from noisy ones and everything before."""

    def __init__(self, config: BackboneConfig, shape: FrameShape, action: ActionConfig):
        super().__init__()
        if (not config.head_size and config.width % config.heads) or config.head % 2:
            raise ZoetropeError(f"backbone: width {config.width} does not split into {config.heads} heads of even size")
        for _, _, rows, columns in config.context.spans():
            if shape.rows % rows or shape.columns % columns:
                raise ZoetropeError(
                    f"backbone: {rows}x{columns} packing does not divide the {shape.rows}x{shape.columns} token grid"
                )
        self.config, self.shape, self.action = config, shape, action
        d = config.width
        self.embed = nn.Linear(shape.channels, d)
        self.embed_condition = nn.Linear(shape.condition, d) if shape.condition else None
        self.place = nn.Parameter(torch.randn(shape.rows * shape.columns, d) * 0.02)
        self.embed_action = nn.Linear(action.size, d) if action.kind == "continuous" else nn.Embedding(action.size, d)
        self.no_action = nn.Parameter(torch.zeros(d))
        self.embed_motion = nn.Linear(MOTION_SIZE, d) if shape.motion else None
        self.embed_facts = nn.Linear(shape.facts, d) if shape.facts else None
        self.embed_levels = nn.Sequential(nn.Linear(2 * LEVEL_FEATURES, d), nn.SiLU(), nn.Linear(d, d))
        self.modulate = nn.Sequential(nn.SiLU(), nn.Linear(d, 6 * d))
        self.blocks = nn.ModuleList(Block(config, self.site(i)) for i in range(config.layers))
        self.final_modulation = nn.Linear(d, 2 * d)
        self.final = nn.Linear(d, shape.channels)
        self.score = nn.Linear(d, 2)
        self.skip = nn.Parameter(torch.ones(shape.channels)) if shape.condition else None
        grid = torch.meshgrid(torch.arange(shape.rows), torch.arange(shape.columns), indexing="ij")
        where = torch.stack(grid, -1).float().reshape(-1, 2).repeat(shape.cameras, 1)
        self.places = nn.ModuleList(
            Places(pool_tokens(where, (shape.rows, shape.columns), rows, columns), config.head)
            for _, _, rows, columns in config.context.spans()
        )
        """Where a frame's tokens stand at each level."""
        zeroed = [self.modulate[1], self.final_modulation, self.final, self.score]
        self.embed_state = self.predict_state = None
        if shape.state:
            self.embed_state = nn.Sequential(nn.Linear(shape.state, d), nn.SiLU(), nn.Linear(d, d))
            self.predict_state = nn.Sequential(nn.Linear(2 * d, d), nn.SiLU(), nn.Linear(d, shape.state))
            zeroed.append(self.predict_state[2])
        for layer in zeroed:
            assert isinstance(layer, nn.Linear)
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def site(self, layer: int) -> Site:
        """Where the mixer of a layer stands."""
        config, shape = self.config, self.shape
        levels = tuple(shape.tokens // (rows * columns) for _, _, rows, columns in config.context.spans())
        return Site(
            width=config.width,
            heads=config.heads,
            head=config.head,
            layer=layer,
            cameras=shape.cameras,
            rows=shape.rows,
            columns=shape.columns,
            levels=levels,
            sinks=config.context.sinks,
        )

    def forward(self, inputs: Inputs, layout: Layout, cached: tuple[Cached, ...] | None = None) -> Outputs:
        """Denoise. `cached` has what the layout picked of each layer's cache."""
        x, frame, known = self._enter(inputs)
        modulation = self.modulate(frame).unflatten(-1, (6, -1))
        x, kept = self.through(x, modulation, layout, cached)
        return self._leave(x, frame, known, kept)

    def remember(self, inputs: Inputs, layout: Layout, cached: tuple[Cached, ...] | None = None) -> tuple[KeyValues, ...]:
        """What `forward` gives as its cache, without predicting anything."""
        x, frame, _ = self._enter(inputs)
        modulation = self.modulate(frame).unflatten(-1, (6, -1))
        x, kept = self.through(x, modulation, layout, cached, slice(0, -1))
        last = self.blocks[-1]
        assert isinstance(last, Block)
        return (*kept, last.remember(x, modulation, layout, None if cached is None else cached[-1]))

    def through(
        self, x: Tensor, modulation: Tensor, layout: Layout, cached: tuple[Cached, ...] | None, blocks: slice = slice(None)
    ) -> tuple[Tensor, tuple[KeyValues, ...]]:
        """Tokens (B, T, n, d) through some of the blocks, modulated by (B, T, 6, d), and each one's keys and values."""
        kept = []
        for i in range(len(self.blocks))[blocks]:
            x, fresh = self.blocks[i](x, modulation, layout, None if cached is None else cached[i])
            kept.append(fresh)
        return x, tuple(kept)

    def _enter(self, inputs: Inputs) -> tuple[Tensor, Tensor, Tensor | None]:
        """Tokens (B, T, n, d), what is one fact for a whole frame (B, T, d), and the condition's tokens (B, T, n, D)."""
        x = self.embed(_as_tokens(inputs.latents)) + self.place.repeat(self.shape.cameras, 1)
        known = None
        if self.embed_condition is not None:
            assert inputs.condition is not None
            known = _as_tokens(inputs.condition)
            x = x + self.embed_condition(known)
        return x, self._frame_vector(inputs), known

    def _leave(self, x: Tensor, frame: Tensor, known: Tensor | None, kept: tuple[KeyValues, ...]) -> Outputs:
        """What the last block's tokens say of all frames."""
        clean = self._clean(x, frame, known)
        clean = clean.unflatten(2, (self.shape.cameras, self.shape.rows, self.shape.columns)).movedim(-1, 3)
        whole = F.layer_norm(x, x.shape[-1:]).mean(2)
        reward, ended = self.score(whole).unbind(-1)
        state = None if self.predict_state is None else self.predict_state(torch.cat([whole, frame], -1))
        return Outputs(clean, reward, ended, kept, state)

    def _clean(self, x: Tensor, frame: Tensor, known: Tensor | None) -> Tensor:
        """Clean latents (B, T, m, C) of some of the tokens, from the last block's (B, T, m, d) and the same of `known`."""
        shift, scale = self.final_modulation(F.silu(frame))[..., None, :].chunk(2, -1)
        clean = self.final(_modulated(x, shift, scale))
        if known is not None and self.skip is not None:
            # What memory shows of a frame is already a latent in the condition's first channels: predict the correction.
            clean = torch.addcmul(clean, known[..., : self.shape.channels], self.skip)
        return clean

    def layout(self, times: Tensor, cached: list[tuple[int, Tensor]] | None = None) -> Layout:
        """What frames at `times` (T,), rising, may see of each other and of a cache.

        `cached` lists, in the cache's order, (level, frame number of each slot (-1 empty)).
        """
        context, shape = self.config.context, self.shape
        sizes = torch.tensor([shape.tokens // (rows * columns) for _, _, rows, columns in context.spans()])
        allowed, numbers, levels = [visible(context, 0, times, times)], [times], [torch.zeros_like(times)]
        packed = []
        for level, (nearest, _, rows, columns) in enumerate(context.spans()):
            if level == 0 or times[-1] - times[0] < nearest:
                continue
            may = visible(context, level, times, times)
            seen = may.any(0).nonzero()
            if len(seen):
                frames = slice(int(seen[0]), int(seen[-1]) + 1)
                packed.append(Packed(frames, rows, columns, self.rotation(level, times[frames])))
                allowed.append(may[:, frames])
                numbers.append(times[frames])
                levels.append(torch.full_like(times[frames], level))
        held = [(visible(context, level, times, slots), slots, torch.full_like(slots, level)) for level, slots in cached or ()]
        picked = times.new_zeros(0, dtype=torch.bool)
        if held:
            kept, slots, at = (torch.cat(x, -1) for x in zip(*held))
            used = kept.any(0)
            picked = used.repeat_interleave(sizes[at])
            allowed.append(kept[:, used])
            numbers.append(slots[used])
            levels.append(at[used])
        seen = Seen(torch.cat(numbers), torch.cat(levels), torch.cat(allowed, 1))
        bias = None
        if not seen.allowed.all():
            exact = seen.allowed.repeat_interleave(sizes[seen.levels], 1)
            bias = mask_bias(exact).repeat_interleave(shape.tokens, 0).to(self.place.device)
        return Layout(
            grid=(shape.rows, shape.columns),
            newest=int(times[-1]),
            rotation=self.rotation(0, times),
            packed=tuple(packed),
            picked=_runs(picked),
            bias=bias,
            times=times,
            seen=seen,
        )

    def rotation(self, level: int, times: Tensor) -> Rotation:
        """How far to turn the tokens of frames `times` (T,) at a level."""
        places = self.places[level]
        assert isinstance(places, Places)
        return places.at(times)

    def _frame_vector(self, inputs: Inputs) -> Tensor:
        """(B, T, d): everything that is one fact for a whole frame."""
        levels = _waves(torch.stack([inputs.signal, inputs.stride], -1)).flatten(-2)
        action = self.embed_action(inputs.action)
        vector = self.embed_levels(levels) + torch.where(inputs.started[..., None], action, self.no_action)
        if self.embed_motion is not None:
            assert inputs.motion is not None
            vector = vector + self.embed_motion(inputs.motion)
        if self.embed_facts is not None:
            assert inputs.facts is not None
            vector = vector + self.embed_facts(inputs.facts)
        if self.embed_state is not None:
            assert inputs.state is not None
            vector = vector + self.embed_state(inputs.state) * inputs.started[..., None]
        return vector


def _runs(mask: Tensor) -> tuple[slice, ...]:
    """Where bool (K,) is true, as runs."""
    edges = torch.cat([mask.new_zeros(1), mask, mask.new_zeros(1)]).diff().nonzero()[:, 0].tolist()
    return tuple(slice(a, b) for a, b in zip(edges[::2], edges[1::2]))


def _modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x (B, T, n, d), normalized, then shifted and scaled by (B, T, 1, d)."""
    return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:]), 1 + scale)


def _as_tokens(image: Tensor) -> Tensor:
    """(B, T, V, C, h, w) -> (B, T, V h w, C)."""
    return image.movedim(3, -1).flatten(2, 4)


LEVEL_FEATURES = 32


def _waves(level: Tensor) -> Tensor:
    """Smooth features (..., LEVEL_FEATURES) of a level in [0, 1]."""
    frequency = torch.exp(torch.linspace(0, math.log(64.0), LEVEL_FEATURES // 2, device=level.device))
    phase = level[..., None] * frequency * math.pi
    return torch.cat([phase.sin(), phase.cos()], -1)

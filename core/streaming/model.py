"""All that is learnt of one world, in one module with one config: tokenizer, backbone, motion head, blend."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core import weights
from core.backbone.action import ActionConfig
from core.backbone.draft import Draft
from core.backbone.mixers.config import Dense
from core.backbone.motion import MotionConfig, MotionHead
from core.backbone.state import StateConfig, StateHead
from core.backbone.transformer import Backbone, BackboneConfig, FrameShape
from core.config import to_dict
from core.episodes.episode import FACTS
from core.errors import ZoetropeError
from core.latents.autoencoder import Tokenizer, TokenizerConfig
from core.latents.blend import Blend, BlendConfig
from core.memory.geometry import pixel_rays
from core.memory.ring import KeyValueRing
from core.memory.sketch import SKETCH, SKETCH_DEPTH, Sketch
from core.memory.spatial import SpatialConfig, Views

NAME = "world"
WEIGHTS, CONFIG = f"{NAME}.safetensors", f"{NAME}.yaml"
EXACT = ("motion.", "state.")
"""Parts whose weights are kept in single precision: their errors add up from frame to frame."""
RENDERING_CHANNELS = 2
"""Channels that accompany the latent of a rendering: how much of the token is shown, and how coarsely."""
SKETCH_CHANNELS = 2
"""Channels that accompany the latent of a sketch: how much of the token moves, and whether anything is known."""
RAY_CHANNELS = 6
"""Where a token looks and where its camera stands, in the axes of the rig's first camera."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorldConfig:
    name: str
    tokenizer: TokenizerConfig
    backbone: BackboneConfig
    action: ActionConfig
    cameras: int = 1
    motion: MotionConfig | None = None
    """None for a world whose camera pose is not known."""
    spatial: SpatialConfig | None = None
    """None for a world without spatial memory; needs `motion` and depth."""
    still: bool = False
    """Whether the cameras stay where they are: the frame before then stands for what memory would show, and only what changes
    has to be imagined."""
    blend: BlendConfig = field(default_factory=BlendConfig)
    """How remembered pixels are put in, in a world with spatial memory."""
    steps: int = 1
    """Denoising steps a frame, unless asked otherwise."""
    rate: int = 25
    """Frames a second at which the world is meant to be played."""
    sketch: bool = False
    """Whether every frame comes with a sketch of what is known of it (`core.memory.sketch`); needs `spatial`."""
    facts: int = 0
    """Numbers that say what is known of a frame as a whole (weather, light), `Episode.conditions["facts"]`; 0 for none."""
    guidance: float = 1.0
    """How much what is told counts, unless asked otherwise: 1 as it was learnt, more exaggerates it, at twice the cost."""
    rays: bool = False
    """Whether the backbone is shown where every token looks, so that a rig it has never seen works."""
    state: tuple[StateConfig, ...] = ()
    """What is measured of every frame as a whole and predicted of the next; none for a world of pictures alone."""
    draft: bool = False
    """Whether the backbone is shown a draft of every frame, drawn from the state that is foreseen (`core.backbone.draft`)."""
    accelerations: tuple[str | dict, ...] = ()
    """Techniques and presets that are on unless asked otherwise (`core.acceleration.catalog`)."""

    def __post_init__(self) -> None:
        if self.tokenizer.time_factor != 1:
            raise ZoetropeError("world: an interactive world answers every action, so its tokenizer's time_factor must be 1")
        if self.spatial is not None and (self.motion is None or not self.tokenizer.depth):
            raise ZoetropeError("world: spatial memory needs a motion head and a tokenizer with depth")
        if self.still and self.spatial is not None:
            raise ZoetropeError("world: spatial memory is for cameras that move; leave out spatial or still")
        if (self.sketch or self.rays) and self.spatial is None:
            raise ZoetropeError("world: sketch and rays need spatial")
        if self.draft and (not self.state or self.spatial is not None):
            raise ZoetropeError("world: draft needs state, and goes without spatial")

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of what this world is told of every frame, as in `Episode.conditions`."""
        return ((SKETCH, SKETCH_DEPTH) if self.sketch else ()) + ((FACTS,) if self.facts else ())

    @property
    def state_size(self) -> int:
        """S: numbers in a state."""
        return sum(part.size for part in self.state)

    @property
    def measured(self) -> tuple[str, ...]:
        """Names of all that must come with a real frame, as in `Episode.conditions`."""
        return self.conditions + tuple(part.name for part in self.state)

    @property
    def height(self) -> int:
        return self.tokenizer.height

    @property
    def width(self) -> int:
        return self.tokenizer.width

    @property
    def frame_shape(self) -> FrameShape:
        rows, columns = self.tokenizer.grid
        return FrameShape(
            cameras=self.cameras,
            channels=self.tokenizer.channels,
            rows=rows,
            columns=columns,
            condition=(self.tokenizer.channels + RENDERING_CHANNELS) * (self.spatial is not None)
            + self.tokenizer.channels * (self.draft + self.still)
            + (self.tokenizer.channels + SKETCH_CHANNELS) * self.sketch
            + RAY_CHANNELS * self.rays,
            motion=self.motion is not None,
            facts=self.facts,
            state=self.state_size,
        )


class WorldModel(nn.Module):
    """The networks of a world."""

    def __init__(self, config: WorldConfig):
        super().__init__()
        self.config = config
        self.make_ring: Callable[[Backbone, int], KeyValueRing] = KeyValueRing
        """Makes a session's memory of keys and values, for a batch of sessions."""
        shape = config.frame_shape
        self.tokenizer = Tokenizer(config.tokenizer)
        self.backbone = Backbone(config.backbone, shape, config.action)
        latent_size = shape.tokens * shape.channels
        self.motion = MotionHead(config.motion, config.action, latent_size) if config.motion else None
        self.blend = Blend(config.blend, config.tokenizer.near, config.sketch) if config.spatial else None
        self.state = StateHead(config.state_size, config.action) if config.state else None
        self.draft = Draft(shape) if config.draft else None

    def with_draft(self, condition: Tensor | None, before: Tensor | None, action: Tensor, started: Tensor) -> Tensor | None:
        """Conditions (..., V, D, h, w) of frames, after a draft of each in a world that has drafts.

        States (..., S) of the frames before and the actions (..., A) or (...) that led from them; where no action did, by
        `started` (...), nothing is drawn.
        """
        if self.draft is None:
            return condition
        assert self.state is not None and before is not None
        foreseen = self.state.after(before, action, torch.zeros_like(before))
        drawn = self.draft(self.state.told(foreseen)) * started[..., None, None, None, None]
        return drawn if condition is None else torch.cat([drawn, condition], -3)

    def condition(self, rendering: Views, sketch: Sketch | None) -> Tensor:
        """What memory shows and what is known of N views, as the backbone's condition (N, D, h, w).

        The encoder's linear half alone codes the pictures: the backbone learns the rest, at a tenth of the cost.
        """
        remembered = self._code_rendering(*rendering)
        if not self.config.sketch:
            return remembered
        assert sketch is not None
        drawn = torch.cat([sketch.colour, sketch.disparity(self.config.tokenizer.near)[:, None]], 1)
        pad, patch = self.tokenizer.pad, self.config.tokenizer.patch
        told = sketch.told[:, None]
        moving = F.avg_pool2d(pad(sketch.moving[:, None]), patch)
        known = torch.cat([self.tokenizer.encoder.linear(pad(drawn)) * told, moving, told.expand_as(moving)], 1)
        return torch.cat([remembered, known], 1)

    def _code_rendering(self, colour: Tensor, depth: Tensor, valid: Tensor, coarseness: Tensor) -> Tensor:
        """colour (N, 3, H, W) in [-1, 1], the others (N, H, W) -> (N, C + 2, h, w); zero where memory shows nothing at all."""
        disparity = (self.config.tokenizer.near / depth.clamp(min=1e-3)).clamp(0, 1)[:, None]
        mask, pad = valid[:, None], self.tokenizer.pad
        latents = self.tokenizer.encoder.linear(pad(torch.cat([colour, disparity], 1)))
        patch = self.config.tokenizer.patch
        extra = F.avg_pool2d(pad(torch.cat([mask, coarseness[:, None].clamp(-2, 2)], 1)), patch)
        any_shown = (mask.amax((1, 2, 3), keepdim=True) > 0).float()
        return torch.cat([latents, extra], 1) * any_shown

    def rays(self, intrinsics: Tensor, pose: Tensor) -> Tensor | None:
        """Where the tokens of a rig look: intrinsics (V, 3, 3), poses (V, 4, 4) -> (V, 6, h, w); None where not asked for."""
        if not self.config.rays:
            return None
        tokenizer = self.config.tokenizer
        (rows, columns), patch = tokenizer.grid, tokenizer.patch
        coarse = intrinsics.float() / intrinsics.new_tensor([[patch], [patch], [1]])
        rigid = torch.linalg.inv(pose[:1]) @ pose
        looks = [pixel_rays(k, rows, columns) @ turn[:3, :3].T for k, turn in zip(coarse, rigid)]
        look = F.normalize(torch.stack(looks), dim=-1).transpose(1, 2).unflatten(2, (rows, columns))
        stands = rigid[:, :3, 3, None, None].expand(-1, -1, rows, columns)
        return torch.cat([look, stands], 1)

    def show(self, latents: Tensor, rendering: Views | None, sketch: Sketch | None = None) -> Tensor:
        """Decode latents (N, C, h, w) and blend in memory's rendering and the sketch -> pixels (N, c, H, W)."""
        decoded = self.tokenizer.decode_pixels(latents)[:, 0]
        if self.blend is None or rendering is None:
            return decoded
        return self.blend(decoded, rendering, sketch)

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.backbone.place.device

    def fingerprint(self) -> str:
        """Identifies weights and config; saved sessions and key logs carry it."""
        config = to_dict(self.config)
        del config["accelerations"]  # what is put on changes no weights
        if config["backbone"]["mixer"] == to_dict(Dense()):
            del config["backbone"]["mixer"]  # worlds keep the fingerprint that they had before there were mixers
        for name in ("head_size", "hidden"):
            if not config["backbone"][name]:
                del config["backbone"][name]  # likewise, before there was pruning
        if not self.config.still:
            del config["still"]  # likewise
        if not self.config.state:
            del config["state"]  # worlds keep the fingerprint that they had before there were states
        if not self.config.draft:
            del config["draft"]  # likewise, before there were drafts
        digest = hashlib.sha256(repr(config).encode())
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def save(self, folder: Path) -> None:
        """Write config and weights into `folder`, atomically: half precision, but for what is EXACT."""
        weights.save(self, self.config, folder, NAME, lambda name, _: name.startswith(EXACT))

    @staticmethod
    def load(folder: Path) -> WorldModel:
        """Read a world. Raises ZoetropeError when anything is missing, cut short or of another architecture."""
        return weights.load(WorldModel, WorldConfig, folder, NAME, "train them with 'zoetrope train'")

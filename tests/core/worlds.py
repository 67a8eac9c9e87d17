"""Tiny worlds for the tests of the core: random weights, every part switched on."""

from __future__ import annotations

import numpy as np
import torch

from core.backbone.action import ActionConfig
from core.backbone.motion import MotionConfig
from core.backbone.state import StateConfig
from core.backbone.transformer import BackboneConfig
from core.episodes.episode import Episode
from core.latents.autoencoder import TokenizerConfig
from core.memory.context import ContextConfig, PackedLevel
from core.memory.spatial import SpatialConfig
from core.streaming.model import WorldConfig, WorldModel
from core.streaming.world import World

CONTEXT = ContextConfig(
    recent=2, sinks=1, packed=(PackedLevel(frames=2, rows=2, columns=2), PackedLevel(frames=3, rows=2, columns=4))
)


def world_config(
    cameras: int = 1,
    spatial: bool = True,
    discrete: bool = False,
    told: bool = False,
    state: bool = False,
    still: bool = False,
    draft: bool = False,
) -> WorldConfig:
    """32x64 frames, 8 tokens a camera. `told`: with sketches, facts and rays, and 28 rows, which are no multiple of a token.

    `state`: with joints and things that are predicted. `still`: its cameras stay where they are. `draft`: its states are drawn.
    """
    return WorldConfig(
        name="tiny",
        cameras=cameras,
        tokenizer=TokenizerConfig(
            height=28 if told else 32,
            width=64,
            channels=8,
            depth=spatial,
            near=0.5,
            encoder_widths=(8, 8, 8),
            decoder_widths=(8, 8, 8),
            blocks=1,
        ),
        backbone=BackboneConfig(width=48, layers=2, heads=2, expansion=2, context=CONTEXT),
        action=ActionConfig(kind="discrete" if discrete else "continuous", size=3),
        motion=MotionConfig(hidden=16, scan=spatial, look=not spatial),
        spatial=SpatialConfig(capacity=12, near=0.1, obstacle=(-1.0, 1.0)) if spatial else None,
        sketch=told,
        facts=3 if told else 0,
        rays=told,
        still=still,
        draft=draft,
        state=(StateConfig(name="joints", size=2), StateConfig(name="things", size=3)) if state else (),
    )


def model(config: WorldConfig, seed: int = 0) -> WorldModel:
    """Random weights everywhere, so that nothing hides behind a zero initialization."""
    torch.manual_seed(seed)
    made = WorldModel(config)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return made


def world(seed: int = 0, **kind) -> World:
    return World(model(world_config(**kind), seed))


def episode(config: WorldConfig, length: int = 20, seed: int = 0) -> Episode:
    """A camera that wanders in front of a textured wall."""
    rng = np.random.default_rng(seed)
    shape = (length, config.cameras, config.height, config.width)
    pose = np.tile(np.eye(4, dtype=np.float32), (length, config.cameras, 1, 1))
    pose[:, :, :3, 3] = np.cumsum(rng.normal(0, 0.1, (length, 1, 3)), 0)
    intrinsics = np.array([[32, 0, 32], [0, 32, 16], [0, 0, 1]], np.float32)
    discrete = config.action.kind == "discrete"
    action = rng.integers(config.action.size, size=length) if discrete else rng.normal(size=(length, config.action.size))
    conditions = {
        "sketch": np.where(np.arange(4) < 3, rng.integers(0, 256, (*shape, 4)), rng.integers(0, 2, (*shape, 4)) * 255),
        "sketch_depth": rng.uniform(0, 4, shape).astype(np.float16),
        "facts": rng.normal(size=(length, config.facts)).astype(np.float32),
    }
    conditions |= {p.name: np.cumsum(rng.normal(0, 0.1, (length, p.size)), 0).astype(np.float32) for p in config.state}
    conditions["sketch"] = conditions["sketch"].astype(np.uint8)
    return Episode(
        frames=rng.integers(0, 256, (*shape, 3), dtype=np.uint8),
        action=action.astype(np.int64 if discrete else np.float32),
        pose=pose,
        intrinsics=np.tile(intrinsics, (config.cameras, 1, 1)),
        depth=rng.uniform(1, 4, shape).astype(np.float16),
        conditions={name: conditions[name] for name in config.measured},
    )

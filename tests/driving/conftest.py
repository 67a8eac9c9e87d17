"""A tiny driving world with random weights, for everything that only needs one to run."""

from __future__ import annotations

import pytest
import torch

from core.backbone.action import ActionConfig
from core.backbone.motion import MotionConfig
from core.backbone.transformer import BackboneConfig
from core.latents.autoencoder import TokenizerConfig
from core.memory.context import ContextConfig
from core.memory.spatial import SpatialConfig
from core.streaming.model import WorldConfig, WorldModel
from core.streaming.world import World
from driving.facts import FACTS_SIZE
from driving.rig import Rig, nuscenes_rig

WIDTH, HEIGHT = 64, 36


@pytest.fixture
def rig() -> Rig:
    return nuscenes_rig(WIDTH, HEIGHT)


@pytest.fixture
def world() -> World:
    torch.manual_seed(0)
    config = WorldConfig(
        name="driving",
        cameras=6,
        tokenizer=TokenizerConfig(
            height=HEIGHT, width=WIDTH, channels=8, depth=True, encoder_widths=(8, 8, 8), decoder_widths=(8, 8, 8), blocks=1
        ),
        backbone=BackboneConfig(width=32, layers=1, heads=2, expansion=2, context=ContextConfig(recent=2, sinks=0)),
        action=ActionConfig(kind="continuous", size=2),
        motion=MotionConfig(hidden=8),
        spatial=SpatialConfig(capacity=24, near=0.5),
        sketch=True,
        facts=FACTS_SIZE,
        rays=True,
        rate=10,
    )
    model = WorldModel(config)
    with torch.no_grad():  # what is told must reach the picture
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return World(model)

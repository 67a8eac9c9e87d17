"""A tiny robot world with random weights, and its configuration."""

from __future__ import annotations

from core.backbone.action import ActionConfig
from core.backbone.state import StateConfig
from core.backbone.transformer import BackboneConfig
from core.latents.autoencoder import TokenizerConfig
from core.memory.context import ContextConfig
from core.streaming.model import WorldConfig
from core.streaming.world import World
from core.training.prepare import PrepareConfig
from core.training.recipe import RecipeConfig
from core.training.trainer import TrainConfig
from robotics.record import RecordConfig, SplitConfig
from robotics.worlds import RobotConfig
from tests.core.worlds import model


def config(objects: bool = True, name: str = "push") -> RobotConfig:
    """16x16 frames of the task push, whose objects the world predicts or not."""
    size = {"height": 16, "width": 16}
    split = SplitConfig(resets=2, policies=("expert",))
    state = (StateConfig(name="proprioception", size=4), StateConfig(name="objects", size=7))
    tiny = TrainConfig(steps=2, batch=4, warmup=1)
    return RobotConfig(
        name=name,
        record=RecordConfig(**size, train=split, validation=split, test=split),
        world=WorldConfig(
            name=name,
            cameras=2,
            tokenizer=TokenizerConfig(
                **size, patch=8, channels=8, encoder_widths=(8, 8), decoder_widths=(8, 8), blocks=1, depth=False
            ),
            backbone=BackboneConfig(width=32, layers=1, heads=2, expansion=2, context=ContextConfig(recent=2, sinks=1)),
            action=ActionConfig(kind="continuous", size=2),
            state=state if objects else state[:1],
            rate=10,
        ),
        train=RecipeConfig(tokenizer=tiny, dynamics=tiny, window=4, prepare=PrepareConfig(episodes=2)),
    )


def world(objects: bool = True) -> World:
    """Random weights whose states move slowly."""
    made = model(config(objects).world)
    assert made.state is not None
    made.state.change.fill_(0.003)
    return World(made)

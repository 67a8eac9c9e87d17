"""The presets of the driving world: each loads by its name, fits itself, and runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import driving.record
from apps import cli
from core.episodes.episode import FACTS, Episode
from core.errors import ZoetropeError
from core.memory.sketch import SKETCH, SKETCH_DEPTH
from core.streaming.model import WorldModel
from core.streaming.world import World
from driving import worlds
from driving.facts import FACTS_SIZE
from driving.real import worlds as front
from driving.rig import nuscenes_rig

SHIPPABLE = 26e6
"""Bytes that a preset's half-precision weights may take beside those of the default world."""


@pytest.mark.parametrize("name", ["driving", "driving_large"])
def test_a_preset_records_what_its_world_sees(name: str):
    config = worlds.load(name)
    assert config.name == config.world.name == name
    assert (config.record.width, config.record.height) == (config.world.width, config.world.height)
    assert config.world.cameras == len(nuscenes_rig().cameras) and config.world.facts == FACTS_SIZE
    with torch.device("meta"):
        model = WorldModel(config.world)
    assert 2 * sum(p.numel() for p in model.parameters()) < SHIPPABLE


def test_an_unknown_preset_is_refused():
    with pytest.raises(ZoetropeError, match="driving_huge: no such config file"):
        worlds.load("driving_huge")


def test_the_large_preset_has_pictures_of_256x144_and_steps():
    config = worlds.load("driving_large").world
    assert (config.width, config.height) == (256, 144)
    thin = replace(
        config,
        tokenizer=replace(config.tokenizer, channels=8, encoder_widths=(8, 8, 8), decoder_widths=(8, 8, 8), blocks=1),
        backbone=replace(config.backbone, width=32, layers=1, heads=2, expansion=2),
        blend=replace(config.blend, width=8),
    )
    torch.manual_seed(0)
    rig = nuscenes_rig(256, 144)
    view = (1, 6, 144, 256)
    seen = Episode(
        frames=np.random.default_rng(0).integers(0, 255, (*view, 3), dtype=np.uint8),
        action=np.zeros((1, 2), np.float32),
        pose=rig.poses(0.0, 0.0, 0.0)[None],
        intrinsics=rig.intrinsics(),
        depth=np.full(view, 20.0, np.float16),
        conditions={
            SKETCH: np.zeros((*view, 4), np.uint8),
            SKETCH_DEPTH: np.zeros(view, np.float16),
            FACTS: np.zeros((1, FACTS_SIZE), np.float32),
        },
    )
    session = World(WorldModel(thin)).open(seen)
    frame = session.step(np.array([5.0, 0.0], np.float32), rig.poses(0.5, 0.0, 0.0))
    assert frame.frame.shape == (6, 144, 256, 3) and frame.depth is not None and np.isfinite(frame.depth).all()


def test_record_and_train_take_a_preset_by_its_name(monkeypatch, capsys, tmp_path: Path):
    asked = []
    monkeypatch.setattr(driving.record, "record", lambda config, split, *_: asked.append((config.width, split)) or 0)
    assert cli.main(["record", "driving_large", "--out", str(tmp_path), "--splits", "test"]) == 0
    assert asked == [(256, "test")]
    assert cli.main(["train", "driving_large", "--data", str(tmp_path)]) == 2
    assert "zoetrope record driving_large" in capsys.readouterr().err


def test_the_front_preset_fits_itself():
    config = front.load()
    assert config.name == config.world.name == front.NAME
    with pytest.raises(ZoetropeError, match="expected one camera of 128x72"):
        replace(config, world=worlds.load("driving").world)
    with pytest.raises(ZoetropeError, match="one camera that looks ahead"):
        replace(config.record, rig=nuscenes_rig())

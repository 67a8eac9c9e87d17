"""Networks on another device than the CPU leave nothing behind. The meta device stands for any."""

import pytest
import torch

from core.backbone.transformer import Inputs
from core.device import device
from core.diffusion.flow import euler
from core.errors import ZoetropeError
from core.memory.ring import KeyValueRing
from core.training.trainer import moved
from tests.core import worlds

META = torch.device("meta")


@pytest.fixture
def model():
    return worlds.model(worlds.world_config()).to(META)


def inputs(model, frames: int) -> Inputs:
    shape, batch = model.config.frame_shape, 2
    grid = (shape.rows, shape.columns)
    made = Inputs(
        latents=torch.zeros(batch, frames, shape.cameras, shape.channels, *grid),
        signal=torch.ones(batch, frames),
        stride=torch.zeros(batch, frames),
        action=torch.zeros(batch, frames, model.config.action.size),
        started=torch.ones(batch, frames, dtype=torch.bool),
        motion=torch.zeros(batch, frames, 6),
        condition=torch.zeros(batch, frames, shape.cameras, shape.condition, *grid),
    )
    return Inputs(**{name: x.to(META) for name in Inputs.__slots__ if (x := getattr(made, name)) is not None})


def test_the_backbone_leaves_nothing_behind(model):
    window = inputs(model, 8)
    out = model.backbone(window, model.backbone.layout(torch.arange(8)))
    assert out.clean.device == META and all(kept.keys.device == META for kept in out.cache)


def test_the_ring_is_where_the_backbone_is(model):
    ring = KeyValueRing(model.backbone, 2)
    for time in range(9):
        layout = model.backbone.layout(torch.tensor([time]), ring.slots())
        cached = ring.read(layout)
        assert model.backbone(inputs(model, 1), layout, cached).clean.device == META
        ring.append(model.backbone.remember(inputs(model, 1), layout, cached), 0, time)
    assert ring.keys.device == META and ring.times[0].device.type == "cpu"


def test_steps_and_pictures_stay_there(model):
    shape = model.config.frame_shape
    noise = torch.zeros(2, shape.cameras, shape.channels, shape.rows, shape.columns, device=META)
    assert euler(lambda x, signal, stride: x * signal[:, None, None, None, None] * stride.mean(), noise, 2).device == META
    assert model.show(noise.flatten(0, 1), None).device == META


def test_batches_are_moved_whole():
    batch = moved(({"a": torch.zeros(1), "b": None}, [3, 4], torch.ones(2)), META)
    assert batch[0]["a"].device == META and batch[0]["b"] is None and batch[1] == [3, 4] and batch[2].device == META


def test_a_device_that_is_not_there_is_named():
    assert device().type in ("cpu", "cuda") and device("cpu").type == "cpu"
    with pytest.raises(ZoetropeError, match="--device cuda:99: not on this machine"):
        device("cuda:99")
    with pytest.raises(ZoetropeError, match="--device toaster"):
        device("toaster")

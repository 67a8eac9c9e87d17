"""What is arranged for speed is what PyTorch's own layers give, bit for bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.backbone.action import ActionConfig
from core.backbone.motion import MotionConfig, MotionHead
from core.latents.autoencoder import Patches
from core.latents.blend import Unshuffle
from core.memory.obstacles import CLEAR, SCAN_SECTORS


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("layer", [Patches(4), Patches(16), Unshuffle(2)])
def test_cells_are_those_of_pixel_unshuffle(layer, layout, images):
    picture = torch.randn(images, 5, 32, 48, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=layout)
    cells = layer(picture)
    assert torch.equal(cells, nn.PixelUnshuffle(layer.downscale_factor)(picture))
    assert cells.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("distance", [1.0, 200.0])
def test_a_motion_is_the_same_whether_or_not_gradients_are_asked_for(distance):
    torch.manual_seed(0)
    head = MotionHead(MotionConfig(scan=True, scan_reach=2.0), ActionConfig(kind="continuous", size=2), 0)
    nn.init.normal_(head.free.weight, std=0.1)
    scan = torch.full((1, SCAN_SECTORS + 1, 2), CLEAR)
    scan[0, 0] = torch.tensor([distance, 0.0])
    given = (torch.ones(1, 2), torch.zeros(1, 2), torch.zeros(1, 6), scan, torch.tensor([[1.0, 0.0]]), None)
    learning = head(*given)
    with torch.no_grad():
        assert torch.equal(head(*given), learning)

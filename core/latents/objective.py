"""What the tokenizer is trained to do: keep the picture, its edges and its depth, not merely the mean square."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from core.latents.autoencoder import Tokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerLossConfig:
    absolute: float = 0.3
    """Weight of the mean absolute error beside the mean squared error."""
    edges: float = 0.5
    """Weight of the absolute error of image gradients at three scales: what a squared error blurs first."""
    disparity: float = 4.0
    drop_depth: float = 0.15
    """Share of training images whose depth is hidden from the encoder, so that colour alone also works."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BlendLossConfig:
    """What the blend is trained to do."""

    absolute: float = 0.5
    edges: float = 0.5
    disparity: float = 2.0
    adversarial: float = 0.05
    """Weight of what the critic says of the frame where memory shows nothing."""
    moving: float = 0.0
    """Extra weight of pixels that move, in a world that comes with sketches: they are few, and what people look at."""


def edge_error(a: Tensor, b: Tensor, scales: int = 3) -> Tensor:
    """Mean absolute difference of horizontal and vertical gradients of (N, c, H, W) at halving resolutions."""
    total = a.new_zeros(())
    for scale in range(scales):
        if scale:
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        difference = a - b
        total = total + difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()
    return total


def tokenizer_loss(
    tokenizer: Tokenizer, config: TokenizerLossConfig, pixels: Tensor, valid: Tensor | None, generator: torch.Generator
) -> tuple[Tensor, dict[str, float]]:
    """Loss of chunks (N, k, c, H, W) and figures to show."""
    seen, mask = pixels, valid
    if valid is not None:
        keep = (torch.rand(len(pixels), 1, 1, 1, 1, generator=generator) > config.drop_depth).to(pixels)
        seen = torch.cat([pixels[:, :, :3], pixels[:, :, 3:] * keep], 2)
        mask = valid * keep
    z = tokenizer.encode_pixels(seen, mask)
    noisy = z + tokenizer.config.noise * torch.randn(z.shape, generator=generator).to(z.device)
    decoded = tokenizer.decode_pixels(noisy)
    target, output = pixels[:, :, :3].flatten(0, 1), decoded[:, :, :3].flatten(0, 1)
    squared = (output - target).square().mean()
    loss = squared + config.absolute * (output - target).abs().mean() + config.edges * edge_error(output, target)
    # A whisper of a prior keeps the latents near the unit variance that the diffusion model assumes.
    loss = loss + 1e-3 * (z.square().mean() - 1).square() + 1e-4 * z.square().mean()
    if valid is not None:
        wrong = (decoded[:, :, 3:] - pixels[:, :, 3:]) * valid
        loss = loss + config.disparity * (
            wrong.abs().mean() + edge_error(wrong.flatten(0, 1), torch.zeros_like(wrong.flatten(0, 1)), 1)
        )
    return loss, {"psnr": float(10 * torch.log10(4 / squared.detach()))}

"""The tokenizer: a deep-compression convolutional autoencoder between frames and a small grid of latent tokens.

Both halves are a *linear* patch transform (principal components of the data, the best a linear code can do) plus a small
convolutional network that corrects it. Training therefore starts from a usable code instead of from noise, which is what makes
it learnable in minutes. Causal in time: frames are coded alone, or in chunks of `time_factor` frames that are coded together
(after the chunk-causal DC-VideoGen, arXiv 2509.25182; deep compression autoencoder, arXiv 2410.10733).

Shape letters: B batch, T frames, V cameras, N = B T V images, C latent channels, h w the token grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from core.errors import ZoetropeError

PADDING = 4
"""A frame whose height is no multiple of the patch is continued below its last row; the height must be a multiple of this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerConfig:
    height: int
    width: int
    patch: int = 16
    """Pixels along each side of a token; a multiple of 4 and a power of two."""
    channels: int = 64
    """Latent channels of a token."""
    time_factor: int = 1
    """Frames coded together: 1, 2 or 4."""
    depth: bool = False
    """Code depth beside colour where the source knows it."""
    near: float = 1.0
    """Depth at which disparity (near / depth) saturates at 1, in the source's unit."""
    encoder_widths: tuple[int, ...] = (48, 96, 160)
    """Convolution channels from 4x4-pixel cells down to the token grid."""
    decoder_widths: tuple[int, ...] = (64, 128, 224)
    blocks: int = 2
    """Residual blocks at each resolution."""
    noise: float = 0.05
    """Standard deviation of the noise added to latents in training, so that the decoder forgives the model's errors."""

    def __post_init__(self) -> None:
        if self.width % self.patch or self.height % PADDING:
            raise ZoetropeError(
                f"tokenizer: {self.height}x{self.width} frames do not divide into patches of {self.patch} "
                f"(heights need only be multiples of {PADDING})"
            )
        if self.patch != 4 * 2 ** (len(self.encoder_widths) - 1) or len(self.encoder_widths) != len(self.decoder_widths):
            raise ZoetropeError(f"tokenizer: patch {self.patch} needs {self.patch.bit_length() - 2} widths in each half")
        if self.time_factor not in (1, 2, 4):
            raise ZoetropeError(f"tokenizer: time_factor must be 1, 2 or 4, found {self.time_factor}")

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) tokens of a frame."""
        return -(-self.height // self.patch), self.width // self.patch

    @property
    def pixel_channels(self) -> int:
        """Channels of the network's view of one frame: colour, and disparity where depth is coded."""
        return 4 if self.depth else 3


class ResidualBlock(nn.Module):
    """x + conv(silu(conv(silu(x)))), starting as the identity."""

    def __init__(self, width: int):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        assert self.second.bias is not None
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.silu(self.first(F.silu(x))))


class Patches(nn.PixelUnshuffle):
    """The same in the layout that convolutions work in (channels last), with one copy of whole rows of each patch."""

    def forward(self, x: Tensor) -> Tensor:
        p = self.downscale_factor
        rows = x.unflatten(3, (-1, p)).unflatten(2, (-1, p))  # (N, c, h, p, w, p)
        return rows.permute(0, 2, 4, 1, 3, 5).flatten(3).permute(0, 3, 1, 2)


class Encoder(nn.Module):
    """(N, c, H, W) -> (N, C, h, w)."""

    def __init__(self, config: TokenizerConfig):
        super().__init__()
        c = config.pixel_channels * config.time_factor
        valid = config.time_factor if config.depth else 0
        self.linear = nn.Sequential(Patches(config.patch), nn.Conv2d(c * config.patch**2, config.channels, 1))
        layers: list[nn.Module] = [nn.PixelUnshuffle(4)]
        before = (c + valid) * 16
        for i, width in enumerate(config.encoder_widths):
            layers += [nn.PixelUnshuffle(2)] if i else []
            layers += [nn.Conv2d(before, width, 3, padding=1), *(ResidualBlock(width) for _ in range(config.blocks))]
            before = width * 4
        head = nn.Conv2d(config.encoder_widths[-1], config.channels, 1)
        nn.init.zeros_(head.weight)
        self.network = nn.Sequential(*layers, nn.SiLU(), head)

    def forward(self, pixels: Tensor, valid: Tensor | None) -> Tensor:
        seen = pixels if valid is None else torch.cat([pixels, valid], 1)
        return self.linear(pixels) + self.network(seen)


class Decoder(nn.Module):
    """(N, C, h, w) -> (N, c, H, W)."""

    def __init__(self, config: TokenizerConfig):
        super().__init__()
        c = config.pixel_channels * config.time_factor
        self.linear = nn.Sequential(nn.Conv2d(config.channels, c * config.patch**2, 1), nn.PixelShuffle(config.patch))
        widths = config.decoder_widths[::-1]
        layers: list[nn.Module] = [nn.Conv2d(config.channels, widths[0], 3, padding=1)]
        for i, width in enumerate(widths):
            layers += [ResidualBlock(width) for _ in range(config.blocks)]
            if i + 1 < len(widths):
                layers += [nn.Conv2d(width, widths[i + 1] * 4, 1), nn.PixelShuffle(2)]
        head = nn.Conv2d(widths[-1], c * 16, 3, padding=1)
        nn.init.zeros_(head.weight)
        self.network = nn.Sequential(*layers, nn.SiLU(), head, nn.PixelShuffle(4))

    def forward(self, z: Tensor) -> Tensor:
        return self.linear(z) + self.network(z)


class Tokenizer(nn.Module):
    """Frames to latents and back.

    Pixels inside are float in [-1, 1] for colour and [0, 1] for disparity; `pack` and `unpack` convert from and to frames.
    """

    def __init__(self, config: TokenizerConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.register_buffer("importance", torch.ones(config.channels))
        self.importance: Tensor
        """(C,) how much a unit change of each channel changes the picture, mean 1; weighs the world model's loss."""

    def pack(self, frames: Tensor, depth: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """uint8 (..., H, W, 3) and depth (..., H, W) -> pixels (..., c, H, W) and valid (..., 1, H, W) or None.

        Infinite depth is disparity 0 (sky); depth that is missing, not a number or not positive counts as unknown.
        """
        colour = rearrange(frames, "... h w c -> ... c h w").float() / 127.5 - 1
        if not self.config.depth:
            return colour, None
        if depth is None:
            unknown = torch.zeros_like(colour[..., :1, :, :])
            return torch.cat([colour, unknown], -3), unknown
        depth = depth.float()[..., None, :, :]
        valid = depth > 0
        disparity = torch.where(valid, self.config.near / depth.clamp(min=1e-6), 0).clamp(0, 1)
        return torch.cat([colour, disparity], -3), valid.float()

    def unpack(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        """Pixels (..., c, H, W) -> uint8 frames (..., H, W, 3) and depth (..., H, W) or None."""
        colour = ((pixels[..., :3, :, :] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        frames = rearrange(colour, "... c h w -> ... h w c")
        if not self.config.depth:
            return frames, None
        return frames, self.config.near / pixels[..., 3, :, :].clamp(1e-3, 1)

    def encode_pixels(self, pixels: Tensor, valid: Tensor | None = None) -> Tensor:
        """(N, k, c, H, W) chunks of k = time_factor frames -> (N, C, h, w)."""
        flat = self.pad(rearrange(pixels, "n k c h w -> n (k c) h w"))
        mask = None if valid is None else self.pad(rearrange(valid, "n k c h w -> n (k c) h w"))
        return self.encoder(flat, mask)

    def decode_pixels(self, z: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, k, c, H, W)."""
        pixels = self.decoder(z)[:, :, : self.config.height]
        return rearrange(pixels, "n (k c) h w -> n k c h w", k=self.config.time_factor)

    def pad(self, pixels: Tensor) -> Tensor:
        """Continue (N, c, H, W) below its last row until the rows divide into patches."""
        missing = self.config.grid[0] * self.config.patch - self.config.height
        return F.pad(pixels, (0, 0, 0, missing), mode="replicate") if missing else pixels

    def encode(self, frames: Tensor, depth: Tensor | None = None) -> Tensor:
        """uint8 (B, T, V, H, W, 3) [and depth (B, T, V, H, W)] -> latents (B, T/k, V, C, h, w)."""
        k = self.config.time_factor
        if frames.shape[1] % k:
            raise ZoetropeError(f"tokenizer: {frames.shape[1]} frames do not divide into chunks of {k}")
        if frames.shape[-3:-1] != (self.config.height, self.config.width):
            raise ZoetropeError(
                f"tokenizer: expected {self.config.height}x{self.config.width} frames, found {tuple(frames.shape)}"
            )
        b, t, v = frames.shape[:3]
        pixels, valid = self.pack(frames, depth)
        chunk = lambda x: rearrange(x, "b (t k) v c h w -> (b t v) k c h w", k=k)  # noqa: E731
        z = self.encode_pixels(chunk(pixels), None if valid is None else chunk(valid))
        return rearrange(z, "(b t v) c h w -> b t v c h w", b=b, v=v)

    def decode(self, z: Tensor) -> tuple[Tensor, Tensor | None]:
        """Latents (B, T/k, V, C, h, w) -> uint8 frames (B, T, V, H, W, 3) and depth (B, T, V, H, W) or None."""
        b, _, v = z.shape[:3]
        pixels = self.decode_pixels(rearrange(z, "b t v c h w -> (b t v) c h w"))
        return self.unpack(rearrange(pixels, "(b t v) k c h w -> b (t k) v c h w", b=b, v=v))

    @torch.no_grad()
    def fit_linear(self, pixels: Tensor) -> float:
        """Set the linear transforms to the principal components of chunks (N, k, c, H, W), whitened.

        Returns the share of variance that they keep.
        """
        p = self.config.patch
        whole = self.pad(rearrange(pixels, "n k c h w -> n (k c) h w"))
        rows = rearrange(whole, "n c (h p) (w q) -> (n h w) (c p q)", p=p, q=p).double()
        mean = rows.mean(0)
        covariance = (rows - mean).T @ (rows - mean) / len(rows)
        values, vectors = torch.linalg.eigh(covariance)
        count = self.config.channels
        values, vectors = values[-count:].flip(0).clamp(min=1e-8), vectors[:, -count:].flip(1)
        scale = values.sqrt()
        to_code, to_pixels = self.encoder.linear[1], self.decoder.linear[0]
        assert isinstance(to_code, nn.Conv2d) and isinstance(to_pixels, nn.Conv2d)
        assert to_code.bias is not None and to_pixels.bias is not None
        to_code.weight.copy_((vectors / scale).T[..., None, None])
        to_code.bias.copy_(-(mean @ vectors) / scale)
        to_pixels.weight.copy_((vectors * scale)[..., None, None])
        to_pixels.bias.copy_(mean)
        return float(values.sum() / covariance.diagonal().sum())

    @torch.no_grad()
    def measure_importance(self, z: Tensor) -> None:
        """Set `importance` from latents (N, C, h, w): the picture's mean squared change when one channel moves by one."""
        base = self.decode_pixels(z)
        change = []
        for channel in range(z.shape[1]):
            moved = z.clone()
            moved[:, channel] += 0.5
            change.append((self.decode_pixels(moved) - base).square().mean())
        importance = torch.stack(change)
        self.importance.copy_(importance / importance.mean())

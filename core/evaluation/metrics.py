"""How alike two frames are, and how sharp one is. No downloaded weights; everything is computed from the pixels.

Every function takes uint8 frames (N, ..., H, W, 3) and returns float64 (N,): the first axis is the batch, and cameras or
anything else between it and the picture are averaged.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

PSNR_CEILING = 10 * math.log10(12 * 255**2)
"""58.9 dB: what rounding to 8 bits alone costs. Identical frames score this instead of infinity, so that means stay finite."""

_LUMA = (0.299, 0.587, 0.114)


def psnr(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio in dB, at most `PSNR_CEILING`."""
    difference = _rows(a).astype(np.float32) - _rows(b).astype(np.float32)
    mse = (difference * difference).reshape(len(a), -1).mean(-1, dtype=np.float64)
    return np.minimum(10 * np.log10(255**2 / np.maximum(mse, 1e-12)), PSNR_CEILING)


def ssim(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Structural similarity (Wang et al. 2004): 11x11 Gaussian window of 1.5 pixels, valid area only, mean over R, G and B."""
    shape = a.shape[-3:]
    size = min(11, *(edge - 1 + edge % 2 for edge in shape[:2]))
    scores = [_ssim(x, y, size) for x, y in zip(a.reshape(-1, *shape), b.reshape(-1, *shape))]
    return np.array(scores).reshape(len(a), -1).mean(-1)


def _ssim(a: np.ndarray, b: np.ndarray, size: int) -> float:
    x, y = a.astype(np.float32), b.astype(np.float32)
    half = size // 2
    inner = (slice(half, x.shape[0] - half), slice(half, x.shape[1] - half))
    stack = np.concatenate([x, y, x * x, y * y, x * y], -1)
    mean_x, mean_y, xx, yy, xy = np.split(cv2.GaussianBlur(stack, (size, size), 1.5)[inner], 5, -1)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    var_x, var_y, cov = xx - mean_x**2, yy - mean_y**2, xy - mean_x * mean_y
    score = (2 * mean_x * mean_y + c1) * (2 * cov + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return float(score.mean(dtype=np.float64))


def perceptual(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Oriented-energy distance, 0 (same) to 1 (nothing in common). It needs no trained weights; here is all of it:

    - *structure*: at up to four octaves, the luma is filtered with quadrature pairs of Gabor filters in four orientations
      (9x9, wavelength 4 pixels); the local energy of each orientation, pooled over 5x5 pixels so that a shift of a pixel or
      two costs little, is a feature f. Two frames differ by |f - g|^2 / (|f|^2 + |g|^2 + e) at each place, e being the energy
      of a contrast of one per cent, which nobody sees. A blurred frame lacks energy in the fine octaves, noise has too much.
    - *colour*: 8x8-pixel means of luma and two opponent channels differ by d^2 / (d^2 + 0.1^2).

    The distance is the mean over the octaves and the colour term, each averaged over the frame.
    """
    x, y = (_rgb(v) for v in (a, b))
    terms = [_colour_difference(x, y)]
    luma = torch.tensor(_LUMA).view(1, 3, 1, 1)
    x, y = (x * luma).sum(1, keepdim=True), (y * luma).sum(1, keepdim=True)
    for octave in range(4):
        if octave:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        if min(x.shape[-2:]) < 10:
            break
        f, g = oriented_energy(x), oriented_energy(y)
        apart = (f - g).square().sum(1) / (f.square().sum(1) + g.square().sum(1) + 4 * 0.01**2)
        terms.append(apart.mean((-2, -1)))
    return torch.stack(terms).mean(0).double().reshape(len(a), -1).mean(-1).numpy()


def gradient_energy(frames: np.ndarray) -> np.ndarray:
    """Mean squared difference of the luma (0..1) between neighbouring pixels, across plus down: how sharp a frame is."""
    luma = (_rgb(frames) * torch.tensor(_LUMA).view(1, 3, 1, 1)).sum(1)
    energy = luma.diff(dim=-1).square().mean((-2, -1)) + luma.diff(dim=-2).square().mean((-2, -1))
    return energy.double().reshape(len(frames), -1).mean(-1).numpy()


def colour_histogram(frames: np.ndarray, bins: int = 6) -> np.ndarray:
    """Joint RGB histogram of all pixels of all frames together, float64 (bins^3,) summing to 1."""
    level = frames.astype(np.int32) * bins // 256
    index = (level[..., 0] * bins + level[..., 1]) * bins + level[..., 2]
    return np.bincount(index.ravel(), minlength=bins**3) / index.size


def histogram_overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Shared mass of two histograms: 1 the same, 0 nothing in common."""
    return float(np.minimum(a, b).sum())


def oriented_energy(luma: Tensor) -> Tensor:
    """Local energy of a quadrature Gabor pair in four orientations, pooled 5x5: (N, 1, H, W) in 0..1 -> (N, 4, H, W)."""
    padded = F.pad(luma, (4, 4, 4, 4), mode="reflect")
    even, odd = F.conv2d(padded, _gabor_bank()).chunk(2, dim=1)
    energy = (even.square() + odd.square() + 1e-12).sqrt()
    return F.avg_pool2d(energy, 5, stride=1, padding=2, count_include_pad=False)


@lru_cache(maxsize=1)
def _gabor_bank() -> Tensor:
    """(8, 1, 9, 9): four even, then four odd filters; each answers 1 to its own sinusoid of amplitude 1, 0 to a flat field."""
    y, x = torch.meshgrid(torch.arange(-4.0, 5.0), torch.arange(-4.0, 5.0), indexing="ij")
    envelope = torch.exp(-(x**2 + y**2) / (2 * 1.8**2))
    filters = []
    for wave in (torch.cos, torch.sin):
        for angle in (0.0, 45.0, 90.0, 135.0):
            along = x * math.cos(math.radians(angle)) + y * math.sin(math.radians(angle))
            carrier = wave(2 * math.pi * along / 4.0)
            kernel = envelope * (carrier - (envelope * carrier).sum() / envelope.sum())
            filters.append(kernel / (kernel * carrier).sum())
    return torch.stack(filters)[:, None]


def _colour_difference(x: Tensor, y: Tensor) -> Tensor:
    """(N, 3, H, W) twice -> (N,)."""
    size = min(8, *x.shape[-2:])
    mix = torch.tensor([_LUMA, (0.5, -0.5, 0.0), (0.25, 0.25, -0.5)]).view(3, 3, 1, 1)
    distance = (F.avg_pool2d(F.conv2d(x, mix), size) - F.avg_pool2d(F.conv2d(y, mix), size)).square().sum(1)
    return (distance / (distance + 0.1**2)).mean((-2, -1))


def _rows(frames: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(frames).reshape(len(frames), -1)


def _rgb(frames: np.ndarray) -> Tensor:
    """(N, ..., H, W, 3) uint8 -> (N', 3, H, W) float in 0..1."""
    flat = torch.from_numpy(np.ascontiguousarray(frames)).reshape(-1, *frames.shape[-3:])
    return flat.permute(0, 3, 1, 2).float() / 255

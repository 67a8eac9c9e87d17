"""The gate's eye: a small network that finds bodies in one camera's picture.

Objects as Points (CenterNet, arXiv 1904.07850): a heat map of rectangle centres for each class at a quarter of the picture's
resolution; beside it, at each centre, the rectangle's size, the offset within the cell, where the body's 3D centre projects to
and how deep it lies. Depth is learnt over the focal length in pixels, so that cameras of any focal length share one meaning.
Shape letters: B pictures, C classes, h, w cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core import weights
from core.errors import ZoetropeError
from driving.gate.boxes import CLASSES

STRIDE = 4
"""Pixels a cell."""
SIZE, OFFSET, DEPTH, MIDDLE = slice(0, 2), slice(2, 4), slice(4, 5), slice(5, 7)
"""What the geometry channels hold: log size in cells, centre within the cell, log of depth over focal length, and the way from
the rectangle's centre to the projected 3D centre in cells."""
GEOMETRY = 7
NAME = "detector"


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorConfig:
    classes: tuple[str, ...] = CLASSES
    channels: tuple[int, int, int, int] = (16, 32, 64, 96)
    """At strides 2, 4, 8 and 16."""
    head: int = 48
    groups: int = 8
    """Of the normalisation."""

    def __post_init__(self) -> None:
        if self.classes != CLASSES:
            raise ZoetropeError(f"detector: classes: expected {', '.join(CLASSES)}; train it again")
        if any(c % self.groups for c in (*self.channels, self.head)):
            raise ZoetropeError(f"detector: channels and head must be multiples of groups ({self.groups})")


@dataclass(frozen=True, slots=True)
class Detections:
    """M found bodies in a batch of pictures, best first within each picture."""

    picture: np.ndarray
    """int64 (M,): index in the batch."""
    kind: np.ndarray
    """int64 (M,): index into CLASSES."""
    score: np.ndarray
    """float32 (M,) in 0..1."""
    box: np.ndarray
    """float32 (M, 4): x0, y0, x1, y1 in pixels."""
    middle: np.ndarray
    """float32 (M, 2): where the 3D centre projects to."""
    depth: np.ndarray
    """float32 (M,) metres along the optical axis."""

    def __getitem__(self, at: np.ndarray) -> Detections:
        return Detections(*(getattr(self, name)[at] for name in self.__dataclass_fields__))

    def positions(self, pose: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
        """float64 (M, 3) 3D centres in the world, from each picture's `pose` (B, 4, 4) and `intrinsics` (B, 3, 3)."""
        k, pose = intrinsics[self.picture].astype(np.float64), pose[self.picture].astype(np.float64)
        ray = (self.middle - k[:, [0, 1], [2, 2]]) / k[:, [0, 1], [0, 1]]
        local = np.concatenate([ray, np.ones((len(ray), 1))], 1) * self.depth[:, None]
        return np.einsum("mij,mj->mi", pose[:, :3, :3], local) + pose[:, :3, 3]


class _Layer(nn.Sequential):
    def __init__(self, inside: int, outside: int, groups: int, stride: int = 1, kernel: int = 3):
        super().__init__(
            nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False),
            nn.GroupNorm(groups, outside),
            nn.SiLU(inplace=True),
        )


class _Residual(nn.Module):
    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.layers = nn.Sequential(_Layer(channels, channels, groups), _Layer(channels, channels, groups))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Detector(nn.Module):
    """Pictures to heat map and geometry."""

    def __init__(self, config: DetectorConfig):
        super().__init__()
        self.config = config
        half, quarter, eighth, sixteenth = config.channels
        layer = lambda a, b, **more: _Layer(a, b, config.groups, **more)  # noqa: E731
        block = lambda c: _Residual(c, config.groups)  # noqa: E731
        self.stem = nn.Sequential(layer(3, half, stride=2), layer(half, quarter, stride=2), block(quarter))
        self.down = nn.Sequential(layer(quarter, eighth, stride=2), block(eighth))
        self.deep = nn.Sequential(layer(eighth, sixteenth, stride=2), block(sixteenth))
        self.up = layer(sixteenth, eighth, kernel=1)
        self.merge = layer(eighth, eighth)
        self.top = layer(eighth, quarter, kernel=1)
        self.neck = layer(quarter, config.head)
        self.head = layer(config.head, config.head)
        self.heat = nn.Conv2d(config.head, len(config.classes), 1)
        self.geometry = nn.Conv2d(config.head, GEOMETRY, 1)
        self.prior = nn.Parameter(torch.tensor(-4.0))  # nearly every cell is empty

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 or float (B, 3, H, W) in 0..255 -> heat logits (B, C, h, w), geometry (B, 7, h, w)."""
        x = (pictures.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        fine = self.stem(x)
        middle = self.down(fine)
        coarse = self.up(self.deep(middle))
        middle = self.merge(middle + F.interpolate(coarse, size=middle.shape[-2:], mode="nearest"))
        fine = self.neck(fine + F.interpolate(self.top(middle), size=fine.shape[-2:], mode="nearest"))
        fine = self.head(fine)
        return self.heat(fine) + self.prior, self.geometry(fine)

    @torch.inference_mode()
    def find(
        self, pictures: np.ndarray, focal: np.ndarray, threshold: float = 0.05, most: int = 40, batch: int = 12
    ) -> Detections:
        """Bodies in uint8 (B, H, W, 3) pictures taken with `focal` (B,) pixels: peaks above `threshold`, `most` a picture."""
        parts = []
        for start in range(0, len(pictures), batch):
            stop = start + batch
            x = torch.from_numpy(np.ascontiguousarray(pictures[start:stop])).permute(0, 3, 1, 2)
            heat, geometry = self(x)
            found = _peaks(heat.sigmoid(), geometry, torch.as_tensor(focal[start:stop]).float(), threshold, most)
            found[0].add_(start)
            parts.append([t.numpy() for t in found])
        return Detections(*(np.concatenate(column) for column in zip(*parts)))

    def save(self, folder: Path) -> None:
        """Write config and weights into `folder`, atomically."""
        weights.save(self, self.config, folder, NAME, lambda name, tensor: True)

    @staticmethod
    def load(folder: Path) -> Detector:
        """Read a detector. Raises ZoetropeError when anything is missing, damaged or of another architecture."""
        return weights.load(Detector, DetectorConfig, folder, NAME, "train them with 'zoetrope train driving'")


def _peaks(heat: Tensor, geometry: Tensor, focal: Tensor, threshold: float, most: int) -> list[Tensor]:
    """Local maxima of the heat map as the columns of Detections."""
    peak = torch.where(F.max_pool2d(heat, 3, 1, 1) == heat, heat, 0.0)
    width = heat.shape[-1]
    score, index = peak.flatten(1).topk(min(most, peak[0].numel()), dim=1)
    picture, rank = torch.nonzero(score > threshold, as_tuple=True)
    score, index = score[picture, rank], index[picture, rank]
    cells = heat.shape[-2] * width
    kind, cell = index // cells, index % cells
    row, column = cell // width, cell % width
    values = geometry[picture, :, row, column]
    centre = (torch.stack([column, row], 1) + values[:, OFFSET]) * STRIDE
    size = values[:, SIZE].clamp(-3, 6).exp() * STRIDE
    box = torch.cat([centre - size / 2, centre + size / 2], 1)
    depth = values[:, DEPTH].squeeze(1).clamp(-9, 5).exp() * focal[picture]
    return [picture, kind, score, box, centre + values[:, MIDDLE] * STRIDE, depth]

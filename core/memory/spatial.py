"""Spatial memory: keyframes with depth and pose, recalled by view overlap and rendered into the view to be imagined.

Given the pose of the next frame, the memory picks the few keyframes that show most of what will be seen (greedy set cover over
a coarse grid of the view, nearer things hiding farther ones), finds the depth of the new view by splatting their points, and
looks up every pixel's colour in them with sub-pixel accuracy. What nobody has seen stays a hole for the network to fill.
Keyframe selection by view overlap after WorldMem (arXiv 2504.12369) and Context as Memory (arXiv 2506.03141); point-cloud
memory after Voyager (arXiv 2506.04225) and EvoWorld (arXiv 2510.01183).

Cost and memory do not grow: the bank is allocated once, and a full bank replaces the keyframe that was recalled longest ago.
Shape letters: N keyframes in the bank, K recalled, P = H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from core.memory.geometry import pixel_rays, to_camera, to_world


@dataclass(frozen=True, kw_only=True, slots=True)
class SpatialConfig:
    capacity: int = 256
    """Keyframes held at most."""
    recall: int = 4
    """Keyframes rendered into a new view."""
    near: float = 1.0
    """Nearest depth that is rendered, in the source's unit."""
    far: float = float("inf")
    """What is farther than this is not remembered."""
    tolerance: float = 0.04
    """Relative depth difference up to which two views show the same surface."""
    keep_below: float = 0.94
    """An imagined frame becomes a keyframe when memory showed less than this share of it."""
    keep_real_below: float = 0.985
    """The same for a real frame."""
    coarse: float = 1.6
    """A remembered surface seen from more than this many times its new distance counts as not shown: it was too coarse."""
    obstacle: tuple[float, float] = (0.0, 0.0)
    """Heights (world z) between which a point stands in the way of walking; equal bounds mean the world has no obstacles."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """What memory shows of a view."""

    colour: Tensor
    """float (3, H, W) in [-1, 1], holes filled by smooth extension."""
    depth: Tensor
    """float (H, W), holes filled alike."""
    valid: Tensor
    """float (H, W): 1 where a keyframe shows this surface."""
    coarseness: Tensor
    """float (H, W): log of how much farther the keyframe was from the surface than the new view is; 0 in holes."""
    recalled: tuple[int, ...]
    """Bank slots of the keyframes used."""

    def shown(self, coarse: float) -> float:
        """Share of the view that memory shows at a useful resolution."""
        return float((self.valid * (self.coarseness < torch.tensor(coarse).log())).mean())


Views = tuple[Tensor, Tensor, Tensor, Tensor]
"""Many renderings: colour (..., 3, H, W), depth, valid and coarseness (..., H, W)."""
PROBE_STRIDE = 12
"""Every PROBE_STRIDE-th pixel of a keyframe, both ways, stands for it when overlap is estimated."""
OVERLAP_GRID = (6, 8)
"""Cells of the new view in which coverage is counted."""
SCAN_SECTORS = 32
"""Directions in which the distance to the nearest remembered obstacle is reported."""
MISS = 1.5
"""Pixels by which a looked-up surface may miss the pixel it is meant for."""
SCAN_COLUMNS = 32
"""Obstacle points kept of a keyframe."""


class SpatialMemory:
    """The keyframe bank of one session and one camera model."""

    def __init__(self, config: SpatialConfig, intrinsics: Tensor, height: int, width: int):
        self.config, self.intrinsics, self.height, self.width = config, intrinsics.float(), height, width
        self.rays = pixel_rays(self.intrinsics, height, width)
        self.pixels = self.intrinsics @ self.rays.T
        """Homogeneous pixel centres (3, P)."""
        n, probes = config.capacity, len(self._probe(self.rays.view(height, width, 3)))
        # One block a keyframe, taken up front; a block is replaced, never written to, so that forks can share it.
        self.pictures = [torch.full((4, height, width), 1e-9) for _ in range(n)]
        """Colour in [-1, 1] and inverse depth (0 where unknown) of each keyframe."""
        self.pose = torch.eye(4).repeat(n, 1, 1)
        self.probes = torch.zeros(n, probes, 3)
        self.probe_depth = torch.zeros(n, probes)
        self.obstacles = torch.full((n, SCAN_COLUMNS, 3), float("inf"))
        self.order = torch.full((n,), -1, dtype=torch.int64)
        """Frame number at which each keyframe was taken; -1 for an empty slot."""
        self.used = torch.zeros(n, dtype=torch.int64)
        """Frame number at which each keyframe was last recalled."""

    INDEX = ("pose", "probes", "probe_depth", "obstacles", "order", "used")
    """Names of the tensors that describe the keyframes."""

    def copy(self) -> SpatialMemory:
        """An independent bank with the same content; pictures are shared."""
        twin = object.__new__(SpatialMemory)
        twin.__dict__.update(self.__dict__)
        twin.pictures = list(self.pictures)
        for name in self.INDEX:
            setattr(twin, name, getattr(self, name).clone())
        return twin

    @property
    def bytes(self) -> int:
        """Memory allocated for the bank; it never changes."""
        return sum(x.nbytes for x in self.pictures) + sum(getattr(self, n).nbytes for n in self.INDEX)

    @property
    def count(self) -> int:
        """Keyframes held."""
        return int((self.order >= 0).sum())

    def add(self, colour: Tensor, depth: Tensor, pose: Tensor, number: int) -> int:
        """Remember a view: colour float (3, H, W) in [-1, 1], depth (H, W), 0 where unknown, and pose (4, 4).

        Returns the slot that it took."""
        empty = (self.order < 0).nonzero()
        slot = int(empty[0]) if len(empty) else int(torch.maximum(self.used, self.order).argmin())
        depth = torch.where((depth > 0) & (depth < self.config.far), depth, 0)
        inverse = torch.where(depth > 0, 1 / depth.clamp(min=1e-6), 0)
        self.pictures[slot] = torch.cat([colour, inverse[None]])
        self.pose[slot] = pose
        probe_depth = self._probe(depth[..., None])[:, 0]
        rays = self._probe(self.rays.view(self.height, self.width, 3))
        self.probes[slot] = to_world(rays * probe_depth[:, None], pose)
        self.probe_depth[slot] = probe_depth
        low, high = self.config.obstacle
        if high > low:
            self.obstacles[slot] = self._obstacle_points(depth, pose, low, high)
        self.order[slot] = self.used[slot] = number
        return slot

    def render(self, pose: Tensor, number: int, before: int | None = None) -> Rendering:
        """Show what memory knows of the view from `pose` (4, 4). `before` hides keyframes taken at or after that frame."""
        usable = self.order >= 0 if before is None else (self.order >= 0) & (self.order < before)
        slots = self._recall(pose, usable)
        if not slots:
            return self.nothing()
        self.used[slots] = number
        return self._warp(pose, slots)

    def scan(self, pose: Tensor, before: int | None = None) -> Tensor:
        """Horizontal distance to the nearest remembered obstacle in SCAN_SECTORS directions from the camera's own forward."""
        usable = self.order >= 0 if before is None else (self.order >= 0) & (self.order < before)
        offsets = self.obstacles - pose[:3, 3]
        ahead, right = offsets @ pose[:3, 2], offsets @ pose[:3, 0]
        distance = torch.hypot(ahead, right)
        distance = torch.where(usable[:, None] & torch.isfinite(distance), distance, 1e6)
        turn = torch.nan_to_num(torch.atan2(right, ahead)) / (2 * torch.pi) * SCAN_SECTORS
        sector = turn.round().long() % SCAN_SECTORS
        return torch.full((SCAN_SECTORS,), 1e6).scatter_reduce(0, sector.flatten(), distance.flatten(), "amin")

    def _probe(self, image: Tensor) -> Tensor:
        """Every PROBE_STRIDE-th pixel of (H, W, c), both ways -> (probes, c)."""
        half = PROBE_STRIDE // 2
        return image[half::PROBE_STRIDE, half::PROBE_STRIDE].reshape(-1, image.shape[-1])

    def _obstacle_points(self, depth: Tensor, pose: Tensor, low: float, high: float) -> Tensor:
        """The nearest point of each of SCAN_COLUMNS image columns that stands between the two heights, world (columns, 3)."""
        stride = self.width // SCAN_COLUMNS
        columns = depth[:, stride // 2 :: stride]
        rays = self.rays.view(self.height, self.width, 3)[:, stride // 2 :: stride]
        world = to_world((rays * columns[..., None]).reshape(-1, 3), pose).view(self.height, SCAN_COLUMNS, 3)
        standing = (world[..., 2] > low) & (world[..., 2] < high) & (columns > 0)
        distance = torch.where(standing, columns, float("inf"))
        nearest = distance.argmin(0)
        points = world[nearest, torch.arange(SCAN_COLUMNS)]
        return torch.where(torch.isfinite(distance.min(0).values)[:, None], points, float("inf"))

    def _project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Camera points (..., 3) -> pixel coordinates (..., 2) and depth (...)."""
        z = points[..., 2]
        safe = z.clamp(min=1e-6)
        u = points[..., 0] / safe * self.intrinsics[0, 0] + self.intrinsics[0, 2]
        v = points[..., 1] / safe * self.intrinsics[1, 1] + self.intrinsics[1, 2]
        return torch.stack([u, v], -1), z

    def _recall(self, pose: Tensor, usable: Tensor) -> list[int]:
        """Greedy choice of the keyframes that together show most of the view."""
        pixels, z = self._project(to_camera(self.probes.view(-1, 3), pose))
        rows, columns = OVERLAP_GRID
        column = (pixels[:, 0] * (columns / self.width)).long()
        row = (pixels[:, 1] * (rows / self.height)).long()
        known = (self.probe_depth > 0) & usable[:, None]
        inside = (pixels[:, 0] >= 0) & (pixels[:, 0] < self.width) & (pixels[:, 1] >= 0) & (pixels[:, 1] < self.height)
        inside &= (z > self.config.near) & known.flatten()
        if not bool(inside.any()):
            return []
        cell = torch.where(inside, row * columns + column, 0)
        nearest = torch.full((rows * columns,), float("inf"))
        nearest.scatter_reduce_(0, cell, torch.where(inside, z, float("inf")), "amin")
        visible = inside & (z <= nearest[cell] * 1.5)
        # Seen from as near as now or nearer: full worth. From twice as far: half.
        worth = (z / self.probe_depth.flatten().clamp(min=1e-6)).clamp(max=1.0) * visible
        score = torch.zeros(self.config.capacity * rows * columns)
        owner = torch.arange(self.config.capacity).repeat_interleave(self.probes.shape[1])
        score.scatter_reduce_(0, owner * (rows * columns) + cell, worth, "amax")
        score = score.view(self.config.capacity, -1)
        chosen: list[int] = []
        covered = torch.zeros(rows * columns)
        for _ in range(self.config.recall):
            gain = (score - covered).clamp(min=0).sum(1)
            best = int(gain.argmax())
            if float(gain[best]) <= 1e-3:
                break
            chosen.append(best)
            covered = torch.maximum(covered, score[best])
        return chosen

    def _between(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """Maps homogeneous pixels times depth of cameras `before` to those of cameras `after`: (K, 3, 3) and (K, 3, 1)."""
        motion = torch.linalg.inv(after) @ before
        turn = self.intrinsics @ motion[..., :3, :3] @ torch.linalg.inv(self.intrinsics)
        return turn, self.intrinsics @ motion[..., :3, 3:]

    def _warp(self, pose: Tensor, slots: list[int]) -> Rendering:
        h, w = self.height, self.width
        pictures = torch.stack([self.pictures[i] for i in slots])
        source_pose, target_pose = self.pose[slots], pose.expand(len(slots), 4, 4)
        inverse = pictures[:, 3:].flatten(2)
        forth, forth_shift = self._between(source_pose, target_pose)
        back, back_shift = self._between(target_pose, source_pose)
        depth = 1 / inverse.clamp(min=1e-6)
        front = self._front_depth((forth @ self.pixels) * depth + forth_shift, inverse > 0)
        known = torch.isfinite(front)
        depth = torch.where(known, front, 1.0).view(1, 1, -1)
        guess = _flatten((back @ self.pixels) * depth + back_shift)[0]
        # One quasi-Newton step: the surface that the keyframe really has there, carried to the new view, misses the wanted
        # pixel by a little; move the look-up by that much, scaled by the two distances.
        z_source = 1 / self._sample(pictures[:, 3:], guess).clamp(min=1e-6)
        landed, z_landed = self._carry(guess, z_source, forth, forth_shift)
        wanted = self.pixels[:2]
        zoom = (z_landed / z_source).clamp(0.2, 5.0)
        lookup = guess + ((wanted - landed) * zoom).clamp(-4, 4)
        found = self._sample(pictures[:, 3:], lookup)
        # Cubic look-up of colour: linear would lose a fifth of the picture's gradient energy every time it is remembered.
        seen = self._sample(pictures[:, :3], lookup, "bicubic").clamp(-1, 1)
        z_found = 1 / found.clamp(min=1e-6)
        landed, z_landed = self._carry(lookup, z_found, forth, forth_shift)
        u, v = lookup[:, :1], lookup[:, 1:]
        inside = (u >= 0) & (u <= w) & (v >= 0) & (v <= h) & (found > 1e-5)
        same = (z_landed - depth).abs() < self.config.tolerance * (depth + self.config.near)
        near_enough = (wanted - landed).square().sum(1, keepdim=True) < MISS**2
        visible = inside & same & near_enough & known.view(1, 1, -1)
        ratio = (z_found / depth).clamp(1e-2, 1e2)
        # The nearest look at a surface is the sharpest: eight times the weight for 1.3 times nearer, until nearer than needed.
        weight = visible * torch.where(ratio > 1, 1 / ratio.square().square().square(), ratio.sqrt()).clamp(min=1e-6)
        total = weight.sum(0, keepdim=True)
        share = weight / total.clamp(min=1e-9)
        valid = (total[0] > 0).view(1, h, w)
        colour = (seen * share).sum(0).view(3, h, w)
        refined = (z_landed * share).sum(0).view(1, h, w)
        coarseness = (ratio.log() * share).sum(0).view(h, w)
        mask = valid.float()
        depth = torch.where(valid, refined, depth.view(1, h, w))
        filled = _extend(torch.cat([colour, 1 / depth.clamp(min=1e-3)]) * mask, mask[0])
        return Rendering(filled[:3], 1 / filled[3].clamp(min=1e-5), mask[0], coarseness * mask[0], tuple(slots))

    def _front_depth(self, scaled: Tensor, known: Tensor) -> Tensor:
        """Depth (H, W) of the nearest surface in every pixel of the new view; infinite where there is none.

        `scaled` (K, 3, P) are homogeneous pixels times depth, `known` (K, 1, P).
        """
        h, w = self.height, self.width
        pixels, z = _flatten(scaled)
        u, v = pixels[:, :1], pixels[:, 1:]
        inside = known & (z > self.config.near) & (u >= 0) & (u < w) & (v >= 0) & (v < h)
        index = torch.where(inside, v.floor() * w + u.floor(), h * w).long()
        front = torch.full((h * w + 1,), float("inf")).scatter_reduce_(0, index.view(-1), z.reshape(-1), "amin")
        front = front[:-1].view(h, w)
        # Points spread apart when a surface comes nearer: close the gaps (minimum, then maximum, over a small window).
        for radius in (1, 2):
            closed = _slide(_slide(front, radius, torch.minimum, float("inf")), radius, torch.maximum, float("-inf"))
            front = torch.where(front > closed * 1.1, closed, front)
        return front

    def _carry(self, pixels: Tensor, z: Tensor, turn: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (K, 2, P) at depth z (K, 1, P) of one set of cameras, as pixels and depth of another."""
        return _flatten(torch.baddbmm(turn[:, :, 2:], turn[:, :, :2], pixels) * z + shift)

    def _sample(self, images: Tensor, pixels: Tensor, mode: str = "bilinear") -> Tensor:
        """Look up images (K, c, H, W) at pixels (K, 2, P) -> (K, c, P)."""
        size = torch.tensor([self.width, self.height]).view(2, 1)
        grid = (pixels * (2 / size) - 1).transpose(1, 2).view(len(images), self.height, self.width, 2)
        return F.grid_sample(images, grid, mode=mode, padding_mode="border", align_corners=False).flatten(2)

    def nothing(self) -> Rendering:
        """A rendering that shows nothing."""
        empty = torch.zeros(self.height, self.width)
        return Rendering(torch.zeros(3, self.height, self.width), torch.full_like(empty, 1e3), empty, empty, ())


def _flatten(scaled: Tensor) -> tuple[Tensor, Tensor]:
    """Homogeneous pixels times depth (K, 3, P) -> pixels (K, 2, P) and depth (K, 1, P)."""
    z = scaled[:, 2:]
    return scaled[:, :2] / z.clamp(min=1e-6), z


def _slide(image: Tensor, radius: int, reduce: Callable[[Tensor, Tensor], Tensor], outside: float) -> Tensor:
    """Running minimum or maximum of (H, W) over a square window."""
    h, w = image.shape
    padded = F.pad(image, (radius, radius, radius, radius), value=outside)
    rows = padded[:, :w]
    for shift in range(1, 2 * radius + 1):
        rows = reduce(rows, padded[:, shift : shift + w])
    out = rows[:h]
    for shift in range(1, 2 * radius + 1):
        out = reduce(out, rows[shift : shift + h])
    return out


def _extend(values: Tensor, mask: Tensor) -> Tensor:
    """Fill holes of values (c, H, W), already zero there, from ever coarser averages of what surrounds them (push-pull)."""
    levels = [(values[None], mask[None, None])]
    while min(levels[-1][1].shape[-2:]) > 2:
        v, m = levels[-1]
        levels.append((F.avg_pool2d(v, 2, ceil_mode=True), F.avg_pool2d(m, 2, ceil_mode=True)))
    v, m = levels[-1]
    filled = v.sum((-1, -2), keepdim=True) / m.sum((-1, -2), keepdim=True).clamp(min=1e-6)
    for v, m in reversed(levels):
        filled = F.interpolate(filled.expand(-1, -1, *filled.shape[-2:]), size=v.shape[-2:], mode="bilinear")
        filled = torch.where(m > 0, v / m.clamp(min=1e-6), filled)
    return filled[0]

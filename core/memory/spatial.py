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

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from core.memory.geometry import pixel_rays, to_camera, to_world


@dataclass(frozen=True, kw_only=True, slots=True)
class SpatialConfig:
    capacity: int = 320
    """Keyframes held at most."""
    recall: int = 4
    """Keyframes rendered into a new view."""
    near: float = 1.0
    """Nearest depth that is rendered, in the source's unit."""
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


PROBE_STRIDE = 12
"""Every PROBE_STRIDE-th pixel of a keyframe, both ways, stands for it when overlap is estimated."""
OVERLAP_GRID = (6, 8)
"""Cells of the new view in which coverage is counted."""
SCAN_SECTORS = 32
"""Directions in which the distance to the nearest remembered obstacle is reported."""
SCAN_COLUMNS = 32
"""Obstacle points kept of a keyframe."""


class SpatialMemory:
    """The keyframe bank of one session and one camera model."""

    def __init__(self, config: SpatialConfig, intrinsics: Tensor, height: int, width: int):
        self.config, self.intrinsics, self.height, self.width = config, intrinsics.float(), height, width
        self.rays = pixel_rays(self.intrinsics, height, width)
        n, probes = config.capacity, len(self._probe(self.rays.view(height, width, 3)))
        # One block a keyframe, taken up front; a block is replaced, never written to, so that forks can share it.
        self.colour = [torch.full((3, height, width), 128, dtype=torch.uint8) for _ in range(n)]
        self.depth = [torch.full((height, width), 1e-9) for _ in range(n)]
        self.pose = torch.eye(4).repeat(n, 1, 1)
        self.probes = torch.zeros(n, probes, 3)
        self.probe_depth = torch.zeros(n, probes)
        self.obstacles = torch.full((n, SCAN_COLUMNS, 3), float("inf"))
        self.order = torch.full((n,), -1, dtype=torch.int64)
        """Frame number at which each keyframe was taken; -1 for an empty slot."""
        self.used = torch.zeros(n, dtype=torch.int64)
        """Frame number at which each keyframe was last recalled."""

    INDEX = ("pose", "probes", "probe_depth", "obstacles", "order", "used")
    """Names of the tensors that describe the keyframes; colour and depth hold the pictures themselves."""

    def copy(self) -> SpatialMemory:
        """An independent bank with the same content; pictures are shared."""
        twin = object.__new__(SpatialMemory)
        twin.__dict__.update(self.__dict__)
        twin.colour, twin.depth = list(self.colour), list(self.depth)
        for name in self.INDEX:
            setattr(twin, name, getattr(self, name).clone())
        return twin

    @property
    def bytes(self) -> int:
        """Memory allocated for the bank; it never changes."""
        return sum(x.nbytes for x in (*self.colour, *self.depth)) + sum(getattr(self, n).nbytes for n in self.INDEX)

    @property
    def count(self) -> int:
        """Keyframes held."""
        return int((self.order >= 0).sum())

    def add(self, colour: Tensor, depth: Tensor, pose: Tensor, number: int) -> int:
        """Remember a view: colour float (3, H, W) in [-1, 1], depth (H, W) (0 where unknown), pose (4, 4). Returns its slot."""
        empty = (self.order < 0).nonzero()
        slot = int(empty[0]) if len(empty) else int(torch.maximum(self.used, self.order).argmin())
        self.colour[slot] = ((colour + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        self.depth[slot] = depth.clone()
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

    def _warp(self, pose: Tensor, slots: list[int]) -> Rendering:
        h, w = self.height, self.width
        source_pose, source_depth = self.pose[slots], torch.stack([self.depth[i] for i in slots])
        world = to_world(self.rays * source_depth.view(len(slots), -1, 1), source_pose)
        front = self._front_depth(world.view(-1, 3), (source_depth > 0).view(-1), pose)
        known = torch.isfinite(front)
        depth = torch.where(known, front, 1.0)
        target = to_world(self.rays * depth.view(-1, 1), pose)
        guess, _ = self._project(to_camera(target[None], source_pose))
        disparity = torch.where(source_depth > 0, 1 / source_depth.clamp(min=1e-6), 0)[:, None]
        # One quasi-Newton step: the surface that the keyframe really has there, carried to the new view, misses the wanted
        # pixel by a little; move the look-up by that much, scaled by the two distances.
        z_source = 1 / self._sample(disparity, guess)[:, 0].clamp(min=1e-6)
        surface = to_world(self._lift(guess, z_source), source_pose)
        landed, z_landed = self._project(to_camera(surface, pose))
        wanted, _ = self._project(self.rays)
        miss = wanted - landed
        zoom = (z_landed / z_source).clamp(0.2, 5.0)
        lookup = guess + (miss * zoom[..., None]).clamp(-4, 4)
        sampled = self._sample(torch.cat([torch.stack([self.colour[i] for i in slots]).float() / 127.5 - 1, disparity], 1), lookup)
        z_found = 1 / sampled[:, 3].clamp(min=1e-6)
        landed, z_landed = self._project(to_camera(to_world(self._lift(lookup, z_found), source_pose), pose))
        inside = (lookup[..., 0] >= 0) & (lookup[..., 0] <= w) & (lookup[..., 1] >= 0) & (lookup[..., 1] <= h)
        same = (z_landed - depth.view(-1)).abs() < self.config.tolerance * depth.view(-1) + 0.5 * self.config.near * 0.1
        near_enough = (wanted - landed).square().sum(-1) < 2.25
        visible = inside & same & near_enough & known.view(-1) & (z_found < 1e5)
        ratio = (z_found / depth.view(-1)).clamp(1e-3, 1e3)
        weight = visible * torch.where(ratio > 1, ratio.pow(-8), ratio.pow(0.5)).clamp(1e-6, 1)
        total = weight.sum(0)
        share = weight / total.clamp(min=1e-9)
        colour = (sampled[:, :3] * share[:, None]).sum(0).view(3, h, w)
        coarseness = (ratio.log() * share).sum(0).view(h, w)
        refined = (z_landed * share).sum(0).view(h, w)
        valid = (total > 0).view(h, w)
        depth = torch.where(valid, refined, depth)
        mask = valid.float()
        stacked = torch.cat([colour, (1 / depth.clamp(min=1e-3))[None]]) * mask
        filled = _extend(stacked, mask)
        return Rendering(filled[:3], 1 / filled[3].clamp(min=1e-5), mask, coarseness * mask, tuple(slots))

    def _front_depth(self, world: Tensor, known: Tensor, pose: Tensor) -> Tensor:
        """Depth (H, W) of the nearest surface in every pixel of the new view; infinite where there is none."""
        h, w = self.height, self.width
        pixels, z = self._project(to_camera(world, pose))
        u, v = pixels[:, 0].floor(), pixels[:, 1].floor()
        inside = known & (z > self.config.near) & (u >= 0) & (u < w) & (v >= 0) & (v < h)
        index = torch.where(inside, v * w + u, h * w).long()
        front = torch.full((h * w + 1,), float("inf")).scatter_reduce_(0, index, z, "amin")
        front = front[:-1].view(1, 1, h, w)
        # Points spread apart when a surface comes nearer: close the gaps (minimum, then maximum, over a small window).
        for size in (3, 5):
            closed = F.max_pool2d(-F.max_pool2d(-front, size, 1, size // 2), size, 1, size // 2)
            front = torch.minimum(front, torch.where(front > closed * 1.1, closed, front))
        return front[0, 0]

    def _lift(self, pixels: Tensor, z: Tensor) -> Tensor:
        x = (pixels[..., 0] - self.intrinsics[0, 2]) / self.intrinsics[0, 0] * z
        y = (pixels[..., 1] - self.intrinsics[1, 2]) / self.intrinsics[1, 1] * z
        return torch.stack([x, y, z], -1)

    def _sample(self, images: Tensor, pixels: Tensor) -> Tensor:
        """Bilinear look-up: images (K, c, H, W) at pixels (K, P, 2) -> (K, c, P)."""
        grid = pixels / torch.tensor([self.width, self.height]) * 2 - 1
        return F.grid_sample(images, grid[:, None], mode="bilinear", padding_mode="border", align_corners=False)[:, :, 0]

    def nothing(self) -> Rendering:
        """A rendering that shows nothing."""
        empty = torch.zeros(self.height, self.width)
        return Rendering(torch.zeros(3, self.height, self.width), torch.full_like(empty, 1e3), empty, empty, ())


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

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

from core.memory.geometry import inverse, pixel_rays, to_camera, to_world
from core.memory.obstacles import Obstacles, obstacle_points, scan_obstacles


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
MISS = 3.0
"""Pixels by which a looked-up surface may at first miss the pixel it is meant for."""
WITNESSES, WITNESS_STRIDE, SEE_THROUGH = 16, 4, 0.15
"""Real keyframes that an imagined one is checked against, on every so manieth pixel, and the relative depth by which something
must stand nearer than what they saw there to be wrong."""
CUBIC_REACH = 2
"""Pixels on each side that a cubic look-up reads."""


class SpatialMemory:
    """The keyframe bank of one session and one camera model."""

    def __init__(self, config: SpatialConfig, intrinsics: Tensor, height: int, width: int):
        self.config, self.intrinsics, self.height, self.width = config, intrinsics.float(), height, width
        self.rays = pixel_rays(self.intrinsics, height, width)
        self.pixels = self.intrinsics @ self.rays.T
        """Homogeneous pixel centres (3, P)."""
        self.from_pixels = torch.linalg.inv(self.intrinsics)
        n, probes = config.capacity, len(self._grid(self.rays.view(height, width, 3), PROBE_STRIDE))
        # One block a keyframe, taken up front; a block is replaced, never written to, so that forks can share it.
        self.pictures = [torch.full((4, height, width), 1e-9) for _ in range(n)]
        """Colour in [-1, 1] and inverse depth (0 where unknown) of each keyframe."""
        self.pose = torch.eye(4).repeat(n, 1, 1)
        self.probes = torch.zeros(n, probes, 3)
        self.probe_depth = torch.zeros(n, probes)
        self.obstacles = torch.full((n, width, 2), float("inf"))
        """World x and y of the nearest obstacle in every image column of each keyframe, of its middle if it stands alone."""
        self.alone = torch.zeros(n, width, dtype=torch.bool)
        """Whether it stands alone."""
        self.beyond = torch.zeros(n, width)
        """How far each keyframe has seen through each image column."""
        self.order = torch.full((n,), -1, dtype=torch.int64)
        """Frame number at which each keyframe was taken; -1 for an empty slot."""
        self.used = torch.zeros(n, dtype=torch.int64)
        """Frame number at which each keyframe was last recalled."""

        self.real = torch.zeros(n, dtype=torch.bool)
        """Whether each keyframe was seen, not imagined."""

    INDEX = ("pose", "probes", "probe_depth", "obstacles", "alone", "beyond", "order", "used", "real")
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

    def add(self, colour: Tensor, depth: Tensor, pose: Tensor, number: int, real: bool = True) -> int:
        """Remember a view: colour float (3, H, W) in [-1, 1], depth (H, W), 0 where unknown, and pose (4, 4).

        Of an imagined view, what stands where real ones have seen nothing stand is not remembered. Returns the slot it took.
        """
        empty = (self.order < 0).nonzero()
        slot = int(empty[0]) if len(empty) else int(torch.maximum(self.used, self.order).argmin())
        depth = torch.where((depth > 0) & (depth < self.config.far), depth, 0)
        if not real:
            depth = torch.where(self._contradicted(depth, pose), 0, depth)
        inverse = torch.where(depth > 0, 1 / depth.clamp(min=1e-6), 0)
        self.pictures[slot] = torch.cat([colour, inverse[None]])
        self.pose[slot] = pose
        probe_depth = self._grid(depth[..., None], PROBE_STRIDE)[:, 0]
        rays = self._grid(self.rays.view(self.height, self.width, 3), PROBE_STRIDE)
        self.probes[slot] = to_world(rays * probe_depth[:, None], pose)
        self.probe_depth[slot] = probe_depth
        low, high = self.config.obstacle
        if high > low:
            found = obstacle_points(depth[None], self.rays, pose[None], (low, high))
            self.obstacles[slot], self.alone[slot], self.beyond[slot] = (x[0] for x in found)
        self.order[slot] = self.used[slot] = number
        self.real[slot] = real
        return slot

    def render(self, pose: Tensor, number: int, before: int | None = None) -> Rendering:
        """Show what memory knows of the view from `pose` (4, 4). `before` hides keyframes taken at or after that frame."""
        usable = self.order >= 0 if before is None else (self.order >= 0) & (self.order < before)
        slots = self._recall(pose, usable)
        if not slots:
            return self.nothing()
        self.used[slots] = number
        return self._warp(pose, slots)

    def scan(self, pose: Tensor) -> Tensor:
        """What stands around a camera pose (4, 4), of all that is remembered: see `scan_obstacles`."""
        held = self.order >= 0
        views = (self.obstacles[held], self.alone[held], self.beyond[held], self.pose[held])
        obstacles = Obstacles(*views, self.rays[: self.width, 0], self.real[held])
        return scan_obstacles(obstacles, pose[:2, 3], self.config.obstacle)

    def _contradicted(self, depth: Tensor, pose: Tensor) -> Tensor:
        """bool (H, W): where depth (H, W) from `pose` puts a surface into space that a real keyframe has looked through."""
        slots = self._witnesses(pose)
        coarse = self._grid(depth[..., None], WITNESS_STRIDE)
        points = to_world(self._grid(self.rays.view(self.height, self.width, 3), WITNESS_STRIDE) * coarse, pose)
        pixels, z = self._project(to_camera(points.expand(len(slots), -1, -1), self.pose[slots]))
        inside = (pixels >= 0).all(-1) & (pixels[..., 0] < self.width) & (pixels[..., 1] < self.height) & (z > self.config.near)
        column, row = torch.where(inside[..., None], pixels, 0).long().unbind(-1)
        inverse_depth = [self.pictures[slot][3].take(r * self.width + c) for slot, r, c in zip(slots, row, column)]
        seen = torch.stack(inverse_depth) if slots else torch.zeros_like(z)
        wrong = (inside & (seen > 0) & (z * seen < 1 - SEE_THROUGH)).any(0)
        shape = depth[WITNESS_STRIDE // 2 :: WITNESS_STRIDE, WITNESS_STRIDE // 2 :: WITNESS_STRIDE].shape
        small = (wrong & (coarse[:, 0] > 0)).view(1, 1, *shape).float()
        return F.interpolate(small, size=depth.shape, mode="nearest")[0, 0] > 0

    def _witnesses(self, pose: Tensor) -> list[int]:
        """Slots of the real keyframes that share most of the view from `pose`."""
        pixels, z = self._project(to_camera(self.probes.view(-1, 3), pose))
        inside = (pixels >= 0).all(-1) & (pixels[:, 0] < self.width) & (pixels[:, 1] < self.height) & (z > self.config.near)
        shared = inside.view(self.config.capacity, -1).float().mean(1) * (self.real & (self.order >= 0))
        best = shared.topk(min(WITNESSES, self.config.capacity))
        return [slot for slot, share in zip(best.indices.tolist(), best.values.tolist()) if share > 0]

    def _grid(self, image: Tensor, stride: int) -> Tensor:
        """Every `stride`-th pixel of (H, W, c), both ways -> (n, c)."""
        return image[stride // 2 :: stride, stride // 2 :: stride].reshape(-1, image.shape[-1])

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
        known = (self.probe_depth > 0) & usable[:, None]
        inside = (pixels >= 0).all(-1) & (pixels[:, 0] < self.width) & (pixels[:, 1] < self.height)
        seen = (inside & (z > self.config.near) & known.flatten()).nonzero()[:, 0]
        if not len(seen):
            return []
        pixels, z = pixels[seen], z[seen]
        cell = (pixels[:, 1] * (rows / self.height)).long() * columns + (pixels[:, 0] * (columns / self.width)).long()
        nearest = torch.full((rows * columns,), float("inf")).scatter_reduce_(0, cell, z, "amin")
        visible = z <= nearest[cell] * 1.5
        # Seen from as near as now or nearer: full worth. From twice as far: half.
        worth = (z / self.probe_depth.flatten()[seen]).clamp(max=1.0) * visible
        score = torch.zeros(self.config.capacity * rows * columns)
        owner = seen // self.probes.shape[1]
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
        motion = inverse(after) @ before
        turn = self.intrinsics @ motion[..., :3, :3] @ self.from_pixels
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
        # The surface that a keyframe really has there, carried to the new view, misses the wanted pixel by a little.
        found = self._sample(pictures[:, 3:], guess)
        z_source = 1 / found.clamp(min=1e-6)
        landed, z_landed = self._carry(guess, z_source, forth, forth_shift)
        miss = self.pixels[:2] - landed
        u, v = guess[:, :1], guess[:, 1:]
        inside = (u >= 0) & (u <= w) & (v >= 0) & (v <= h) & (found > 1e-5)
        same = (z_landed - depth).abs() < self.config.tolerance * (depth + self.config.near)
        near_enough = miss.square().sum(1, keepdim=True) < MISS**2
        visible = inside & same & near_enough & known.view(1, 1, -1)
        ratio = (z_source / depth).clamp(1e-2, 1e2)
        # The nearest look at a surface is the sharpest, until nearer than needed.
        worth = visible * torch.where(ratio > 1, 1 / ratio, ratio.square()).clamp(min=1e-6)
        best = _argmax(worth)
        pick = lambda x: x.gather(0, best.expand(1, x.shape[1], -1))[0]  # noqa: E731
        # One quasi-Newton step: move the look-up by the miss, scaled by the two distances.
        zoom = pick(z_landed / z_source).clamp(0.2, 5.0)
        lookup = pick(guess) + (pick(miss) * zoom).clamp(-4, 4)
        valid = (pick(worth) > 0).view(1, h, w)
        colour = self._colour(pictures[:, :3], lookup, best[0, 0]).view(3, h, w)
        refined = pick(z_landed).view(1, h, w)
        coarseness = pick(ratio).log().view(h, w)
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

    def _sample(self, images: Tensor, pixels: Tensor) -> Tensor:
        """Bilinear look-up: images (K, c, H, W) at pixels (K, 2, P) -> (K, c, P)."""
        size = torch.tensor([self.width, self.height]).view(2, 1)
        grid = (pixels * (2 / size) - 1).transpose(1, 2).view(len(images), self.height, self.width, 2)
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False).flatten(2)

    def _colour(self, images: Tensor, pixels: Tensor, source: Tensor) -> Tensor:
        """Look up images (K, 3, H, W) at pixels (2, P), each in the one image that `source` (P,) names -> (3, P).

        Cubic: linear would lose a fifth of the picture's gradient energy every time it is remembered. The images lie side by
        side in one, so that a pixel is looked up once.
        """
        k, _, h, w = images.shape
        wide = w + 2 * CUBIC_REACH
        atlas = F.pad(images, (CUBIC_REACH, CUBIC_REACH, 0, 0), mode="replicate").permute(1, 2, 0, 3).reshape(1, 3, h, k * wide)
        u = pixels[0].clamp(0, w) + CUBIC_REACH + source * wide
        grid = torch.stack([u * (2 / (k * wide)) - 1, pixels[1] * (2 / h) - 1], -1).view(1, self.height, self.width, 2)
        return F.grid_sample(atlas, grid, mode="bicubic", padding_mode="border", align_corners=False).clamp(-1, 1)[0]

    def nothing(self) -> Rendering:
        """A rendering that shows nothing."""
        empty = torch.zeros(self.height, self.width)
        return Rendering(torch.zeros(3, self.height, self.width), torch.full_like(empty, 1e3), empty, empty, ())


def _flatten(scaled: Tensor) -> tuple[Tensor, Tensor]:
    """Homogeneous pixels times depth (K, 3, P) -> pixels (K, 2, P) and depth (K, 1, P)."""
    z = scaled[:, 2:]
    return scaled[:, :2] / z.clamp(min=1e-6), z


def _argmax(x: Tensor) -> Tensor:
    """Index (1, ...) of the greatest along the first, short, axis; many times faster than `argmax` there."""
    best, index = x[:1], torch.zeros_like(x[:1], dtype=torch.int64)
    for i in range(1, len(x)):
        better = x[i : i + 1] > best
        best = torch.where(better, x[i : i + 1], best)
        index = torch.where(better, i, index)
    return index


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

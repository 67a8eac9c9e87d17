"""Spatial memory: keyframes with depth and pose, recalled by view overlap and rendered into the view to be imagined.

Given the pose of the next frame, the memory picks the few keyframes that show most of what will be seen (greedy set cover over
a coarse grid of the view, nearer things hiding farther ones), finds the depth of the new view by splatting their points, and
looks up every pixel's colour in them with sub-pixel accuracy. What nobody has seen stays a hole for the network to fill.
Keyframe selection by view overlap after WorldMem (arXiv 2504.12369) and Context as Memory (arXiv 2506.03141); point-cloud
memory after Voyager (arXiv 2506.04225) and EvoWorld (arXiv 2510.01183).

Cost and memory do not grow: the bank is allocated once, and a full bank replaces the keyframe that was recalled longest ago.
The cameras of a rig share a bank: what one has seen, another is shown.
Shape letters: N keyframes in the bank, K recalled, V cameras, P = H W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

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
    imagined: float = 0.5
    """How far an imagined keyframe is to be believed: what it shows is a hint, which may be imagined again and better."""
    coarse: float = 1.6
    """A remembered surface seen from more than this many times its new distance counts as not shown: it was too coarse."""
    obstacle: tuple[float, float] = (0.0, 0.0)
    """Heights (world z) between which a point stands in the way of walking; equal bounds mean the world has no obstacles."""


@dataclass(frozen=True, slots=True)
class Witnesses:
    """Real keyframes that an imagined view is checked against."""

    inverse_depth: tuple[Tensor, ...]
    """Each (H, W), 0 where unknown."""
    pose: Tensor
    """(N, 4, 4)."""
    intrinsics: Tensor
    """(N, 3, 3)."""


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A view, ready to be remembered."""

    picture: Tensor
    """(4, H, W): colour in [-1, 1] and inverse depth, 0 where unknown."""
    pose: Tensor
    """(4, 4)."""
    probes: Tensor
    """(n, 3) world points of a coarse grid of its pixels."""
    probe_depth: Tensor
    """(n,)."""
    obstacles: Tensor
    """(W, 2), alone and beyond, (W,): what stands in the way, as of `obstacle_points`."""
    alone: Tensor
    beyond: Tensor
    number: int
    """The frame's."""
    real: bool
    """Whether it was seen, not imagined."""
    camera: int = 0
    """Which of the rig's cameras took it."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """What memory shows of a view."""

    colour: Tensor
    """float (3, H, W) in [-1, 1], holes filled by smooth extension."""
    depth: Tensor
    """float (H, W), holes filled alike."""
    valid: Tensor
    """float (H, W): 1 where a real keyframe shows this surface, `imagined` where an imagined one does, 0 in holes."""
    coarseness: Tensor
    """float (H, W): log of how much farther the keyframe was from the surface than the new view is; 0 in holes."""
    recalled: tuple[int, ...]
    """Bank slots of the keyframes used."""
    witnesses: Witnesses | None = None
    """The real keyframes that share most of the view."""

    def shown(self, coarse: float) -> float:
        """Share of the view that memory shows at a useful resolution."""
        return float((self.valid.sign() * (self.coarseness < math.log(coarse))).mean())


View = tuple[Tensor, Tensor, Tensor]
"""Where cameras stand: poses (..., 4, 4), intrinsics (..., 3, 3) and their inverse."""
Views = tuple[Tensor, Tensor, Tensor, Tensor]
"""Many renderings: colour (..., 3, H, W), depth, valid and coarseness (..., H, W)."""
KEPT = ("pose", "probes", "probe_depth", "obstacles", "alone", "beyond")
"""What of a keyframe, beside its picture, the bank keeps in tensors of its own."""
PROBE_STRIDE = 16
"""Every PROBE_STRIDE-th pixel of a keyframe, both ways, stands for it when overlap is estimated."""
OVERLAP_GRID = (6, 8)
"""Cells of the new view in which coverage is counted."""
MISS = 3.0
"""Pixels by which a looked-up surface may at first miss the pixel it is meant for."""
WITNESSES, WITNESS_STRIDE, SEE_THROUGH = 16, 4, 0.15
"""Real keyframes that an imagined one is checked against, on every so manieth pixel, and the relative depth by which something
must stand nearer than what they saw there to be wrong."""
FARTHEST, NOTHING = 1e6, 1e-6
"""Depth of what is not there, and the inverse depth that stands for it."""
EDGE = 1e-5
"""How far a number may break a rule by rounding alone."""
CUBIC_REACH = 2
"""Pixels on each side that a cubic look-up reads; the edge's own pixel stands for what lies beyond."""


class SpatialMemory:
    """The keyframe bank of one session, for all cameras of its rig."""

    def __init__(self, config: SpatialConfig, intrinsics: Tensor, height: int, width: int):
        """`intrinsics` (V, 3, 3)."""
        self.config, self.intrinsics, self.height, self.width = config, intrinsics.float(), height, width
        self.rays = torch.stack([pixel_rays(k, height, width) for k in self.intrinsics])
        """Of each camera, (V, P, 3)."""
        self.pixels = self.intrinsics[0] @ self.rays[0].T
        """Homogeneous pixel centres (3, P)."""
        self.columns, self.rows = self.pixels[0, :width], self.pixels[1, ::width]
        """Their coordinates (W,) and (H,)."""
        device = self.intrinsics.device
        self.middle = torch.tensor([width, height], device=device).view(2, 1) / 2
        self.index = torch.arange(height * width, device=device)
        """The picture's middle (2, 1), and the number of each pixel (P,)."""
        self.from_pixels = torch.linalg.inv(self.intrinsics)
        n, probes = config.capacity, len(self._grid(self.rays[0].view(height, width, 3), PROBE_STRIDE))
        # One block a keyframe, taken up front; a block is replaced, never written to, so that forks can share it.
        self.pictures = [torch.full((4, height, width), 1e-9, device=device) for _ in range(n)]
        """Colour in [-1, 1] and inverse depth (0 where unknown) of each keyframe."""
        self.pose = torch.eye(4, device=device).repeat(n, 1, 1)
        self.probes = torch.zeros(n, probes, 3, device=device)
        self.probe_depth = torch.zeros(n, probes, device=device)
        self.obstacles = torch.full((n, width, 2), float("inf"), device=device)
        """World x and y of the nearest obstacle in every image column of each keyframe, of its middle if it stands alone."""
        self.alone = torch.zeros(n, width, dtype=torch.bool, device=device)
        """Whether it stands alone."""
        self.beyond = torch.zeros(n, width, device=device)
        """How far each keyframe has seen through each image column."""
        self.order = torch.full((n,), -1, dtype=torch.int64, device=device)
        """Frame number at which each keyframe was taken; -1 for an empty slot."""
        self.used = torch.zeros(n, dtype=torch.int64, device=device)
        """Frame number at which each keyframe was last recalled."""

        self.real = torch.zeros(n, dtype=torch.bool, device=device)
        """Whether each keyframe was seen, not imagined."""
        self.camera = torch.zeros(n, dtype=torch.int64, device=device)
        """Which camera took each keyframe."""

    INDEX = (*KEPT, "order", "used", "real", "camera")
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

    def add(self, colour: Tensor, depth: Tensor, pose: Tensor, number: int, camera: int = 0) -> int:
        """Remember a real view at once: `insert(keyframe(...))`. Returns the slot it took."""
        return self.insert(self.keyframe(colour, depth, pose, number, camera=camera))

    def keyframe(
        self,
        colour: Tensor,
        depth: Tensor,
        pose: Tensor,
        number: int,
        real: bool = True,
        witnesses: Witnesses | None = None,
        camera: int = 0,
    ) -> Keyframe:
        """A view as a keyframe: colour float (3, H, W) in [-1, 1], depth (H, W), 0 where unknown, and pose (4, 4).

        What stands where the witnesses have seen nothing stand is left out. Neither reads nor changes the bank, so that it may
        run while the bank is at work.
        """
        depth = torch.where((depth > 0) & (depth < self.config.far), depth, 0)
        if witnesses is not None:
            depth = torch.where(self._contradicted(depth, pose, witnesses, camera), 0, depth)
        inverse_depth = torch.where(depth > 0, 1 / depth.clamp(min=1e-6), 0)
        probe_depth = self._grid(depth[..., None], PROBE_STRIDE)[:, 0]
        rays = self._grid(self.rays[camera].view(self.height, self.width, 3), PROBE_STRIDE)
        low, high = self.config.obstacle
        if high > low:
            obstacles, alone, beyond = (x[0] for x in obstacle_points(depth[None], self.rays[camera], pose[None], (low, high)))
        else:
            obstacles, beyond = depth.new_full((self.width, 2), float("inf")), depth.new_zeros(self.width)
            alone = torch.zeros_like(beyond, dtype=torch.bool)
        return Keyframe(
            picture=torch.cat([colour, inverse_depth[None]]),
            pose=pose,
            probes=to_world(rays * probe_depth[:, None], pose),
            probe_depth=probe_depth,
            obstacles=obstacles,
            alone=alone,
            beyond=beyond,
            number=number,
            real=real,
            camera=camera,
        )

    def insert(self, keyframe: Keyframe) -> int:
        """Remember a keyframe. Returns the slot it took: a free one, or that of the one recalled longest ago."""
        empty = (self.order < 0).nonzero()
        slot = int(empty[0]) if len(empty) else int(torch.maximum(self.used, self.order).argmin())
        self.pictures[slot] = keyframe.picture
        for name in KEPT:
            getattr(self, name)[slot] = getattr(keyframe, name)
        self.order[slot] = self.used[slot] = keyframe.number
        self.real[slot], self.camera[slot] = keyframe.real, keyframe.camera
        return slot

    def render(self, pose: Tensor, number: int, before: int | None = None, camera: int = 0) -> Rendering:
        """Show what memory knows of a camera's view from `pose` (4, 4). `before` hides keyframes of that frame and after."""
        usable = self.order >= 0 if before is None else (self.order >= 0) & (self.order < before)
        intrinsics = self.intrinsics[camera]
        slots, witnesses = self._recall(pose, usable, intrinsics)
        if not slots:
            return self.nothing()
        self.used[slots] = number
        return replace(self._warp(pose, slots, camera), witnesses=witnesses)

    def scan(self, pose: Tensor) -> Tensor:
        """What stands around the first camera's pose (4, 4), of all that it remembers: see `scan_obstacles`."""
        held = (self.order >= 0) & (self.camera == 0)
        views = (self.obstacles[held], self.alone[held], self.beyond[held], self.pose[held])
        obstacles = Obstacles(*views, self.rays[0, : self.width, 0], self.real[held])
        return scan_obstacles(obstacles, pose[:2, 3], self.config.obstacle)

    def _contradicted(self, depth: Tensor, pose: Tensor, witnesses: Witnesses, camera: int) -> Tensor:
        """bool (H, W): where depth (H, W) from `pose` puts a surface into space that a real keyframe has looked through."""
        coarse = self._grid(depth[..., None], WITNESS_STRIDE)
        points = to_world(self._grid(self.rays[camera].view(self.height, self.width, 3), WITNESS_STRIDE) * coarse, pose)
        seen_from = to_camera(points.expand(len(witnesses.pose), -1, -1), witnesses.pose)
        pixels, z = self._project(seen_from, witnesses.intrinsics[:, None])
        inside = (pixels >= 0).all(-1) & (pixels[..., 0] < self.width) & (pixels[..., 1] < self.height) & (z > self.config.near)
        column, row = torch.where(inside[..., None], pixels, 0).long().unbind(-1)
        index = row * self.width + column
        seen = torch.stack([image.take(where) for image, where in zip(witnesses.inverse_depth, index)])
        wrong = (inside & (seen > 0) & (z * seen < 1 - SEE_THROUGH)).any(0)
        shape = depth[WITNESS_STRIDE // 2 :: WITNESS_STRIDE, WITNESS_STRIDE // 2 :: WITNESS_STRIDE].shape
        small = (wrong & (coarse[:, 0] > 0)).view(1, 1, *shape).float()
        return F.interpolate(small, size=depth.shape, mode="nearest")[0, 0] > 0

    def _witnesses(self, inside: Tensor) -> Witnesses | None:
        """The real keyframes most of whose probes, bool (N n,), lie inside a view."""
        shared = inside.view(self.config.capacity, -1).sum(1) * self.real
        best = shared.topk(min(WITNESSES, self.config.capacity))
        slots = [slot for slot, share in zip(best.indices.tolist(), best.values.tolist()) if share > 0]
        if not slots:
            return None
        return Witnesses(tuple(self.pictures[i][3] for i in slots), self.pose[slots], self.intrinsics[self.camera[slots]])

    def _grid(self, image: Tensor, stride: int) -> Tensor:
        """Every `stride`-th pixel of (H, W, c), both ways -> (n, c)."""
        return image[stride // 2 :: stride, stride // 2 :: stride].reshape(-1, image.shape[-1])

    def _project(self, points: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor]:
        """Camera points (..., 3) under intrinsics (..., 3, 3) -> pixel coordinates (..., 2) and depth (...)."""
        z = points[..., 2]
        safe = z.clamp(min=1e-6)
        u = points[..., 0] / safe * intrinsics[..., 0, 0] + intrinsics[..., 0, 2]
        v = points[..., 1] / safe * intrinsics[..., 1, 1] + intrinsics[..., 1, 2]
        return torch.stack([u, v], -1), z

    def _recall(self, pose: Tensor, usable: Tensor, intrinsics: Tensor) -> tuple[list[int], Witnesses | None]:
        """Greedy choice of the keyframes that together show most of the view, and who can bear witness to it."""
        to_pixels = intrinsics @ inverse(pose)[:3]
        x, y, z = torch.addmm(to_pixels[:, 3:], to_pixels[:, :3], self.probes.view(-1, 3).T)
        rows, columns = OVERLAP_GRID
        known = (self.probe_depth > 0) & usable[:, None]
        safe = z.clamp(min=1e-6)
        column, row = x / safe, y / safe
        inside = (column >= 0) & (column < self.width) & (row >= 0) & (row < self.height)
        inside &= (z > self.config.near) & known.flatten()
        seen = inside.nonzero()[:, 0]
        if not len(seen):
            return [], None
        column, row, z = column[seen], row[seen], z[seen]
        cell = (row * (rows / self.height)).long() * columns + (column * (columns / self.width)).long()
        nearest = z.new_full((rows * columns,), float("inf")).scatter_reduce_(0, cell, z, "amin")
        visible = z <= nearest[cell] * 1.5
        # Seen from as near as now or nearer: full worth. From twice as far: half.
        worth = (z / self.probe_depth.flatten()[seen]).clamp(max=1.0) * visible
        score = z.new_zeros(self.config.capacity * rows * columns)
        owner = seen // self.probes.shape[1]
        score.scatter_reduce_(0, owner * (rows * columns) + cell, worth, "amax")
        score = score.view(self.config.capacity, -1)
        chosen: list[int] = []
        covered = z.new_zeros(rows * columns)
        for _ in range(self.config.recall):
            gain = (score - covered).clamp(min=0).sum(1)
            best = int(gain.argmax())
            if float(gain[best]) <= 1e-3:
                break
            chosen.append(best)
            covered = torch.maximum(covered, score[best])
        return chosen, self._witnesses(inside)

    def _between(self, before: View, after: View) -> tuple[Tensor, Tensor]:
        """Maps homogeneous pixels times depth of cameras `before` to those of cameras `after`: (K, 3, 3) and (K, 3, 1)."""
        (pose, _, from_pixels), (target, to_pixels, _) = before, after
        motion = inverse(target) @ pose
        return to_pixels @ motion[..., :3, :3] @ from_pixels, to_pixels @ motion[..., :3, 3:]

    def _turned(self, turn: Tensor) -> Tensor:
        """All homogeneous pixels through (K, 3, 3) -> (K, 3, P). A sum of a row and a column: no product over pixels."""
        across = turn[..., :1] * self.columns + turn[..., 2:]
        return (across[..., None, :] + (turn[..., 1:2] * self.rows)[..., None]).flatten(2)

    def _warp(self, pose: Tensor, slots: list[int], camera: int) -> Rendering:
        # Masks are carried as numbers, and what breaks a rule as how far it does: choosing by booleans costs ten times as much.
        h, w = self.height, self.width
        pictures = [self.pictures[i] for i in slots]
        inverse = torch.stack([picture[3:] for picture in pictures])
        cameras = self.camera[slots]
        source = (self.pose[slots], self.intrinsics[cameras], self.from_pixels[cameras])
        target = (pose.expand(len(slots), 4, 4), self.intrinsics[camera], self.from_pixels[camera])
        forth, forth_shift = self._between(source, target)
        back, back_shift = self._between(target, source)
        depth = inverse.flatten(2).clamp(min=NOTHING).reciprocal_()
        front = self._front_depth(*_flatten(self._turned(forth).mul_(depth).add_(forth_shift)))
        depth = front.view(1, 1, -1)
        guess, _ = _flatten(self._turned(back).mul_(depth).add_(back_shift))
        # The surface that a keyframe really has there, carried to the new view, misses the wanted pixel by a little.
        found = self._sample(inverse, guess)
        z_source = found.clamp(min=NOTHING).reciprocal_()
        landed, z_landed = self._carry(guess, z_source, forth, forth_shift)
        miss = self.pixels[:2] - landed
        wrong = (z_landed - depth).abs_() - self.config.tolerance * (depth + self.config.near)
        wrong = torch.maximum(wrong, (miss * miss).sum(1, keepdim=True) - MISS**2)
        wrong = torch.maximum(torch.maximum(wrong, self._outside(guess) - EDGE), EDGE - found)
        ratio = (z_source / depth).clamp(1e-2, 1e2)
        # The nearest look at a surface is the sharpest, until nearer than needed.
        trust = torch.where(self.real[slots], 1.0, self.config.imagined)
        worth = torch.minimum(ratio.reciprocal(), ratio * ratio) * (wrong <= 0) * trust[:, None, None]
        best = _argmax(worth[:, 0])
        # One quasi-Newton step: move the look-up by the miss, scaled by the two distances.
        lookup = guess + (miss * (z_landed / z_source).clamp_(0.2, 5.0)).clamp_(-4, 4)
        where = best * (h * w) + self.index
        u, v, worth, z, ratio = (x.reshape(-1).take(where) for x in (lookup[:, 0], lookup[:, 1], worth, z_landed, ratio))
        colour = self._colour(pictures, u, v, best).view(3, h, w)
        mask = worth.sign_().view(1, h, w)
        believed = mask[0] * trust.take(best).view(h, w)
        depth = torch.lerp(front, z.view(h, w), mask[0])
        filled = _extend(torch.cat([colour, depth[None].clamp(min=1e-3).reciprocal_()]) * mask, mask[0])
        coarseness = ratio.log_().view(h, w) * mask[0]
        return Rendering(filled[:3], 1 / filled[3].clamp(min=1e-5), believed, coarseness, tuple(slots))

    def _outside(self, pixels: Tensor) -> Tensor:
        """By how much pixels (K, 2, P) lie outside the picture: (K, 1, P), 0 inside."""
        beyond = (pixels - self.middle).abs_() - self.middle
        return beyond.amax(1, keepdim=True).clamp_(min=0)

    def _front_depth(self, pixels: Tensor, z: Tensor) -> Tensor:
        """Depth (H, W) of the nearest surface in every pixel of the new view; FARTHEST where there is none.

        Of pixels (K, 2, P) at depth z (K, 1, P).
        """
        h, w = self.height, self.width
        hidden = torch.maximum(self._outside(pixels), self.config.near - z)
        z = torch.maximum(z, hidden.sign_().mul_(FARTHEST)).clamp_(max=FARTHEST)
        column, row = pixels[:, 0].clamp(0, w - 1).int(), pixels[:, 1].clamp(0, h - 1).int()
        index = torch.add(column, row, alpha=w).long()
        front = z.new_full((h * w,), FARTHEST).scatter_reduce_(0, index.view(-1), z.reshape(-1), "amin").view(h, w)
        # Points spread apart when a surface comes nearer: close the gaps (minimum, then maximum, over a small window).
        for radius in (1, 2):
            closed = _slide(_slide(front, radius, torch.minimum, FARTHEST), radius, torch.maximum, 0.0)
            front = torch.lerp(front, closed, (front - closed * 1.1).sign_().clamp_(min=0))
        return front

    def _carry(self, pixels: Tensor, z: Tensor, turn: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (K, 2, P) at depth z (K, 1, P) of one set of cameras, as pixels and depth of another."""
        return _flatten(torch.baddbmm(turn[:, :, 2:], turn[:, :, :2], pixels).mul_(z).add_(shift))

    def _sample(self, images: Tensor, pixels: Tensor) -> Tensor:
        """Bilinear look-up: images (K, c, H, W) at pixels (K, 2, P) -> (K, c, P)."""
        grid = (pixels * (1 / self.middle) - 1).transpose(1, 2).view(len(images), self.height, self.width, 2)
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False).flatten(2)

    def _colour(self, pictures: list[Tensor], u: Tensor, v: Tensor, source: Tensor) -> Tensor:
        """Look up pictures (4, H, W) at pixels u, v (P,), each in the one picture that `source` (P,) names -> (3, P).

        Cubic: linear would lose a fifth of the picture's gradient energy every time it is remembered. The pictures lie side by
        side in one, so that a pixel is looked up once.
        """
        h, w = self.height, self.width
        wide, pad = w + 2 * CUBIC_REACH, CUBIC_REACH
        atlas = u.new_empty(3, h, len(pictures), wide)
        for i, picture in enumerate(pictures):
            atlas[:, :, i, pad:-pad] = picture[:3]
        atlas[..., :pad], atlas[..., -pad:] = atlas[..., pad : pad + 1], atlas[..., -pad - 1 : -pad]
        atlas = atlas.view(1, 3, h, -1)
        u = u.clamp(0, w) + CUBIC_REACH + source * wide
        grid = torch.stack([u * (2 / atlas.shape[-1]) - 1, v * (2 / h) - 1], -1).view(1, h, w, 2)
        return F.grid_sample(atlas, grid, mode="bicubic", padding_mode="border", align_corners=False).clamp(-1, 1)[0]

    def nothing(self) -> Rendering:
        """A rendering that shows nothing."""
        empty = self.rays.new_zeros(self.height, self.width)
        return Rendering(self.rays.new_zeros(3, self.height, self.width), torch.full_like(empty, 1e3), empty, empty, ())


def _flatten(scaled: Tensor) -> tuple[Tensor, Tensor]:
    """Homogeneous pixels times depth (K, 3, P) -> pixels (K, 2, P) and depth (K, 1, P)."""
    z = scaled[:, 2:]
    return scaled[:, :2] * z.clamp(min=1e-6).reciprocal(), z


def _argmax(x: Tensor) -> Tensor:
    """int64 (P,): index of the greatest along the first, short, axis of (K, P), the first of equals."""
    best, index = x[0], torch.zeros_like(x[0])
    for i in range(1, len(x)):
        index = torch.lerp(index, torch.full_like(index, i), (x[i] - best).sign_().clamp_(min=0))
        best = torch.maximum(best, x[i])
    return index.long()


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
    """Fill holes of values (c, H, W), zero where the mask is, from ever coarser averages of what surrounds them (push-pull)."""
    levels = [(values[None], mask[None, None])]
    while min(levels[-1][1].shape[-2:]) > 2:
        v, m = levels[-1]
        levels.append((F.avg_pool2d(v, 2, ceil_mode=True), F.avg_pool2d(m, 2, ceil_mode=True)))
    v, m = levels[-1]
    filled = v.sum((-1, -2), keepdim=True) / m.sum((-1, -2), keepdim=True).clamp(min=1e-6)
    for v, m in reversed(levels[1:]):
        filled = F.interpolate(filled, size=v.shape[-2:], mode="bilinear")
        filled = torch.lerp(filled, v / m.clamp(min=1e-6), m.sign())
    filled = F.interpolate(filled, size=values.shape[-2:], mode="bilinear")
    return torch.lerp(filled[0], values, mask)  # the mask is 0 or 1, and needs no average

"""Bodies as 3D boxes, and what a rig's cameras should show of them.

Boxes travel in an `Episode` as `conditions["boxes"]`, float32 (T, N, 12), a row an actor; `boxes_condition` writes it and
`Boxes.read` reads it back. Shape letters: ... any leading axes (frames), V cameras, N bodies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from driving.geometry import through_block
from driving.scene import CATEGORIES, Moment, Scene

CONDITION = "boxes"
"""Key of the boxes among an Episode's conditions."""
COLUMNS = ("present", "class", "x", "y", "z", "yaw", "width", "length", "height", "speed", "id", "visible")
"""Of a row: 0 or 1; index into CLASSES; box centre in the world; size; m/s; actor; whether any camera has it in its picture."""

DETECTION_CLASSES = ("car", "truck", "bus", "motorcycle", "bicycle", "pedestrian", "traffic_cone", "barrier")
"""Those classes of the nuScenes detection task that occur in our scenes."""
_OTHERS = {"ambulance": "emergency", "police": "emergency", "animal": "animal", "debris": "debris", "ball": "debris"}
CLASSES = (*DETECTION_CLASSES, "emergency", "animal", "debris")
"""What the detector tells apart: also the rare bodies that nuScenes' detection task ignores."""
_INDEX = {name: CLASSES.index(kind.detection or _OTHERS[name]) for name, kind in CATEGORIES.items()}

NEAR = 0.1
"""Metres: nothing nearer to a camera is drawn."""
MIN_SIDE = 2.5
"""Pixels: a box whose shorter side in the picture is below this is too small to demand."""
MIN_AREA = 24.0
"""Square pixels, likewise: a car at 36 m and an adult at 22 m in 128x72 pictures of the nuScenes rig."""
MIN_VISIBLE = 0.5
"""Share: a body hidden more than this is not demanded."""
MIN_INSIDE = 0.25
"""Share: a body further outside the picture than this is not demanded."""
_SLACK = (0.3, 0.02)
"""Metres, and share of the depth, by which something must be nearer than a box to hide it."""

_SAMPLES = 10
"""A body's visibility is judged at this many places along and across its rectangle."""

_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)

_EDGES = np.array([(a, b) for a in range(8) for b in range(a + 1, 8) if np.abs(_CORNERS[a] - _CORNERS[b]).sum() == 2])


def class_of(category: str) -> int:
    """Index into CLASSES of an actor's category."""
    return _INDEX[category]


@dataclass(frozen=True, slots=True)
class Boxes:
    """N bodies at each of any number of moments."""

    present: np.ndarray
    """bool (..., N)."""
    kind: np.ndarray
    """int64 (..., N): index into CLASSES."""
    centre: np.ndarray
    """float64 (..., N, 3) world."""
    yaw: np.ndarray
    """float64 (..., N)."""
    size: np.ndarray
    """float64 (..., N, 3): width, length, height."""
    speed: np.ndarray
    """float64 (..., N)."""
    id: np.ndarray
    """int64 (..., N): actor."""

    @staticmethod
    def read(condition: np.ndarray) -> Boxes:
        """From an Episode's condition (..., N, 12)."""
        rows = np.asarray(condition, np.float64)
        return Boxes(
            rows[..., 0] > 0.5,
            np.rint(rows[..., 1]).astype(np.int64),
            rows[..., 2:5],
            rows[..., 5],
            np.maximum(rows[..., 6:9], 1e-3),  # an absent actor has no size
            rows[..., 9],
            np.rint(rows[..., 10]).astype(np.int64),
        )

    def __getitem__(self, at: int | slice) -> Boxes:
        """Those of some moments."""
        return Boxes(*(getattr(self, name)[at] for name in self.__dataclass_fields__))


def boxes_of(moment: Moment) -> Boxes:
    """The boxes (N,) of those present."""
    return Boxes.read(
        np.array([_row(a.category, a.size, a.id, (s.x, s.y, s.yaw, s.speed)) for a, s in moment.actors]).reshape(-1, 12)
    )


def boxes_condition(scene: Scene) -> np.ndarray:
    """The boxes of a whole scene as an Episode's condition: float32 (T, N, 12), zeros where an actor is absent."""
    out = np.zeros((len(scene), len(scene.actors), len(COLUMNS)), np.float32)
    for n, actor in enumerate(scene.actors):
        for t in np.flatnonzero(np.isfinite(scene.tracks[n]).all(-1)):
            out[t, n] = _row(actor.category, actor.size, actor.id, tuple(scene.tracks[n, t]))
    if scene.actors:
        poses = np.stack([scene.rig.poses(x, y, yaw) for x, y, yaw, _ in scene.ego])
        sight = project(Boxes.read(out), poses, scene.rig.intrinsics(), scene.rig.width, scene.rig.height)
        out[..., -1] = sight.shown.any(-2)
    return out


def _row(category: str, size: tuple[float, float, float], number: int, state: tuple[float, ...]) -> list[float]:
    x, y, yaw, speed = state
    return [1, class_of(category), x, y, size[2] / 2, yaw, *size, speed, number, 0]


@dataclass(frozen=True, slots=True)
class Sight:
    """Where bodies are in the pictures of a rig. Pixels; pixel centres at half-integers; zeros where not shown."""

    shown: np.ndarray
    """bool (..., V, N): some of the box is in the picture."""
    box: np.ndarray
    """float32 (..., V, N, 4): x0, y0, x1, y1 of what of the box is in the picture."""
    amodal: np.ndarray
    """float32 (..., V, N, 4): of all of it that is in front of the camera; may leave the picture."""
    middle: np.ndarray
    """float32 (..., V, N, 2): the box's centre in the picture; NaN behind the camera."""
    depth: np.ndarray
    """float32 (..., V, N): of the box's centre along the optical axis, metres."""
    distance: np.ndarray
    """float32 (..., V, N): from camera to the box's centre, metres."""

    def __getitem__(self, at: int | slice) -> Sight:
        return Sight(*(getattr(self, name)[at] for name in self.__dataclass_fields__))

    @property
    def area(self) -> np.ndarray:
        """(..., V, N) square pixels in the picture."""
        return _area(self.box)

    @property
    def inside(self) -> np.ndarray:
        """(..., V, N) share of the whole rectangle that is in the picture."""
        return np.where(self.shown, _area(self.box) / np.maximum(_area(self.amodal), 1e-6), 0)

    def demanded(self, visible: np.ndarray | float = 1.0) -> np.ndarray:
        """bool (..., V, N): large and visible enough that a detector is asked to find it."""
        side = np.minimum(self.box[..., 2] - self.box[..., 0], self.box[..., 3] - self.box[..., 1])
        large = (side >= MIN_SIDE) & (self.area >= MIN_AREA)
        return self.shown & large & (self.inside >= MIN_INSIDE) & (visible >= MIN_VISIBLE)


def _area(box: np.ndarray) -> np.ndarray:
    return (box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1])


def project(boxes: Boxes, pose: np.ndarray, intrinsics: np.ndarray, width: int, height: int) -> Sight:
    """Boxes (..., N) into cameras with `pose` (..., V, 4, 4) camera to world and `intrinsics` (..., V, 3, 3).

    Exact but for a body that touches the camera: the box's edges are cut at the near plane and at the picture's borders;
    where no edge bounds what is seen (a face fills the picture), the picture's corners do.
    """
    pose, k = np.asarray(pose, np.float64), np.asarray(intrinsics, np.float64)
    axes = _axes(boxes.yaw)  # ... N 3 3, columns the box's own axes
    half = boxes.size[..., [1, 0, 2]] / 2  # along, across, up
    rotation, origin = pose[..., :3, :3], pose[..., :3, 3]
    away = boxes.centre[..., None, :, :] - origin[..., :, None, :]  # ... V N 3
    to_picture = k @ np.swapaxes(rotation, -1, -2)  # world to (u z, v z, z)
    centre = np.einsum("...vij,...vnj->...vni", to_picture, away)
    spokes = np.einsum("...vij,...ncj->...vnci", to_picture, np.einsum("...njk,ck,...nk->...ncj", axes, _CORNERS, half))
    points = centre[..., None, :] + spokes

    z = points[..., 2]
    planes = np.stack([z - NEAR, points[..., 0], width * z - points[..., 0], points[..., 1], height * z - points[..., 1]], -1)
    maybe = np.nonzero((planes >= 0).any(-2).all(-1) & boxes.present[..., None, :])  # not wholly beyond one of the planes
    points, planes = points[maybe], planes[maybe]
    amodal, _ = _bounds(points, planes[..., :1])
    box, touched = _bounds(points, planes)
    ends = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], np.float64)
    rays = np.einsum("...vij,...vjk,rk->...vri", rotation, np.linalg.inv(k), ends)
    own = np.broadcast_to(axes[..., None, :, :, :], (*away.shape, 3))[maybe]
    halves = np.broadcast_to(half[..., None, :, :], away.shape)[maybe]
    enter, leave = through_block(-np.einsum("mji,mj->mi", own, away[maybe])[:, None], rays[maybe[:-1]] @ own, halves[:, None])
    corner = (leave > np.maximum(enter, NEAR))[..., None]  # M 4 1: which of the picture's corners look at the box
    low = np.minimum(box[:, :2], np.where(corner, ends[:, :2], np.inf).min(1))
    high = np.maximum(box[:, 2:], np.where(corner, ends[:, :2], -np.inf).max(1))
    inner = np.clip(np.concatenate([low, high], -1), 0, np.array([width, height] * 2))  # no rounding error beyond a border
    seen = touched | corner.any((1, 2))

    shown = np.zeros(away.shape[:-1], bool)
    shown[maybe] = seen
    rectangles = np.zeros((2, *shown.shape, 4), np.float32)
    rectangles[0][maybe] = np.where(seen[:, None], inner, 0)
    rectangles[1][maybe] = np.where(seen[:, None], amodal, 0)
    depth = centre[..., 2].astype(np.float32)
    with np.errstate(all="ignore"):
        middle = np.where(depth[..., None] > NEAR, centre[..., :2] / depth[..., None], np.nan).astype(np.float32)
    return Sight(shown, rectangles[0], rectangles[1], middle, depth, np.linalg.norm(away, axis=-1).astype(np.float32))


def _axes(yaw: np.ndarray) -> np.ndarray:
    cos, sin, zero = np.cos(yaw), np.sin(yaw), np.zeros_like(yaw)
    return np.stack([np.stack([cos, -sin, zero], -1), np.stack([sin, cos, zero], -1), np.stack([zero, zero, zero + 1], -1)], -2)


def _bounds(points: np.ndarray, planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners (..., 8, 3) as (u z, v z, z), with their signed distances (..., 8, P) to the planes that bound what is seen:
    bounds (..., 4) of the edges' seen parts, and whether there are any (Liang-Barsky)."""
    a, b = planes[..., _EDGES[:, 0], :], planes[..., _EDGES[:, 1], :]
    with np.errstate(all="ignore"):
        crossing = a / (a - b)
    enter = np.where((a < 0) & (b >= 0), crossing, 0).max(-1)
    leave = np.where((a >= 0) & (b < 0), crossing, 1).min(-1)
    seen = ~((a < 0) & (b < 0)).any(-1) & (enter <= leave)
    start, end = points[..., _EDGES[:, 0], :], points[..., _EDGES[:, 1], :]
    at = np.stack([enter, leave], -1)[..., None]
    cut = start[..., None, :] + at * (end - start)[..., None, :]  # ... 12 2 3
    with np.errstate(all="ignore"):
        pixels = cut[..., :2] / cut[..., 2:]
    low = np.where(seen[..., None, None], pixels, np.inf).min((-3, -2))
    high = np.where(seen[..., None, None], pixels, -np.inf).max((-3, -2))
    return np.concatenate([low, high], -1), seen.any(-1)


def visible_share(
    boxes: Boxes,
    sight: Sight,
    pose: np.ndarray,
    intrinsics: np.ndarray,
    depth: np.ndarray | None,
    size: tuple[int, int],
    ids: np.ndarray | None = None,
) -> np.ndarray:
    """How much of each body one moment's cameras see, of what lies in their pictures: float32 (V, N), 0 where not shown.

    With `ids` (V, H, W; as in Images): own pixels over own and hiding ones. With `depth` (V, H, W; 0: nothing) alone: the
    share of the box's pixels with nothing nearer. With neither, only boxes hide each other. `size` is (width, height).
    """
    out = np.zeros(sight.shown.shape, np.float32)
    camera, body = np.nonzero(sight.shown)
    if len(body) == 0:
        return out
    share = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    low, high = sight.box[camera, body, :2], sight.box[camera, body, 2:]
    pixel = low[:, None] + share[:, None] * (high - low)[:, None]  # M S 2
    column, row = np.minimum(pixel.astype(int), np.array(size) - 1).transpose(2, 0, 1)
    row, column = row[:, :, None], column[:, None, :]
    k = np.asarray(intrinsics, np.float64)[camera][:, None, None]
    ray = np.stack(
        np.broadcast_arrays((column + 0.5 - k[..., 0, 2]) / k[..., 0, 0], (row + 0.5 - k[..., 1, 2]) / k[..., 1, 1], 1.0), -1
    )
    enter = _entry(boxes, body, pose[camera], ray)
    hit = np.isfinite(enter)
    if depth is None:
        front = np.full(enter.shape, np.inf)
        for v in np.unique(camera):  # every ray of a camera against every body it shows
            at = camera == v
            bodies = body[at]
            flat = np.broadcast_to(ray[at].reshape(1, -1, 1, 3), (len(bodies), at.sum() * _SAMPLES**2, 1, 3))
            each = _entry(boxes, bodies, np.broadcast_to(pose[v], (len(bodies), 4, 4)), flat)
            front[at] = each.min(0).reshape(at.sum(), _SAMPLES, _SAMPLES)
    else:
        front = depth[camera[:, None, None], row, column].astype(np.float64)
        front[front == 0] = np.inf
    with np.errstate(all="ignore"):
        nearer = hit & (front < enter * (1 - _SLACK[1]) - _SLACK[0])
    if ids is None:
        seen, of = hit & ~nearer, hit
    else:
        seen = ids[camera[:, None, None], row, column] == boxes.id[body][:, None, None] + 1
        of = seen | nearer
    out[camera, body] = seen.sum((1, 2)) / np.maximum(of.sum((1, 2)), 1)
    return out


def _entry(boxes: Boxes, body: np.ndarray, pose: np.ndarray, ray: np.ndarray) -> np.ndarray:
    """Depth (M, r, c) at which rays (M, r, c, 3) of cameras with `pose` (M, 4, 4) enter the M bodies; infinite where none."""
    axes = _axes(boxes.yaw[body])
    turn = np.swapaxes(axes, -1, -2) @ pose[:, :3, :3]
    local = np.einsum("mij,mrcj->mrci", turn, ray)
    start = np.einsum("mji,mj->mi", axes, pose[:, :3, 3] - boxes.centre[body])[:, None, None]
    enter, leave = through_block(start, local, boxes.size[body][:, None, None, [1, 0, 2]] / 2)
    enter = np.maximum(enter, NEAR)
    return np.where(leave > enter, enter, np.inf)


def episode_sight(
    condition: np.ndarray,
    pose: np.ndarray,
    intrinsics: np.ndarray,
    depth: np.ndarray | None,
    size: tuple[int, int],
) -> tuple[Boxes, Sight, np.ndarray]:
    """Boxes, their Sight and visible shares (T, V, N) for T frames of an Episode's arrays. `size` is (width, height)."""
    boxes = Boxes.read(condition)
    sight = project(boxes, pose, intrinsics, *size)
    depths = [None] * len(pose) if depth is None else list(depth)
    visible = [visible_share(boxes[t], sight[t], pose[t], intrinsics, depths[t], size) for t in range(len(pose))]
    return boxes, sight, np.stack(visible)

"""The sketch of a moment: map and bodies as the cameras would see them, in plain colours, with exact depth.

What geometry knows is handed to the network (see `core.memory.sketch`): the ground's paint, looked up where each pixel's ray
meets it, and every body as a simple solid of its own size and paint. Buildings, plants, light and weather are not in it.
"""

from __future__ import annotations

import cv2
import numpy as np

from core.memory.sketch import SKETCH, SKETCH_DEPTH
from driving.rig import Rig, ego_pose
from driving.road.network import Road
from driving.road.raster import Ground, rasterize
from driving.scene import Actor, Moment, State

RESOLUTION = 0.15
"""Metres a pixel of the ground's picture."""
SAMPLES = 2
"""Rays along each side of a pixel; paint is thin."""
FARTHEST = 150.0
"""Metres up to which ground and bodies are drawn."""
NEAR = 0.1
"""Metres before a camera within which nothing is drawn."""
STILL = 0.05
"""Metres a second below which a body that is parked or an object stands for good."""
COLOURS: dict[Ground, tuple[int, int, int]] = {
    Ground.NOTHING: (96, 112, 78),
    Ground.DRIVABLE: (92, 92, 96),
    Ground.WALKWAY: (150, 148, 142),
    Ground.CROSSING: (190, 190, 188),
    Ground.WHITE: (225, 225, 222),
    Ground.YELLOW: (205, 170, 60),
    Ground.CURB: (172, 170, 165),
}
SKY = (168, 190, 214)
GLASS = (44, 52, 62)
SHADE = {"top": 1.0, "ahead": 0.82, "beside": 0.7}
"""How bright a body's faces are."""
ROUND = ("pedestrian", "child", "animal", "cone", "ball")
"""Bodies that a standing spheroid fits better than a block."""
CABIN_FROM, CABIN_HEIGHT, CABIN_ENDS = ("car", "police"), 0.55, 0.16
"""Bodies with a bonnet: above this share of their height they are glass and shorter by this share at each end."""
WINDOWS = {"van": (0.5, 0.85), "bus": (0.35, 0.8), "ambulance": (0.55, 0.85), "truck": (0.6, 0.8)}
"""Between which shares of their height other bodies have windows on their sides."""


class Sketcher:
    """Draws one scene's moments."""

    def __init__(self, road: Road, rig: Rig):
        self.rig = rig
        self._raster = raster = rasterize(road, RESOLUTION)
        palette = np.zeros((max(Ground) + 1, 3), np.uint8)
        for ground, colour in COLOURS.items():
            palette[ground] = colour
        self._ground = palette[raster.classes]
        self._extrinsics = rig.extrinsics().astype(np.float64)
        height, width = rig.height * SAMPLES, rig.width * SAMPLES
        self._size = (height, width)
        self._intrinsics = rig.intrinsics().astype(np.float64)
        self._intrinsics[:, :2] *= SAMPLES
        at = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), -1)
        self._rays = []
        for k in self._intrinsics:
            across = (at - k[:2, 2]) / k[[0, 1], [0, 1]]
            self._rays.append(np.concatenate([across, np.ones((height, width, 1))], -1).astype(np.float32))

    def draw(self, moment: Moment) -> dict[str, np.ndarray]:
        """Conditions of a frame: sketch uint8 (V, H, W, 4) and sketch_depth float16 (V, H, W)."""
        ego = ego_pose(moment.ego.x, moment.ego.y, moment.ego.yaw)
        drawn = [self._view(v, ego @ self._extrinsics[v], moment) for v in range(len(self.rig.cameras))]
        return {SKETCH: np.stack([picture for picture, _ in drawn]), SKETCH_DEPTH: np.stack([depth for _, depth in drawn])}

    def _view(self, v: int, pose: np.ndarray, moment: Moment) -> tuple[np.ndarray, np.ndarray]:
        rays = self._rays[v] @ pose[:3, :3].T.astype(np.float32)
        falls = np.minimum(rays[..., 2], -1e-6)
        depth = np.float32(-pose[2, 3]) / falls
        colour = self._paint(v, pose)
        sky, beyond = rays[..., 2] > -1e-6, depth > FARTHEST
        colour[beyond] = COLOURS[Ground.NOTHING]
        colour[sky] = SKY
        depth[beyond] = np.inf
        moving = np.zeros(self._size, np.uint8)
        for actor, state in moment.actors:
            self._body(v, pose, actor, state, rays, colour, depth, moving)
        shown = cv2.resize(colour, (self.rig.width, self.rig.height), interpolation=cv2.INTER_AREA)
        split = lambda x: x.reshape(self.rig.height, SAMPLES, self.rig.width, SAMPLES)  # noqa: E731
        moves = split(moving).max((1, 3))
        middle = split(depth)[:, SAMPLES // 2, :, SAMPLES // 2]
        nearest = split(np.where(moving > 0, depth, np.float32(np.inf))).min((1, 3))
        deep = np.where(moves > 0, nearest, middle)
        deep[~np.isfinite(deep)] = 0
        return np.concatenate([shown, moves[..., None]], -1), deep.astype(np.float16)

    def _paint(self, v: int, pose: np.ndarray) -> np.ndarray:
        """The ground's colours as a camera would see an endless plane: uint8 (H, W, 3)."""
        # Ground (x, y, 1) -> camera -> picture is one matrix; so is ground -> its raster.
        to_camera = np.linalg.inv(pose)[:3]
        to_picture = self._intrinsics[v] @ to_camera[:, [0, 1, 3]]
        west, south = self._raster.origin
        height, step = len(self._ground), self._raster.resolution
        to_raster = np.array([[1 / step, 0, -west / step], [0, -1 / step, height + south / step], [0, 0, 1]])
        centre = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # OpenCV's pixel centres are whole numbers
        back = np.linalg.inv(centre) @ to_raster @ np.linalg.inv(to_picture) @ centre
        return cv2.warpPerspective(
            self._ground,
            back,
            self._size[::-1],
            flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=COLOURS[Ground.NOTHING],
        )

    def _body(
        self,
        v: int,
        pose: np.ndarray,
        actor: Actor,
        state: State,
        rays: np.ndarray,
        colour: np.ndarray,
        depth: np.ndarray,
        moving: np.ndarray,
    ) -> None:
        """Draw a body where it is nearer than what is drawn already."""
        size = np.array([actor.size[1], actor.size[0], actor.size[2]]) / 2  # half length, width, height
        centre = np.array([state.x, state.y, size[2]])
        cos, sin = np.cos(state.yaw), np.sin(state.yaw)
        turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
        corners = (_CORNERS * size) @ turn + centre
        window = self._window(v, (corners - pose[:3, 3]) @ pose[:3, :3])
        if window is None:
            return
        start, look = turn @ (pose[:3, 3] - centre), rays[window] @ turn.T.astype(np.float32)
        if actor.category in ROUND:
            near, face = _spheroid(start, look, size)
        elif actor.category in CABIN_FROM:
            body, cabin = np.array([1, 1, CABIN_HEIGHT]) * size, np.array([1 - CABIN_ENDS, 0.9, 1 - CABIN_HEIGHT]) * size
            near, face = _block(start + [0, 0, size[2] - body[2]], look, body)
            above, glass = _block(start - [0, 0, size[2] - cabin[2]], look, cabin)
            nearer = above < near
            near, face = np.where(nearer, above, near), np.where(nearer, np.where(glass == 2, 2, 3), face)
        else:
            near, face = _block(start, look, size)
            if actor.category in WINDOWS:
                low, high = WINDOWS[actor.category]
                at = (start[2] + near * look[..., 2]) / (2 * size[2]) + 0.5
                face = np.where((face != 2) & (at > low) & (at < high), 3, face)
        nearer = near < depth[window]
        paint = np.array(actor.colour, float)
        faces = np.array([paint * SHADE["ahead"], paint * SHADE["beside"], paint * SHADE["top"], GLASS]).astype(np.uint8)
        colour[window][nearer] = faces[face[nearer]]
        depth[window] = np.where(nearer, near, depth[window])
        stays = actor.parked or abs(state.speed) < STILL and actor.category in ("cone", "barrier", "debris")
        moving[window] = np.where(nearer, 0 if stays else 255, moving[window])

    def _window(self, v: int, corners: np.ndarray) -> tuple[slice, slice] | None:
        """The part of the picture that a body with these corners (8, 3), in the camera's axes, may touch."""
        (height, width), k, z = self._size, self._intrinsics[v], corners[:, 2]
        if z.max() < NEAR or z.min() > FARTHEST:
            return None
        # A body that reaches behind the camera is cut where it does: what is left lies on the same side of every edge.
        low = np.stack([k[0, 0] * corners[:, 0] + k[0, 2] * z, k[1, 1] * corners[:, 1] + k[1, 2] * z], -1)
        high = low - np.array([width, height]) * z[:, None]
        if (low.max(0) < 0).any() or (high.min(0) > 0).any():
            return None
        if z.min() < NEAR:
            return slice(0, height), slice(0, width)
        at = low / z[:, None]
        first = np.clip(np.floor(at.min(0)).astype(int), 0, (width, height))
        last = np.clip(np.ceil(at.max(0)).astype(int), 0, (width, height))
        return slice(int(first[1]), int(last[1])), slice(int(first[0]), int(last[0]))


_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)


def _block(start: np.ndarray, look: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where rays start + t look (..., 3) meet a block of half sizes (3,) around 0: t, infinite if never, and on which axis."""
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = 1 / look
        one, other = (-size - start).astype(np.float32) * inverse, (size - start).astype(np.float32) * inverse
    enters, leaves = np.minimum(one, other), np.maximum(one, other).min(-1)
    axis = enters.argmax(-1)
    near = enters.max(-1)
    return np.where((near <= leaves) & (near > 0), near, np.inf), axis


def _spheroid(start: np.ndarray, look: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same of a spheroid with these half axes; all of it counts as the side."""
    s, d = (start / size).astype(np.float32), look / size.astype(np.float32)
    a, b, c = (d * d).sum(-1), (d @ s), (s * s).sum() - 1
    root = b * b - a * c
    near = (-b - np.sqrt(np.maximum(root, 0))) / a
    return np.where((root > 0) & (near > 0), near, np.inf), np.ones(near.shape, np.int64)

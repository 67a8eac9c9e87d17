"""The sketch of a moment: map and bodies as the cameras would see them, in plain colours, with exact depth.

What geometry knows is handed to the network (see `core.memory.sketch`): the ground's paint, looked up where each pixel's ray
meets it, what the map knows to stand beside the road, and every body as a simple solid of its own size and paint. Windows,
textures, shadows, light and weather are not in it.
"""

from __future__ import annotations

import cv2
import numpy as np

from core.memory.sketch import SKETCH, SKETCH_DEPTH
from driving.rig import Rig, ego_pose
from driving.road.network import Road
from driving.road.raster import Ground, rasterize
from driving.scene import Actor, Moment, State
from driving.solids import CORNERS, FARTHEST, Canvas, meet_block, meet_spheroid
from driving.standing import Standing

RESOLUTION = 0.15
"""Metres a pixel of the ground's picture."""
SAMPLES = 2
"""Rays along each side of a pixel; paint is thin."""
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
        self._standing = Standing(road)
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
        k = self._intrinsics[v]
        canvas = Canvas(pose, rays, k[[0, 1], [0, 1]], k[:2, 2], colour, depth, moving)
        self._standing.draw(canvas)
        for actor, state in moment.actors:
            _body(canvas, actor, state)
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


def _body(canvas: Canvas, actor: Actor, state: State) -> None:
    size = np.array([actor.size[1], actor.size[0], actor.size[2]]) / 2  # half length, width, height
    centre = np.array([state.x, state.y, size[2]])
    cos, sin = np.cos(state.yaw), np.sin(state.yaw)
    turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    pose = canvas.pose
    window = canvas.window(((CORNERS * size) @ turn + centre - pose[:3, 3]) @ pose[:3, :3])
    if window is None:
        return
    start, look = turn @ (pose[:3, 3] - centre), canvas.rays[window] @ turn.T.astype(np.float32)
    if actor.category in ROUND:
        near = meet_spheroid(start, look, size)
        face = np.ones(near.shape, np.int64)
    elif actor.category in CABIN_FROM:
        body, cabin = np.array([1, 1, CABIN_HEIGHT]) * size, np.array([1 - CABIN_ENDS, 0.9, 1 - CABIN_HEIGHT]) * size
        near, face = meet_block(start + [0, 0, size[2] - body[2]], look, body)
        above, glass = meet_block(start - [0, 0, size[2] - cabin[2]], look, cabin)
        nearer = above < near
        near, face = np.where(nearer, above, near), np.where(nearer, np.where(glass == 2, 2, 3), face)
    else:
        near, face = meet_block(start, look, size)
        if actor.category in WINDOWS:
            low, high = WINDOWS[actor.category]
            at = (start[2] + near * look[..., 2]) / (2 * size[2]) + 0.5
            face = np.where((face != 2) & (at > low) & (at < high), 3, face)
    paint = np.array(actor.colour, float)
    faces = np.array([paint * SHADE["ahead"], paint * SHADE["beside"], paint * SHADE["top"], GLASS]).astype(np.uint8)
    stays = actor.parked or abs(state.speed) < STILL and actor.category in ("cone", "barrier", "debris")
    canvas.paint(window, near, faces[face], moves=not stays)

"""Looking at scenes: cameras side by side with boxes drawn, and the road from above."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.episodes.video import VideoWriter
from core.errors import ZoetropeError
from core.files import write_bytes
from driving.nuscenes.geometry import box_corners, box_pose
from driving.nuscenes.read import Dataset, Recording
from driving.road.network import Road
from driving.road.raster import Ground, rasterize
from driving.scene import CATEGORIES, EGO_CENTRE, EGO_SIZE, RATE, Moment, State

ORDER = ("CAM_FRONT_LEFT", "CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_BACK_LEFT", "CAM_BACK", "CAM_BACK_RIGHT")
"""How nuScenes' cameras stand on a page of two rows."""
COLOURS = {
    "vehicle": (255, 158, 0),
    "vehicle.emergency": (255, 60, 60),
    "vehicle.motorcycle": (255, 61, 99),
    "vehicle.bicycle": (220, 20, 160),
    "human": (60, 120, 255),
    "animal": (170, 90, 255),
    "movable_object": (60, 210, 110),
}
"""RGB by the longest beginning of a nuScenes category."""
TILE = 384
"""Pixels that a camera is wide on a page, at least."""
SPAN = 80.0
"""Metres that the view from above is wide."""
MOMENTS = 4
"""Moments on a contact sheet."""
_NEAR = 0.2
_EDGES = [(i, (i + 1) % 4) for i in range(4)] + [(4 + i, 4 + (i + 1) % 4) for i in range(4)] + [(i, 4 + i) for i in range(4)]
_FRONT = ((0, 5), (1, 4))
"""A cross on the face that looks ahead."""
_GROUND = {
    Ground.NOTHING: (38, 44, 40),
    Ground.DRIVABLE: (84, 86, 92),
    Ground.WALKWAY: (128, 124, 116),
    Ground.CROSSING: (150, 150, 160),
    Ground.WHITE: (230, 230, 230),
    Ground.YELLOW: (235, 200, 60),
    Ground.CURB: (170, 165, 155),
}
_EGO = (255, 255, 255)


def colour_of(category: str) -> tuple[int, int, int]:
    """RGB of an actor's class."""
    name = CATEGORIES[category].nuscenes
    return COLOURS[max((begin for begin in COLOURS if name.startswith(begin)), key=len)]


class Page:
    """Draws moments of one recording's road and rig: its cameras in two rows, the road from above beside them."""

    def __init__(self, road: Road, cameras: Sequence[str]):
        self.cameras = list(cameras)
        self.order = [self.cameras.index(c) for c in ORDER] if set(ORDER) == set(cameras) else list(range(len(self.cameras)))
        self._ground = None if road.drivable.is_empty else rasterize(road)
        palette = np.array([_GROUND[kind] for kind in Ground], np.uint8)
        self._painted = None if self._ground is None else palette[self._ground.classes]

    def draw(self, moment: Moment, frames: np.ndarray, poses: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
        """uint8 (H, W, 3) of pictures (V, H, W, 3) by cameras with these poses (V, 4, 4) and intrinsics (V, 3, 3)."""
        columns = math.ceil(len(self.order) / 2)
        tiles = [self._camera(moment, frames[v], poses[v], intrinsics[v], self.cameras[v]) for v in self.order]
        tiles += [np.zeros_like(tiles[0])] * (2 * columns - len(tiles))
        rows = [np.concatenate(tiles[i : i + columns], 1) for i in (0, columns)]
        pictures = np.concatenate(rows)
        return np.concatenate([pictures, self.above(moment, len(pictures))], 1)

    def above(self, moment: Moment, pixels: int) -> np.ndarray:
        """uint8 (pixels, pixels, 3): the road and all boxes around the ego, which looks up."""
        import cv2

        ego = moment.ego
        scale, middle = pixels / SPAN, pixels / 2
        turn = np.array([[math.sin(ego.yaw), -math.cos(ego.yaw)], [math.cos(ego.yaw), math.sin(ego.yaw)]])

        def place(points: np.ndarray) -> np.ndarray:
            return ((points - (ego.x, ego.y)) @ turn.T) * (scale, -scale) + middle

        out = np.full((pixels, pixels, 3), _GROUND[Ground.NOTHING], np.uint8)
        if self._ground is not None and self._painted is not None:
            corners = np.array([[0, 0], [1, 0], [0, 1]], np.float64) + (ego.x, ego.y)
            source = self._ground.pixels(corners).astype(np.float32)
            matrix = cv2.getAffineTransform(source, place(corners).astype(np.float32))
            border = _GROUND[Ground.NOTHING]
            size = (pixels, pixels)
            out = cv2.warpAffine(self._painted, matrix, size, flags=cv2.INTER_LINEAR, borderValue=border)
        for actor, state in moment.actors:
            _footprint(out, place(_ground_box(state, actor.size)), colour_of(actor.category))
        ahead = (ego.x + EGO_CENTRE * math.cos(ego.yaw), ego.y + EGO_CENTRE * math.sin(ego.yaw))
        _footprint(out, place(_ground_box(State(*ahead, ego.yaw, ego.speed), EGO_SIZE)), _EGO)
        return out

    def _camera(self, moment: Moment, frame: np.ndarray, pose: np.ndarray, k: np.ndarray, name: str) -> np.ndarray:
        import cv2

        scale = max(1, -(-TILE // frame.shape[1]))
        out = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        for actor, state in moment.actors:
            corners = box_corners(box_pose(state.x, state.y, state.yaw, actor.size[2]), actor.size)
            camera = (corners - pose[:3, 3]) @ pose[:3, :3]
            for a, b in (*_EDGES, *_FRONT):
                _edge(out, camera[a], camera[b], k * [[scale], [scale], [1]], colour_of(actor.category))
        cv2.putText(out, name, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 3, cv2.LINE_AA)
        cv2.putText(out, name, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
        return out


def draw(recording: Recording, t: int, page: Page | None = None) -> np.ndarray:
    """Frame t of a recording as a page, uint8 (H, W, 3)."""
    scene, episode = recording.scene, recording.episode
    page = page or Page(scene.road, [c.name for c in scene.rig.cameras])
    if episode.pose is None or episode.intrinsics is None:
        raise ZoetropeError(f"scene '{scene.name}': without camera poses no boxes can be drawn")
    return page.draw(scene.moment(t), episode.frames[t], episode.pose[t], episode.intrinsics)


def contact_sheet(folder: str | Path, scene: str, path: str | Path) -> None:
    """Write a PNG of moments spread over a scene of a dataset, two in a row."""
    import cv2

    recording = Dataset(folder).read(scene)
    page = Page(recording.scene.road, [c.name for c in recording.scene.rig.cameras])
    moments = np.linspace(0, len(recording.episode) - 1, MOMENTS).round().astype(int)
    pages = [draw(recording, int(t), page) for t in moments]
    sheet = np.concatenate([np.concatenate(pages[i : i + 2], 1) for i in range(0, MOMENTS, 2)])
    write_bytes(path, cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())


def scene_video(folder: str | Path, scene: str, path: str | Path) -> None:
    """Write an MP4 of a scene of a dataset, boxes drawn."""
    recording = Dataset(folder).read(scene)
    page = Page(recording.scene.road, [c.name for c in recording.scene.rig.cameras])
    with VideoWriter(path, RATE) as video:
        for t in range(len(recording.episode)):
            video.add(draw(recording, t, page))


def _edge(out: np.ndarray, a: np.ndarray, b: np.ndarray, k: np.ndarray, colour: tuple[int, int, int]) -> None:
    """A line between two points in the camera's axes, cut where it passes behind the camera."""
    import cv2

    if a[2] < b[2]:
        a, b = b, a
    if a[2] < _NEAR:
        return
    if b[2] < _NEAR:
        b = a + (b - a) * (a[2] - _NEAR) / (a[2] - b[2])
    height, width = out.shape[:2]
    ends = [np.clip(k[:2, :2] @ (p[:2] / p[2]) + k[:2, 2], -8 * width, 8 * width).round().astype(int).tolist() for p in (a, b)]
    cv2.line(out, ends[0], ends[1], colour, 1 + width // 800, cv2.LINE_AA)


def _ground_box(state: State, size: tuple[float, float, float]) -> np.ndarray:
    return box_corners(box_pose(state.x, state.y, state.yaw, size[2]), size)[:4, :2]


def _footprint(out: np.ndarray, corners: np.ndarray, colour: tuple[int, int, int]) -> None:
    """A filled outline with a line from its middle to its front."""
    import cv2

    points = corners.round().astype(np.int32)
    cv2.fillConvexPoly(out, points, [c // 2 for c in colour], cv2.LINE_AA)
    cv2.polylines(out, [points], True, colour, 1, cv2.LINE_AA)
    front, middle = corners[:2].mean(0).round().astype(int), corners.mean(0).round().astype(int)
    cv2.line(out, middle.tolist(), front.tolist(), colour, 2, cv2.LINE_AA)

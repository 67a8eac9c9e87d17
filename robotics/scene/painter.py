"""Pictures of a MuJoCo scene without OpenGL: geoms projected and painted back to front, with flat shading and shadows.

Geoms of group 0 are the ground (planes, a table, flat marks on it): they must not move during an episode and never hide
anything; shadows fall on what of them is level and at z = 0. All others are solids; what hides what is told by planes between
them (see `order`), which is exact for convex solids that do not overlap. The same state gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from robotics.scene import order
from robotics.scene.cameras import Camera
from robotics.scene.solids import of_geom
from robotics.scene.variation import TABLE, TABLE_Y

KINDS = {0: "plane", 2: "sphere", 3: "capsule", 5: "cylinder", 6: "box", 4: "ellipsoid", 7: "mesh", 1: "hfield"}
"""MuJoCo's numbers of geom types, as MJCF names them."""
HALVINGS = 2
"""Pictures are painted larger, and halved this many times: OpenCV halves far faster than it shrinks by another factor."""
OVERSAMPLING = 2**HALVINGS
SKY = (150.0, 158.0, 170.0)
"""RGB of what lies beyond all ground."""
NEAR = 0.02
"""Metres before a camera at which it begins to see."""
AMBIENT = 0.45
"""Share of its colour that a face turned away from the light keeps."""
SHADE = 0.72
"""Brightness of ground in shadow."""
_LEVEL = 0.005
"""Metres from z = 0 at which ground still takes shadows: marks have a thickness."""
_ENDLESS = 30.0
"""Half size that stands for that of an endless plane, metres."""
_SHIFT = 4
"""Binary places of the coordinates given to OpenCV."""
_FAR = 1 << 20
"""Bound of those coordinates: beyond it OpenCV's integers overflow."""


@dataclass(frozen=True, slots=True)
class _View:
    """What one camera needs for every frame."""

    centre: np.ndarray
    turn: np.ndarray
    """(3, 3): world directions from the camera's axes."""
    intrinsics: np.ndarray
    """(3, 3) of the oversampled picture."""
    lit: np.ndarray
    """The ground in full light, uint8."""
    dark: np.ndarray
    """The ground in shadow, uint8."""

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """World points (N, 3) to OpenCV's shifted integers (N, 2) and depths (N,); points too near are moved to NEAR."""
        local = (points - self.centre) @ self.turn
        depth = local[:, 2]
        pixels = local[:, :2] / np.maximum(depth, NEAR)[:, None] * self.intrinsics[0, 0] + self.intrinsics[:2, 2] - 0.5
        return np.rint(pixels * (1 << _SHIFT)).clip(-_FAR, _FAR).astype(np.int32), depth


class Painter:
    """Paints one compiled model. Make another one when the model, a camera or a colour changes."""

    def __init__(
        self,
        model: Any,
        cameras: tuple[Camera, ...],
        size: tuple[int, int],
        light: tuple[float, float, float],
        texture: np.ndarray | None = None,
    ):
        """`size` is height and width; `texture` uint8 (h, w, 3) is laid over the geom called `table`."""
        self._size = size
        self._light = np.array(light) / np.linalg.norm(light)
        self._colours = model.geom_rgba[:, :3] * 255.0
        self._solid_geoms = np.flatnonzero(model.geom_group > 0)
        solids = [of_geom(KINDS[int(model.geom_type[g])], model.geom_size[g]) for g in self._solid_geoms]
        vertex_counts, face_counts = [len(s.vertices) for s in solids], [len(s.faces) for s in solids]
        self._vertex_starts = np.cumsum([0, *vertex_counts[:-1]])
        self._face_starts = np.cumsum([0, *face_counts])
        self._vertex_owner, self._face_owner = (np.repeat(np.arange(len(solids)), n) for n in (vertex_counts, face_counts))
        self._vertices, self._normals = (
            np.concatenate([s.vertices for s in solids]),
            np.concatenate([s.normals for s in solids]),
        )
        most = max(len(face) for s in solids for face in s.faces)
        placed = [[start + i for i in face] for s, start in zip(solids, self._vertex_starts) for face in s.faces]
        self._faces = np.array([face + face[-1:] * (most - len(face)) for face in placed])
        """(F, K) corners, the last repeated to fill a row."""
        self._ground: tuple[_View, ...] | None = None
        self._model, self._cameras, self._texture = model, cameras, texture

    def paint(self, data: Any) -> np.ndarray:
        """The scene as `data` has it (after kinematics): uint8 (V, H, W, 3)."""
        if self._ground is None:
            self._ground = tuple(self._view(camera, data) for camera in self._cameras)
        geoms = self._solid_geoms
        middles, turns = data.geom_xpos[geoms], data.geom_xmat[geoms].reshape(-1, 3, 3)
        vertices = np.einsum("nij,nj->ni", turns[self._vertex_owner], self._vertices) + middles[self._vertex_owner]
        normals = np.einsum("nij,nj->ni", turns[self._face_owner], self._normals)
        offsets = (normals * vertices[self._faces[:, 0]]).sum(1)
        apart = order.separations(normals @ vertices.T - offsets[:, None], self._vertex_starts)
        colours = self._shaded(normals, self._colours[geoms][self._face_owner])
        dropped = vertices - self._light * (vertices[:, 2:] / self._light[2])  # along the light onto z = 0
        views = []
        for view in self._ground:
            canvas = self._with_shadows(view, dropped)
            corners, depths = view.project(vertices)
            facing = normals @ view.centre > offsets
            shown = facing & (depths[self._faces].min(1) > NEAR)
            depth = np.linalg.norm(middles - view.centre, axis=1)
            after = order.in_front(apart, facing, self._face_starts[:-1], depth)
            polygons = corners[self._faces]
            for solid in order.back_to_front(after, self._overlap(corners), depth):
                for face in range(self._face_starts[solid], self._face_starts[solid + 1]):
                    if shown[face]:
                        cv2.fillConvexPoly(canvas, polygons[face], colours[face], cv2.LINE_8, _SHIFT)
            for _ in range(HALVINGS):
                canvas = cv2.resize(canvas, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            views.append(canvas)
        return np.stack(views)

    def _shaded(self, normals: np.ndarray, colours: np.ndarray) -> list[list[float]]:
        light = AMBIENT + (1 - AMBIENT) * np.maximum(-normals @ self._light, 0)
        return (colours * light[:, None]).round().tolist()

    def _overlap(self, corners: np.ndarray) -> np.ndarray:
        """Whether the bounding boxes of two solids touch in the picture: bool (G, G)."""
        low, high = (f.reduceat(corners, self._vertex_starts, axis=0) for f in (np.minimum, np.maximum))
        reaches = np.all(low[:, None] <= high[None], axis=-1)
        return reaches & reaches.T

    def _with_shadows(self, view: _View, dropped: np.ndarray) -> np.ndarray:
        corners, depths = view.project(dropped)
        ahead = np.minimum.reduceat(depths, self._vertex_starts) > NEAR
        mask = np.zeros(view.lit.shape[:2], np.uint8)
        for start, end, seen in zip(self._vertex_starts, (*self._vertex_starts[1:], len(corners)), ahead):
            if seen:
                cv2.fillConvexPoly(mask, cv2.convexHull(corners[start:end]), 1, cv2.LINE_8, _SHIFT)
        canvas = view.lit.copy()
        cv2.copyTo(view.dark, mask, canvas)
        return canvas

    def _view(self, camera: Camera, data: Any) -> _View:
        height, width = (OVERSAMPLING * n for n in self._size)
        pose, blank = camera.pose(), np.zeros((height, width, 3), np.uint8)
        view = _View(pose[:3, 3], pose[:3, :3], camera.intrinsics(height, width), blank, blank)
        lit, level = np.full_like(blank, SKY), np.zeros((height, width), np.uint8)
        for geom in np.flatnonzero(self._model.geom_group == 0):
            self._paint_ground(lit, level, view, int(geom), data)
        dark = np.where(level[..., None] > 0, lit * SHADE, lit).round().astype(np.uint8)
        return _View(view.centre, view.turn, view.intrinsics, lit, dark)

    def _paint_ground(self, canvas: np.ndarray, level: np.ndarray, view: _View, geom: int, data: Any) -> None:
        """Paint one geom of the ground onto `canvas`, and into `level` whether it takes shadows."""
        kind, size = KINDS[int(self._model.geom_type[geom])], self._model.geom_size[geom]
        turn, middle = data.geom_xmat[geom].reshape(3, 3), data.geom_xpos[geom]
        if kind == "plane":
            size, kind = np.array([size[0] or _ENDLESS, size[1] or _ENDLESS, 1e-3]), "box"
        solid = of_geom(kind, size)
        normals = solid.normals @ turn.T
        colours = self._shaded(normals, np.tile(self._colours[geom], (len(normals), 1)))
        textured = self._texture is not None and self._model.geom(geom).name == "table"
        for face, normal, colour in zip(solid.faces, normals, colours):
            corners = solid.vertices[list(face)] @ turn.T + middle
            if normal @ (view.centre - corners[0]) <= 0:
                continue
            takes_shadows = int(np.abs(corners[:, 2]).max() < _LEVEL)
            corners = _clipped(corners, view)
            if len(corners) < 3:
                continue
            polygon = view.project(corners)[0]
            cv2.fillConvexPoly(level, polygon, takes_shadows, cv2.LINE_8, _SHIFT)
            if textured and normal[2] > 0.5:
                mask = np.zeros(canvas.shape[:2], np.uint8)
                cv2.fillConvexPoly(mask, polygon, 1, cv2.LINE_8, _SHIFT)
                cv2.copyTo(self._laid_texture(view), mask, canvas)
            else:
                cv2.fillConvexPoly(canvas, polygon, colour, cv2.LINE_8, _SHIFT)

    def _laid_texture(self, view: _View) -> np.ndarray:
        """The texture over the table's rectangle of the plane z = 0, as the camera sees it."""
        assert self._texture is not None
        rows, columns = self._texture.shape[:2]
        metres = np.array([[2 * TABLE[0] / columns, 0, -TABLE[0]], [0, 2 * TABLE[1] / rows, TABLE_Y - TABLE[1]], [0, 0, 1]])
        to_camera = np.column_stack([view.turn.T[:, 0], view.turn.T[:, 1], -view.turn.T @ view.centre])
        height, width = view.lit.shape[:2]
        shaded = self._texture * (AMBIENT + (1 - AMBIENT) * -self._light[2])
        laid = cv2.warpPerspective(
            shaded.round().astype(np.uint8),
            view.intrinsics @ to_camera @ metres,
            (width, height),
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(laid)


def _clipped(corners: np.ndarray, view: _View) -> np.ndarray:
    """A polygon (N, 3) without what lies nearer to the camera than NEAR."""
    ahead = (corners - view.centre) @ view.turn[:, 2] - NEAR
    kept = []
    for i, (point, distance) in enumerate(zip(corners, ahead)):
        before, behind = corners[i - 1], ahead[i - 1]
        if (distance > 0) != (behind > 0):
            kept.append(before + (point - before) * behind / (behind - distance))
        if distance > 0:
            kept.append(point)
    return np.array(kept)

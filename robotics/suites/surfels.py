"""Pictures of any MuJoCo scene, meshes included, without OpenGL: surfaces as clouds of shaded points under a depth buffer.

Points with a normal and a colour instead of triangles are surfels (Pfister et al., "Surfels: Surface Elements as Rendering
Primitives", SIGGRAPH 2000): one matrix product a part and camera places them, however fine the mesh. The same state gives the
same bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from robotics.scene.cameras import Camera
from robotics.scene.painter import AMBIENT, KINDS, NEAR, SHADE, SKY
from robotics.scene.solids import of_geom
from robotics.scene.variation import LIGHT

OVERSAMPLING = 2
"""The depth buffer has this many pixels along each side of a pixel of the picture."""
SPACING = 0.7
"""Pixels of the depth buffer between neighbouring points at the distance a camera looks at; see `_closed` for nearer ones."""
VISIBLE_GROUPS = 3
"""MuJoCo shows geoms and sites of groups below this one."""
OPAQUE = 0.5
"""Alpha below which a thing is not shown."""
_LEVEL = 0.005
"""Metres from z = 0 at which a surface that faces up takes shadows."""
_WIDEST = 2.0
"""Metres: half the side of the largest plane that is painted."""
_THIN = 1e-4
"""Half the thickness that a plane is given, metres."""
_RGB_BITS = 24
_EMPTY = np.uint64(1 << 63)
"""A pixel of the depth buffer that nothing has reached."""
_DEPTH_STEP = 1e-5
"""Metres: what the depth buffer tells apart."""
_PLASTIC = 1.32471795724474602596
"""Its powers spread points evenly over a square (Roberts, "The unreasonable effectiveness of quasirandom sequences")."""
_RGB_ROLE = 1
"""MuJoCo's number of the texture that colours a material (mjTEXROLE_RGB)."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A geom or a site as points in its own frame."""

    of_site: bool
    index: int
    points: np.ndarray
    """float32 (N, 4): homogeneous."""
    normals: np.ndarray
    """float32 (N, 3), unit, outward."""
    offsets: np.ndarray
    """float32 (N,): of each point's tangent plane."""
    colour: np.ndarray
    """float32 (3,): RGB, 0 to 255."""

    def frame(self, data: Any) -> np.ndarray:
        """float64 (4, 4): where the part is now, to world."""
        places, turns = (data.site_xpos, data.site_xmat) if self.of_site else (data.geom_xpos, data.geom_xmat)
        frame = np.eye(4)
        frame[:3, :3], frame[:3, 3] = turns[self.index].reshape(3, 3), places[self.index]
        return frame


@dataclass(frozen=True, slots=True)
class _View:
    """What one camera needs for every frame."""

    centre: np.ndarray
    """(4,): where it stands in the world, homogeneous."""
    project: np.ndarray
    """(3, 4): world to pixels of the depth buffer times depth, and depth."""
    drop: np.ndarray
    """(3, 4): the same of where a point's shadow falls on z = 0."""
    still: np.ndarray
    """uint64 (h * w,): depth and colour of what never moves."""
    dark: np.ndarray
    """The same with all ground in shadow."""


class SurfelPainter:
    """Paints one compiled model. Make another one when the model, a camera or a colour changes."""

    def __init__(
        self,
        model: Any,
        data: Any,
        cameras: Sequence[Camera],
        size: tuple[int, int],
        placed: Collection[int] = (),
        marks: Sequence[int] = (),
        colours: Mapping[int, tuple[float, float, float]] | None = None,
    ):
        """`size` is height and width.

        `placed`: geoms on no joint that a reset may put elsewhere; all others on none are painted once, as `data` has them
        (after kinematics). `marks`: sites that are shown, as balls. `colours`: RGB in [0, 1] of geoms that shall look other
        than the model says.
        """
        self._size = tuple(OVERSAMPLING * n for n in size)
        self._light = np.array(LIGHT) / np.linalg.norm(LIGHT)
        spacing = SPACING * min(_footprint(camera, self._size[1]) for camera in cameras)
        looks = {geom: _rgba(model, geom) for geom in range(model.ngeom)}
        parts = {
            geom: _geom(model, geom, spacing, (colours or {}).get(geom, rgba[:3]))
            for geom, rgba in looks.items()
            if model.geom_group[geom] < VISIBLE_GROUPS and rgba[3] >= OPAQUE and not _endless(model, geom)
        }
        moves = {geom for geom in parts if model.body_weldid[model.geom_bodyid[geom]] != 0 or geom in placed}
        self._moving = [parts[geom] for geom in moves] + [_site(model, site, spacing) for site in marks]
        still = [part for geom, part in parts.items() if geom not in moves]
        self._views = tuple(self._view(camera, still, data) for camera in cameras)

    def paint(self, data: Any) -> np.ndarray:
        """The scene as `data` has it (after kinematics): uint8 (V, H, W, 3)."""
        frames = [part.frame(data) for part in self._moving]
        views = []
        for view in self._views:
            buffer = np.where(self._shadow(view, frames), view.dark, view.still)
            views.append(self._developed(np.minimum(buffer, self._splat(view, self._moving, frames))))
        return np.stack(views)

    def _view(self, camera: Camera, still: list[_Part], data: Any) -> _View:
        pose, intrinsics = camera.pose(), camera.intrinsics(*self._size)
        project = intrinsics @ np.linalg.inv(pose)[:3]
        drop = np.eye(4)
        drop[:3, 2] -= self._light / self._light[2]  # along the light onto z = 0
        blank = np.full(self._size[0] * self._size[1], _EMPTY)
        view = _View(pose[:, 3], project, project @ drop, blank, blank)
        sky = _packed(np.array([np.inf]), np.array([SKY]))
        painted = np.minimum(self._splat(view, still, [part.frame(data) for part in still]), sky)
        return _View(view.centre, project, view.drop, painted, self._shadowed(painted, project))

    def _splat(self, view: _View, parts: list[_Part], frames: list[np.ndarray]) -> np.ndarray:
        """Parts alone in a depth buffer."""
        buffer = np.full(self._size[0] * self._size[1], _EMPTY)
        for part, frame in zip(parts, frames):
            turn = frame[:3, :3]
            centre = (view.centre[:3] - frame[:3, 3]) @ turn
            seen = np.flatnonzero(part.normals @ centre.astype(np.float32) > part.offsets)
            pixels, depth, inside = self._placed(part.points[seen] @ (view.project @ frame).T.astype(np.float32))
            seen = seen[inside]
            towards = np.maximum(-(part.normals[seen] @ (self._light @ turn).astype(np.float32)), 0)
            colours = part.colour * (AMBIENT + (1 - AMBIENT) * towards)[:, None]
            np.minimum.at(buffer, pixels[inside], _packed(depth[inside], colours))
        return _closed(buffer.reshape(self._size)).ravel()

    def _shadow(self, view: _View, frames: list[np.ndarray]) -> np.ndarray:
        """Which pixels the moving parts would shade if they showed ground: bool (h * w,)."""
        mask = np.zeros(self._size, np.uint8)
        for part, frame in zip(self._moving, frames):
            pixels, _, inside = self._placed(part.points @ (view.drop @ frame).T.astype(np.float32))
            mask.ravel()[pixels[inside]] = 1
        return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)).ravel() > 0

    def _placed(self, projected: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Projected points (N, 3) to places in the buffer (N,), depths (N,) and whether they lie in the picture (N,)."""
        depth = projected[:, 2]
        column, row = np.floor(projected[:, :2].T / np.maximum(depth, NEAR))
        height, width = self._size
        inside = (depth > NEAR) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        return np.where(inside, row * width + column, 0).astype(np.int64), depth, inside

    def _shadowed(self, still: np.ndarray, project: np.ndarray) -> np.ndarray:
        """A depth buffer with all that is level and at z = 0 in shadow."""
        height, width = self._size
        row, column = np.divmod(np.arange(height * width), width)
        depth = (still >> np.uint64(_RGB_BITS)).astype(float) * _DEPTH_STEP
        pixels = np.stack([column + 0.5, row + 0.5, np.ones(len(row))]) * depth
        z = np.linalg.solve(project[:, :3], pixels - project[:, 3:])[2]
        ground = np.abs(z) < _LEVEL
        dark = still.copy()
        dark[ground] = _packed(depth[ground], SHADE * _rgb(still[ground]))
        return dark

    def _developed(self, buffer: np.ndarray) -> np.ndarray:
        picture = _rgb(buffer).astype(np.uint8).reshape(*self._size, 3)
        height, width = (n // OVERSAMPLING for n in self._size)
        return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def _footprint(camera: Camera, width: int) -> float:
    """Metres that a pixel of the depth buffer spans at the distance the camera looks at."""
    distance = float(np.linalg.norm(np.subtract(camera.looks_at, camera.position)))
    return 2 * distance * float(np.tan(np.radians(camera.field) / 2)) / width


def _closed(buffer: np.ndarray) -> np.ndarray:
    """A depth buffer (h, w) without holes of one or two pixels: morphological closing, nearest first, outlines as they were."""
    height, width = buffer.shape
    for keep in (np.minimum, np.maximum):
        edged = np.pad(buffer, 1, mode="edge")
        rows = keep(keep(edged[:height], edged[1:-1]), edged[2:])
        buffer = keep(keep(rows[:, :width], rows[:, 1:-1]), rows[:, 2:])
    return buffer


def _packed(depth: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Depth in metres (N,) and RGB (N, 3) as uint64 (N,) that sort by depth."""
    most = np.float64(1 << 30)  # 10 km: beyond it everything is equally far
    steps = np.minimum(depth.astype(np.float64) / _DEPTH_STEP, most).astype(np.uint64)
    red, green, blue = np.rint(colours).astype(np.uint64).T
    return steps << np.uint64(_RGB_BITS) | red << np.uint64(16) | green << np.uint64(8) | blue


def _rgb(buffer: np.ndarray) -> np.ndarray:
    """RGB (N, 3) of a depth buffer (N,), uint64."""
    return np.stack([buffer >> np.uint64(shift) & np.uint64(255) for shift in (16, 8, 0)], axis=1)


def _endless(model: Any, geom: int) -> bool:
    """Whether a geom is ground without an edge worth showing: where nothing else is, the sky stands for it."""
    halves = model.geom_size[geom, :2]
    return KINDS[int(model.geom_type[geom])] == "plane" and bool((halves == 0).any() or (halves > _WIDEST).any())


def _geom(model: Any, geom: int, spacing: float, rgb: Any) -> _Part:
    kind, size = KINDS[int(model.geom_type[geom])], model.geom_size[geom]
    if kind == "mesh":
        triangles = _mesh(model, int(model.geom_dataid[geom]))
    else:
        triangles = _solid("box", np.array([*size[:2], _THIN])) if kind == "plane" else _solid(kind, size)
    return _part(False, geom, triangles, spacing, np.asarray(rgb))


def _site(model: Any, site: int, spacing: float) -> _Part:
    return _part(True, site, _solid("sphere", model.site_size[site]), spacing, model.site_rgba[site, :3])


def _part(of_site: bool, index: int, triangles: np.ndarray, spacing: float, rgb: np.ndarray) -> _Part:
    points, normals = scattered(triangles, spacing)
    return _Part(
        of_site=of_site,
        index=index,
        points=np.column_stack([points, np.ones(len(points))]).astype(np.float32),
        normals=normals.astype(np.float32),
        offsets=(points * normals).sum(1).astype(np.float32),
        colour=(255 * rgb).astype(np.float32),
    )


def scattered(triangles: np.ndarray, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Points spread evenly over triangles (F, 3, 3), one for every `spacing` squared, and their normals: (N, 3) each."""
    one, two = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    cross = np.cross(one, two)
    twice = np.linalg.norm(cross, axis=1)
    upto = np.cumsum(twice / 2)
    count = max(1, round(float(upto[-1]) / spacing**2))
    index = np.arange(count)
    owner = np.minimum(np.searchsorted(upto, (index + 0.5) * (upto[-1] / count)), len(triangles) - 1)
    u, v = (index / _PLASTIC) % 1, (index / _PLASTIC**2) % 1
    beyond = u + v > 1  # the other half of the parallelogram is folded back
    u, v = np.where(beyond, 1 - u, u), np.where(beyond, 1 - v, v)
    points = triangles[owner, 0] + u[:, None] * one[owner] + v[:, None] * two[owner]
    return points, (cross / np.maximum(twice, 1e-12)[:, None])[owner]


def _mesh(model: Any, mesh: int) -> np.ndarray:
    start, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
    first, faces = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
    return model.mesh_vert[start : start + count][model.mesh_face[first : first + faces]].astype(float)


def _solid(kind: str, size: np.ndarray) -> np.ndarray:
    """A primitive as triangles that turn around its outward normals: (F, 3, 3)."""
    solid = of_geom(kind, size)
    fans = []
    for face, normal in zip(solid.faces, solid.normals):
        corners = solid.vertices[_around(solid.vertices[list(face)], normal, face)]
        fans += [(corners[0], corners[i], corners[i + 1]) for i in range(1, len(corners) - 1)]
    return np.array(fans)


def _around(corners: np.ndarray, normal: np.ndarray, face: tuple[int, ...]) -> list[int]:
    """The corners of a face in the order that turns around its normal."""
    turns = np.cross(corners[1] - corners[0], corners[2] - corners[0]) @ normal
    return list(face if turns > 0 else face[::-1])


def _rgba(model: Any, geom: int) -> np.ndarray:
    """(4,): a geom's colour, that of its material where it has one; a texture counts by its mean."""
    material = int(model.geom_matid[geom])
    if material < 0:
        return model.geom_rgba[geom].astype(float)
    rgba = model.mat_rgba[material].astype(float)
    texture = int(model.mat_texid[material][_RGB_ROLE])
    if texture >= 0:
        channels = int(model.tex_nchannel[texture])
        start = int(model.tex_adr[texture])
        pixels = model.tex_data[start : start + int(model.tex_height[texture] * model.tex_width[texture]) * channels]
        rgba[:3] *= pixels.reshape(-1, channels)[:, :3].mean(0) / 255
    return rgba

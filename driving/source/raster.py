"""Which triangle each pixel sees, through Panda3D's software pipe: no window, no graphics card, no OpenGL.

Triangles are drawn flat in colours that spell their numbers; shading, depth and labels follow from the numbers exactly.
This is a visibility buffer (Burns and Hunt, The Visibility Buffer, JCGT 2013).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from core.errors import ZoetropeError

NEAR, FAR = 0.2, 1200.0
MOST = 1 << 24
"""Triangles that a picture of 24 bits can tell apart."""


class Raster:
    """A scene of numbered triangles and V cameras that look at it. One engine a process."""

    def __init__(self) -> None:
        try:
            panda: Any = import_module("panda3d.core")
        except ImportError:
            raise ZoetropeError("the driving source world needs panda3d; run: pip install 'zoetrope[driving]'") from None
        self._panda = panda
        panda.load_prc_file_data("", "load-display p3tinydisplay\naudio-library-name null\nnotify-level-display fatal\n")
        pipe = panda.GraphicsPipeSelection.get_global_ptr().make_pipe("TinyOffscreenGraphicsPipe", "p3tinydisplay")
        if pipe is None:
            raise ZoetropeError(
                "this panda3d has no software renderer (p3tinydisplay); run: pip install --force-reinstall panda3d"
            )
        self._pipe = pipe
        self._engine = panda.GraphicsEngine.get_global_ptr()
        columns = panda.GeomVertexArrayFormat()
        columns.add_column(panda.InternalName.get_vertex(), 3, panda.Geom.NT_float32, panda.Geom.C_point)
        columns.add_column(panda.InternalName.get_color(), 4, panda.Geom.NT_uint8, panda.Geom.C_color)
        layout = panda.GeomVertexFormat()
        layout.add_array(columns)
        self._layout = panda.GeomVertexFormat.register_format(layout)
        self._window: Any = None
        self._root: Any = None
        self._shape = (0, 0, 0)

    def begin(self, intrinsics: np.ndarray, width: int, height: int) -> None:
        """An empty scene, seen by cameras of these float (V, 3, 3) intrinsics in pixels."""
        panda = self._panda
        views = len(intrinsics)
        if self._shape != (views, height, width):
            self._open(views, height, width)
        if self._root is not None:
            self._root.remove_node()
        self._root = panda.NodePath("scene")
        self._root.set_attrib(panda.ShadeModelAttrib.make(panda.ShadeModelAttrib.M_flat))
        self._cameras = []
        for region, k in zip(self._regions, intrinsics):
            lens = panda.PerspectiveLens()
            lens.set_film_size(width, height)
            lens.set_focal_length(float(k[0, 0]))
            lens.set_near_far(NEAR, FAR)
            node = self._root.attach_new_node(panda.Camera("camera", lens))
            region.set_camera(node)
            self._cameras.append(node)
        self._count = 0

    def add(self, triangles: np.ndarray, layer: int | None = None) -> Any:
        """Add float32 (N, 3, 3); they get the next N numbers, from 1. Layers lie below all else, in their order."""
        panda = self._panda
        n = len(triangles)
        if self._count + n >= MOST:
            raise ZoetropeError(f"the scene has more than {MOST} triangles")
        low, middle, high = (np.arange(self._count + 1, self._count + n + 1, dtype="<u4") >> s & 0xFF for s in (0, 8, 16))
        numbers = low << 16 | middle << 8 | high  # red is kept last in memory
        self._count += n
        rows = np.empty((n, 3), np.dtype([("point", "<f4", 3), ("number", "<u4")]))
        rows["point"], rows["number"] = triangles, numbers[:, None]
        data = panda.GeomVertexData("triangles", self._layout, panda.Geom.UH_static)
        data.unclean_set_num_rows(3 * n)
        memoryview(data.modify_array(0)).cast("B")[:] = rows.tobytes()
        primitive = panda.GeomTriangles(panda.Geom.UH_static)
        primitive.add_consecutive_vertices(0, 3 * n)
        geom = panda.Geom(data)
        geom.add_primitive(primitive)
        node = panda.GeomNode("triangles")
        node.add_geom(geom)
        path = self._root.attach_new_node(node)
        if layer is not None:
            path.set_bin("background", layer)
            path.set_depth_test(False)
            path.set_depth_write(False)
        return path

    def move(self, node: Any, matrix: np.ndarray | None) -> None:
        """Place what `add` returned by a (4, 4) matrix; None hides it."""
        if matrix is None:
            node.hide()
        else:
            node.show()
            node.set_mat(self._panda.LMatrix4(*matrix.T.ravel().tolist()))

    def numbers(self, poses: np.ndarray) -> np.ndarray:
        """int32 (V, H, W): the triangle seen by each pixel of cameras at (V, 4, 4) camera to world; 0 for none."""
        for camera, pose in zip(self._cameras, poses.astype(float)):
            axes = np.eye(4)
            axes[:3, 0], axes[:3, 1], axes[:3, 2], axes[:3, 3] = pose[:3, 0], pose[:3, 2], -pose[:3, 1], pose[:3, 3]
            camera.set_mat(self._panda.LMatrix4(*axes.T.ravel().tolist()))
        self._engine.render_frame()
        views, height, width = self._shape
        picture = np.frombuffer(memoryview(self._texture.get_ram_image()), "<u4").reshape(views * height, width)[::-1]
        return (picture & np.uint32(MOST - 1)).view(np.int32).reshape(views, height, width)

    def close(self) -> None:
        """Free the buffer."""
        if self._window is not None:
            self._engine.remove_window(self._window)
        self._window, self._shape = None, (0, 0, 0)

    def _open(self, views: int, height: int, width: int) -> None:
        """One buffer, the cameras' regions below each other."""
        panda = self._panda
        self.close()
        wanted = panda.FrameBufferProperties()
        wanted.set_rgba_bits(8, 8, 8, 8)
        wanted.set_depth_bits(24)
        size = panda.WindowProperties.size(width, height * views)
        window = self._engine.make_output(self._pipe, "rig", 0, wanted, size, panda.GraphicsPipe.BF_refuse_window)
        if window is None:
            raise ZoetropeError(f"rig: Panda3D cannot make a buffer of {width}x{height * views}; ask for smaller pictures")
        window.set_clear_color((0, 0, 0, 0))
        window.set_clear_color_active(True)
        window.set_clear_depth_active(True)
        self._texture = panda.Texture()
        window.add_render_texture(self._texture, panda.GraphicsOutput.RTM_copy_ram)
        self._regions = [window.make_display_region(0, 1, 1 - (k + 1) / views, 1 - k / views) for k in range(views)]
        self._window, self._shape = window, (views, height, width)

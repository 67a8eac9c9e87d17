"""The painter: solids are right, what is nearer hides what is further, the same scene gives the same bytes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ZoetropeError
from robotics.scene import order
from robotics.scene.cameras import Camera
from robotics.scene.painter import SKY, Painter
from robotics.scene.solids import Solid, of_geom

mujoco = pytest.importorskip("mujoco")

AHEAD = Camera(name="ahead", position=(0.0, -1.0, 0.0), looks_at=(0.0, 0.0, 0.0), field=60.0)
DOWN = (0.0, 0.0, -1.0)
SIZES = st.floats(0.01, 0.5)


def paint(geoms: str, camera: Camera = AHEAD, size: tuple[int, int] = (64, 64)) -> np.ndarray:
    model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{geoms}</worldbody></mujoco>")
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    return Painter(model, (camera,), size, DOWN).paint(data)[0]


def ball(colour: str, place: str, radius: float = 0.1) -> str:
    return f'<geom type="sphere" size="{radius}" pos="{place}" rgba="{colour} 1" group="1"/>'


@settings(max_examples=20, deadline=None)
@given(kind=st.sampled_from(["box", "cylinder", "capsule", "sphere"]), x=SIZES, y=SIZES, z=SIZES)
def test_solids_are_convex_and_closed(kind, x, y, z):
    solid: Solid = of_geom(kind, np.array([x, y, z]))
    for face, normal in zip(solid.faces, solid.normals):
        height = solid.vertices @ normal - solid.vertices[face[0]] @ normal
        assert height.max() < 1e-9 and np.abs(height[list(face)]).max() < 1e-9
    edges = [frozenset(e) for face in solid.faces for e in zip(face, (*face[1:], face[0]))]
    assert all(edges.count(e) == 2 for e in set(edges))


def test_a_kind_that_cannot_be_painted_is_named():
    with pytest.raises(ZoetropeError, match="'mesh'"):
        of_geom("mesh", np.ones(3))


def test_a_point_lands_where_the_lens_puts_it():
    picture = paint(ball("1 0 0", "0.2 0 0.1", 0.03)).astype(int)
    row, column = np.argwhere(picture[..., 0] - picture[..., 1] > 60).mean(0) + 0.5
    focal = AHEAD.intrinsics(64, 64)[0, 0]
    assert abs(column - (32 + focal * 0.2)) < 0.7 and abs(row - (32 - focal * 0.1)) < 0.7


@pytest.mark.parametrize("first", [0, 1])
def test_the_nearer_hides_the_further_in_any_order_of_geoms(first):
    geoms = [ball("1 0 0", "0 -0.3 0"), ball("0 0 1", "0 0.3 0")]
    red, _, blue = paint(geoms[first] + geoms[1 - first])[32, 32].astype(int)
    assert red > 60 and blue < 20


def test_a_small_thing_on_a_long_one_is_seen_though_the_middle_is_further():
    """The plank's middle is nearer than the cube's, yet the cube stands on it: distances alone would hide the cube."""
    camera = Camera(name="above", position=(0.0, -0.6, 0.5), looks_at=(0.0, 0.2, 0.0), field=60.0)
    plank = '<geom type="box" size="0.1 0.6 0.02" rgba="1 0 0 1" group="1"/>'
    cube = '<geom type="box" size="0.05 0.05 0.05" pos="0 0.4 0.07" rgba="0 0 1 1" group="1"/>'
    picture = paint(plank + cube, camera).astype(int)
    alone = paint(cube, camera).astype(int)
    blue = (alone[..., 2] > 100) & (alone[..., 0] < 20)
    assert blue.sum() > 20 and (picture[blue][:, 2] > 100).all()


def test_rings_are_cut_at_the_furthest():
    after = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]], bool)  # 0 before 1 before 2 before 0
    assert order.back_to_front(after, np.ones((3, 3), bool), np.array([1.0, 3.0, 2.0])) == [1, 2, 0]


def test_shadows_fall_below_and_the_same_scene_gives_the_same_bytes():
    ground = '<geom type="plane" size="0 0 1" rgba="0.8 0.8 0.8 1"/>'
    camera = Camera(name="above", position=(0.0, -0.6, 0.6), looks_at=(0.0, 0.0, 0.0))
    floating = ground + ball("1 0 0", "0 0 0.25", 0.05)
    picture = paint(floating, camera)
    assert picture[32, 32, 0] < 0.8 * picture[60, 4, 0] and picture[32, 32, 0] == picture[32, 32, 1]  # dark, and not red
    beside = paint('<geom type="plane" size="1 0.2 1" rgba="0.8 0.8 0.8 1"/>' + ball("1 0 0", "0 -0.45 0.1", 0.05), camera)
    assert (beside[58:, 30:34] == SKY).all()  # nothing there to fall on
    assert np.array_equal(picture, paint(floating, camera))


def test_things_behind_the_camera_are_not_seen():
    empty = paint(ball("0 1 0", "5 5 0", 0.01))
    assert np.array_equal(paint(ball("0 1 0", "5 5 0", 0.01) + ball("1 0 0", "0 -2 0")), empty)

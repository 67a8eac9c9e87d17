"""The maze: levels that hang together, text that parses, the engine's depth, walls that stop you, frames that repeat."""
# pyright: reportOptionalSubscript=false, reportOptionalMemberAccess=false, reportArgumentType=false, reportPossiblyUnboundVariable=false, reportCallIssue=false

import re
import struct

import numpy as np
import pytest

from games.maze import geometry, levels, textures
from games.maze.policies import POLICIES, MazePolicy, shortest_path
from games.record import record_episode
from games.source import level_number

SEEDS = range(30)


@pytest.mark.parametrize("seed", [*SEEDS, level_number("test", 5)])
def test_level_is_connected_and_walled_in(seed):
    level = levels.generate(seed, levels.LevelConfig())
    cells = [tuple(c) for c in level.cells]
    assert all(shortest_path(level, cells[0], cell) for cell in cells[1:])
    edge = np.concatenate([level.open[0], level.open[-1], level.open[:, 0], level.open[:, -1]])
    assert not edge.any()
    for _, x, y in level.things:
        assert level.open[int(y // levels.CELL), int(x // levels.CELL)]


def test_same_seed_same_level_and_splits_differ():
    text = lambda seed: levels.udmf(levels.generate(seed, levels.LevelConfig()), (0.0, 0.0, 0.0))  # noqa: E731
    assert text(3) == text(3)
    assert len({text(level_number(split, 3)) for split in ("train", "validation", "test")}) == 3


def parse_udmf(text: str) -> dict[str, list[dict[str, str]]]:
    blocks: dict[str, list[dict[str, str]]] = {}
    namespace, body = text.split("\n", 1)
    assert re.fullmatch(r'namespace = "\w+";', namespace)
    position = 0
    for match in re.finditer(r"(\w+) \{ ((?:\w+ = [^;{}]+; )*)\}\n", body):
        assert match.start() == position, body[position : match.start()]
        position = match.end()
        pairs = (p.split(" = ") for p in match[2].strip().rstrip(";").split("; "))
        blocks.setdefault(match[1], []).append(dict(pairs))
    assert position == len(body)
    return blocks


@pytest.mark.parametrize("seed", [0, 1])
def test_udmf_parses_and_refers_to_what_exists(seed):
    level = levels.generate(seed, levels.LevelConfig())
    blocks = parse_udmf(levels.udmf(level, (288.0, 288.0, 90.0)))
    assert len(blocks["sector"]) == level.open.sum()
    used = [int(s["sector"]) for s in blocks["sidedef"]]
    assert set(used) == set(range(len(blocks["sector"])))
    sides = []
    for line in blocks["linedef"]:
        assert line["v1"] != line["v2"] and max(int(line["v1"]), int(line["v2"])) < len(blocks["vertex"])
        sides += [int(line[k]) for k in ("sidefront", "sideback") if k in line]
        assert ("sideback" in line) == (line.get("twosided") == "true") != (line.get("blocking") == "true")
    assert sorted(sides) == list(range(len(blocks["sidedef"])))  # every side belongs to one line
    starts = [t for t in blocks["thing"] if t["type"] == "1"]
    assert len(starts) == 1 and len(blocks["thing"]) == 1 + len(level.things)


def test_wad_directory_holds_the_map_and_every_texture():
    level = levels.generate(0, levels.LevelConfig())
    data = levels.wad(level, (288.0, 288.0, 0.0))
    magic, count, offset = struct.unpack_from("<4sii", data)
    lumps = [struct.unpack_from("<ii8s", data, offset + 16 * i) for i in range(count)]
    names = [name.rstrip(b"\0").decode() for _, _, name in lumps]
    assert magic == b"PWAD" and names[:4] == ["MAP01", "TEXTMAP", "ENDMAP", "TX_START"] and names[-1] == "TX_END"
    assert set(names[4:-1]) == {*level.walls, *level.floors, *level.ceilings}
    assert all(start + size <= offset for start, size, _ in lumps)


def test_textures_are_distinct_and_repeatable():
    names = textures.wall_names() + textures.flat_names()
    assert len(set(names)) == len(names) and max(map(len, names)) <= 8
    assert np.array_equal(textures.draw(names[0]), textures.draw(names[0]))


def test_rays_hit_the_walls_of_a_known_cell():
    open_ = np.zeros((5, 5), bool)
    open_[2, 1:4] = True
    room = levels.Level(0, open_, open_.astype(int), (), (), (), (), ())
    x, y = room.centre((2, 1))
    found = geometry.wall_distance(room, x, y, np.radians([0.0, 90, 180, 270]))
    assert np.allclose(found, np.array([2.5, 0.5, 0.5, 0.5]) * levels.CELL)


@pytest.fixture(scope="module")
def bare():
    """An engine on levels without landmarks."""
    pytest.importorskip("vizdoom")
    from games.maze.source import MazeSource

    engine = MazeSource(levels.LevelConfig(landmarks=0))
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def source():
    pytest.importorskip("vizdoom")
    from games.maze.source import MazeSource

    engine = MazeSource()
    yield engine
    engine.close()


def test_analytic_depth_is_the_engines(bare):
    """The engine's buffer has 8 bits and walls end at level 127, hence map units = 7.14 * level + 13, give or take 12."""
    from games.maze import source as maze

    height, width = 240, 320
    intrinsics = np.diag([2.5, 2.5, 1]) @ maze.INTRINSICS
    for level in (0, 3):
        bare.reset(level)
        policy = MazePolicy(bare, "explore", seed=level)
        for _ in range(8):
            for _ in range(4):
                bare.step(policy.act())
            shown = bare._game.get_state().depth_buffer
            exact = geometry.depth(bare.level, *bare.position, intrinsics, height, width)
            error = np.abs(exact - (7.14 * shown + 13))[shown < 127]
            assert np.mean(error <= 12) > 0.97 and np.median(error) < 6
            assert (exact[shown == 127] > 860).all()


def test_landmarks_stand_before_the_walls_and_change_nothing_else(source):
    for level in (0, 4):
        source.reset(level)
        policy = MazePolicy(source, "explore", seed=level)
        for _ in range(10):
            for _ in range(3):
                seen = source.step(policy.act())
            empty = geometry.depth(source.level, *source.position, source.intrinsics, *seen.depth.shape)
            x, y, heading = source.position
            ahead = [(tx - x) * np.cos(heading) + (ty - y) * np.sin(heading) for _, tx, ty in source.level.things]
            changed = seen.depth != empty.astype(np.float16)
            assert np.isin(seen.depth[changed], np.float16(ahead)).all()
            wrong = changed & ((seen.depth > empty) | (seen.depth > 960))  # a far wall is no landmark
            assert wrong.mean() < 0.002


def test_pushing_against_a_wall_stops(bare):
    bare.reset(4)
    forward = np.array([1, 0, 0, 0], np.float32)
    x, y, _ = start = bare.position
    for _ in range(130):
        seen = bare.step(forward)
    held = bare.position
    assert np.hypot(held[0] - x, held[1] - y) > 20
    again = bare.step(forward)
    assert np.hypot(bare.position[0] - held[0], bare.position[1] - held[1]) < 0.5
    assert np.array_equal(seen.frame, again.frame)
    assert start[2] == pytest.approx(bare.position[2])
    centre = again.depth[48, 56:72].astype(float)
    assert 10 < centre.min() < 40  # the player is 32 wide: its middle stays 16 from the wall


def test_same_seed_same_frames(source):
    for name in ("explore", "return"):
        first = record_episode(source, MazePolicy, 2, name, 5, 24)
        again = record_episode(source, MazePolicy, 2, name, 5, 24)
        for part in ("frames", "action", "pose", "depth"):
            assert getattr(first, part).tobytes() == getattr(again, part).tobytes()
    assert first.frames.shape[1:] == (1, 96, 128, 3) and np.isfinite(first.depth.astype(np.float32)).all()
    assert set(POLICIES) >= {"explore", "lap", "return", "wander", "push", "idle"}

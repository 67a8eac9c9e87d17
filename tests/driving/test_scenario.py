"""Scenarios: what is asked for happens, the same seed repeats, what cannot be is refused in one line, text is understood."""

from dataclasses import fields, replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ZoetropeError
from driving.scenario import library, text
from driving.scenario import sample as sampling
from driving.scenario.description import ActorSpec, ReplaySpec, TrafficSpec
from driving.scenario.edit import Edit, Move, apply
from driving.scenario.edit import load as load_edit
from driving.scenario.events import COMMON, EVENTS, NOTHING, check
from driving.scenario.sample import sample
from driving.scenario.values import Range
from driving.scene import RATE, Scene

SENTENCES = {
    "A child runs after a ball at dusk in the rain": ("child_with_ball", "rain", "dusk"),
    "car cuts in from the left on a foggy morning": ("cut_in", "fog", "dawn"),
    "a red truck cuts in from the right": ("cut_in", None, None),
    "the lead vehicle brakes hard at night": ("hard_brake_lead", None, "night"),
    "the bus in front slams on the brakes": ("hard_brake_lead", None, None),
    "a jaywalker steps out from behind a parked van": ("jaywalker_behind_van", None, None),
    "a man walks out between parked cars in a snowstorm": ("jaywalker_behind_van", "snow", None),
    "someone jaywalks at night in the snow": ("jaywalker_behind_van", "snow", "night"),
    "a cyclist rides ahead in heavy rain": ("cyclist_at_dusk", "heavy_rain", None),
    "wrong-way driver at night": ("wrong_way_driver", None, "night"),
    "A bus has broken down in our lane": ("stalled_vehicle", None, None),
    "a stationary lorry in thick fog": ("stalled_vehicle", "dense_fog", None),
    "debris on the highway": ("debris", None, None),
    "an ambulance with siren comes from behind": ("ambulance", None, None),
    "a police car races past": ("ambulance", None, None),
    "a deer crosses the road at dawn": ("animal", None, "dawn"),
    "roadworks close our lane": ("closed_lane", None, None),
    "a motorcycle runs a red light": ("red_light_runner", None, None),
    "the low sun blinds the driver": ("sun_glare", None, "low_sun"),
    "traffic crawls through dense fog": ("dense_fog", "dense_fog", None),
    "driving in pouring rain": ("heavy_rain", "heavy_rain", None),
    "snow at night": ("snow_at_night", "snow", "night"),
    "six pedestrians cross the road": ("pedestrian_group_crossing", None, None),
    "a motorcyclist overtakes on the left": ("overtaking_motorcycle", None, None),
    "an oncoming car turns left across our path": ("oncoming_left_turn", None, None),
    "normal driving on a sunny afternoon": ("ordinary", "clear", "day"),
    "rush hour traffic in the rain": ("ordinary", "rain", None),
}


@pytest.mark.parametrize(("sentence", "meant"), SENTENCES.items())
def test_text_is_understood(sentence, meant):
    name, weather, time = meant
    found, base = text.parse(sentence), library.load(name)
    assert found.name == name and found.text == sentence and found.event == base.event
    assert found.weather == ((weather,) if weather else base.weather)
    assert found.time == ((time,) if time else base.time)


def test_text_casts_actors():
    truck = text.parse("a red truck cuts in from the right").actors[0]
    assert truck.category == ("truck",) and truck.lane == "right" and truck.colour is not None and truck.colour[0] > 100
    assert truck.drive.manoeuvres[0].change_lane.to == "left"
    people = text.parse("six pedestrians cross the road").actors[0]
    assert people.category == ("pedestrian",) and people.count.low == people.count.high == 6
    assert text.parse("a lorry breaks down, broken down on an empty road").traffic.vehicles.high == 0
    busy, usual = text.parse("a dog on a busy road").traffic, library.load("animal").traffic
    assert busy.vehicles.high > usual.vehicles.high


def test_text_that_means_nothing_says_what_was_understood():
    with pytest.raises(ZoetropeError, match=r"names no scenario \(understood: weather: rain; time: night\); known: ambulance"):
        text.parse("an elephant dances in the rain at night")


def test_mirroring_twice_changes_nothing():
    for name in library.names():
        description = library.load(name)
        assert text.mirrored(text.mirrored(description)) == description


def test_a_language_models_yaml_is_checked_like_a_users():
    good = "```yaml\ntext: A dog.\nevent: animal\nactors: [{category: animal, ahead: 50, stand: {}}]\n```"
    assert text.parse("a dog", language_model=lambda prompt: good).actors[0].ahead.low == 50
    for bad in ("import os", "text: x\nshell: rm", "text: [", "x" * 30_000, "text: &a x\nevent: *a", "!!python/object:os.x {}"):
        with pytest.raises(ZoetropeError, match="the language model's answer"):
            text.parse("a dog", language_model=lambda prompt, bad=bad: bad)


def test_library_is_complete():
    assert len(library.names()) >= 18
    shown = {library.load(name).event for name in library.names()}
    assert shown == {*EVENTS, NOTHING}
    assert all(library.load(name).text.endswith(".") for name in library.names())


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        ("txt: hello", ["unknown key 'txt'", "known keys: text"]),
        ("event: cut_in", ["missing key 'text'"]),
        ("text: x\nevent: cutin", ["event", "'cutin' is unknown", "cut_in"]),
        ("text: x\nweather: hail", ["weather", "'hail'", "snow"]),
        ("text: x\ntime: [day, teatime]", ["time", "'teatime'"]),
        ("text: x\nroad: {kind: spiral}", ["road: kind", "'spiral'", "straight"]),
        ("text: x\nego: {speed: fast}", ["ego: speed", "a number or {low, high}", "'fast'"]),
        ("text: x\nego: {speed: {low: 3, high: 2}}", ["ego: speed", "low <= high"]),
        ("text: x\nego: {speed: {low: 3}}", ["ego: speed", "missing key 'high'"]),
        ("text: x\nego: {speed: .nan}", ["ego: speed", "finite"]),
        ("text: x\nego: {lane: up}", ["ego: lane", "left"]),
        ("text: x\nego: {trajectory: [[0, 0, 0], [0, 5, 0]]}", ["ego: trajectory", "later"]),
        ("text: x\nactors: [{category: unicorn, stand: {}}]", ["actors[0]: category", "'unicorn'", "car"]),
        ("text: x\nactors: [{category: car}]", ["actors[0]", "exactly one of drive, walk, stand, replay", "none"]),
        ("text: x\nactors: [{category: car, stand: {}, drive: {}}]", ["exactly one", "drive, stand"]),
        ("text: x\nactors: [{category: car, stand: {}, size: [2, -4, 1]}]", ["actors[0]: size: length", "-4"]),
        ("text: x\nactors: [{category: car, stand: {}, count: 1000}]", ["actors[0]: count", "1000"]),
        ("text: x\nactors: [{category: car, stand: {}, colour: mauve}]", ["actors[0]: colour", "'mauve'"]),
        ("text: x\nactors: [{category: car, lane: from_left, drive: {}}]", ["actors[0]: meets"]),
        ("text: x\nactors: [{category: dog, walk: {to: []}}]", ["actors[0]"]),
        ("text: x\ntraffic: {vehicles: -1}", ["traffic: vehicles", "-1"]),
        ("text: x\nrig: {cameras: [{name: A, position: [1, 0, 1.5], yaw: 0, focal: 99}]}", ["rig: camera 'A': focal", "99"]),
        ("text: &a x\nevent: *a", ["aliases"]),
        ("text: x\nweather: []", ["weather", "found none"]),
        ("text: x\nactors: [{category: [], stand: {}}]", ["actors[0]: category", "found none"]),
        ("text: x\nactors: [{category: child, walk: {to: []}}]", ["actors[0]: walk", "found none"]),
        ("text: x\nactors: [{category: car, replay: {points: []}}]", ["actors[0]: replay", "found none"]),
        ("text: x\nactors: [{category: car, replay: {points: [[0, .inf, 0], [1, 0, 0]]}}]", ["replay: points", "finite"]),
        ("- 1", ["mapping"]),
        ("text: [", ["YAML"]),
    ],
)
def test_refuses_with_file_and_field(tmp_path, yaml, words):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml)
    with pytest.raises(ZoetropeError) as error:
        library.load(path)
    line = str(error.value)
    assert "\n" not in line and line.startswith(str(path)) and all(w in line for w in words), line


FRAMES = 120
EMPTY = TrafficSpec(**{f.name: Range(low=0, high=0) for f in fields(TrafficSpec)})
"""No traffic but the scenario's own actors: quick, and every event is theirs."""


@cache
def scene_of(name: str, seed: int) -> Scene:
    return sample(replace(library.load(name), traffic=EMPTY), seed, FRAMES)


@pytest.mark.parametrize("name", library.names())
def test_what_a_scenario_promises_happens(name):
    wanted = library.load(name).event
    for seed in range(3):
        scene = scene_of(name, seed)
        assert len(scene) == FRAMES and scene.scenario == name and scene.name == f"{name}-{seed}" and scene.text
        assert scene.events == check(scene)
        found = {e.name: e for e in scene.events}
        if wanted == NOTHING:
            assert not set(found) - set(COMMON)
            continue
        event = found[wanted]
        assert 0 <= event.frame < FRAMES
        if event.actor is not None:
            assert np.isfinite(scene.tracks[event.actor, event.frame]).all()
            bare = apply(scene, Edit(remove=tuple(range(len(scene.actors)))))
            assert wanted not in {e.name for e in bare.events}


def test_same_seed_same_scene_and_another_seed_another():
    description = library.load("ordinary")
    one, two, other = (sample(description, seed, 30) for seed in (5, 5, 6))
    assert np.array_equal(one.ego, two.ego) and np.array_equal(one.tracks, two.tracks, equal_nan=True)
    assert one.actors == two.actors and one.ambience == two.ambience and one.events == two.events
    assert one.road.name == two.road.name and not np.array_equal(one.ego, other.ego)
    assert len(one.actors) > 3


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        ("ego: {trajectory: [[0, 0, 0], [0.2, 1, 60]]}", ["the ego leaves the road"]),
        ("actors: [{category: car, replay: {points: [[0, 4000, 0], [1, 4010, 0]]}}]", ["actor 0 (car)", "off the map"]),
        ("actors: [{category: car, ahead: 4000, stand: {}}]", ["actors[0]", "4000 m ahead", "off the map"]),
        ("actors: [{category: car, stand: {}}]", ["actor 0 (car) hits the ego"]),
        ("actors: [{category: car, ahead: 30, stand: {}}, {category: van, ahead: 31, stand: {}}]", ["(car)", "(van)", "touch"]),
        ("road: {kind: straight, lanes: 1}\nactors: [{category: car, lane: left, drive: {}}]", ["actors[0]: lane", "'left'"]),
        ("actors: [{category: car, lane: from_left, meets: 0, drive: {}}]", ["actors[0]", "junction"]),
        ("actors: [{category: car, lane: left_edge, drive: {}}]", ["actors[0]: lane", "nobody drives"]),
        ("actors: [{category: car, size: [40, 40, 40], ahead: 60, stand: {}}]", ["actors[0]: actor 0: size"]),
        ("event: animal", ["'animal' does not happen"]),
        ("road: {kind: straight, lanes: 7}", ["road: lanes", "1 to 3"]),
    ],
)
def test_what_cannot_happen_is_named(yaml, words, monkeypatch):
    monkeypatch.setattr(sampling, "ATTEMPTS", 3)
    description = replace(library.parse_yaml(f"text: x\n{yaml}", where="mine.yaml", name="mine"), traffic=EMPTY)
    with pytest.raises(ZoetropeError) as error:
        sample(description, 0, 4)
    line = str(error.value)
    assert "\n" not in line and line.startswith("scenario mine: ") and all(w in line for w in words), line


def test_a_collision_may_be_asked_for():
    yaml = "text: x\ncollision: true\nego: {speed: 8}\nactors: [{category: child, ahead: 3, walk: {to: [{lane: left_edge}]}}]"
    scene = sample(replace(library.parse_yaml(yaml, where="mine.yaml"), traffic=EMPTY), 0, 4)
    assert [a.category for a in scene.actors] == ["child"]


def test_an_explicit_trajectory_is_driven():
    points = "[[0, 0, 0], [2, 16, 0.5], [4, 32, 0.5]]"
    yaml = f"text: x\nroad: {{kind: straight}}\nego: {{trajectory: {points}}}"
    scene = sample(replace(library.parse_yaml(yaml, where="mine.yaml"), traffic=EMPTY), 1, 60)
    way = scene.ego[[0, 20, 40], :2]
    assert np.hypot(*(way[1] - way[0])) == pytest.approx(np.hypot(16, 0.5))
    assert np.hypot(*(way[2] - way[0])) == pytest.approx(np.hypot(32, 0.5))
    assert np.all(scene.ego[41:, 3] == 0) and abs(scene.ego[10, 3] - 8) < 1
    other = scene_of("debris", 0)
    x, y, yaw, _ = other.ego[0]
    driven = apply(other, Edit(trajectory=((0, 0, 0), (2, 16, 0.5), (4, 32, 0.5)))).ego[:, :2] - (x, y)
    ahead, left = (driven @ [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]).T
    assert np.allclose([ahead[20], left[20], ahead[40], left[40]], [16, 0.5, 32, 0.5])


def test_an_edit_that_changes_nothing_changes_nothing():
    scene = scene_of("cut_in", 0)
    same = apply(scene, Edit(name=scene.name))
    assert np.array_equal(same.ego, scene.ego) and np.array_equal(same.tracks, scene.tracks, equal_nan=True)
    assert (same.actors, same.ambience, same.events, same.rig) == (scene.actors, scene.ambience, scene.events, scene.rig)


@settings(max_examples=15, deadline=None)
@given(st.floats(-2, 2), st.floats(-1, 1), st.integers(0, 30))
def test_a_moved_actor_is_moved_and_nobody_else(ahead, left, frames):
    scene = scene_of("child_with_ball", 0)
    edit = Edit(move=(Move(actor=1, ahead=ahead, left=left, later=frames / RATE),), collision=True)
    moved = apply(scene, edit)
    assert np.array_equal(moved.tracks[0], scene.tracks[0]) and np.array_equal(moved.ego, scene.ego)
    assert np.isnan(moved.tracks[1, :frames]).all()
    shift = moved.tracks[1, frames:, :2] - scene.tracks[1, : FRAMES - frames, :2]
    assert np.allclose(np.hypot(*shift.T), np.hypot(ahead, left))


def test_edits_insert_remove_and_change_sky_rig_and_way(tmp_path):
    path = tmp_path / "edit.yaml"
    path.write_text(
        "insert: [{category: animal, ahead: 25, lane: right_edge, offset: -1, stand: {}}]\n"
        "weather: snow\ntime: night\ntrajectory: [[0, 0, 0], [6, 12, 0]]\nname: snowy\n"
        "rig: {cameras: [{name: CAM, position: [1.7, 0, 1.5], yaw: 0, focal: 1.2}]}\n"
    )
    scene = scene_of("hard_brake_lead", 1)
    changed = apply(scene, load_edit(path))
    assert [a.category for a in changed.actors] == [*(a.category for a in scene.actors), "animal"]
    assert [a.id for a in changed.actors] == list(range(len(changed.actors)))
    assert np.array_equal(changed.tracks[0], scene.tracks[0], equal_nan=True)
    assert changed.ambience.snow > 0.3 and changed.ambience.night and changed.name == "snowy" and len(changed.rig.cameras) == 1
    assert np.hypot(*(changed.ego[-1, :2] - changed.ego[0, :2])) == pytest.approx(12)
    only_time = apply(scene, Edit(time="night")).ambience
    assert only_time.night and replace(only_time, sun_elevation=0, sun_azimuth=0) == replace(
        scene.ambience, sun_elevation=0, sun_azimuth=0
    )
    assert apply(changed, Edit(remove=(0,))).actors[0].category == "animal"


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        ("remove: [7]", ["remove", "no actor 7"]),
        ("remove: [0]\nmove: [{actor: 0, left: 1}]", ["actor 0", "both"]),
        ("move: [{actor: 0, forward: 1}]", ["edit.yaml", "move", "forward"]),
        ("weather: hail", ["edit.yaml", "weather", "'hail'"]),
        ("trajectory: [[0, 0, 0], [3, 10, 80]]", ["the ego leaves the road"]),
        ("insert: [{category: car, stand: {}}]", ["hits the ego"]),
        ("move: [{actor: 0, ahead: 9000}]", ["off the map"]),
    ],
)
def test_edits_that_cannot_be_are_refused(tmp_path, yaml, words):
    path = tmp_path / "edit.yaml"
    path.write_text(yaml)
    with pytest.raises(ZoetropeError) as error:
        apply(scene_of("hard_brake_lead", 1), load_edit(path))
    line = str(error.value)
    assert "\n" not in line and all(w in line for w in words), line


def test_nobody_is_put_inside_a_wall():
    scene = next(s for seed in range(3) if (s := scene_of("debris", seed)).road.buildings)
    x, y, yaw = scene.ego[0, :3]
    spot = scene.road.buildings[0].footprint.representative_point()
    ahead, left = np.array([spot.x - x, spot.y - y]) @ [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    points = ((0.0, float(ahead), float(left)), (9.0, float(ahead), float(left) + 0.01))
    inside = ActorSpec(category=("pedestrian",), replay=ReplaySpec(points=points))
    with pytest.raises(ZoetropeError, match=r"\(pedestrian\) is inside a wall after 0.0 s"):
        apply(scene, Edit(insert=(inside,)))

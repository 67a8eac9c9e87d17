"""Scenarios: what is asked for really happens, the same seed repeats, what cannot be is refused in one line, text is understood."""

from dataclasses import fields, replace

import numpy as np
import pytest

from core.errors import ZoetropeError
from driving.scenario import library, text
from driving.scenario.events import EVENTS, NOTHING

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

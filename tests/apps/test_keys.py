"""No key has two meanings, and keys become the right actions."""

import numpy as np
import pytest

from apps.play.controls import BY_KEY, Command, Keys, help_lines
from games.registry import GAMES


@pytest.mark.parametrize("name", GAMES)
def test_no_key_is_bound_twice(name):
    assert len(BY_KEY) == len(Command)
    assert not GAMES[name].keys.names & BY_KEY.keys()
    assert len(sum(help_lines(GAMES[name].keys), [])) == len(GAMES[name].keys.bindings) + len(Command)


@pytest.mark.parametrize("name", GAMES)
def test_every_choice_has_a_key_and_tours_press_known_ones(name):
    game = GAMES[name]
    if len(game.choices) == 1:
        assert {b.value for b in game.keys.bindings} | {game.keys.idle} == set(range(game.choices[0]))
    else:
        assert isinstance(game.keys.idle, tuple) and len(game.keys.idle) == len(game.choices)
    assert {key for pressed, _ in game.tour for key in pressed.split("+") if key} <= game.keys.names


def test_maze_keys_add_up():
    keys = GAMES["maze"].keys
    assert keys.action(()).tolist() == [0, 0, 0, 0] and keys.action(()).dtype == np.float32
    assert keys.action(("w", "right", "space")).tolist() == [1, 0, 1, 1]
    assert keys.action(("w", "up")).tolist() == [1, 0, 0, 0], "two keys of one meaning are one"
    assert keys.action(("w", "s", "p")).tolist() == [0, 0, 0, 0]


def test_crafter_obeys_the_newest():
    keys = GAMES["crafter"].keys
    assert keys.action(Keys(struck=("a", "space"), held=("a",)).all) == 5
    assert keys.action(Keys(held=("d", "a")).all) == 2
    assert keys.action(()) == 0

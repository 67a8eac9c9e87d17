"""Every test of the doors gets the fake world, and a home folder of its own."""

import itertools
from pathlib import Path

import pytest

from apps.play.controls import Keys
from apps.play.dream import Dream
from apps.play.loop import Player
from games import loading, registry
from tests.apps import fakes


@pytest.fixture(autouse=True)
def fake_worlds(monkeypatch, tmp_path):
    real = loading.load

    def load(name, accelerations=None):
        return fakes.loaded(name) if name in registry.GAMES else real(name, accelerations)

    monkeypatch.setattr(loading, "load", load)
    monkeypatch.setattr(registry.Game, "make_source", lambda self, config=None: fakes.FakeSource())
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)


@pytest.fixture
def make_player(tmp_path):
    def make(world="maze", log=None, replay=None, **options) -> Player:
        dream = Dream(fakes.loaded(world), 0, 0, log=(log.append if log is not None else lambda entry: None))
        ticks = itertools.count()
        return Player(dream, tmp_path / "saves", tmp_path / "videos", replay=replay, clock=lambda: next(ticks) / 100, **options)

    return make


@pytest.fixture
def press():
    """Strike keys, one after another, each in a frame of its own; the last view."""

    def press(player: Player, *names: str, held: tuple[str, ...] = ()):
        return [player.tick(Keys(struck=(name,), held=held)) for name in names][-1]

    return press

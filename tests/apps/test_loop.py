"""Keys in, views out: everything a player can do, without a window."""

import numpy as np
import pytest

from apps.play.controls import Keys
from apps.play.dream import Dream
from apps.play.log import Entry, Header, KeyLog, Recorded, read
from apps.play.replay import Replay
from core.errors import ZoetropeError
from tests.apps import fakes

HEADER = Header(world="maze", weights="f" * 64, seed=0, start=0, steps=2, torch="0", threads=1)


def test_walks_and_shows(make_player):
    player = make_player()
    view = player.tick(Keys(held=("w", "d")))
    assert view.frame.shape == (fakes.HEIGHT, fakes.WIDTH, 3) and view.moved
    assert player.dream.branch.session.states[0, :2].tolist() == [5, 9]
    assert view.hud.number == 1 and view.hud.tokens == 512 and view.hud.milliseconds["imagine"] == 10
    assert view.memory is None and view.engine is None


def test_pause_stops_time_and_rests(make_player, press):
    player = make_player()
    view = press(player, "p")
    assert view.label == "paused" and not view.moved and player.resting(Keys())
    assert not player.tick(Keys(held=("w",))).moved
    assert press(player, "p").moved and not player.resting(Keys())


def test_a_game_of_turns_waits_for_keys(make_player):
    player = make_player("minigrid")
    assert not player.tick(Keys()).moved and player.resting(Keys())
    assert player.tick(Keys(struck=("a",))).moved


def test_rewind_shows_what_was_there(make_player):
    player = make_player()
    frames = [player.tick(Keys(held=("d",))).frame for _ in range(10)]
    view = player.tick(Keys(held=("backspace",)))
    assert np.array_equal(view.frame, frames[7]) and view.hud.number == 8
    assert player.dream.branch.session.number == 10, "the session itself waits until the key is let go"
    for _ in range(10):
        view = player.tick(Keys(held=("backspace",)))
    assert view.hud.number == 0 and "nothing further back" in view.message
    assert np.array_equal(view.frame, fakes.loaded().starts[0].frames[-1, 0])
    view = player.tick(Keys(held=("a",)))
    assert player.dream.branch.session.number == 1 and player.dream.branch.session.states[0, 0] == 3


def test_fork_and_flip(make_player, press):
    player = make_player()
    press(player, "a")
    fork = press(player, "tab", held=("d",))  # the frame of the strike already belongs to the new branch
    assert fork.hud.branch == "B of 2"
    back = player.tick(Keys(struck=("tab", "p")))
    assert back.hud.branch == "A of 2" and back.hud.number == 1
    assert player.tick(Keys(struck=("delete",))).hud.branch == ""
    assert "no other branch" in player.tick(Keys(struck=("delete",))).message


def test_save_and_restore_within_and_after_a_session(make_player, press, tmp_path):
    player = make_player()
    assert "nothing was saved" in press(player, "p", "f9").message
    player.tick(Keys(struck=("p",), held=("d",)))
    saved = player.tick(Keys(struck=("f5", "p")))
    assert "saved to" in saved.message
    player.tick(Keys(struck=("p",), held=("w",)))
    restored = player.tick(Keys(struck=("p", "f9")))
    assert np.array_equal(restored.frame, saved.frame) and restored.hud.number == 1

    later = make_player()
    view = press(later, "p", "f9")
    assert np.array_equal(view.frame, saved.frame) and later.dream.branch.session.number == 1
    assert later.dream.branch.actions is not None and len(later.dream.branch.actions) == 1

    file = next((tmp_path / "saves").glob("*.safetensors"))
    file.with_suffix(".json").unlink()
    assert press(make_player(), "p", "f9", "g").message.startswith("the engine cannot follow")
    file.write_bytes(file.read_bytes()[:-5])
    assert "damaged" in press(make_player(), "p", "f9").message


def test_new_world_steps_memory_help_and_leaving(make_player, press):
    player = make_player()
    assert press(player, "r").hud.number == 1 and player.dream.branch.start == 1 and player.dream.seed == 1
    assert press(player, "page down").hud.steps == 1 and press(player, "page down").hud.steps == 1
    assert press(player, "page up", "page up").hud.steps == 4
    assert not press(player, "n").hud.memory_on
    assert player.dream.branch.session.used == {"spatial": False, "packed": False}
    press(player, "r")
    assert player.dream.branch.session.steps == 4 and player.dream.branch.session.used["spatial"] is False
    view = press(player, "h", "m")
    assert view.help and view.memory is not None and view.memory_panel
    press(player, "escape")
    assert player.leaving


def test_the_end_of_an_episode_stops_and_can_be_undone(make_player, press):
    player = make_player()
    for _ in range(70):
        view = player.tick(Keys(held=("d", "right")))
    assert view.label == "the end" and player.resting(Keys()) and player.dream.frames == 28
    assert player.tick(Keys(struck=("backspace",))).hud.number == 26
    for _ in range(5):
        view = player.tick(Keys(held=("d", "right")))
    assert view.label == "the end"
    assert press(player, "r").label == ""


def test_engine_follows_every_turn_of_events(make_player, press):
    player = make_player(patient=True)
    player.tick(Keys(held=("d",)))
    view = press(player, "g", held=("w",))
    assert view.engine is not None and view.engine.frame is not None and len(view.engine.curve) == 1
    for keys in (Keys(held=("a",)), Keys(held=("backspace",)), Keys(struck=("tab",)), Keys(struck=("tab",), held=("d",))):
        view = player.tick(keys)
        if "backspace" in keys.held:
            assert "waits" in view.engine.text
            continue
        dot = player.dream.branch.session.states[0, :2]
        assert view.engine.frame is not None
        y, x = np.argwhere(view.engine.frame.min(-1) == 255)[0]
        assert [x, y] == dot.tolist()
    view = press(player, "r")
    assert view.engine.frame is not None and "mean" in view.engine.text
    assert press(player, "g").engine is None


def test_engine_that_shows_another_place_is_said_and_dropped(make_player, press, monkeypatch):
    class Elsewhere(fakes.FakeSource):
        def step(self, action):
            seen = super().step(action)
            seen.frame[:] = 255 - seen.frame
            return seen

    player = make_player()
    monkeypatch.setattr(type(player.game), "make_source", lambda self, config=None: Elsewhere())
    view = press(player, "g")
    assert view.engine is None and "another place" in view.message


def _script(rng, count=300):
    """Random but repeatable play, with every key that changes the dream."""
    names = ["w", "a", "s", "d", "left", "right", "backspace"]
    special = ["tab", "delete", "f5", "f9", "r", "page up", "page down", "n"]
    for _ in range(count):
        struck = (str(rng.choice(special)),) if rng.random() < 0.15 else ()
        yield Keys(struck, tuple(rng.choice(names, rng.integers(3), replace=False).tolist()))


@pytest.mark.parametrize("seed", range(5))
def test_every_log_replays_to_identical_frames(make_player, tmp_path, seed):
    player = make_player()
    log = KeyLog(tmp_path / "log.jsonl", HEADER)
    player.dream.log = log.write
    frames = [player.tick(keys).frame for keys in _script(np.random.default_rng(seed))]
    log.close(player.dream.frames, player.dream.digest)
    assert player.dream.frames > 100 and len({f.tobytes() for f in frames}) > 50

    recorded = read(tmp_path / "log.jsonl")
    assert recorded.header == HEADER and recorded.frames == player.dream.frames
    dream = Dream(fakes.loaded(), 0, 0, writes=False)
    replay = Replay(dream, recorded)
    while replay.advance():
        pass
    assert dream.digest == player.dream.digest
    assert replay.verdict().identical and "identical" in replay.verdict().text


def test_a_changed_log_says_where_it_differs(make_player, tmp_path):
    entries: list[Entry] = []
    player = make_player(log=entries)
    for _ in range(10):
        player.tick(Keys(held=("w",)))
    entries[6] = Entry("step", {"action": [0.0, 1.0, 0.0, 0.0]}, entries[6].check)
    again = make_player()
    again.replay = Replay(again.dream, Recorded(tmp_path / "x", HEADER, tuple(entries), (10, player.dream.digest)))
    for _ in range(11):
        view = again.tick(Keys(struck=("w",)))
    assert view.label == "end of the log" and "from frame 7 of 10" in view.message
    assert "takes no keys" in again.tick(Keys(struck=("r",))).message


def test_bad_logs_are_named(tmp_path):
    log = KeyLog(tmp_path / "a.jsonl", HEADER)
    log.write(Entry("step", {"action": 1}, "abc"))
    log.close(1, "d")
    whole = (tmp_path / "a.jsonl").read_text()
    with pytest.raises(ZoetropeError, match="never overwritten"):
        KeyLog(tmp_path / "a.jsonl", HEADER)
    cases = {
        "": "not a zoetrope-keys-1",
        "{}\n": "not a zoetrope-keys-1",
        "nonsense\n": "line 1 is not JSON",
        whole.replace('"seed": 0', '"seed": "x"'): "seed",
        whole + '{"hm": 1}\n': "line 4",
        whole + "[]\n": "line 4",
    }
    for text, message in cases.items():
        (tmp_path / "b.jsonl").write_text(text)
        with pytest.raises(ZoetropeError, match=message):
            read(tmp_path / "b.jsonl")
    (tmp_path / "b.jsonl").write_text(whole[:-10])  # cut off by a crash
    cut = read(tmp_path / "b.jsonl")
    assert cut.end is None and cut.frames == 1
    for entry in (Entry("__init__", {}), Entry("step", {"wrong": 1})):
        with pytest.raises(ZoetropeError, match="key log"):
            Dream(fakes.loaded(), 0, 0).perform(entry)


@pytest.mark.parametrize("seed", range(2))
def test_playing_ahead_shows_and_logs_the_same(make_player, seed):
    """A dream that runs ahead imagines what one that waits does, and says so in the same log."""
    logs: list[list[Entry]] = [[], []]
    players = [make_player(log=log) for log in logs]
    players[1].dream.ahead = True
    for keys in _script(np.random.default_rng(seed), 120):
        keys = Keys(tuple(k for k in keys.struck if k not in ("f5", "f9")), keys.held)
        views = [player.tick(keys) for player in players]
        assert views[0].label == views[1].label or "backspace" in keys.held
    players[1].dream.settle()
    steps = [[e for e in log if e.do == "step"] for log in logs]
    assert steps[0] == steps[1] and players[0].dream.digest == players[1].dream.digest

"""Drawing needs no display, keeps pixels crisp and fits its canvas."""

import numpy as np
import pytest

from apps.play import draw
from apps.play.canvas import to_array
from apps.play.controls import Keys
from apps.play.recorder import Recorder
from core.episodes.video import read_video
from games.registry import GAMES


def test_pixels_are_enlarged_whole(make_player):
    player = make_player()
    view = player.tick(Keys())
    size = draw.size(view, 7)
    assert draw.scale_for(view, size) == 7
    picture = to_array(draw.compose(view, size, player.game.keys))
    assert picture.shape == (size[1], size[0], 3)
    inside = picture[draw.GAP : draw.GAP + 24 * 7, draw.GAP : draw.GAP + 32 * 7]
    assert np.array_equal(inside, view.frame.repeat(7, 0).repeat(7, 1))


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("size", [(80, 60), (320, 200), (900, 500)])
def test_everything_at_once_at_any_size(make_player, press, name, size):
    player = make_player(name)
    player.say("something long " * 20)
    view = press(player, "w", "g", "m", "h", "v", "tab", "p")
    picture = draw.compose(view, size, player.game.keys)
    assert picture.get_size() == size


def test_video_keeps_its_size_while_panels_come_and_go(make_player, press, tmp_path):
    player = make_player()
    recorder = Recorder(player.game.keys, 25)
    for key in ("w", "v", "w", "m", "g", "w", "v", "w"):
        recorder.see(press(player, key))
    recorder.close()
    (path,) = (tmp_path / "videos").glob("*.mp4")
    frames, rate = read_video(path)
    assert len(frames) == 5 and rate == 25

"""Videos come back as they went in, and appear whole or not at all."""

import numpy as np
import pytest

from core.episodes.video import GifWriter, VideoWriter, read_video, writer
from core.errors import ZoetropeError


def colours(count: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, 1, 1, 3), np.uint8) * np.ones((1, height, width, 1), np.uint8)


@pytest.mark.parametrize("size", [(64, 96), (65, 97)])
def test_round_trip(tmp_path, size):
    frames = colours(6, *size)
    with VideoWriter(tmp_path / "a.mp4", 12.5) as writer:
        for frame in frames:
            writer.add(frame)
    back, rate = read_video(tmp_path / "a.mp4")
    assert rate == 12.5 and len(back) == 6
    assert np.abs(back[:, : size[0], : size[1]].astype(int) - frames).mean() < 4


def test_an_error_or_no_frame_leaves_no_file(tmp_path):
    with pytest.raises(KeyError), VideoWriter(tmp_path / "a.mp4", 25) as writer:
        writer.add(colours(1, 16, 16)[0])
        raise KeyError
    with VideoWriter(tmp_path / "b.mp4", 25):
        pass
    assert not list(tmp_path.iterdir())


def test_the_ending_decides_the_format(tmp_path):
    with writer(tmp_path / "a.gif", 10) as gif:
        for frame in colours(3, 16, 24):
            gif.add(frame)
    assert isinstance(gif, GifWriter) and (tmp_path / "a.gif").read_bytes()[:4] == b"GIF8"
    assert isinstance(writer(tmp_path / "a.mp4", 10), VideoWriter)


def test_bad_files_are_named(tmp_path):
    (tmp_path / "x.mp4").write_text("no video")
    for name in ("x.mp4", "none.mp4"):
        with pytest.raises(ZoetropeError, match=name):
            read_video(tmp_path / name)
    (tmp_path / "file").touch()
    with pytest.raises(ZoetropeError, match="cannot be written"):
        VideoWriter(tmp_path / "file" / "a.mp4", 25)

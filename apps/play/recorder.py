"""Record what is drawn: follows the view's wish to be filmed, always at the same size, whatever the window does."""

from __future__ import annotations

from pathlib import Path

from apps.play import draw
from apps.play.canvas import to_array
from apps.play.loop import View
from core.episodes.video import VideoWriter
from games.keys import KeyMap

SCALE = 4
"""How much a frame is enlarged in a video."""


class Recorder:
    """Opens, feeds and closes the video that `View.video` names."""

    def __init__(self, keys: KeyMap, rate: float):
        self._keys, self._rate = keys, rate
        self._writer: VideoWriter | None = None
        self._path: Path | None = None
        self._size = (0, 0)

    def see(self, view: View) -> None:
        """Call with every view."""
        if view.video != self._path:
            self.close()
            self._path = view.video
            if view.video is not None:
                self._writer = VideoWriter(view.video, self._rate)
                self._size = draw.size(view, scale(view))
        if self._writer is not None and view.moved:
            self._writer.add(to_array(draw.compose(view, self._size, self._keys)))

    def close(self) -> None:
        """Finish a video that is being made."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def scale(view: View) -> int:
    """An enlargement that gives small and large worlds a video of similar height."""
    return max(1, round(96 * SCALE / view.frame.shape[0]))

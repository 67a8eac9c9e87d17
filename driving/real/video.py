"""Video files frame by frame: when each frame was filmed, and some of them, without holding all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError

from core.errors import ZoetropeError

SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".hevc", ".h264", ".ts")
"""Files that are taken for videos."""


@dataclass(frozen=True, slots=True)
class Video:
    """A video file of N frames."""

    path: Path
    width: int
    height: int
    times: np.ndarray
    """float64 (N,) seconds since the first frame."""
    stamps: np.ndarray | None = None
    """int64 (N,) the file's own time stamps, rising, by which it can be entered anywhere; None for a bare stream."""

    @staticmethod
    def open(path: Path) -> Video:
        """Read what a video holds without decoding it. ZoetropeError when it is no video, cut short, or empty."""
        try:
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                width, height = stream.codec_context.width, stream.codec_context.height
                rate = float(stream.average_rate or 0)
                packets = [p.pts for p in container.demux(stream) if p.size and not p.is_discard]
                base = float(stream.time_base or 0)
        except (FFmpegError, IndexError, OSError) as error:
            raise ZoetropeError(f"{path}: not readable as a video ({error})") from None
        if not packets or not width:
            raise ZoetropeError(f"{path}: a video without frames")
        stamps = np.unique([p for p in packets if p is not None])
        if len(stamps) == len(packets) and base:
            return Video(path, width, height, (stamps - stamps[0]) * base, stamps.astype(np.int64))
        if rate:  # a bare stream, without a clock
            return Video(path, width, height, np.arange(len(packets)) / rate)
        raise ZoetropeError(f"{path}: says neither when its frames were filmed nor how many there are a second")


AHEAD = 100
"""Frames that are rather decoded than leapt over."""


class Frames:
    """Frames of a video by their number. Those of a bare stream are all decoded up to the wanted one."""

    def __init__(self, video: Video):
        self.video = video
        self._frames: Iterator[tuple[int, av.VideoFrame]] = iter(())
        self._last = -1

    def read(self, numbers: np.ndarray) -> Iterator[np.ndarray]:
        """uint8 (H, W, 3) of each number, in rising order. ZoetropeError where the file is damaged."""
        for number in map(int, numbers):
            leap = number > self._last + AHEAD and self.video.stamps is not None
            if number <= self._last or self._last < 0 or leap:
                self._frames = self._decode(number)
            found = next((pair for pair in self._frames if pair[0] >= number), None)
            if found is None or found[0] != number:
                raise ZoetropeError(f"{self.video.path}: damaged video: frame {number} of {len(self.video.times)} is missing")
            self._last, frame = found
            yield frame.to_ndarray(format="rgb24")

    def _decode(self, number: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Frames with their numbers, from the key frame before one, or from the first."""
        stamps = self.video.stamps
        try:
            with av.open(str(self.video.path)) as container:
                stream = container.streams.video[0]
                if stamps is None:
                    yield from enumerate(container.decode(stream))
                    return
                container.seek(int(stamps[number]), stream=stream)
                for frame in container.decode(stream):
                    if frame.pts is not None:
                        yield int(np.searchsorted(stamps, frame.pts)), frame
        except (FFmpegError, IndexError, OSError) as error:
            raise ZoetropeError(f"{self.video.path}: damaged video ({error})") from None

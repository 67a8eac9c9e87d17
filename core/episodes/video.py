"""Video files: frames in, an MP4 out that any player shows; and back again."""

from __future__ import annotations

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import ZoetropeError
from core.files import atomic_path

CODECS = ("libx264", "mpeg4")
"""Tried in this order: H.264 where the installed FFmpeg has it."""


class VideoWriter:
    """Write uint8 (H, W, 3) RGB frames to `path`. The file appears whole, on `close`; an error inside `with` leaves none.

    Odd heights and widths gain a repeated last row or column, which 4:2:0 colour needs.
    """

    def __init__(self, path: str | Path, rate: float):
        try:
            import av
        except ImportError:
            raise ZoetropeError("writing video needs PyAV; run: pip install av") from None
        self.path, self.rate, self.frames = Path(path), rate, 0
        self._av = av
        self._stack = ExitStack()
        self._container: Any = None
        self._stream: Any = None
        try:
            self._temporary = self._stack.enter_context(atomic_path(self.path))
        except OSError as error:
            raise ZoetropeError(f"{self.path}: cannot be written ({error.strerror})") from None

    def add(self, frame: np.ndarray) -> None:
        """Append one frame; all have the size of the first."""
        height, width = frame.shape[:2]
        frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        container = self._container or self._open(*frame.shape[:2])
        picture = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        for packet in self._stream.encode(picture):
            container.mux(packet)
        self.frames += 1

    def close(self) -> None:
        """Finish the file. Without a single frame there is nothing to write, and no file."""
        if self._container is None:
            self.discard()
            return
        container, self._container = self._container, None
        for packet in self._stream.encode():
            container.mux(packet)
        container.close()
        self._stack.close()

    def discard(self) -> None:
        """Leave no file."""
        if self._container is not None:
            self._container.close()
            self._container = None
        failure = ZoetropeError("discarded")  # atomic_path removes its file when its block fails
        self._stack.__exit__(ZoetropeError, failure, None)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def _open(self, height: int, width: int) -> Any:
        from av.error import FFmpegError

        self._container = self._av.open(str(self._temporary), "w", format="mp4")
        for codec in CODECS:
            try:
                self._stream = self._container.add_stream(codec, rate=Fraction(self.rate).limit_denominator(1000))
                break
            except (FFmpegError, ValueError):  # this build of FFmpeg lacks the encoder
                continue
        else:
            raise ZoetropeError(f"{self.path}: the installed FFmpeg has none of the encoders {', '.join(CODECS)}")
        self._stream.height, self._stream.width, self._stream.pix_fmt = height, width, "yuv420p"
        self._stream.bit_rate = 4_000_000
        if self._stream.codec_context.name == "libx264":
            self._stream.options = {"preset": "veryfast", "crf": "18"}
            self._stream.bit_rate = 0
        return self._container


class GifWriter:
    """Write uint8 (H, W, 3) RGB frames as a looping GIF, for pages that show no video. The file appears whole, on `close`."""

    def __init__(self, path: str | Path, rate: float):
        self.path, self.rate = Path(path), rate
        self._frames: list[np.ndarray] = []

    def add(self, frame: np.ndarray) -> None:
        self._frames.append(np.ascontiguousarray(frame[..., ::-1]))

    def close(self) -> None:
        import cv2

        if not self._frames:
            return
        animation = cv2.Animation()
        animation.frames = self._frames
        animation.durations = [round(1000 / self.rate)] * len(self._frames)
        try:
            with atomic_path(self.path) as temporary:
                if not cv2.imwriteanimation(str(temporary), animation):
                    raise ZoetropeError(f"{self.path}: the installed OpenCV writes no GIF")
        except OSError as error:
            raise ZoetropeError(f"{self.path}: cannot be written ({error.strerror})") from None

    def __enter__(self) -> GifWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is None:
            self.close()


def writer(path: Path, rate: float) -> VideoWriter | GifWriter:
    """The writer for a file's ending: .gif, or a video."""
    return GifWriter(path, rate) if path.suffix.lower() == ".gif" else VideoWriter(path, rate)


def read_video(path: str | Path) -> tuple[np.ndarray, float]:
    """All frames of a video as uint8 (T, H, W, 3) RGB, and its frames a second."""
    import av
    from av.error import FFmpegError

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            rate = float(stream.average_rate or 0)
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    except (FFmpegError, IndexError, OSError) as error:
        raise ZoetropeError(f"{path}: not readable as a video ({error})") from None
    if not frames:
        raise ZoetropeError(f"{path}: a video without frames")
    return np.stack(frames), rate

"""Play a key log again, frame by frame, and compare every frame with what the log says it was."""

from __future__ import annotations

from dataclasses import dataclass

from apps.play.dream import CHECK_DIGITS, Dream
from apps.play.log import Recorded


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a finished replay found."""

    frames: int
    identical: bool | None
    """None when the log holds nothing to compare with."""
    text: str


class Replay:
    """Steps a dream by the entries of a log."""

    def __init__(self, dream: Dream, recorded: Recorded):
        self.dream, self.recorded = dream, recorded
        self._entries = iter(recorded.entries)
        self.done = False
        self.first_difference: int | None = None
        """The first frame that was not the logged one, counted from 1."""

    def advance(self) -> bool:
        """Perform entries until a frame was imagined. False when the log has no further one."""
        for entry in self._entries:
            self.dream.perform(entry)
            if entry.do == "step":
                differs = entry.check and entry.check != self.dream.digest[:CHECK_DIGITS]
                if differs and self.first_difference is None:
                    self.first_difference = self.dream.frames
                return True
        self.done = True
        return False

    def verdict(self) -> Verdict:
        frames, end = self.dream.frames, self.recorded.end
        if self.first_difference is not None:
            text = f"differs from frame {self.first_difference} of {self.recorded.frames} on"
            return Verdict(frames, False, text + self._why())
        if not self.done:
            return Verdict(frames, None, f"{frames} of {self.recorded.frames} frames replayed, all identical")
        if end is None:
            return Verdict(frames, True, f"{frames} frames, identical; the log lacks its end (the session was cut off)")
        if end != (frames, self.dream.digest):
            return Verdict(frames, False, f"{frames} frames, but the log had {end[0]}, or other ones" + self._why())
        return Verdict(frames, True, f"{frames} frames, identical")

    def _why(self) -> str:
        import torch

        header = self.recorded.header
        if header.torch != torch.__version__:
            return f" (recorded with torch {header.torch}, this is {torch.__version__})"
        return f" (recorded on {header.machine} with {header.threads} threads)"

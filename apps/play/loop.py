"""The loop of playing: keys in, what to show out. Knows no window and draws nothing.

`Player.tick` is called once a frame with the keyboard and returns a `View`; a window, a video or a test takes it from there.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from apps.play.controls import BY_KEY, Command, Keys
from apps.play.dream import Dream, Shown
from apps.play.engine import Engine, psnr
from apps.play.replay import Replay
from core.errors import ZoetropeError

if TYPE_CHECKING:
    from core.streaming.session import MemoryView

REWIND_FRAMES = 2
"""Frames gone back for every frame that the rewind key is held. Going back shows frames that are still kept; the session itself
rewinds once, when the key is let go."""
STEPS = (1, 2, 4)
MESSAGE_SECONDS = 4.0
CURVE = 240
"""Frames of the difference curve."""
THE_END = "the end"
"""The label of an episode that is over."""
_IN_REPLAY = {Command.PAUSE, Command.VIDEO, Command.MEMORY, Command.ENGINE, Command.HELP, Command.LEAVE}


@dataclass(frozen=True, slots=True)
class Hud:
    """The figures of the frame."""

    fps: float
    milliseconds: dict[str, float]
    """Stage to the time it took: memory, imagine, decode, draw; engine while it runs."""
    steps: int
    tokens: int
    megabytes: float
    keyframes: int
    number: int
    """Frames since the start of this world."""
    reward: float
    memory_on: bool
    branch: str


@dataclass(frozen=True, slots=True)
class Beside:
    """The real engine's panel."""

    frame: np.ndarray | None
    """uint8 (H, W, 3), or None while it catches up."""
    text: str
    curve: tuple[float, ...] = ()
    """PSNR in decibel of the last compared frames."""


@dataclass(frozen=True, slots=True)
class View:
    """Everything there is to draw."""

    frame: np.ndarray
    """uint8 (H, V W, 3): the cameras side by side."""
    hud: Hud
    moved: bool
    """Whether the dream changed since the last view."""
    memory: MemoryView | None
    memory_panel: bool
    engine: Beside | None
    message: str
    label: str
    """Why time stands still, if it does."""
    help: bool
    video: Path | None
    """Where frames are being recorded to."""


@dataclass(slots=True)
class Difference:
    """Running comparison of dream and engine."""

    total: float = 0.0
    count: int = 0
    curve: deque[float] = field(default_factory=lambda: deque(maxlen=CURVE))

    def add(self, value: float) -> None:
        self.total, self.count = self.total + value, self.count + 1
        self.curve.append(value)

    @property
    def mean(self) -> float:
        return self.total / max(1, self.count)


class Player:
    """One player at one keyboard, or a replay of one. `saves` and `videos` are folders; nothing is written unasked."""

    def __init__(
        self,
        dream: Dream,
        saves: Path,
        videos: Path,
        replay: Replay | None = None,
        clock: Callable[[], float] = time.monotonic,
        patient: bool = False,
    ):
        self.dream, self.replay = dream, replay
        self.game = dream.loaded.game
        self.rate = dream.loaded.world.config.rate
        """Frames a second at which it is comfortable to play; a faster machine waits."""
        self.leaving = False
        self._saves, self._videos, self._clock = saves, videos, clock
        self._engine_seconds = float("inf") if patient else 0.03
        self._back = 0
        """How many frames before the newest one is shown, while the rewind key is held."""
        self._paused = self._help = self._memory_panel = False
        self._engine: Engine | None = None
        self._difference = Difference()
        self._identity: int | None = None
        self._message, self._message_until = "", 0.0
        self._video: Path | None = None
        self._times: deque[float] = deque(maxlen=30)
        self._milliseconds: dict[str, float] = {}

    def tick(self, keys: Keys) -> View:
        """One frame: obey the keys, imagine at most one frame, and say what to draw."""
        before = (self.dream.frames, self.dream.branch.identity, self._back)
        if self.replay is None and (Command.REWIND.key not in keys.all or self._struck_other(keys)):
            self._attempt(self._finish_rewind)
        for key in keys.struck:
            if (command := BY_KEY.get(key)) is not None:
                self._attempt(lambda command=command: self._obey(command))
        self._attempt(lambda: self._go(keys))
        moved = before != (self.dream.frames, self.dream.branch.identity, self._back)
        if moved:
            self._times.append(self._clock())
        return self._view(moved)

    def resting(self, keys: Keys) -> bool:
        """Whether nothing will change before another key is pressed: time to wait for one, not to spin."""
        if self.leaving or (self._engine is not None and self._engine.left):
            return False
        if self._back and self.replay is None:
            return False
        return bool(self._label()) or (self.replay is None and self.game.waits and not self._playing_keys(keys))

    def say(self, text: str) -> None:
        """Show one line for a few seconds."""
        self._message, self._message_until = text, self._clock() + MESSAGE_SECONDS

    def took(self, stage: str, seconds: float) -> None:
        """Note what a stage outside this loop cost."""
        self._milliseconds[stage] = seconds * 1000

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _attempt(self, act: Callable[[], None]) -> None:
        """What cannot be done is said in the window; playing goes on."""
        try:
            act()
        except ZoetropeError as error:
            self.say(str(error))

    def _go(self, keys: Keys) -> None:
        if self.replay is not None:
            if not self._label() and not self.replay.advance():
                self.say(f"replay: {self.replay.verdict().text}")
            return
        if Command.REWIND.key in keys.all:
            self.dream.settle()
            kept = len(self.dream.branch.recent) - 1
            if self._back == kept:
                raise ZoetropeError("there is nothing further back")
            self._back = min(kept, self._back + REWIND_FRAMES)
        elif not self._label():
            pressed = self._playing_keys(keys)
            if pressed or not self.game.waits:
                shown = self.dream.step(self.game.keys.action(pressed))
            else:
                shown = self.dream.settle()
            if shown.over:
                self.say("the episode ended here: R for a new world, Backspace to go back")
        else:
            self.dream.settle()

    def _finish_rewind(self) -> None:
        """The rewind key was let go: the session goes back as far as was shown."""
        frames, self._back = self._back, 0
        if frames:
            self.dream.rewind(frames)

    def _struck_other(self, keys: Keys) -> bool:
        return any(key in BY_KEY and key != Command.REWIND.key for key in keys.struck)

    def _playing_keys(self, keys: Keys) -> tuple[str, ...]:
        return tuple(key for key in keys.all if key in self.game.keys.names)

    def _obey(self, command: Command) -> None:
        if self.replay is not None and command not in _IN_REPLAY:
            self.say("a replay takes no keys but P, V, M, G, H and Esc")
            return
        act = {
            Command.PAUSE: self._pause,
            Command.NEW: self._new,
            Command.SAVE: self._save,
            Command.RESTORE: self._restore,
            Command.BRANCH: self._branch,
            Command.FORGET: self._forget,
            Command.VIDEO: self._toggle_video,
            Command.MEMORY: self._toggle_memory_panel,
            Command.ENGINE: self._toggle_engine,
            Command.REMEMBER: self._toggle_memory,
            Command.MORE_STEPS: lambda: self._change_steps(1),
            Command.FEWER_STEPS: lambda: self._change_steps(-1),
            Command.HELP: self._toggle_help,
            Command.LEAVE: self._leave,
        }.get(command)
        if act is not None:  # rewinding is not an event but a state of its key
            act()

    def _pause(self) -> None:
        self._paused = not self._paused

    def _toggle_help(self) -> None:
        self._help = not self._help

    def _toggle_memory_panel(self) -> None:
        self._memory_panel = not self._memory_panel

    def _leave(self) -> None:
        self.leaving = True

    def _new(self) -> None:
        start = (self.dream.branch.start + 1) % len(self.dream.loaded.starts)
        self.dream.new(start, self.dream.seed + 1)

    def _branch(self) -> None:
        if len(self.dream.branches) == 1:
            self.dream.fork()
            self.say("forked: Tab flips between the branches, Delete forgets the other one")
        else:
            self.dream.flip()

    def _forget(self) -> None:
        if len(self.dream.branches) == 1:
            raise ZoetropeError("there is no other branch; Tab forks one")
        self.dream.forget()
        self.say("the other branch is forgotten")

    def _save(self) -> None:
        file = self._saves / f"{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 1_000_000_000:09d}.safetensors"
        try:
            self.dream.save(str(file))
        except OSError as error:
            raise ZoetropeError(f"{file}: cannot be written ({error.strerror})") from None
        self.say(f"saved to {file}")

    def _restore(self) -> None:
        if self.dream.last_save is not None:
            file = self.dream.last_save[0]
        else:
            files = sorted(self._saves.glob("*.safetensors"))
            if not files:
                raise ZoetropeError("nothing was saved yet; F5 saves")
            file = str(files[-1])
        self.dream.restore(file)
        self.say(f"restored {Path(file).name}")

    def _toggle_memory(self) -> None:
        self.dream.remember(not self.dream.memory)
        self.say("memory on" if self.dream.memory else "memory off: only the last frames are known")

    def _change_steps(self, by: int) -> None:
        now = self.dream.branch.session.steps
        nearest = min(range(len(STEPS)), key=lambda i: abs(STEPS[i] - now))
        self.dream.set_steps(STEPS[max(0, min(len(STEPS) - 1, nearest + by))])

    def _toggle_video(self) -> None:
        if self._video is not None:
            self.say(f"video: {self._video}")
            self._video = None
        else:
            name = f"{Path(self.dream.loaded.name).name}-{time.strftime('%Y%m%d-%H%M%S')}"
            self._video = self._videos / f"{name}-{time.time_ns() % 1000:03d}.mp4"

    def _toggle_engine(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        else:
            self._engine = Engine(self.game.make_source)
            self._difference = Difference()

    @property
    def _shown(self) -> Shown:
        return self.dream.branch.recent[-1 - self._back]

    def _label(self) -> str:
        if self.replay is not None and self.replay.done:
            return "end of the log"
        if self._paused:
            return "paused"
        return THE_END if self._shown.over and self.replay is None else ""

    def _view(self, moved: bool) -> View:
        branch = self.dream.branch
        session, shown = branch.session, self._shown
        engine = self._beside(moved)
        stages = {**session.timings, **self._milliseconds}
        if engine is None:
            stages.pop("engine", None)
        held = session.held
        if self._clock() >= self._message_until:
            self._message = ""
        spent = self._times[-1] - self._times[0] if len(self._times) > 1 else 0.0
        return View(
            frame=np.concatenate(list(shown.frame), axis=1),
            hud=Hud(
                fps=(len(self._times) - 1) / spent if spent > 0 else 0.0,
                milliseconds=stages,
                steps=session.steps,
                tokens=held["tokens"],
                megabytes=held["bytes"] / 1e6,
                keyframes=held["keyframes"],
                number=session.number - self._back,
                reward=shown.reward,
                memory_on=self.dream.memory,
                branch=f"{'AB'[self.dream.current]} of 2" if len(self.dream.branches) > 1 else "",
            ),
            moved=moved,
            memory=session.memory_view() if self._memory_panel else None,
            memory_panel=self._memory_panel,
            engine=engine,
            message=self._message,
            label=self._label(),
            help=self._help,
            video=self._video,
        )

    def _beside(self, moved: bool) -> Beside | None:
        """Let the engine follow, and compare."""
        if self._engine is None:
            return None
        if self._back:
            return Beside(None, "the engine waits while you rewind")
        branch = self.dream.branch
        begun = time.perf_counter()
        try:
            if branch.actions is None:
                raise ZoetropeError("the engine cannot follow: this save has lost the notes of what led to it")
            start = self.dream.loaded.starts[branch.start]
            frame = self._engine.follow(start, branch.actions, branch.identity, self._engine_seconds)
        except ZoetropeError as error:
            self.say(str(error))
            self._engine.close()
            self._engine = None
            return None
        self.took("engine", time.perf_counter() - begun)
        if frame is None:
            return Beside(None, f"the engine catches up: {self._engine.left} frames left")
        if branch.identity != self._identity:
            self._identity, self._difference = branch.identity, Difference()
            moved = True
        if moved and branch.actions:
            self._difference.add(psnr(frame, branch.shown.frame[0]))
        curve = tuple(self._difference.curve)
        if not curve:
            return Beside(frame, "real engine")
        return Beside(frame, f"real engine  {curve[-1]:.1f} dB, mean {self._difference.mean:.1f} dB", curve)

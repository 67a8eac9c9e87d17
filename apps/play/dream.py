"""A played session: branches, saves and the log. Everything that decides which frames come is a method here and is logged,
so that performing the logged entries again gives the same frames. No keys, no window, no clock."""

from __future__ import annotations

import base64
import hashlib
import inspect
import itertools
import json
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from apps.play.log import Entry
from core.errors import ZoetropeError
from core.files import write_text
from games.keys import Action
from games.loading import Loaded

if TYPE_CHECKING:
    from core.streaming.session import Frame, Session

KEPT = 65
"""Frames that stay visible for rewinding: as far as a session rewinds, and the one before."""
CHECK_DIGITS = 8
_identities = itertools.count()


@dataclass(frozen=True, slots=True)
class Shown:
    """One frame as it was shown."""

    frame: np.ndarray
    """uint8 (V, H, W, 3)."""
    reward: float = 0.0
    """Sum since the start."""
    over: bool = False
    """The world says that the episode ended here."""


@dataclass(slots=True)
class Branch:
    """One line of events."""

    session: Session
    start: int
    """Which start it began from."""
    recent: deque[Shown]
    """The last frames, the newest at the right."""
    actions: list[Action] | None = field(default_factory=list)
    """Everything done since the start; None when not known (a save whose notes are missing)."""
    identity: int = field(default_factory=lambda: next(_identities))
    """Changes whenever `actions` changes other than by growing."""

    @property
    def shown(self) -> Shown:
        return self.recent[-1]

    def copy(self) -> Branch:
        actions = None if self.actions is None else list(self.actions)
        return Branch(self.session.fork(), self.start, deque(self.recent, maxlen=KEPT), actions)


class Dream:
    """What is imagined. `log` is called with every entry; `writes` False (a replay) leaves no save files.

    With `ahead` a frame is imagined while the one before is still being decoded, so that two cores work at once; what a step
    shows is then the frame before its own, and `settle` shows the newest. Which frames come is the same either way.
    """

    def __init__(
        self,
        loaded: Loaded,
        start: int,
        seed: int,
        steps: int | None = None,
        log: Callable[[Entry], None] = lambda entry: None,
        writes: bool = True,
        ahead: bool = False,
    ):
        self.loaded, self.log, self.writes, self.ahead = loaded, log, writes, ahead
        self.frames = 0
        self.memory = True
        self.last_save: tuple[str, Branch] | None = None
        self._digest = hashlib.sha256()
        self._steps = steps
        self._coming: tuple[Future[Frame], Action] | None = None
        """The frame on its way, and the action that led to it."""
        self._taken: dict[bytes, np.ndarray] = {}
        """Each distinct action once: there are few, and hours of play remember all they did."""
        self._open(start, seed)

    @property
    def branch(self) -> Branch:
        return self.branches[self.current]

    @property
    def digest(self) -> str:
        """SHA-256 of all frames imagined so far, in the order they were shown."""
        return self._digest.hexdigest()

    def perform(self, entry: Entry) -> None:
        """Do what a log says was done."""
        known = ("step", "rewind", "fork", "flip", "forget", "new", "set_steps", "remember", "save", "restore")
        if entry.do not in known:
            raise ZoetropeError(f"key log: nothing is called '{entry.do}'; was it written by another version?")
        method = getattr(self, entry.do)
        try:
            inspect.signature(method).bind(**entry.values)
        except TypeError as error:
            raise ZoetropeError(f"key log: '{entry.do}' with other values than this version knows ({error})") from None
        method(**entry.values)

    def step(self, action: Action | list[float]) -> Shown:
        """Imagine the frame after `action`."""
        if isinstance(action, (list, np.ndarray)):
            vector = np.array(action, np.float32)
            taken: Action = self._taken.setdefault(vector.tobytes(), vector)
        else:
            taken = int(action)
        following = (self.branch.session.submit(taken), taken)
        self.settle()
        self._coming = following
        return self.branch.shown if self.ahead else self.settle()

    def settle(self) -> Shown:
        """Wait for the frame that is on its way, if one is, and show it."""
        branch = self.branch
        if self._coming is None:
            return branch.shown
        coming, taken = self._coming
        self._coming = None
        out = coming.result()
        over = branch.shown.over or bool(out.terminated)
        branch.recent.append(Shown(out.frame, branch.shown.reward + float(out.reward), over))
        if branch.actions is not None:
            branch.actions.append(taken)
        self.frames += 1
        self._digest.update(np.ascontiguousarray(out.frame).data)
        plain = taken.tolist() if isinstance(taken, np.ndarray) else taken
        self.log(Entry("step", {"action": plain}, self.digest[:CHECK_DIGITS]))
        return branch.shown

    def rewind(self, frames: int) -> None:
        """Go back. ZoetropeError when that is further than the session keeps."""
        self.settle()
        branch = self.branch
        if len(branch.recent) <= frames:
            raise ZoetropeError("there is nothing further back")
        branch.session.rewind(frames=frames)
        for _ in range(frames):
            branch.recent.pop()
        if branch.actions is not None:
            del branch.actions[-frames:]
        branch.identity = next(_identities)
        self.log(Entry("rewind", {"frames": frames}))

    def fork(self) -> None:
        """Begin a second branch here and go on in it; the first stays as it is."""
        self.settle()
        if len(self.branches) > 1:
            raise ZoetropeError("there are two branches already")
        self.branches.append(self.branch.copy())
        self.current = 1
        self.log(Entry("fork", {}))

    def flip(self) -> None:
        """Go on in the other branch."""
        self.settle()
        self.current = (self.current + 1) % len(self.branches)
        self.log(Entry("flip", {}))

    def forget(self) -> None:
        """Keep only the branch that is shown."""
        self.settle()
        self.branches, self.current = [self.branch], 0
        self.log(Entry("forget", {}))

    def new(self, start: int, seed: int) -> None:
        """Leave this place and begin at another start."""
        self.settle()
        self._open(start, seed)
        self.log(Entry("new", {"start": start, "seed": seed}))

    def set_steps(self, steps: int) -> None:
        """Denoising steps a frame from now on, in all branches."""
        self.settle()
        self._steps = steps
        for branch in self.branches:
            branch.session.steps = steps
        self.log(Entry("set_steps", {"steps": steps}))

    def remember(self, on: bool) -> None:
        """Switch the memories on or off."""
        self.settle()
        self.memory = on
        for branch in self.branches:
            branch.session.use(spatial=on, packed=on)
        self.log(Entry("remember", {"on": on}))

    def save(self, file: str) -> None:
        """Save this moment to a new file, with notes beside it that let the real engine follow."""
        self.settle()
        branch = self.branch
        if self.writes:
            notes = {
                "start": branch.start,
                "reward": branch.shown.reward,
                "over": branch.shown.over,
                "frame": [_to_png(camera) for camera in branch.shown.frame],
                "actions": None
                if branch.actions is None
                else [a.tolist() if isinstance(a, np.ndarray) else a for a in branch.actions],
            }
            write_text(_notes(file), json.dumps(notes))
            branch.session.save(file)
        self.last_save = (file, branch.copy())
        self.log(Entry("save", {"file": file}))

    def restore(self, file: str, sha256: str = "") -> None:
        """Go on from a save: the one made in this session, or a file of an earlier one."""
        self.settle()
        if self.last_save is not None and self.last_save[0] == file:
            branch = self.last_save[1].copy()
        else:
            found = _file_digest(file)
            if sha256 and found != sha256:
                raise ZoetropeError(f"{file}: the save is not the one that the key log restored")
            sha256, branch = found, self._resume(file)
        self.branches[self.current] = branch
        branch.session.use(spatial=self.memory, packed=self.memory)
        self.log(Entry("restore", {"file": file, "sha256": sha256}))

    def _open(self, start: int, seed: int) -> None:
        if not 0 <= start < len(self.loaded.starts):
            raise ZoetropeError(f"start {start}: this world has starts 0 to {len(self.loaded.starts) - 1}")
        self.seed = seed
        context = self.loaded.starts[start]
        session = self.loaded.world.open(context, seed=seed)
        if self._steps is not None:
            session.steps = self._steps
        if not self.memory:
            session.use(spatial=False, packed=False)
        self.branches = [Branch(session, start, deque([Shown(context.frames[-1])], maxlen=KEPT))]
        self.current = 0

    def _resume(self, file: str) -> Branch:
        session = type(self.loaded.world).resume(file, self.loaded.world)
        try:
            notes = json.loads(_notes(file).read_text())
            frame = np.stack([_from_png(camera) for camera in notes["frame"]])
            shown = Shown(frame, float(notes["reward"]), bool(notes["over"]))
            actions = notes["actions"]
            if actions is not None:
                actions = [np.array(a, np.float32) if isinstance(a, list) else int(a) for a in actions]
            return Branch(session, int(notes["start"]), deque([shown], maxlen=KEPT), actions)
        except (OSError, ValueError, KeyError, TypeError, cv2.error):  # the save stands for itself; only comforts are lost
            return Branch(session, self.branch.start, deque([Shown(self.branch.shown.frame)], maxlen=KEPT), None)


def _notes(file: str) -> Path:
    return Path(file).with_suffix(".json")


def _file_digest(file: str) -> str:
    try:
        with open(file, "rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise ZoetropeError(f"{file}: cannot be restored ({error.strerror})") from None


def _to_png(frame: np.ndarray) -> str:
    return base64.b64encode(cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))[1].tobytes()).decode()


def _from_png(text: str) -> np.ndarray:
    frame = cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_COLOR)
    if frame is None:
        raise ValueError("not a picture")
    return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)

"""The key log of a session: enough to imagine every frame of it again, and to notice when they differ.

JSON lines. First a header: which world with which weights, from which start, with which seed. Then one line for everything
that was done: a step with its action and the first eight digits of the running SHA-256 over all frames shown, or what else
changed the dream (rewind, fork, ...). Last an end line with the whole digest. A log cut off by a crash lacks that last line and
replays up to where it ends.
"""

from __future__ import annotations

import json
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.config import from_dict
from core.errors import ZoetropeError

FORMAT = "zoetrope-keys-1"
_FLUSH_SECONDS = 1.0


def state_folder() -> Path:
    """Where sessions leave their logs, saves and videos."""
    return Path.home() / ".local" / "state" / "zoetrope"


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What a session began with."""

    world: str
    weights: str
    """SHA-256 of the weights."""
    seed: int
    start: int
    """Which of the world's starts."""
    steps: int
    """Denoising steps a frame."""
    torch: str
    threads: int
    """Sums are added in an order that depends on it, so it decides the last bits of every frame."""
    machine: str = f"{platform.system()} {platform.machine()}"
    accelerations: tuple[dict, ...] = ()
    """What the world had put on."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was done: `do` names a method of `apps.play.dream.Dream`."""

    do: str
    values: dict[str, Any]
    check: str = ""
    """After a step: the first digits of the digest of all frames so far."""


class KeyLog:
    """Append what happens to a file. `path` None writes nowhere."""

    def __init__(self, path: Path | None, header: Header):
        self.path = path
        self._file = None
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = path.open("x", encoding="utf-8")
            except FileExistsError:
                raise ZoetropeError(f"{path}: exists; a key log is never overwritten, name another file") from None
            except OSError as error:
                raise ZoetropeError(f"{path}: cannot be written ({error.strerror})") from None
        self._flushed = time.monotonic()
        self._line({"format": FORMAT, **asdict(header)})
        if self._file is not None:
            self._file.flush()

    def write(self, entry: Entry) -> None:
        """Note one thing. At most a second of play is lost in a crash."""
        self._line({"do": entry.do, **entry.values, **({"check": entry.check} if entry.check else {})})
        if self._file is not None and time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self._file.flush()
            self._flushed = time.monotonic()

    def close(self, frames: int, digest: str) -> None:
        """Write the end line."""
        if self._file is not None:
            self._line({"end": frames, "sha256": digest})
            self._file.close()
            self._file = None

    def _line(self, data: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(data) + "\n")


@dataclass(frozen=True, slots=True)
class Recorded:
    """A log read back."""

    path: Path
    header: Header
    entries: tuple[Entry, ...]
    end: tuple[int, str] | None
    """Frames and digest; None when the session was cut off."""

    @property
    def frames(self) -> int:
        return sum(entry.do == "step" for entry in self.entries)


def read(path: Path) -> Recorded:
    """Read a key log. ZoetropeError naming the line that is not understood; an unfinished last line is left out."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise ZoetropeError(f"{path}: no such key log") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ZoetropeError(f"{path}: not readable as a key log ({error})") from None
    whole = lines[:-1]  # what follows the last line end is either nothing or a line cut short
    parsed = [_parse(path, number, line) for number, line in enumerate(whole, 1)]
    if not parsed or parsed[0].get("format") != FORMAT:
        raise ZoetropeError(f"{path}: not a {FORMAT} file")
    parsed[0].pop("format")
    header = from_dict(Header, parsed[0], where=f"{path}: line 1")
    end, entries = None, []
    for number, line in enumerate(parsed[1:], 2):
        if "end" in line:
            end = (line["end"], str(line.get("sha256")))
        elif isinstance(line.get("do"), str):
            entries.append(Entry(line.pop("do"), check=line.pop("check", ""), values=line))
        else:
            raise ZoetropeError(f"{path}: line {number} says nothing that can be replayed")
    return Recorded(path, header, tuple(entries), end)


def _parse(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        data = json.loads(line)
    except json.JSONDecodeError:
        raise ZoetropeError(f"{path}: line {number} is not JSON") from None
    if not isinstance(data, dict):
        raise ZoetropeError(f"{path}: line {number} is not a JSON object")
    return data

"""Results as they come in, one JSON line each, so that a run that was cut off goes on where it stopped.

A line is written in one piece and flushed to the disk; a half line at the end (`kill -9` while writing) is cut away on opening.
The file's name carries a fingerprint of everything that decides the results: another setting never reuses old ones.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from core.errors import ZoetropeError


class Ledger:
    """An append-only file of rows, each with a unique `key`."""

    def __init__(self, folder: Path, name: str, settings: Any):
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:12]
        self.path = folder / f"{name}-{digest}.jsonl"
        self.rows: dict[str, dict[str, Any]] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            whole = self._read()
            self._file = open(self.path, "ab")  # noqa: SIM115 - open as long as the ledger
            self._file.truncate(whole)
        except OSError as error:
            raise ZoetropeError(f"{self.path}: cannot be written ({error.strerror})") from None

    def add(self, key: str, row: dict[str, Any]) -> None:
        """Keep a result, on disk when this returns."""
        self._file.write(json.dumps({"key": key, **row}).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.rows[key] = row

    def close(self) -> None:
        self._file.close()

    def _read(self) -> int:
        """Load all whole lines; returns how many bytes they take."""
        if not self.path.exists():
            return 0
        whole = 0
        for line in self.path.read_bytes().splitlines(keepends=True):
            try:
                row = json.loads(line)
                key = row.pop("key")
            except (ValueError, AttributeError, KeyError):
                break
            if not line.endswith(b"\n"):
                break
            self.rows[key] = row
            whole += len(line)
        return whole

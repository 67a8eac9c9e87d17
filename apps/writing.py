"""What every command that writes says when it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import ZoetropeError


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """A folder that cannot be written, or a full disk, becomes one clear line."""
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        raise ZoetropeError(f"{where}: cannot be written ({error.strerror or error}); what is finished is kept") from None

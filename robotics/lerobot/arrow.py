"""Between our arrays and the columns of a Parquet file. Apache Arrow is needed for LeRobot datasets only, hence loaded late."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import ZoetropeError
from robotics.lerobot.layout import Feature, width_of


def load() -> tuple[Any, Any]:
    """The modules `pyarrow` and `pyarrow.parquet`."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ZoetropeError("LeRobot datasets need pyarrow; run: pip install 'zoetrope[lerobot]'") from None
    return pyarrow, pyarrow.parquet


def schema(features: dict[str, Feature], metadata: dict[str, str] | None = None) -> Any:
    """Arrow's types of these columns, as LeRobot expects them: single numbers plain, several as lists of one size."""
    pa, _ = load()

    def kind(feature: Feature) -> Any:
        if feature["dtype"] == "image":
            return pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        single = {"bool": pa.bool_(), "string": pa.string()}.get(feature["dtype"]) or getattr(pa, feature["dtype"])()
        return single if width_of(feature) == 1 else pa.list_(single, width_of(feature))

    return pa.schema([(name, kind(feature)) for name, feature in features.items()], metadata)


def column(values: Any, kind: Any) -> Any:
    """An Arrow array of this type from numbers (T,) or (T, N), strings, or the bytes of image files."""
    pa, _ = load()
    if pa.types.is_struct(kind):
        return pa.array([{"bytes": data, "path": None} for data in values], kind)
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(pa.array(np.ravel(values), kind.value_type), kind.list_size)
    return pa.array(np.ravel(values) if isinstance(values, np.ndarray) else values, kind)


def numbers(table: Any, name: str) -> np.ndarray:
    """Values (T, N) of a numeric column; N is 1 for single numbers."""
    pa, _ = load()
    parts = [c.flatten() if pa.types.is_nested(c.type) else c for c in table.column(name).chunks]
    return np.concatenate([p.to_numpy(zero_copy_only=False) for p in parts]).reshape(table.num_rows, -1)


def read_table(path: Path, **options: Any) -> Any:
    """A Parquet file as a table. Raises ZoetropeError in one line where it is missing or damaged."""
    pa, pq = load()
    try:
        # a folder's name with '=' in it would otherwise become a column
        table = pq.read_table(path, partitioning=None, use_threads=False, page_checksum_verification=True, **options)
        table.validate(full=True)
        str(table.schema)  # names and texts that are no text are damage too
        return table
    except FileNotFoundError:
        raise ZoetropeError(f"{path}: missing; the dataset is not whole, copy or write it again") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ZoetropeError(f"{path}: damaged ({_line(error)}); copy or write it again") from None


def writer(path: Path, schema: Any) -> Any:
    """Writes tables of this schema to a Parquet file, a row group each, with checksums."""
    _, pq = load()
    return pq.ParquetWriter(path, schema, write_page_checksum=True)


def read_metadata(path: Path, key: str) -> Any:
    """JSON that is written under `key` beside a file's columns, None without; raises as `read_table` does."""
    pa, pq = load()
    try:
        found = (pq.read_schema(path).metadata or {}).get(key.encode())
        return None if found is None else json.loads(found)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ZoetropeError(f"{path}: damaged ({_line(error)}); delete it and write its episodes again") from None


def _line(error: Exception) -> str:
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__

"""Parquet files as LeRobot's library writes them, by pyarrow alone; it is loaded when the first one is written."""

import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from syncsvc.errors import UsageError

_INDEX = "__index_level_0__"


def require_tables() -> None:
    """Look for what is needed here, before minutes are spent on decoding.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import_module("pyarrow.parquet")
    except ImportError as error:
        raise UsageError(f"--lerobot needs pyarrow ({error}): install syncsvc[export]") from error


class RowFile:
    """A file that grows by groups of rows.

    Args:
        path: where; its folder is made.
        columns: by name their type: ``int64``, ``float32``, or ``int64[N]`` for so many in each row.
    """

    def __init__(self, path: Path, columns: Mapping[str, str]) -> None:
        self._arrow: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")
        self._schema = self._arrow.schema([(name, self._type(kind)) for name, kind in columns.items()])
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        self._writer = parquet.ParquetWriter(self._file, self._schema, compression="snappy")

    def _type(self, kind: str) -> Any:
        scalar, _, length = kind.partition("[")
        value = getattr(self._arrow, scalar)()
        return self._arrow.list_(value, int(length.rstrip("]"))) if length else value

    @property
    def size_bytes(self) -> int:
        """Of what is written."""
        return self._file.tell()

    def add(self, rows: Mapping[str, Sequence[Any]]) -> None:
        """Append rows, column by column."""
        self._writer.write_table(self._arrow.Table.from_pydict(dict(rows), schema=self._schema))

    def close(self) -> None:
        """The file is whole."""
        if not self._file.closed:
            try:
                self._writer.close()
            finally:
                self._file.close()


def write_table(path: Path, columns: Mapping[str, Sequence[Any]], index: str | None = None) -> None:
    """Write a whole file; types are those of the values.

    Args:
        path: where; its folder is made.
        columns: by name.
        index: the column that pandas takes for the rows' names; it is called as pandas calls one without a name.
    """
    arrow: Any = import_module("pyarrow")
    parquet: Any = import_module("pyarrow.parquet")
    table = arrow.table({_INDEX if name == index else name: values for name, values in columns.items()})
    if index is not None:
        about = {"index_columns": [_INDEX], "column_indexes": [], "columns": [
            {"name": None if name == index else name, "field_name": _INDEX if name == index else name,
             "pandas_type": "unicode" if name == index else "int64",
             "numpy_type": "object" if name == index else "int64", "metadata": None} for name in columns
        ], "creator": {"library": "pyarrow", "version": arrow.__version__}, "pandas_version": "2.0.0"}  # fmt: skip
        table = table.replace_schema_metadata({"pandas": json.dumps(about)})
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        parquet.write_table(table, file, compression="snappy")

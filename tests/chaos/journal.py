"""What writers were told is committed: a file outside the cluster, on disk before the writer goes on."""

import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import orjson

Change = tuple[str, int, list[object] | None]  # table, key, the row's other columns or None where it is gone


@dataclass
class Expected:
    """The rows of the two tables after every acknowledged commit: kind and body of items, name of kinds."""

    items: dict[int, list[object]] = field(default_factory=dict[int, list[object]])
    kinds: dict[int, list[object]] = field(default_factory=dict[int, list[object]])

    def documents(self) -> dict[int, str]:
        """Return the texts as the document query renders them."""
        names = {key: row[0] for key, row in self.kinds.items()}
        return {key: f"{names[row[0]]}: {row[1]}" for key, row in self.items.items() if row[0] in names}  # pyright: ignore[reportArgumentType]


class Journal:
    """Acknowledged commits, a line each, in the order in which a writer learned of its own; writers own their keys."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab", buffering=0)
        self._lock = threading.Lock()

    def acknowledge(self, changes: Iterable[Change]) -> None:
        """Keep a commit."""
        line = orjson.dumps(list(changes)) + b"\n"
        with self._lock:
            self._file.write(line)
            os.fdatasync(self._file.fileno())

    def replay(self) -> Expected:
        """Return what the tables must hold."""
        expected = Expected()
        with self._path.open("rb") as lines:
            for line in lines:
                for table, key, row in orjson.loads(line):
                    rows: dict[int, list[object]] = getattr(expected, table)
                    if row is None:
                        rows.pop(key, None)
                    else:
                        rows[key] = row
        return expected

    def close(self) -> None:
        """Close the file."""
        self._file.close()

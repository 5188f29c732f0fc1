"""Old and new rows from the WAL as the JSON that rules are asked with, the same as the triggers write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from vsync_engine.capture.pgoutput import UNCHANGED, Tuple


@dataclass(frozen=True)
class Images:
    """columns: name, place in the row, whether it is JSON. by_row: a row under another key is another row."""

    columns: tuple[tuple[str, int, bool], ...]
    by_row: bool

    def of(self, old: Tuple | None, new: Tuple | None) -> orjson.Fragment:
        """Return {"old": {…} or null, "new": {…} or null}."""
        whole = None if new is None else self.completed(new, old)
        rows = {"old": self._values(old), "new": self._values(whole)}
        return orjson.Fragment(orjson.dumps(rows))

    def completed(self, new: Tuple, old: Tuple | None) -> Tuple:
        """Return a new row with what the update did not touch taken from the old one."""
        if old is None or UNCHANGED not in new:
            return new
        return [before if after is UNCHANGED else after for after, before in zip(new, old, strict=True)]

    def _values(self, row: Tuple | None) -> Mapping[str, object] | None:
        if row is None:
            return None
        return {name: _value(row[i], is_json) for name, i, is_json in self.columns}


def _value(part: bytes | None, is_json: bool) -> object:
    if part is None or part is UNCHANGED:
        return None
    # as text any other type is read by its input function
    return orjson.Fragment(part) if is_json else part.decode()

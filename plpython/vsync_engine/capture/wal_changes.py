"""Log rows from the messages of whole transactions, as the logical slot tells them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import orjson

from vsync_engine.capture.pgoutput import (
    UNCHANGED,
    Begin,
    Commit,
    Delete,
    Insert,
    Message,
    Relation,
    Truncate,
    Tuple,
    Update,
)
from vsync_engine.capture.row_images import Images

Key = tuple["str | None", ...]
LogRow = dict[str, object]

_TOGETHER = 1000  # keys of one log row
_BATCH = 20  # log rows of one statement


@dataclass(frozen=True)
class Feed:
    """What of a table's changed rows goes into the log: a tuple of columns, when one of the watched ones changed.

    images: columns whose values go along for rules; json: those of them that are JSON. by_row: the tuple is the primary
    key.
    """

    id: int
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    images: tuple[str, ...] = ()
    json: frozenset[str] = frozenset()
    by_row: bool = True


@dataclass(frozen=True)
class _Place:
    """A feed and where its columns are in the rows of a Relation message."""

    feed: int
    keys: tuple[int, ...]
    columns: tuple[int, ...]
    images: Images | None = None


@dataclass
class _Pack:
    at: int
    keys: dict[Key, None] = field(default_factory=dict[Key, None])
    imaged: list[tuple[Key, orjson.Fragment]] = field(default_factory=list[tuple[Key, orjson.Fragment]])


class Changes:
    """Log rows from the messages of whole transactions; `emit` takes them in batches, feed by feed.

    start: LSN below which commits are in the log. visible: whether the transaction of an xid is.
    """

    def __init__(
        self,
        feeds: Mapping[int, list[Feed]],
        start: int,
        visible: Callable[[int], bool],
        emit: Callable[[int, list[LogRow]], None],
    ) -> None:
        self.end = start
        self.at: int | None = None
        self.transactions = 0
        self.keys = 0
        self.review: set[int] = set()
        self._feeds = feeds
        self._start = start
        self.visible = visible
        self._emit = emit
        self._places: dict[int, list[_Place]] = {}
        self._full: dict[int, bool] = {}
        self._packs: dict[tuple[int, str], _Pack] = {}
        self._rows: dict[int, list[LogRow]] = {}
        self._skip = False
        self._time = 0
        self._xid = 0
        self._imaged: set[tuple[int, str]] = set()

    def add(self, message: Message | None) -> bool:
        """Take a message; False at a transaction that is not visible yet: neither it nor what follows may be taken."""
        if isinstance(message, Relation):
            self._place(message)
        elif isinstance(message, Begin):
            self._skip = message.lsn < self._start
            self._time = message.time
            self._xid = message.xid
            return self._skip or self.visible(message.xid)
        elif self._skip:
            pass
        elif isinstance(message, Update):
            self._update(message)
        elif isinstance(message, Insert):
            for place in self._places.get(message.relation, ()):
                self._note(place, "I", _key(place, message.new, None), None, message.new)
        elif isinstance(message, Delete):
            for place in self._places.get(message.relation, ()):
                self._note(place, "D", _key(place, message.old, None), message.old, None)
        elif isinstance(message, Truncate):
            for feed in {place.feed for relation in message.relations for place in self._places.get(relation, ())}:
                self._write(feed, {"op": "T", "at": self._time, "keys": None})
        elif isinstance(message, Commit):
            self._commit(message)
        return True

    def _commit(self, message: Commit) -> None:
        self.end, self.at = message.end, message.time
        self.transactions += 1
        for pack in list(self._imaged):  # rules are asked about a transaction's change
            self._close(*pack)

    def flush(self) -> None:
        """Emit what is left."""
        for feed, op in list(self._packs):
            self._close(feed, op)
        for feed, rows in self._rows.items():
            if rows:
                self._emit(feed, rows)
        self._rows = {}

    def _update(self, message: Update) -> None:
        full = self._full.get(message.relation, False)
        old, new = message.old, message.new
        for place in self._places.get(message.relation, ()):
            if full and old is not None and all(new[i] is UNCHANGED or new[i] == old[i] for i in place.columns):
                continue
            key = _key(place, new, old)
            before = None if old is None else _key(place, old, None)
            if old is None or before == key:
                self._note(place, "U", key, old, new)
            elif place.images is not None and place.images.by_row:
                self._note(place, "U", before, old, None)
                self._note(place, "U", key, None, place.images.completed(new, old))
            else:
                self._note(place, "U", key, old, new)
                self._note(place, "U", before, old, new)

    def _note(self, place: _Place, op: str, key: Key | None, old: Tuple | None, new: Tuple | None) -> None:
        if key is None:
            self.review.add(place.feed)
            return
        pack = self._packs.get((place.feed, op))
        if pack is None:
            pack = self._packs[place.feed, op] = _Pack(self._time)
        if place.images is None:
            pack.keys[key] = None
        else:
            pack.imaged.append((key, place.images.of(old, new)))
            self._imaged.add((place.feed, op))
        if len(pack.keys) + len(pack.imaged) >= _TOGETHER:
            self._close(place.feed, op)

    def _close(self, feed: int, op: str) -> None:
        pack = self._packs.pop((feed, op))
        keys = list(pack.keys) or [key for key, _ in pack.imaged]
        self.keys += len(keys)
        row: LogRow = {"op": op, "at": pack.at, "keys": [key[0] if len(key) == 1 else key for key in keys]}
        if pack.imaged:
            row |= {"images": [image for _, image in pack.imaged], "source": str(self._xid)}
            self._imaged.discard((feed, op))
        self._write(feed, row)

    def _write(self, feed: int, row: LogRow) -> None:
        rows = self._rows.setdefault(feed, [])
        rows.append(row)
        if len(rows) >= _BATCH:
            self._emit(feed, rows)
            self._rows[feed] = []

    def _place(self, relation: Relation) -> None:
        index = {name: i for i, name in enumerate(relation.columns)}
        identity = {name for name, key in zip(relation.columns, relation.key, strict=True) if key}
        full = relation.identity == "f"
        self._full[relation.oid] = full
        places: list[_Place] = []
        self._places[relation.oid] = places
        for feed in self._feeds.get(relation.oid, ()):
            if not all(name in index and (full or name in identity) for name in feed.keys):
                self.review.add(feed.id)  # renamed since, or of an identity that does not tell old values
                continue
            if feed.images and not full:
                self.review.add(feed.id)  # rules cannot be asked about rows that are not told
                continue
            columns = tuple(index[name] for name in feed.columns if name in index)
            imaged = tuple((name, index[name], name in feed.json) for name in feed.images if name in index)
            images = Images(imaged, feed.by_row) if feed.images else None
            places.append(_Place(feed.id, tuple(index[name] for name in feed.keys), columns, images))


def _key(place: _Place, row: Tuple, old: Tuple | None) -> Key | None:
    """Return the feed's columns of a row; what was not touched is taken from `old`. None where they are not known."""
    key: list[str | None] = []
    for i in place.keys:
        part = row[i]
        if part is UNCHANGED:
            if old is None or old[i] is UNCHANGED:
                return None
            part = old[i]
        key.append(None if part is None else part.decode())
    return tuple(key)

"""Reads the logical slot into the log: peek, write the rows and the position, commit, advance.

A commit record can be read before its transaction is visible to others. Its documents would then be rendered from the
old rows, so reading stops before a transaction that a snapshot taken after the peek does not see yet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from vsync_engine import statements
from vsync_engine.claim import transaction
from vsync_engine.host import Host, HostError, Row, Statement, value
from vsync_engine.images import Images
from vsync_engine.pgoutput import (
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
    parse,
)

Key = tuple["str | None", ...]
LogRow = dict[str, object]

_TOGETHER = 1000  # keys of one log row
_BATCH = 20  # log rows of one statement
_CHUNK = 256 * 1024 * 1024  # bytes of WAL read in one transaction; doubled while a transaction is longer
_REST = 3.0  # a look is followed by a rest of so many times its length
_UNUSED = 1.0  # seconds between looks where no embedding captures by WAL
_ADVANCE = 1.0  # seconds between advances of the slot
_IDLE = ((1 << 16, 5.0), (1 << 10, 30.0))  # bytes of others' WAL and seconds after which the slot is advanced over them
_INSPECT = 30.0  # seconds between comparisons of the publication with what it should be
_RETRY = 5.0  # seconds the slot is left alone after a failure
_BUSY = "55006"
_LOST = frozenset({"42704", "55000", "58P01"})  # publication gone, slot invalid, WAL removed


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


def visibility(snapshot: str) -> Callable[[int], bool]:
    """Return what tells whether a snapshot, in its text form, sees the transaction of a 32-bit xid."""
    oldest, following, running = snapshot.split(":")
    lowest, beyond = int(oldest), int(following)
    active = {int(xid) for xid in running.split(",") if xid}

    def visible(xid: int) -> bool:
        distance = (xid - beyond) & 0xFFFFFFFF
        if distance < 0x80000000:
            return False
        full = beyond + distance - 0x100000000
        return full < lowest or full not in active

    return visible


@dataclass(frozen=True)
class _Read:
    """What one transaction has read. at: commit time of its last change, None if all there was is read."""

    changes: Changes
    end: int
    at: int | None


class Reader:
    """One session's part in reading the slot; sessions take turns, by a lock held for a transaction."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._seen = 0  # nothing of ours begins below this LSN and is not in the log
        self._confirmed = 0
        self._chunk = _CHUNK
        self._failed = False
        self._next = 0.0
        self._let_go = 0
        self._advanced = 0.0
        self._inspected = 0.0

    def look(self, *, urgent: bool = False) -> bool:
        """Do what there is to do about the slot; True if something came of it. Rests between looks unless urgent."""
        start = time.monotonic()
        if start < self._next and not urgent:
            return False
        self._next = start
        try:
            worked = self._attend(eager=urgent and not self._failed)
        except HostError as error:
            worked = self._give_way(error)
        end = time.monotonic()
        self._next = max(self._next, end + _REST * (end - start))
        return worked

    def target(self) -> int | None:
        """Return a position behind all that is committed; None if no embedding captures by WAL."""
        return self._value(statements.WAL_TARGET)

    def reached(self, target: int | None) -> bool:
        """Tell whether the log has everything up to a position, or this session has failed to get there."""
        return target is None or bool(self._value(statements.WAL_REACHED, target, self._seen, not self._failed))

    def _attend(self, *, eager: bool) -> bool:
        duty = self._value(statements.WAL_DUTY, self._seen, eager)
        if duty == "none":
            self._next = time.monotonic() + _UNUSED
        elif duty == "make":
            self._value(statements.WAL_SYNC)  # what is decoded later looks the publication up as it was
            return bool(self._value(statements.WAL_MAKE))
        elif duty == "drop":
            return bool(self._value(statements.WAL_DROP))
        elif duty in ("read", "idle"):
            worked = self._read() if duty == "read" else False
            self._keep()
            return worked
        return False

    def _read(self) -> bool:
        read = transaction(self._host, self._take)
        if read is None:
            return False
        self._seen = max(self._seen, read.end)
        if not read.changes.transactions:
            return False
        self._confirmed = max(self._confirmed, read.end)
        return True

    def _take(self) -> _Read | None:
        """Read one chunk, in one transaction."""
        chunk = self._host.rows(statements.WAL_BEGIN, self._seen, self._chunk)[0]
        if chunk["from_lsn"] is None:
            return None
        feeds = _by_table(self._host.rows(statements.WAL_FEEDS))
        changes = Changes(feeds, chunk["from_lsn"], _none, self._append)
        whole = True
        for row in self._host.stream(statements.WAL_PEEK, chunk["upto_lsn"]):
            if changes.visible is _none:  # the first row comes when all of the peek is done
                changes.visible = visibility(value(self._host, statements.SNAPSHOT))
            whole = changes.add(parse(row["data"]))
            if not whole:
                break
        changes.flush()
        if changes.review:
            self._host.rows(statements.WAL_REVIEW, sorted(changes.review))
        end = max(changes.end, chunk["upto_lsn"]) if whole else changes.end
        at = None if whole and chunk["upto_now"] else changes.at
        self._chunk = _CHUNK if changes.transactions or chunk["upto_now"] else self._chunk * 2
        if changes.transactions:
            self._host.rows(statements.WAL_CONFIRM, end, at, changes.transactions, changes.keys)
        return _Read(changes, end, at)

    def _append(self, feed: int, rows: list[LogRow]) -> None:
        self._host.rows(statements.WAL_APPEND, feed, orjson.dumps(rows).decode())

    def _keep(self) -> None:
        """Advance the slot from time to time, also over WAL that was not ours."""
        now = time.monotonic()
        rest = now - self._advanced
        if rest < _ADVANCE:
            return
        idle = self._seen - self._confirmed
        if any(idle >= distance and rest >= seconds for distance, seconds in _IDLE):
            transaction(self._host, lambda: self._host.rows(statements.WAL_CONFIRM, self._seen, None, 0, 0))
            self._confirmed = self._seen
        elif self._confirmed <= self._let_go:
            return
        self._value(statements.WAL_ADVANCE)
        self._let_go = self._confirmed
        self._advanced = now
        if now - self._inspected >= _INSPECT:
            self._value(statements.WAL_INSPECT)
            self._inspected = now

    def _give_way(self, error: HostError) -> bool:
        if error.sqlstate == _BUSY:
            return False
        if error.sqlstate in _LOST:
            self._value(statements.WAL_LOSE, error.message)
        else:
            self._value(statements.WAL_FAILED, error.message, _RETRY)
            self._failed = True
        return False

    def _value(self, statement: Statement, *arguments: object) -> Any:
        return transaction(self._host, lambda: value(self._host, statement, *arguments))


def _none(xid: int) -> bool:
    del xid
    return False


def _by_table(rows: Iterable[Row]) -> dict[int, list[Feed]]:
    feeds: dict[int, list[Feed]] = {}
    for row in rows:
        feed = Feed(
            row["feed_id"],
            tuple(row["keys"]),
            tuple(row["columns"]),
            tuple(row["images"]),
            frozenset(row["json_columns"]),
            row["by_row"],
        )
        feeds.setdefault(int(row["relation"]), []).append(feed)
    return feeds

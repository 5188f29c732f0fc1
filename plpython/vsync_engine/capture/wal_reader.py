"""Reads the logical slot into the log: peek, write the rows and the position, commit, advance.

A commit record can be read before its transaction is visible to others. Its documents would then be rendered from the
old rows, so reading stops before a transaction that a snapshot taken after the peek does not see yet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from vsync_engine.capture import statements
from vsync_engine.capture.pgoutput import parse
from vsync_engine.capture.wal_changes import Changes, Feed, LogRow
from vsync_engine.foundation import statements as foundation_statements
from vsync_engine.foundation.host import Host, HostError, Row, Statement, value
from vsync_engine.foundation.transaction import transaction

_CHUNK = 256 * 1024 * 1024  # bytes of WAL read in one transaction; doubled while a transaction is longer
_REST = 3.0  # a look is followed by a rest of so many times its length
_UNUSED = 1.0  # seconds between looks where no embedding captures by WAL
_ADVANCE = 1.0  # seconds between advances of the slot
_IDLE = ((1 << 16, 5.0), (1 << 10, 30.0))  # bytes of others' WAL and seconds after which the slot is advanced over them
_INSPECT = 30.0  # seconds between comparisons of the publication with what it should be
_RETRY = 5.0  # seconds the slot is left alone after a failure
_BUSY = "55006"
_LOST = frozenset({"42704", "55000", "58P01"})  # publication gone, slot invalid, WAL removed


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
                changes.visible = visibility(value(self._host, foundation_statements.SNAPSHOT))
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

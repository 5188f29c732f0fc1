"""Messages of PostgreSQL's plug-in pgoutput, protocol version 1, as NamedTuples.

Source: "Logical Replication Message Formats" in PostgreSQL's documentation. Values stay bytes, in their types' text
form; None is null, UNCHANGED stands for a value stored out of line that the update did not touch.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple, TypeAlias

UNCHANGED: Final = b"\0unchanged"  # no text holds a NUL, so no value is this one

Value: TypeAlias = "bytes | None"
Tuple: TypeAlias = "list[Value]"

_TUPLE = Struct(">H")
_LENGTH = Struct(">I")
_BEGIN = Struct(">QqI")
_COMMIT = Struct(">BQQq")
_RELATION = Struct(">I")
_COLUMN = Struct(">Ii")
_TRUNCATE = Struct(">IB")
_NULL, _UNCHANGED, _TEXT = b"nut"
_NEW, _KEY, _OLD = b"NKO"


class Begin(NamedTuple):
    """A transaction begins. lsn: of its commit record; time: of the commit, microseconds since 2000; xid: 32 bits."""

    lsn: int
    time: int
    xid: int


class Commit(NamedTuple):
    """It ends. lsn: of the commit record; end: of what follows it."""

    lsn: int
    end: int
    time: int


class Relation(NamedTuple):
    """A table as it was at the time of the changes that follow. identity: d, n, f or i; key: which columns it has."""

    oid: int
    schema: str
    name: str
    identity: str
    columns: tuple[str, ...]
    key: tuple[bool, ...]


class Insert(NamedTuple):
    """A new row."""

    relation: int
    new: Tuple


class Update(NamedTuple):
    """A changed row. old: all of it under identity full, else the identity's columns and only where they changed."""

    relation: int
    old: Tuple | None
    new: Tuple


class Delete(NamedTuple):
    """A row that is gone. old: all of it under identity full, else the identity's columns."""

    relation: int
    old: Tuple


class Truncate(NamedTuple):
    """Tables that were emptied."""

    relations: tuple[int, ...]


Message = Begin | Commit | Relation | Insert | Update | Delete | Truncate


class ProtocolError(Exception):
    """A message that is not protocol version 1."""


def parse(data: bytes) -> Message | None:
    """Return a message; None for those that say nothing about rows (origins, types, logical messages)."""
    kind = data[:1]
    if kind == b"U":
        return _update(data)
    if kind == b"I":
        return Insert(_RELATION.unpack_from(data, 1)[0], _tuple(data, 6)[0])
    if kind == b"D":
        return Delete(_RELATION.unpack_from(data, 1)[0], _tuple(data, 6)[0])
    if kind == b"B":
        return Begin(*_BEGIN.unpack_from(data, 1))
    if kind == b"C":
        return Commit(*_COMMIT.unpack_from(data, 1)[1:])
    if kind == b"R":
        return _relation(data)
    if kind == b"T":
        count, _ = _TRUNCATE.unpack_from(data, 1)
        return Truncate(Struct(f">{count}I").unpack_from(data, 6))
    if kind in (b"O", b"Y", b"M"):
        return None
    raise ProtocolError(f"unknown message {kind!r}")


def _update(data: bytes) -> Update:
    relation = _RELATION.unpack_from(data, 1)[0]
    kind = data[5]
    if kind == _NEW:
        return Update(relation, None, _tuple(data, 6)[0])
    if kind not in (_KEY, _OLD):
        raise ProtocolError(f"unknown tuple {kind!r}")
    old, offset = _tuple(data, 6)
    return Update(relation, old, _tuple(data, offset + 1)[0])


def _tuple(data: bytes, offset: int) -> tuple[Tuple, int]:
    (count,) = _TUPLE.unpack_from(data, offset)
    offset += 2
    values: Tuple = []
    for _ in range(count):
        kind = data[offset]
        offset += 1
        if kind == _TEXT:
            start = offset + 4
            offset = start + _LENGTH.unpack_from(data, offset)[0]
            values.append(data[start:offset])
        elif kind == _NULL:
            values.append(None)
        elif kind == _UNCHANGED:
            values.append(UNCHANGED)
        else:
            raise ProtocolError(f"unknown value {kind!r}")
    return values, offset


def _relation(data: bytes) -> Relation:
    (oid,) = _RELATION.unpack_from(data, 1)
    schema, offset = _string(data, 5)
    name, offset = _string(data, offset)
    identity = chr(data[offset])
    (count,) = _TUPLE.unpack_from(data, offset + 1)
    offset += 3
    columns: list[str] = []
    key: list[bool] = []
    for _ in range(count):
        key.append(bool(data[offset] & 1))
        column, offset = _string(data, offset + 1)
        columns.append(column)
        offset += _COLUMN.size
    # the system's own schema is sent as an empty name
    return Relation(oid, schema or "pg_catalog", name, identity, tuple(columns), tuple(key))


def _string(data: bytes, offset: int) -> tuple[str, int]:
    end = data.index(b"\0", offset)
    return data[offset:end].decode(), end + 1

"""A worker taken apart: each step of the queue as one call, so that a test can put two sessions in any order."""

import hashlib
import json
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from fix_cluster import Connection

DOCUMENT = "select id, body from shop.items"


@dataclass(frozen=True)
class Rendered:
    """A document as one render saw it."""

    key: str
    content: str
    hash: str


@dataclass(frozen=True)
class Claimed:
    """A claim: its fencing token, None where nothing was due, and its keys."""

    token: int | None
    keys: list[str]


def make_table(s: Connection, tiny_model: Path) -> None:
    """Make shop.items(id, body, price) and register the model."""
    s.execute("create schema shop")
    s.execute("create table shop.items (id int primary key, body text, price numeric default 0)")
    s.execute("select vsync.register_model('tiny', %s)", [f"file://{tiny_model}"])


def declare(s: Connection, document: str = "select id, body as content from shop.items", index: str = "none") -> None:
    """Create the embedding `found` and finish its backfill, step by step."""
    s.execute(
        "select vsync.create_embedding('found', %s, 'tiny', index => jsonb_build_object('type', %s::text))",
        [document, index],
    )
    settle_down(s)


def scalar(s: Connection, query: str, *arguments: object) -> Any:
    """Return the first column of the first row."""
    row = s.execute(query.encode(), arguments).fetchone()
    assert row is not None
    return row[0]


def run(s: Connection, statement: str) -> list[tuple[Any, ...]]:
    """Run a statement that the test put together; return its rows."""
    cursor = s.execute(statement.encode())
    return cursor.fetchall() if cursor.description else []


def put(s: Connection, key: int, body: str) -> None:
    """Write a row of the source, new or changed."""
    s.execute("insert into shop.items values (%s, %s) on conflict (id) do update set body = excluded.body", [key, body])


def fold(s: Connection) -> int:
    """Fold the log."""
    return scalar(s, "select vsync_internal.fold()")


def claim(s: Connection, limit: int = 1000) -> Claimed:
    """Claim what is due of version 1."""
    row = s.execute("select token, keys from vsync_internal.claim(1, %s)", [limit]).fetchone()
    assert row is not None
    return Claimed(row[0], row[1] or [])


def render(s: Connection, claimed: Claimed) -> list[Rendered]:
    """Render a claim; what is gone or unchanged is finished by it."""
    rows = s.execute("select key, content, hash from vsync_internal.render(%s, %s)", [claimed.token, claimed.keys])
    return [Rendered(*row) for row in rows]


def reserve(s: Connection, claimed: Claimed, documents: Iterable[Rendered]) -> dict[str, str]:
    """Reserve the texts; return the state (stored, busy) of those that are not this claim's."""
    hashes = [document.hash for document in documents]
    return dict(s.execute("select hash, state from vsync_internal.reserve(%s, %s)", [claimed.token, hashes]).fetchall())


def publish(s: Connection, claimed: Claimed, documents: Iterable[Rendered]) -> int:
    """Publish vectors made of the text's hash; return how many documents were written."""
    rows = [
        {
            "key": document.key,
            "chunk": 0,
            "content": document.content,
            "hash": document.hash,
            "document": document.hash,
            "vector": json.dumps([1 + byte for byte in hashlib.sha256(document.content.encode()).digest()[:8]]),
            "truncated": False,
            "fresh": True,
        }
        for document in documents
    ]
    return scalar(s, "select vsync_internal.publish(%s, %s, %s)", claimed.token, json.dumps(rows), len(rows))


def release(s: Connection, claimed: Claimed) -> int:
    """End a claim."""
    return scalar(s, "select vsync_internal.release(%s)", claimed.token)


def lose_lease(s: Connection, claimed: Claimed) -> None:
    """Let a claim's lease run out and another session reap it."""
    s.execute("update vsync_internal.leases set until = now() - interval '1 s' where token = %s", [claimed.token])
    assert scalar(s, "select vsync_internal.reap()") == 1


def settle_down(s: Connection) -> None:
    """Work everything off, step by step, until nothing is left that is due."""
    end = monotonic() + 60
    while monotonic() < end:
        worked = fold(s) + scalar(s, "select vsync_internal.expand()") + scalar(s, "select vsync_internal.backfill(1)")
        claimed = claim(s)
        if claimed.token is not None:
            publish(s, claimed, render(s, claimed))
            release(s, claimed)
        elif not worked:
            return
    raise AssertionError("the queue is not worked off")


def stored(s: Connection) -> dict[int, str]:
    """Return the content of every stored vector by key."""
    return dict(s.execute("select id, content from vsync_data.found_v1").fetchall())


def marks(s: Connection) -> dict[str, int | None]:
    """Return the token of every mark by key."""
    return dict(s.execute("select key, token from vsync_internal.marks").fetchall())


def assert_fresh(s: Connection, document: str = DOCUMENT) -> None:
    """Work the queue off; what is stored must be what the document query says, and the queue empty."""
    settle_down(s)
    assert stored(s) == dict(run(s, document))
    for table in ("marks", "leases", "pages"):
        assert scalar(s, f"select count(*) from vsync_internal.{table}") == 0, table


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait for something that must come."""
    end = monotonic() + seconds
    while not condition():
        assert monotonic() < end, f"waited in vain: {what}"
        sleep(0.01)


def blocked(s: Connection, other: Connection) -> bool:
    """Tell whether another session waits for a lock."""
    return bool(scalar(s, "select cardinality(pg_blocking_pids(%s)) > 0", other.info.backend_pid))


def in_background(call: Callable[[], Any]) -> Future[Any]:
    """Run a call in a thread of its own."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(call)
    pool.shutdown(wait=False)
    return future

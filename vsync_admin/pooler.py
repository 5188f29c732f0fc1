"""Noticing a connection pooler that gives each transaction another session of the server."""

import select
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from vsync_admin.errors import CommandError

_BACKEND = "select pg_catalog.pg_backend_pid()"
_ROUNDS = 3
_LONGEST_WAIT = 5.0  # seconds for a second session: a pool of sessions that is used up gives none


def refuse_transaction_pooling(connection: psycopg.Connection[Any], conninfo: str, what: str) -> None:
    """Raise CommandError where the statements of a connection do not all reach one session of the server.

    A pooler answers a connection with a process id of its own. That it pools transactions shows in a second
    connection, which is given the session of the first, or in the first, whose session changes.
    """
    first = _backend(connection)
    if first == connection.info.backend_pid:
        return
    with psycopg.connect(conninfo, autocommit=True, connect_timeout=int(_LONGEST_WAIT)) as other:
        for _ in range(_ROUNDS):
            second = _backend_soon(other)
            if second == first or _backend(connection) != first:
                raise CommandError(
                    f"{what} needs a session of its own, and a connection pooler shares this one",
                    detail="The pooler gives each transaction another session of the server (transaction pooling):"
                    " settings and locks would stay behind in the sessions of others.",
                    hint="Connect to the server itself (-h, -p), or to a pool with pool_mode = session.",
                )
            if second is None:
                return


def _backend(connection: psycopg.Connection[Any]) -> int:
    pid: int = connection.cursor(row_factory=tuple_row).execute(_BACKEND).fetchall()[0][0]
    if not connection.autocommit:
        connection.commit()
    return pid


def _backend_soon(connection: psycopg.Connection[Any]) -> int | None:
    """Return the process id of a connection's session, None where it is given none soon."""
    connection.pgconn.send_query(_BACKEND.encode())
    if not select.select([connection.fileno()], [], [], _LONGEST_WAIT)[0]:
        return None
    pid: int | None = None
    while result := connection.pgconn.get_result():
        if result.ntuples:
            pid = int(result.get_value(0, 0) or b"0")
    return pid

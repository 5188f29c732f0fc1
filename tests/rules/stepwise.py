"""Steps of a worker that rules add, one call each."""

from typing import Any

import psycopg

from fix_cluster import Connection
from vsync_engine.foundation.host import PsycopgHost
from vsync_engine.rules import change_stage


def decide(db: Connection, limit: int = 1000, seconds: float = 1.0) -> int:
    """Decide on what was folded, in a transaction of its own; return how many changes."""
    with psycopg.connect(db.info.dsn) as session:
        return decide_in(session, limit, seconds)


def decide_in(session: psycopg.Connection[tuple[Any, ...]], limit: int = 1000, seconds: float = 1.0) -> int:
    """Decide in a session that is in no transaction block, and commit."""
    count = change_stage.decide(PsycopgHost(session), seconds, limit, [])
    session.commit()
    return count

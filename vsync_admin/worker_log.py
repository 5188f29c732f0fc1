"""What a worker says in its log: documents that fail, versions that stand still, and a summary each minute."""

import logging
import sys
import time
from collections.abc import Mapping, MutableMapping
from typing import Any

import psycopg
import structlog
from psycopg.rows import dict_row

from vsync_admin.output import printable
from vsync_admin.queries import load

_SUMMARY = 60.0  # seconds
_NAMED = 20  # documents a look
_STATE = "select * from vsync_internal.worker_report(%s::name)"

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


def configure_log(*, as_json: bool) -> None:
    """Write events to stderr, as text or as JSON."""
    last = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=False)
    stamp = structlog.processors.TimeStamper("iso", utc=True)
    shown = [] if as_json else [_printable]
    structlog.configure(
        processors=[stamp, structlog.processors.add_log_level, *shown, last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


class Reporter:
    """Compares what it sees with what it saw before. embedding: look at this one only, None for all."""

    def __init__(self, embedding: str | None) -> None:
        self._embedding = embedding
        self._summed_up: float | None = None
        self._failed_until: str | None = None  # the server's time of the newest failure that was logged
        self._failed: dict[tuple[str, int], int] = {}
        self._embedded: dict[tuple[str, int], int] = {}
        self._said: dict[tuple[str, int], str] = {}

    def look(self, connection: psycopg.Connection[Any]) -> None:
        """Log what is new since the last look, and each minute how all versions stand; psycopg.Error when it fails."""
        with connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(_STATE, (self._embedding,)).fetchall()
            failed = {_version(row): row["failed_total"] for row in rows}
            if failed != self._failed:
                self._tell_failures(cursor)
        self._failed = failed
        for row in rows:
            self._tell_state(row)
        now = time.monotonic()
        if self._summed_up is None or now - self._summed_up >= _SUMMARY:
            self._sum_up(rows)
            self._summed_up = now
        if not connection.autocommit:
            connection.commit()

    def _tell_failures(self, cursor: psycopg.Cursor[dict[str, Any]]) -> None:
        arguments = {"embedding": self._embedding, "since": self._failed_until, "most": _NAMED}
        rows = cursor.execute(load("worker_failures"), arguments).fetchall()
        for row in rows[:_NAMED]:
            write = log.error if row["quarantined"] else log.warning
            event = "document quarantined" if row["quarantined"] else "document failed"
            fields = {name: row[name] for name in ("embedding", "version", "key", "attempts", "next_attempt_in")}
            write(event, **_given(fields), sqlstate=row["sqlstate"], error=row["message"], **_given(_detail(row)))
        if len(rows) > _NAMED:
            log.warning("more documents failed", look_at="vsync.failures")
        if rows:
            self._failed_until = rows[0]["newest"]

    def _tell_state(self, row: Mapping[str, Any]) -> None:
        """Say once what keeps a version from going on, and once that it goes on again."""
        version = _version(row)
        fields = {"embedding": row["embedding"], "version": row["version"]}
        said = row["broken"] or row["unseen"] or row["waiting_for"] or ""
        if said == self._said.get(version, ""):
            return
        self._said[version] = said
        if row["broken"]:
            log.error("version broken", **fields, error=said)
        elif row["unseen"]:
            log.error("changes not captured", **fields, error=said)
        elif said:
            log.warning("version fails", **fields, error=said)
        else:
            log.info("version goes on", **fields)

    def _sum_up(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            version = _version(row)
            embedded = row["embedded_total"] - self._embedded.get(version, row["embedded_total"])
            self._embedded[version] = row["embedded_total"]
            fields = ("embedding", "version", "state", "pending", "failed", "quarantined")
            log.info("summary", **{name: row[name] for name in fields}, embedded=embedded)
        if not rows:
            log.info("summary", embeddings=0)


def _version(row: Mapping[str, Any]) -> tuple[str, int]:
    return row["embedding"], row["version"]


def _detail(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"detail": row["detail"] or None}


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _printable(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    del logger, method
    return {name: printable(value) if isinstance(value, str) else value for name, value in event.items()}

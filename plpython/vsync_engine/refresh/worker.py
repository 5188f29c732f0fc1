"""The worker's loop: fold, expand, claim, refresh, backfill, index; sleep when there is nothing to do."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from vsync_engine.capture.wal_reader import Reader
from vsync_engine.foundation import statements as foundation_statements
from vsync_engine.foundation.errors import EngineError
from vsync_engine.foundation.host import Host, HostError, OverrunError, Row, Statement, value
from vsync_engine.foundation.transaction import Interrupted, transaction
from vsync_engine.models import session_cache
from vsync_engine.models.embedder import Model
from vsync_engine.models.watchdog import watching
from vsync_engine.refresh import statements
from vsync_engine.refresh.claim import Claim
from vsync_engine.refresh.embedding import InSession
from vsync_engine.refresh.failure import described
from vsync_engine.refresh.settings import Settings
from vsync_engine.rules import change_stage, recheck_excluded
from vsync_engine.rules.schedule import refreshed_next

_SHORTEST_SLEEP = 0.005  # seconds
_HOUSEKEEPING = 1.0  # seconds between looks for dead claims and log tables to empty
_FORGETTING = 60.0  # seconds between looks for decisions that were kept long enough, and for capture that was lost
_MODEL_RETRY = 10.0  # seconds a version whose model fails is left alone
_FAILURE_RETRY = 5.0  # seconds a version is left alone after an error that is no document's
_LOCK_TIMEOUT = "2s"  # of any lock; longer than deadlock_timeout, after which autovacuum gives way
_NOT_GRANTED = "55P03"
_TELL = 10.0  # seconds between two notices of how far a call is that works until nothing is left
_ATTEND = 0.1  # seconds of backlog after which fresh changes are looked for
_ATTENDED = 64  # documents of a version
_EXPANDED = 10_000  # keys of waiting pages that become marks in a round
_TURNED = 10_000  # documents that are decided on again, after rules changed, before other work has its turn
_SESSION = {
    "default_transaction_isolation": "read committed",
    "synchronous_commit": "off",
    "jit": "off",
    "lock_timeout": _LOCK_TIMEOUT,
}


class Worker:
    """One session at work. embedding: work for this one only, None for all."""

    def __init__(self, host: Host, embedding: str | None) -> None:
        self._host = host
        self._embedding = embedding
        rows = host.rows(foundation_statements.SETTINGS)
        known = {row["name"]: int(row["value"]) for row in rows}
        self._settings = Settings(**{name: known[name] for name in Settings.__dataclass_fields__})
        self._kept_house = 0.0
        self._forgot = 0.0
        self._refreshing = True
        self._falls_due = math.inf
        self._wal = Reader(host)
        self._told: float | None = None  # None: nobody waits

    @property
    def longest_call(self) -> float:
        """Seconds a model call may take: a lease is renewed when a third of it is over."""
        return self._settings.lease_seconds * 2 / 3

    def drain(self) -> None:
        """Work off all that was committed before the call and is due."""
        self._told = time.monotonic()
        self._value(statements.TRY_AGAIN, self._embedding)
        target = self._wal.target()
        self._value(statements.RESUME, True)
        snapshot: str | None = None
        upto: int | None = None
        while True:
            worked = self._cycle(urgent=snapshot is None)
            self._refreshing = False  # what falls due from here on is not this call's
            if snapshot is None and self._wal.reached(target):
                snapshot = self._value(foundation_statements.SNAPSHOT)
            if upto is None and snapshot is not None and self._settled(snapshot):
                upto = self._value(statements.WATERMARK)
            if upto is not None and not self._value(statements.OUTSTANDING, upto, self._embedding):
                self._value(statements.SETTLE_VERSIONS)
                return
            self._tell()
            if not worked:
                time.sleep(0.02)

    def _tell(self) -> None:
        if self._told is None or time.monotonic() - self._told < _TELL:
            return
        self._told = time.monotonic()
        if progress := self._value(statements.PROGRESS, self._embedding):
            self._host.notice(progress)

    def run(self, seconds: float) -> None:
        """Keep working for a time. While nothing happens sleeps grow to poll_ms; none passes what falls due."""
        end = time.monotonic() + seconds
        longest = self._settings.poll_ms / 1000
        pause = _SHORTEST_SLEEP
        while (left := end - time.monotonic()) > 0:
            if self._cycle():
                pause = _SHORTEST_SLEEP
                continue
            time.sleep(max(0.0, min(pause, left, self._falls_due - time.monotonic())))
            pause = min(pause * 1.2, longest)

    def _settled(self, snapshot: str) -> bool:
        if not self._value(statements.FOLDED_SINCE, snapshot):
            return False
        return not any(duty["backfilling"] for duty in self._rows(statements.DUTIES, self._embedding))

    def _cycle(self, *, urgent: bool = False) -> bool:
        """Do one round of whatever there is to do; False when there was nothing. urgent: the slot is read at once."""
        worked = self._wal.look(urgent=urgent)
        worked = self._step(lambda: bool(self._value(statements.FOLD))) or worked
        self._step(self._keep_house)
        worked = self._step(self._follow_rules) or worked
        worked = self._step(lambda: self._decide(_EXPANDED)) or worked
        worked = self._step(lambda: self._expand(_EXPANDED)) or worked
        duties = self._rows(statements.DUTIES, self._embedding)
        moments = [duty["falls_due_in"] for duty in duties if duty["falls_due_in"] is not None]
        self._falls_due = time.monotonic() + min(moments, default=math.inf)
        for duty in duties:
            try:
                worked = self._attend_to(duty) or worked
            except HostError as error:  # its tables may be gone since; the other embeddings go on
                self._back_off(duty, error)
        return worked

    def _step(self, step: Callable[[], bool]) -> bool:
        """Take a step of a round; what somebody's lock keeps from being done is left for the next round."""
        try:
            return step()
        except HostError as error:
            if error.sqlstate != _NOT_GRANTED:
                raise
            return False

    def _follow_rules(self) -> bool:
        """Notice rules that begin, end or change, holds that somebody decided on, and refreshes that are due."""
        turned = 0
        while turned < _TURNED and (count := self._value(statements.ATTEND_RULES)):
            turned += count
        worked = turned > 0
        for row in self._rows(statements.REFRESHES_DUE):
            zone = self._value(foundation_statements.TIME_ZONE)
            following = refreshed_next(row["id"], _json(row["params"]), row["delay"], zone)
            worked = bool(self._value(statements.REFRESH_BY_RULE, row["id"], following)) or worked
        return worked

    def _decide(self, most: int) -> bool:
        """Ask rules about what was folded, about `most` changes; False when nothing waits for that."""
        decided = 0
        while decided < most and (count := self._decide_some(min(most, change_stage.TOGETHER))):
            decided += count
        return decided > 0

    def _expand(self, most: int) -> bool:
        """Turn waiting pages into about `most` marks, a page a transaction; False when none waits."""
        expanded = 0
        while expanded < most and (count := self._limited(statements.EXPAND, most)):
            expanded += count
        return expanded > 0

    def _decide_some(self, limit: int) -> int:
        seconds = self._settings.rule_timeout_ms / 1000
        taken: list[int] = []
        try:
            return transaction(self._host, lambda: change_stage.decide(self._host, seconds, limit, taken))
        except HostError as error:  # its tables may be gone since; the others go on
            if not taken:
                raise
            self._value(foundation_statements.PUT_OFF, taken, error.message)
            return len(taken)

    def _attend_to(self, duty: Row) -> bool:
        version = duty["version_id"]
        worked = False
        if duty["fresh"] or duty["backlog"]:
            worked = self._claim(duty, self._settings.claim_limit, None)
        if duty["backfilling"]:
            worked = self._limited(statements.BACKFILL, version) > 0 or worked
        if duty["wants_index"]:
            worked = bool(self._value(statements.BUILD_INDEX, version)) or worked
        return worked

    def _keep_house(self) -> bool:
        now = time.monotonic()
        if now - self._kept_house >= _HOUSEKEEPING:
            self._kept_house = now
            self._value(statements.ADOPT)
            self._value(statements.RESUME, False)
            while self._value(statements.REAP):
                pass
            self._value(statements.ROTATE)
            self._value(statements.FORGET_HOLDS)
            self._value(statements.SETTLE_VERSIONS)
            self._show_again()
            if self._refreshing:
                self._value(statements.REFRESH_REGULARLY)
        if now - self._forgot >= _FORGETTING:
            self._value(statements.FORGET_DECISIONS)
            self._value(statements.WATCH_CAPTURES)
            self._forgot = now
        return False

    def _show_again(self) -> None:
        seconds = self._settings.rule_timeout_ms / 1000
        for page in self._rows(statements.HIDDEN):
            transaction(self._host, lambda page=page: recheck_excluded.show_again(self._host, page, seconds))

    def _claim(self, duty: Row, limit: int, lane: int | None) -> bool:
        model = self._model(duty)
        if model is None:
            return False
        claimed = self._rows(statements.CLAIM, duty["version_id"], limit, lane)[0]
        if claimed["token"] is None:
            return False
        chunking: dict[str, Any] | None = _json(duty["chunk"])
        attend = self._attendance(duty) if lane is None else _nothing
        version_id, token = duty["version_id"], claimed["token"]
        embedding = InSession(model, self._settings.batch_tokens)
        Claim(self._host, version_id, token, claimed["keys"], embedding, chunking, self._settings, attend).work()
        return True

    def _attendance(self, duty: Row) -> Callable[[], None]:
        """Let fresh changes of every version pass; those of the version at work only where it works off a backlog."""
        last = time.monotonic()

        def attend() -> None:
            nonlocal last
            if time.monotonic() - last >= _ATTEND:
                self._wal.look()
                self._step(lambda: bool(self._value(statements.FOLD)))
                self._step(self._follow_rules)
                self._step(lambda: self._decide(_ATTENDED))
                self._step(lambda: self._expand(_ATTENDED))
                for other in self._rows(statements.DUTIES, self._embedding):
                    if other["fresh"] and (duty["backlog"] or other["version_id"] != duty["version_id"]):
                        self._pass(other)
                last = time.monotonic()
                self._tell()

        return attend

    def _pass(self, duty: Row) -> None:
        try:
            self._claim(duty, _ATTENDED, 0)
        except HostError as error:
            self._back_off(duty, error)

    def _back_off(self, duty: Row, error: HostError) -> None:
        """Leave a version alone for a while: as long as it kept the worker, where it took too long."""
        overran = isinstance(error, OverrunError)
        seconds = max(_FAILURE_RETRY, self._settings.document_timeout_ms / 1000) if overran else _FAILURE_RETRY
        self._value(statements.BACK_OFF, duty["version_id"], described(error), seconds)

    def _model(self, duty: Row) -> Model | None:
        try:
            return session_cache.load(
                _text(duty["model_spec"]), self._settings.threads, share=self._settings.share_models != 0
            )
        except EngineError as error:
            self._value(statements.BACK_OFF, duty["version_id"], described(error), _MODEL_RETRY)
            return None

    def _limited(self, statement: Statement, *arguments: object) -> int:
        """Run what reads documents, that is owners' code, and return its only value; OverrunError when it is late."""
        seconds = self._settings.document_timeout_ms / 1000
        rows = transaction(self._host, lambda: self._host.limited(seconds, statement, *arguments))
        return next(iter(rows[0].values()))

    def _value(self, statement: Statement, *arguments: object) -> Any:
        return transaction(self._host, lambda: value(self._host, statement, *arguments))

    def _rows(self, statement: Statement, *arguments: object) -> list[Row]:
        return transaction(self._host, lambda: self._host.rows(statement, *arguments))


def work(host: Host, duration: str | None, embedding: str | None) -> None:
    """Be a worker: until the queue is drained, or for an interval. Raises VS004, VS302, HostError."""
    host.commit()
    host.rows(statements.REQUIRE_PRIMARY)
    if embedding is not None:
        host.rows(statements.EXISTS, embedding)
    try:
        with _session(host), _memory_limit(host):
            worker = Worker(host, embedding)
            with watching(worker.longest_call):
                if duration is None:
                    worker.drain()
                else:
                    worker.run(transaction(host, lambda: value(host, statements.SECONDS, duration)))
    except Interrupted as interruption:
        raise interruption.error from interruption


@contextmanager
def _session(host: Host) -> Generator[None]:
    # a document's code may leave a search_path behind
    before = host.rows(statements.SHOW, [*_SESSION, "search_path"])
    for name, setting in _SESSION.items():
        host.rows(statements.SET, name, setting)
    host.commit()
    try:
        host.rows(statements.BEGIN_WORK)
        host.commit()
        yield
    finally:
        try:
            host.rollback()
            host.rows(statements.END_WORK)
            for setting in before:
                if setting["is_own"]:
                    host.rows(statements.SET, setting["name"], setting["value"])
                else:
                    host.rows(Statement(f"reset {setting['name']}"))
            host.commit()
        except HostError:
            pass  # the session is gone, and with it what it held


@contextmanager
def _memory_limit(host: Host) -> Generator[None]:
    limit = {row["name"]: int(row["value"]) for row in host.rows(foundation_statements.SETTINGS)}["memory_limit_mb"]
    host.commit()
    if not limit:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    ceiling = used + limit * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (ceiling if hard == resource.RLIM_INFINITY else min(ceiling, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _nothing() -> None:
    pass


def _json(document: Any) -> Any:
    return orjson.loads(document) if isinstance(document, str) else document


def _text(document: Any) -> str:
    return document if isinstance(document, str) else orjson.dumps(document, option=orjson.OPT_SORT_KEYS).decode()

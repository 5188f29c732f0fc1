"""The steps of a history that workers make: folds, claims that are slow or die, publishing late, and the end of it."""

import json
from hashlib import sha256
from typing import Any

import psycopg

from fix_cluster import Connection
from promise.oracle import assert_equal_to_rebuild, assert_fresh, split, vectors, work
from promise.stage import Claim, Stage, Step


class Steps(Stage):
    """Each step is a method, named by its kind."""

    def settle(self) -> None:
        """Kill what claims are left; then everything must be fresh, and a late publish must change nothing."""
        if self.claims:
            self.lost += self.claims
            self.claims = []
            self.sessions.kill_claimer()
        assert_fresh(self.db, *self.embeddings)
        for claim in self.lost:
            self._publish(self.db, claim)
        assert_equal_to_rebuild(self.db, *self.embeddings)

    def fold(self, step: Step, owner: int) -> None:
        self._yield()
        if self.by_wal:
            self.sessions.read()
        persist(self.db, "select vsync_internal.fold()")
        if step.variant == 0:
            persist(self.db, "select vsync_internal.expand()")
        elif step.variant == 1:
            persist(self.db, "select vsync_internal.expand(1)")
        elif step.variant == 2:
            persist(self.db, "select vsync_internal.backfill(v.id, 2) from vsync_internal.versions as v")

    def claim(self, step: Step, owner: int) -> None:
        """Claim a key or two, render them, reserve their texts; publishing is another step, if it comes at all."""
        self.fold(step, owner)
        claimer = self.sessions.claimer
        versions = persist(claimer, "select id, embedding from vsync_internal.versions order by id")
        version, name = versions[step.text % len(versions)]
        take = "select token, keys from vsync_internal.claim(%s, %s)"
        (row,) = persist(claimer, take, version, step.variant + 1)
        if row[0] is not None:
            embedding = next(embedding for embedding in self.embeddings if embedding.name == name)
            claim = Claim(row[0], embedding, [], {})
            if step.variant:
                render = "select key, content, hash from vsync_internal.render(%s, %s)"
                claim.rows = persist(claimer, render, row[0], row[1])
                texts = {text for _, content, _ in claim.rows for text in split(content, embedding.chunk)}
                reserve = "select hash, state from vsync_internal.reserve(%s, %s)"
                claim.states = dict(persist(claimer, reserve, row[0], [digest(text) for text in texts]))
            self.claims.append(claim)

    def publish(self, step: Step, owner: int) -> None:
        for claim in self.claims:
            if step.variant:
                self._publish(self.sessions.claimer, claim)
            persist(self.sessions.claimer, "select vsync_internal.release(%s)", claim.token)
        self.claims = []

    def die(self, step: Step, owner: int) -> None:
        if self.claims:
            self.sessions.kill_claimer()
            self.lost += self.claims
            self.claims = []
            if step.variant % 2:
                persist(self.db, "select vsync_internal.reap()")

    def late(self, step: Step, owner: int) -> None:
        persist(self.db, "select vsync_internal.reap()")
        for claim in self.lost:
            self._publish(self.db, claim)

    def drain(self, step: Step, owner: int) -> None:
        self._yield()
        self.publish(step, owner)
        work(self.db)
        assert_equal_to_rebuild(self.db, *self.embeddings)

    def refresh(self, step: Step, owner: int) -> None:
        self._write(owner, f"select vsync.refresh('{self.embeddings[0].name}')")

    def _publish(self, session: Connection, claim: Claim) -> None:
        rows: list[dict[str, Any]] = []
        for key, content, document in claim.rows:
            chunks = split(content, claim.embedding.chunk)
            if any(claim.states.get(digest(text)) == "busy" for text in chunks):
                continue
            made = vectors(self.db, set(chunks))
            for number, text in enumerate(chunks):
                fresh = digest(text) not in claim.states
                vector = json.dumps([float(value) for value in made[text]]) if fresh else None
                rows.append(
                    {
                        "key": key,
                        "chunk": number,
                        "content": text,
                        "hash": digest(text),
                        "document": document,
                        "vector": vector,
                        "truncated": False,
                        "fresh": fresh,
                    }
                )
        persist(session, "select vsync_internal.publish(%s, %s, 0)", claim.token, json.dumps(rows))


def persist(session: Connection, query: str, *arguments: object) -> list[tuple[Any, ...]]:
    """Run a step as a worker does: what another worker got in the way of is tried again."""
    for _ in range(4):
        try:
            return session.execute(query.encode(), arguments or None).fetchall()
        except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
            continue
    return session.execute(query.encode(), arguments or None).fetchall()


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()

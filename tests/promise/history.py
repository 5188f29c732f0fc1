"""A random history over one shape: several writers, partial workers, slow and dying claims, in one thread.

Writers own disjoint keys, so that none waits for another; whatever takes a whole table first ends the others.
"""

import json
from hashlib import sha256
from typing import Any

from fix_cluster import Connection
from promise.oracle import assert_equal_to_rebuild, assert_fresh, split, vectors, work
from promise.stage import TEXTS, WRITERS, Claim, Stage, Step


class History(Stage):
    """`run` the steps, each a method named by its kind; then `finish`, `settle` and, always, `remove`."""

    def run(self, steps: list[Step]) -> None:
        for step in steps:
            owner = self._owner(step.keys[0])
            if self.exclusive is not None and self.exclusive != owner:
                self._finish(self.exclusive, commit=True)
            getattr(self, step.kind)(step, owner)

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

    # transactions

    def begin(self, step: Step, owner: int) -> None:
        if not self._open(owner):
            level = ("read committed", "read committed", "repeatable read", "serializable")[step.variant]
            self.sessions.writers[owner].execute(f"begin isolation level {level}".encode())

    def savepoint(self, step: Step, owner: int) -> None:
        if self._open(owner):
            self._write(owner, "savepoint s")

    def rollback_to(self, step: Step, owner: int) -> None:
        if self._open(owner):
            self._write(owner, "savepoint s")
            self.update(step, owner)
            if self._open(owner):
                self._write(owner, "rollback to s")

    def commit(self, step: Step, owner: int) -> None:
        self._finish(owner, commit=True)

    def rollback(self, step: Step, owner: int) -> None:
        self._finish(owner, commit=False)

    def role(self, step: Step, owner: int) -> None:
        role = "replica" if step.variant % 2 else "origin"
        self._write(owner, f"set session_replication_role = {role}")

    # rows

    def insert(self, step: Step, owner: int) -> None:
        self._write(owner, f"insert into {self._into(step)} {self._values(step, owner)}")

    def insert_default(self, step: Step, owner: int) -> None:
        values = self._values(step, owner)
        self._write(owner, f"insert into {self._into(step)} {values} on conflict do nothing")

    def upsert(self, step: Step, owner: int) -> None:
        self._write(
            owner,
            f"insert into {self._into(step)} {self._values(step, owner, one=True)} on conflict ({self.columns})"
            " do update set title = excluded.title, body = excluded.body",
        )

    def merge(self, step: Step, owner: int) -> None:
        source = f"select {self.columns}, title, body from {self.shape.root} where false union all "
        source += f"select {self._key(self._own(step, owner)[0])}, 't', {TEXTS[step.text]}"
        condition = " and ".join(f"m.{column} = s.{column}" for column in self.shape.columns)
        columns = ", ".join(f"s.{column}" for column in self.shape.columns)
        matched = ("update set body = s.body", "delete", "do nothing", "update set live = not live")[step.variant]
        self._write(
            owner,
            f"merge into {self.shape.root} as m using ({source}) as s on {condition} when matched then {matched}"
            f" when not matched then insert ({self.columns}, title, body) values ({columns}, s.title, s.body)",
        )

    def copy(self, step: Step, owner: int) -> None:
        shown = ", ".join(f"{column}::text" for column in self.shape.columns)
        empty = f"select {self.columns} from {self.shape.root} where false"
        keys = f"select {shown} from ({empty} union all select {self._key(self._own(step, owner)[0])}) as k"
        writer = self.sessions.writers[owner]

        def stream() -> None:
            rows = writer.execute(keys.encode()).fetchall()
            with writer.cursor() as cursor, cursor.copy(f"copy {self._into(step)} from stdin".encode()) as copy:
                for row in rows:
                    copy.write_row((*row, "t", f"copied {step.text}"))

        self._guarded(owner, stream)

    def update(self, step: Step, owner: int) -> None:
        change = (f"body = {TEXTS[step.text]}", f"title = {TEXTS[step.text]}", "live = not live", "title = 't'")
        self._write(owner, f"update {self.shape.root} set {change[step.variant]} where {self._where(step, owner)}")

    def update_in_vain(self, step: Step, owner: int) -> None:
        change = ("hits = coalesce(hits, 0) + 1", "body = body, title = title", "hits = hits", "live = live")
        self._write(owner, f"update {self.shape.root} set {change[step.variant]} where {self._where(step, owner)}")

    def rekey(self, step: Step, owner: int) -> None:
        own = self._own(step, owner)
        key = self._key(own[-1])
        where = self._equal(own[0])
        self._write(owner, f"update {self.shape.root} set ({self.columns}) = row({key}), hits = 1 where {where}")

    def delete(self, step: Step, owner: int) -> None:
        self._write(owner, f"delete from {self.shape.root} where {self._where(step, owner)}")

    def several(self, step: Step, owner: int) -> None:
        self.delete(step, owner)
        self.insert(step, owner)
        self.update(step, owner)

    def everything(self, step: Step, owner: int) -> None:
        self._alone(owner)
        change = ("update {} set body = body || '.'", "update {} set hits = 1", "delete from {}", "truncate {}")
        self._write(owner, change[step.variant].format(self.shape.root))
        self.exclusive = owner if self._open(owner) else None

    # partitions

    def leaf(self, step: Step, owner: int) -> None:
        if not self.shape.leaves:
            return
        leaf, keys = self.shape.leaves[step.text % len(self.shape.leaves)]
        own = [key for key in keys if self._owner(key) == owner]
        if step.variant == 3 or not own:
            self._alone(owner)
            self._write(owner, f"truncate {leaf}" if step.variant == 3 else f"update {leaf} set body = body || '!'")
            self.exclusive = owner if self._open(owner) else None
        elif step.variant == 0:
            self._write(
                owner, f"insert into {leaf} ({self.columns}, title, body) values ({self._key(own[0])}, 'l', 'f')"
            )
        elif step.variant == 1:
            self._write(owner, f"update {leaf} set body = {TEXTS[step.text]} where {self._equal(own[-1])}")
        else:
            self._write(owner, f"delete from {leaf} where {self._equal(own[0])}")

    def attach(self, step: Step, owner: int) -> None:
        if not self.shape.detachable:
            return
        for writer in range(WRITERS):
            self._finish(writer, commit=step.variant > 0)
        parent, leaf, bound = self.shape.detachable[step.text % len(self.shape.detachable)]
        query = "select relispartition from pg_class where oid = %s::regclass"
        row = self.db.execute(query, [leaf]).fetchone()
        change = f"detach partition {leaf}" if row == (True,) else f"attach partition {leaf} {bound}"
        self._write(owner, f"alter table {parent} {change}")

    # workers

    def fold(self, step: Step, owner: int) -> None:
        self.db.execute("select vsync_internal.fold()")
        if step.variant == 0:
            self.db.execute("select vsync_internal.expand()")
        elif step.variant == 1:
            self.db.execute("select vsync_internal.expand(1)")
        elif step.variant == 2:
            self.db.execute("select vsync_internal.backfill(v.id, 2) from vsync_internal.versions as v")

    def claim(self, step: Step, owner: int) -> None:
        """Claim a key or two and render them; publishing is another step, if it comes at all."""
        self.fold(step, owner)
        claimer = self.sessions.claimer
        versions = claimer.execute("select id from vsync_internal.versions order by id").fetchall()
        version = versions[step.text % len(versions)][0]
        row = claimer.execute(
            "select token, keys from vsync_internal.claim(%s, %s)", [version, step.variant + 1]
        ).fetchone()
        assert row is not None
        if row[0] is not None:
            render = "select key, content, hash from vsync_internal.render(%s, %s)"
            rows = claimer.execute(render, [row[0], row[1]]).fetchall() if step.variant else []
            self.claims.append(Claim(row[0], version, rows))

    def publish(self, step: Step, owner: int) -> None:
        for claim in self.claims:
            if step.variant:
                self._publish(self.sessions.claimer, claim)
            self.sessions.claimer.execute("select vsync_internal.release(%s)", [claim.token])
        self.claims = []

    def die(self, step: Step, owner: int) -> None:
        if self.claims:
            self.sessions.kill_claimer()
            self.lost += self.claims
            self.claims = []
            if step.variant % 2:
                self.db.execute("select vsync_internal.reap()")

    def late(self, step: Step, owner: int) -> None:
        self.db.execute("select vsync_internal.reap()")
        for claim in self.lost:
            self._publish(self.db, claim)

    def drain(self, step: Step, owner: int) -> None:
        if self.exclusive is not None:
            self._finish(self.exclusive, commit=True)
        self.publish(step, owner)
        work(self.db)

    def refresh(self, step: Step, owner: int) -> None:
        self._write(owner, f"select vsync.refresh('{self.embeddings[0].name}')")

    def _publish(self, session: Connection, claim: Claim) -> None:
        rows: list[dict[str, Any]] = []
        for key, content, document in claim.rows:
            chunks = split(content, self.shape.chunk if claim.version == self._first_version() else None)
            made = vectors(self.db, set(chunks))
            for number, text in enumerate(chunks):
                vector = json.dumps([float(value) for value in made[text]])
                digest = sha256(text.encode()).hexdigest()
                rows.append(
                    {
                        "key": key,
                        "chunk": number,
                        "content": text,
                        "hash": digest,
                        "document": document,
                        "vector": vector,
                        "truncated": False,
                        "fresh": True,
                    }
                )
        session.execute("select vsync_internal.publish(%s, %s, 0)", [claim.token, json.dumps(rows)])

    def _first_version(self) -> int:
        query = "select id from vsync_internal.versions where embedding = %s"
        row = self.db.execute(query, [self.embeddings[0].name]).fetchone()
        assert row is not None
        return row[0]

"""Identifiers and texts at random: quotes, Unicode, 63 bytes, reserved words, whatever a name or a text may hold."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psycopg
import pytest
from psycopg import sql

from chaos.battery import Battery
from chaos.verdict import Verdict, near, tiny_vectors
from fix_cluster import Connection
from promise.oracle import register

_PIECES = (
    *"abcXYZ09_ .,;:-+*/\\|!?@#&()[]{}<>=~^`'\"%$",
    *("''", '""', "%s", "%I", "%1$s", "$1", "$$", "$q$", "--", "/*", "*/", "\\n", "\n", "\t", "{0}", "{}", "E'", ":x"),
    *("é", "ß", "İ", "ü", "日本", "क्ष", "العربية", "😀", "👩\u200d👩\u200d👧", "\u0131", "\ufb01", "\u200b", "\u202e"),
    *("\ufeff", "\u0301", "\x01", "\x7f"),
    *("select", "from", "user", "order", "table", "null", "true", "content", "key", "hash", "chunk", "version"),
)
_TEXTS = ("x" * 5000, "\\", "'", '"', "{a,b}", "[1]", '{"a": 1}', "null", "\u2028", "0", " ", "e'\\x00'", "\x01")
_LONGEST_NAME = 63
_RESERVED = ("content", "chunk", "embedding", "version", "embedded_at")  # columns of every view


@dataclass(frozen=True)
class Names:
    """What one table and its embedding are called. aliases: of table and key in the document."""

    schema: str
    table: str
    key: str
    second: str
    body: str
    embedding: str
    output: str
    alias: str

    def quoted(self) -> dict[str, sql.Identifier]:
        """Return the names as identifiers."""
        return {name: sql.Identifier(value) for name, value in vars(self).items()}


def name(chance: random.Random) -> str:
    """Return an identifier of at most 63 bytes, often of exactly so many."""
    made = "".join(chance.choice(_PIECES) for _ in range(chance.choice((1, 3, 12, 70))))
    return made.encode()[:_LONGEST_NAME].decode(errors="ignore") or "x"


def text(chance: random.Random) -> str:
    """Return a text that PostgreSQL can store."""
    return (
        chance.choice(_TEXTS) if chance.random() < 0.1 else "".join(chance.choices(_PIECES, k=chance.randrange(1, 40)))
    )


def names(chance: random.Random, number: int) -> Names:
    """Return names that do not collide within one table."""
    key, second, body = (name(chance) for _ in range(3))
    while (
        len({key, second, body}) < 3
        or second in _RESERVED
        or any(column.startswith("........pg.dropped") for column in (key, second, body))
    ):
        key, second, body = (name(chance) for _ in range(3))
    output = name(chance) if chance.random() < 0.7 else key
    while output in (*_RESERVED, second):
        output = name(chance)
    schema = f"{name(chance)[:20]}{number}"
    table, embedding = name(chance), name(chance)
    while embedding == table:  # its view stands beside the table
        embedding = name(chance)
    return Names(schema if not schema.startswith("pg_") else "x" + schema, table, key, second, body,
                 embedding, output, name(chance))  # fmt: skip


_CREATE = """create schema {schema};
create table {schema}.{table} ({key} text, {second} int, {body} text, primary key ({key}, {second}))"""
_DOCUMENT = (
    "select {alias}.{key} as {output}, {alias}.{second}, {alias}.{body} as content from {schema}.{table} as {alias}"
)
_INSERT = """insert into {schema}.{table} ({key}, {second}, {body}) values ($1, $2, $3)
on conflict ({key}, {second}) do update set {body} = excluded.{body}"""
_VIEW = "select {output}, {second}, content, embedding::text, version from {schema}.{embedding}"


class Case:
    """One table with its rows, which the test remembers, and one embedding."""

    def __init__(self, db: Connection, chance: random.Random, number: int) -> None:
        self.names = names(chance, number)
        self._db = db
        self._raw = psycopg.RawCursor(db)  # names hold percent signs
        self._chance = chance
        self._quoted = self.names.quoted()
        self._rows: dict[tuple[str, int], str] = {}
        self.count = 8

    def sql(self, template: str) -> sql.Composed:
        """Fill a template with the names."""
        return sql.SQL(template).format(**self._quoted)  # pyright: ignore[reportArgumentType]

    def run(self) -> Verdict:
        """Declare, write, compare, and drop."""
        self._raw.execute(self.sql(_CREATE))
        self._write(10)
        document = self.sql(_DOCUMENT).as_string(self._db)
        call = "select vsync.create_embedding(%s, %s, 'tiny', index => '{\"type\": \"none\"}')"
        self._db.execute(call, [self.names.embedding, document])
        self._db.execute("call vsync.work()")
        verdict = self._judge()
        self._write(10)
        for key, second in self._chance.sample(sorted(self._rows), 3):
            gone = self.sql("delete from {schema}.{table} where {key} = $1 and {second} = $2")
            self._raw.execute(gone, [key, second])
            del self._rows[key, second]
        self._db.execute("call vsync.work()")
        verdict += self._judge() + self._asked()
        self._db.execute("select vsync.drop_embedding(%s)", [self.names.embedding])
        self._raw.execute(self.sql("drop schema {schema} cascade"))
        return verdict

    def _write(self, rows: int) -> None:
        for _ in range(rows):
            known = sorted(self._rows)
            key = (
                self._chance.choice(known)
                if known and self._chance.random() < 0.3
                else (text(self._chance), self._chance.randrange(-3, 3))
            )
            self._rows[key] = text(self._chance)
            self._raw.execute(self.sql(_INSERT), [*key, self._rows[key]])
            self.count += 2

    def _judge(self) -> Verdict:
        found = {(row[0], row[1]): row[2:] for row in self._raw.execute(self.sql(_VIEW)).fetchall()}
        shared = sorted(found.keys() & self._rows.keys())
        stored = np.array([np.fromstring(found[key][1].strip("[]"), dtype=np.float32, sep=",") for key in shared])
        right = near(stored, tiny_vectors([self._rows[key] for key in shared])) if shared else []
        return Verdict(
            lost=len(self._rows.keys() - found.keys()),
            extra=len(found.keys() - self._rows.keys()),
            stale=sum(found[key][0] != self._rows[key] or not good for key, good in zip(shared, right, strict=True)),
            mixed=sum(row[2] != 1 for row in found.values()),
        )

    def _asked(self) -> Verdict:
        """Ask what takes an embedding's name or a key: each must know them as they are."""
        embedding = self.names.embedding
        audit = self._db.execute("select checked, missing, extra, stale, mixed from vsync.audit(%s)", [embedding])
        checked, missing, extra, stale, mixed = audit.fetchall()[0]
        key, second = self._chance.choice(sorted(self._rows))
        as_json = "jsonb_build_object(%s::text, %s::text, %s::text, %s::int)"
        arguments = [self.names.output, key, self.names.second, second]
        state = self._db.execute(
            f"select state from vsync.explain_row(%s, {as_json})".encode(), [embedding, *arguments]
        )
        search = f"select key = {as_json} , stale from vsync.search(%s, %s, 1000) order by 1 desc"
        hits = self._db.execute(search.encode(), [*arguments, embedding, self._rows[key, second]]).fetchall()
        marked = self._db.execute(f"select vsync.refresh(%s, {as_json})".encode(), [embedding, *arguments]).fetchone()
        self._db.execute("select vsync.explain_embedding(%s)", [embedding])
        ok = state.fetchall() == [("fresh",)] and hits[0] == (True, False) and marked == (1,)
        return Verdict(missing + len(self._rows) - checked, stale + (not ok), extra, len(hits) - len(self._rows), mixed)


@pytest.mark.parametrize("cases", [300, pytest.param(10_000, marks=pytest.mark.chaos, id="10000 cases")])
def test_any_identifier_and_any_text_is_followed(
    db: Connection, tiny_model: Path, battery: Battery, share: Callable[[int], int], cases: int
) -> None:
    register(db, tiny_model)
    while battery.faults < (cases if cases == 300 else share(cases)):
        case = Case(db, battery.chance, battery.faults)
        try:
            battery.found(case.run())
        except Exception as error:
            error.add_note(f"{battery}: {case.names!r}")
            raise
        battery.faults += case.count

"""The promise over random DDL: vectors equal a rebuild, whatever happened, and no text was embedded twice."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fix_cluster import Connect, Connection
from promise.oracle import Declared, assert_fresh, declare, embedded_total, register, rendered
from promise.stage import Background

SUPPRESSED = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large)
ALARMS = "select name, detail from vsync.doctor() where level = 'error' and name in ('capture triggers', 'documents')"


class Library:
    """Books and their authors, an embedding over both, and what everything is called now."""

    def __init__(self, db: Connection) -> None:
        self.db = db
        self._count = 0
        self.books, self.authors = "books", "authors"
        self.names = {name: name for name in ("id", "title", "body", "author", "number", "name")}
        db.execute("create table authors (number int primary key, name varchar(60))")
        db.execute("create table books (id int primary key, title varchar(60), body text, author int, hits int)")
        db.execute("insert into authors select i, 'author ' || i from generate_series(1, 3) as i")
        db.execute(
            "insert into books select i, 'title ' || i, 'body ' || i, 1 + i % 3, 0 from generate_series(1, 9) as i"
        )
        self.embedding = declare(db, self.document)
        self.seen: set[str] = set()
        self.look()

    @property
    def document(self) -> str:
        n = self.names
        return (
            f"select b.{n['id']} as id, concat_ws(' ', b.{n['title']}, b.{n['body']}, a.{n['name']}) as content"
            f" from {self.books} as b join {self.authors} as a on a.{n['number']} = b.{n['author']}"
        )

    def look(self) -> None:
        """Note the texts that there are now: no other may ever be embedded."""
        now = Declared(self.embedding.name, "public", ("id",), self.document)
        self.seen |= set(rendered(self.db, now).values())

    def run(self, *statements: str) -> None:
        with self.db.transaction():
            for statement in statements:
                self.db.execute(statement.encode())
        self.look()

    def fresh_name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"

    def rename(self, column: str) -> str:
        """SQL that gives a column another name."""
        table = self.authors if column in ("number", "name") else self.books
        old, self.names[column] = self.names[column], self.fresh_name(column)
        return f"alter table {table} rename column {old} to {self.names[column]}"

    def write(self, key: int) -> str:
        n = self.names
        author = f"{n['name']} = 'author of ' || {self._count} where {n['number']} = 1 + {key} % 3"
        return (
            f"update {self.books} set {n['title']} = 'written ' || {self._count} where {n['id']} = {key};"
            f" update {self.authors} set {author};"
            f" delete from {self.books} where {n['id']} = {key + 4};"
            f" insert into {self.books} ({n['id']}, {n['title']}, {n['author']}) values ({key + 4}, 'again', 2)"
        )

    # steps

    def rename_column(self, key: int) -> None:
        self.run(self.rename(("id", "title", "body", "author", "number", "name")[key % 6]))

    def rename_table(self, key: int) -> None:
        if key % 2:
            old, self.books = self.books, self.fresh_name("books")
            self.run(f"alter table {old} rename to {self.books}")
        else:
            old, self.authors = self.authors, self.fresh_name("authors")
            self.run(f"alter table {old} rename to {self.authors}")

    def rename_in_a_transaction(self, key: int) -> None:
        first = self.write(key)
        second = self.rename("title")
        self.run(first, second, self.write(key), self.rename("name"), self.write(key))

    def change_rows(self, key: int) -> None:
        self._count += 1
        self.run(self.write(key))

    def column_of_no_concern(self, key: int) -> None:
        name = self.fresh_name("extra")
        self.run(f"alter table {self.books} add column {name} int default {key}", self.write(key))
        self.run(
            f"alter table {self.books} alter column {name} type text", f"alter table {self.books} drop column {name}"
        )

    def triggers_off(self, key: int) -> None:
        table = self.authors if key % 2 else self.books
        self._count += 1
        off, on = f"alter table {table} disable trigger all", f"alter table {table} enable trigger all"
        if key % 3:
            self.run(off, self.write(key), on)
        else:
            self.run(off)
            self.run(self.write(key))
            self.run(on)

    def without_a_key(self, key: int) -> None:
        row = self.db.execute(
            "select conname from pg_constraint where conrelid = %s::regclass and contype = 'p'", [self.books]
        ).fetchone()
        assert row is not None
        self.run(f"alter table {self.books} drop constraint {row[0]}")
        self.run(self.write(key))
        self.run(f"alter table {self.books} add primary key ({self.names['id']})")

    def child_for_a_while(self, key: int) -> None:
        name = self.fresh_name("parent")
        self.run(
            f"create table {name} as select * from {self.books} limit 0", f"alter table {self.books} inherit {name}"
        )
        self.run(self.write(key).replace(f"update {self.books} ", f"update {name} "))
        self.run(f"alter table {self.books} no inherit {name}", f"drop table {name}")

    def view_dropped(self, key: int) -> None:
        self.run("drop view promised", self.write(key))
        self.db.execute("select vsync.repair_capture('promised')")


STEPS: tuple[Callable[[Library, int], None], ...] = (
    Library.rename_column,
    Library.rename_table,
    Library.rename_in_a_transaction,
    Library.change_rows,
    Library.change_rows,
    Library.column_of_no_concern,
    Library.triggers_off,
    Library.triggers_off,
    Library.without_a_key,
    Library.child_for_a_while,
    Library.view_dropped,
)
HISTORIES = given(
    steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, 5)), min_size=2, max_size=8), beside=st.booleans()
)


@pytest.fixture
def registered(db: Connection, tiny_model: Path) -> Connection:
    register(db, tiny_model)
    return db


def follow(
    db: Connection, connect: Connect, steps: list[tuple[Callable[[Library, int], None], int]], beside: bool
) -> None:
    library = Library(db)
    try:
        if beside:
            with connect() as session, Background(session):
                for step, key in steps:
                    step(library, key)
        else:
            for step, key in steps:
                step(library, key)
        assert_fresh(db, library.embedding, document=library.document)
        assert db.execute(ALARMS).fetchall() == []
        assert embedded_total(db, library.embedding) <= len(library.seen)
    finally:
        db.execute("select vsync.drop_embedding('promised')")
        db.execute(f"drop table {library.books}, {library.authors}".encode())


@settings(suppress_health_check=SUPPRESSED, max_examples=25)
@HISTORIES
def test_after_any_history_of_ddl_the_vectors_equal_a_rebuild_and_none_was_made_twice(
    registered: Connection,
    connect: Connect,
    steps: list[tuple[Callable[[Library, int], None], int]],
    beside: bool,
) -> None:
    follow(registered, connect, steps, beside)


@pytest.mark.soak
@settings(suppress_health_check=SUPPRESSED)
@HISTORIES
def test_many_histories_of_ddl(
    registered: Connection,
    connect: Connect,
    batch: int,
    steps: list[tuple[Callable[[Library, int], None], int]],
    beside: bool,
) -> None:
    del batch
    follow(registered, connect, steps, beside)

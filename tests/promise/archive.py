"""What a random history of migrations plays on: two tables, a joined and a chunked embedding, today's names."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random

import psycopg
from psycopg import sql

from fix_cluster import Connection
from promise.oracle import Declared, assert_fresh, declare, rendered, split, statistic, work

OF_BOOKS = ("id", "title", "body", "author", "hits")
NUMBERS = ("int", "bigint", "numeric(12)", "int8")
TYPES = {
    "id": ("int", "bigint", "numeric(12)", "text", "varchar(20)"),
    "hits": ("int", "bigint", "numeric(12)", "text"),
    "author": NUMBERS,
    "number": NUMBERS,
    "title": ("varchar(60)", "varchar(200)", "text"),
    "body": ("text", "varchar(500)"),
    "name": ("varchar(60)", "text"),
}
CHUNK = {"tokens": 8, "overlap": 1}
# what PostgreSQL may answer to any migration beside readers, which then is run again
AGAIN = ("40P01", "55P03")
QUIET = "select name, detail, remediation from vsync.doctor() where level = 'error'"


class Archive:
    """Books and authors, and the two embeddings over them."""

    def __init__(self, db: Connection, capture: str) -> None:
        self.db = db
        self.capture = capture
        self.count = 0
        self.books, self.authors = "books", "authors"
        self.names = {name: name for name in TYPES}
        self.kinds = {name: kinds[0] for name, kinds in TYPES.items()}
        self.restored: list[Callable[[], None]] = []
        db.execute("create schema archive; set search_path = archive")
        db.execute("create table authors (number int primary key, name varchar(60))")
        db.execute(
            "create table books (id int primary key, title varchar(60), body text, author int, hits int, extra int)"
        )
        db.execute("insert into authors select i, 'author ' || i from generate_series(1, 3) as i")
        db.execute(
            "insert into books select i, 'title ' || i, 'one two three four five six seven eight ' || i || ' ten',"
            " 1 + i % 3, i from generate_series(1, 9) as i"
        )
        self.embeddings = tuple(
            declare(db, document, name=name, schema="archive", chunk=chunk, capture=capture)
            for name, document, chunk in zip(("joined", "chunked"), self.documents, (None, CHUNK), strict=True)
        )
        self.seen: dict[str, set[tuple[str, str]]] = {e.name: set() for e in self.embeddings}
        self.look()

    @property
    def documents(self) -> tuple[str, str]:
        n, books = self.names, self.books
        content = f"concat_ws(' ', b.{n['title']}, b.{n['hits']}, a.{n['name']}) as content"
        join = f"{self.authors} as a on a.{n['number']} = b.{n['author']}"
        return (
            f"select b.{n['id']} as id, {content} from {books} as b join {join}",
            f"select {n['id']} as id, concat_ws(' ', {n['title']}, {n['body']}) as content from {books}",
        )

    @property
    def today(self) -> tuple[Declared, ...]:
        """The embeddings with their documents as they are spelled now."""
        return tuple(replace(e, document=d) for e, d in zip(self.embeddings, self.documents, strict=True))

    def look(self) -> None:
        """Note the texts that there are now: no other may ever be embedded."""
        for embedding in self.today:
            try:
                texts = rendered(self.db, embedding)
            except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedFunction):
                continue
            for key, text in texts.items():
                self.seen[embedding.name] |= {(key, part) for part in split(text, embedding.chunk)}

    def run(self, statements: Iterable[str], *, commit: bool = True) -> None:
        """Run statements in one transaction, again where a reader was in the way."""
        done = list(statements)
        for attempt in range(9):
            try:
                with self.db.transaction(force_rollback=not commit):
                    for statement in done:
                        self.db.execute(statement.encode())
                break
            except psycopg.Error as error:
                if error.sqlstate not in AGAIN or attempt == 8:
                    raise
        self.look()

    def new(self, stem: str) -> str:
        self.count += 1
        return f"{stem}_{self.count}"

    def table(self, column: str) -> str:
        return self.books if column in OF_BOOKS else self.authors

    # statements, which the names and types that are kept here follow

    def rename(self, column: str) -> str:
        old, self.names[column] = self.names[column], self.new(column)
        return f"alter table {self.table(column)} rename column {old} to {self.names[column]}"

    def rename_table(self, books: bool) -> str:
        if books:
            old, self.books = self.books, self.new("books")
            return f"alter table {old} rename to {self.books}"
        old, self.authors = self.authors, self.new("authors")
        return f"alter table {old} rename to {self.authors}"

    def retype(self, column: str, kind: str) -> str:
        self.kinds[column] = kind
        name = self.names[column]
        return (
            f"alter table {self.table(column)} alter {name} drop default, alter {name} type {kind} using {name}::{kind}"
        )

    def other_type(self, column: str, chance: Random) -> str:
        return self.retype(column, chance.choice([kind for kind in TYPES[column] if kind != self.kinds[column]]))

    def release(self, books: bool = True, authors: bool = True) -> list[str]:
        tables = [self.books] * books + [self.authors] * authors
        return [f"select vsync.release_table('{table}')" for table in tables]

    def write(self, chance: Random) -> list[str]:
        """Statements that change, delete and insert rows; no text comes back that there was before."""
        n, books = self.names, self.books
        self.count += 1
        number = 1000 + self.count
        author = f"{n['author']} = '{1 + number % 3}'"
        key = f"where {n['id']} = '{chance.randint(1, 5)}'"
        last = chance.randint(6, 9)
        other = f"where {n['id']} = '{last}'"
        columns = f"{n['id']}, {n['title']}, {n['author']}, {n['hits']}"
        changes = [
            f"update {books} set {n['title']} = 'written {number}' {key}",
            f"update {books} set {n['hits']} = '{number}', extra = {number} {key}",
            f"update {books} set {author}, {n['title']} = 'moved {number}' {key}",
            f"update {self.authors} set {n['name']} = 'author {number}' where {n['number']} = '{1 + number % 3}'",
            f"delete from {books} {other}",
            f"insert into {books} ({columns}) values ('{last}', 'again {number}', '2', '1') on conflict do nothing",
            f"update {books} set {n['id']} = '{number}', {n['title']} = 'key {number}' {other}",
        ]
        return chance.sample(changes, chance.randint(1, 4))

    def changes(self, chance: Random) -> list[str]:
        """Statements of one migration over tables that were released."""
        done: list[str] = []
        for _ in range(chance.randint(1, 5)):
            kind = chance.randint(0, 9)
            if kind < 5:
                column = chance.choice(list(TYPES))
                if self.kinds[column] != "text" or column not in ("author", "number"):
                    done.append(self.other_type(column, chance))
            elif kind == 5:
                done.append(self.rename(chance.choice(list(TYPES))))
            elif kind == 6:
                done.append(self.rename_table(chance.random() < 0.5))
            else:
                done += self.write(chance)
        return done

    # what holds

    def assert_down(self, *names: str) -> None:
        """All that is served is stale, nothing claims to know what waits, the doctor says so, deletes are followed."""
        for name in names:
            served = "select coalesce(bool_and(stale), true) from vsync.search(%s, 'one', 100)"
            assert self.db.execute(served, [name]).fetchone() == (True,), f"{name} is down and serves as fresh"
            shown = self.db.execute(
                "select state in ('broken', 'released'), pending, oldest_pending_age from vsync.stat_embeddings"
                " where embedding = %s",
                [name],
            ).fetchone()
            assert shown == (True, None, None), name
            told = "select from vsync.doctor() where name = 'embeddings' and level <> 'ok' and detail like %s"
            assert self.db.execute(told, [f"%{name}%"]).fetchone() is not None, f"the doctor is silent about {name}"

    def assert_deletes_followed(self, *names: str) -> None:
        """A row that goes is not found any more."""
        row = self.db.execute(f"select {self.names['id']}::text from {self.books} limit 1".encode()).fetchone()
        if row is None:
            return
        self.run([f"delete from {self.books} where {self.names['id']} = '{row[0]}'"])
        work(self.db)
        for name in names:
            served = sql.SQL("select count(*) from {} where id::text = %s").format(sql.Identifier(name))
            assert self.db.execute(served, [row[0]]).fetchone() == (0,), f"{name} serves {row[0]}, which is gone"

    def finish(self) -> None:
        """Bring back what is missing, follow all again, and compare."""
        for restore in self.restored:
            restore()
        self.restored.clear()
        self.db.execute("select vsync.resume_table()")
        for embedding in self.embeddings:
            self.db.execute("select vsync.repair_embedding(%s)", [embedding.name])
            self.db.execute("select vsync.repair_capture(%s)", [embedding.name])
        work(self.db)
        for embedding in self.embeddings:
            self.db.execute("select vsync.retry(%s)", [embedding.name])
        for embedding in self.today:
            assert_fresh(self.db, embedding)
            made = statistic(self.db, embedding, "embedded_total")
            assert made <= len(self.seen[embedding.name]), f"{embedding.name} embedded a text twice"
        assert self.db.execute(QUIET).fetchall() == []

    def migrate_once_more(self, chance: Random) -> None:
        """Give every column another type: not one text is sent to the model."""
        sent = [statistic(self.db, e, "inference_total") for e in self.embeddings]
        changes = [self.other_type(column, chance) for column in TYPES]
        self.run([*self.release(), *changes])
        for embedding in self.today:
            assert_fresh(self.db, embedding)
        assert [statistic(self.db, e, "inference_total") for e in self.embeddings] == sent
        assert self.db.execute(QUIET).fetchall() == []

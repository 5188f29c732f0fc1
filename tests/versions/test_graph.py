"""The dependency graph of a document: its paths, and that they lead to every document that a change alters."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from fix_cluster import Connection
from versions.page import PAGE, page
from versions.random_documents import Author
from versions.shapes import REFUSED, SUPPORTED, Reads
from vsync_engine.documents import analyse as documents
from vsync_engine.documents import source_check
from vsync_engine.documents.analyse import Dependency, Document
from vsync_engine.documents.catalog import quoted
from vsync_engine.foundation.errors import EngineError

STEADY = [shape for shape in SUPPORTED if "refresh_every" not in shape.options]

Analyse = Callable[..., Document]
Row = dict[str, Any]

TABLES = (Path(__file__).parent / "graph_tables.sql").read_text(encoding="utf-8")

_TRANSACTIONS = 400
_ENOUGH = 20
_WORDS = ("a", "a", "a", "b", "b", "A", None)
_NUMBERS = (1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 5, 0, None)


@pytest.fixture
def analyse(db: Connection) -> Analyse:
    """Check a query, store it as a view, and analyse what the catalog says about it."""
    db.execute(TABLES.encode())

    def run(query: str, options: dict[str, Any] | None = None) -> Document:
        source_check.check(query)
        db.execute("drop view if exists shop.document")
        db.execute(f"create view shop.document as {query}".encode())
        row = db.execute(
            "select vsync_internal.document_catalog('shop.document', %s)", (json.dumps(options or {}),)
        ).fetchone()
        assert row is not None
        return documents.analyse({**row[0], "written": query})

    return run


def described(dependency: Dependency) -> Reads:
    return Reads(
        f"{dependency.relation_name} {dependency.alias}",
        " ".join(dependency.columns),
        dependency.path,
        dependency.whole_row,
        dependency.declared,
    )


def test_supported_shapes_have_the_paths_that_the_list_says(analyse: Analyse) -> None:
    wrong: list[Any] = []
    for shape in SUPPORTED:
        try:
            found = analyse(shape.query, shape.options)
        except EngineError as error:
            wrong.append((shape.title, error.message, error.detail))
            continue
        table, _, columns = shape.root.rpartition(": ")
        seen = (found.root_name, " ".join(found.columns), tuple(map(described, found.dependencies)))
        if seen != (table or "products", columns, shape.reads):
            wrong.append((shape.title, *seen))
        assert [dependency.number for dependency in found.dependencies] == [*range(1, len(found.dependencies) + 1)]
    assert wrong == []


def test_refused_shapes_say_what_where_and_what_to_do(analyse: Analyse) -> None:
    wrong: list[Any] = []
    for shape in REFUSED:
        try:
            analyse(shape.query, shape.options)
        except EngineError as error:
            seen = (error.sqlstate, error.message, error.detail, error.hint)
            fits = error.sqlstate == shape.sqlstate and shape.message in error.message
            if not (fits and shape.detail in error.detail and shape.hint in error.hint and error.detail and error.hint):
                wrong.append((shape.title, *seen))
        else:
            wrong.append((shape.title, "accepted"))
    assert wrong == []


# ---------------------------------------------------------------- deltas against brute force


class Shop:
    """The tables with random rows, and random changes to them."""

    def __init__(self, db: Connection, seed: int) -> None:
        self.db = db
        self.random = random.Random(seed)
        self.columns: dict[str, dict[str, str]] = {}
        db.execute("set search_path = pg_catalog, pg_temp")
        facts = db.execute(
            "select c.relname, a.attname, format_type(a.atttypid, a.atttypmod) from pg_attribute a"
            " join pg_class c on c.oid = a.attrelid where c.relnamespace = 'shop'::regnamespace"
            " and c.relkind in ('r', 'p') and not c.relispartition and a.attnum > 0 and a.attgenerated = ''"
            " order by c.relname, a.attnum"
        )
        for table, column, kind in facts:
            self.columns.setdefault(table, {})[column] = kind
        db.execute("alter table shop.categories drop constraint categories_parent_id_fkey")
        for table in self.columns:
            for _ in range(16):
                self.change(table, "insert")

    def value(self, kind: str) -> Any:
        if kind == "text[]":
            return [word for word in self.random.choices(_WORDS, k=2) if word]
        if kind == "jsonb":
            word, number = self.random.choice(_WORDS), self.random.choice(_NUMBERS)
            return json.dumps({"shelf": {"category": number}, "codes": [word], "at": word})
        if kind == "boolean":
            return self.random.choice((True, True, True, False, None))
        return self.random.choice(_NUMBERS if kind in ("integer", "bigint") else _WORDS)

    def rows(self, table: str) -> list[tuple[str, Row]]:
        query = sql.SQL("select ctid::text || tableoid, to_jsonb(t) from {} as t order by 1").format(
            sql.Identifier("shop", table)
        )
        return [(place, row) for place, row in self.db.execute(query)]

    def change(self, table: str, kind: str, among: list[str] | None = None) -> None:
        """Insert, delete or update one row, a column among those given; what a constraint refuses does not happen."""
        columns = self.columns[table]
        name = sql.Identifier("shop", table)
        rows = self.rows(table)
        place = self.random.choice(rows)[0] if rows else ""
        here = sql.SQL(" where ctid::text || tableoid = {}").format(place)
        if kind == "insert":
            values = [self.value(column) for column in columns.values()]
            statement = sql.SQL("insert into {} ({}) values ({})").format(
                name, sql.SQL(", ").join(map(sql.Identifier, columns)), sql.SQL(", ").join(map(sql.Literal, values))
            )
        elif kind == "delete":
            statement = sql.SQL("delete from {}").format(name) + here
        else:
            column = self.random.choice(among or list(columns))
            statement = (
                sql.SQL("update {} set {} = {}").format(
                    name, sql.Identifier(column), sql.Literal(self.value(columns[column]))
                )
                + here
            )
        try:
            with self.db.transaction():
                self.db.execute(statement)
        except psycopg.errors.IntegrityError:
            pass

    def contents(self, root_key: str) -> dict[Any, list[str]] | None:
        """Every document, by key; None where the query fails for these rows."""
        try:
            with self.db.transaction():
                rows = self.db.execute(
                    f"select {root_key}, content from shop.document order by 1, 2".encode()
                ).fetchall()
        except psycopg.Error:
            return None
        found: dict[Any, list[str]] = {}
        for key, content in rows:
            found.setdefault(key, []).append(content)
        return found


def led_to(db: Connection, dependency: Dependency, changed: list[Row], types: dict[str, str]) -> set[Any]:
    """What the delta query of a dependency returns for changed rows."""
    columns = ", ".join(f'r."{key.column}"::{key.type} as "{key.output}"' for key in dependency.keys)
    record = ", ".join(f'"{name}" {kind}' for name, kind in types.items())
    query = (
        f"with changed as (select {columns} from jsonb_to_recordset(%s) as r({record})) "
        f"select * from ({dependency.delta}) as d"
    )
    return {row[0] for row in db.execute(query.encode(), (json.dumps(changed),))}


def differing(before: list[tuple[str, Row]], after: list[tuple[str, Row]]) -> list[Row]:
    """Rows as they were and rows as they are, where the two are not the same."""
    old, new = [row for _, row in before], [row for _, row in after]
    return [row for row in old if row not in new] + [row for row in new if row not in old]


def hold_against_brute_force(db: Connection, found: Document, seed: int) -> int:
    """Make random changes, compare every document before and after; return how many documents were altered."""
    shop = Shop(db, seed)
    (key,) = found.keys
    relations = sorted({found.root_name, *(dependency.relation_name for dependency in found.dependencies)})
    altered = 0
    for _ in range(_TRANSACTIONS):
        before, rows = shop.contents(key.output), {table: shop.rows(table) for table in relations}
        for _ in range(shop.random.choice((1, 1, 1, 2, 4))):
            shop.change(shop.random.choice(relations), shop.random.choice(("insert", "update", "update", "delete")))
        after = shop.contents(key.output)
        if before is None or after is None:
            continue
        reached: set[Any] = set()
        for table in relations:
            changes = differing(rows[table], shop.rows(table))
            if table == found.root_name:
                reached |= {row[key.column] for row in changes}
            for dependency in found.dependencies:
                if dependency.relation_name == table:
                    reached |= led_to(db, dependency, changes, shop.columns[table])
        wanted = {name for name in {*before, *after} if before.get(name) != after.get(name)}
        assert wanted <= reached, (found.dependencies, wanted, reached)
        altered += len(wanted)
        if altered >= _ENOUGH:
            break
    return altered


def test_a_change_alters_only_documents_that_its_deltas_lead_to(db: Connection, analyse: Analyse) -> None:
    for shape in STEADY:
        with db.transaction(force_rollback=True):
            altered = hold_against_brute_force(db, analyse(shape.query, shape.options), seed=sum(map(ord, shape.title)))
        assert altered, shape.title


def test_columns_that_do_not_matter_alter_no_document(db: Connection, analyse: Analyse) -> None:
    for shape in STEADY:
        with db.transaction(force_rollback=True):
            found = analyse(shape.query, shape.options)
            shop = Shop(db, seed=len(shape.query))
            matter: dict[str, set[str]] = {found.root_name: set(found.columns)}
            for dependency in found.dependencies:
                matter.setdefault(dependency.relation_name, set()).update(dependency.columns)
            before = shop.contents(found.keys[0].output)
            for table, columns in matter.items():
                others = [column for column in shop.columns[table] if column not in columns]
                for _ in range(30 if others else 0):
                    shop.change(table, "update", others)
            assert shop.contents(found.keys[0].output) == before, shape.title


DECLARED: list[tuple[Any, str, str, str]] = [
    ("x", "VS001", "depends_on is no list", "x"),
    (["x"], "VS001", "an entry of depends_on is no object", "x"),
    ([{"relation": "shop.rates"}], "VS001", 'no text "query"', "relation"),
    ([{"relatoin": "shop.rates", "query": "select 1"}], "VS001", 'unknown depends_on option "relatoin"', "query"),
    ("relation shop.nope", "VS001", 'relation "shop.nope" of depends_on is not found', "schema.table"),
    ("relation rates", "VS001", 'relation "rates" of depends_on is not found', "schema.table"),
    ("delete from changed", "VS201", "query of depends_on is not a SELECT", "line 1"),
    ("select rate from changed; select 1", "VS201", "query of depends_on is more than one statement", "line 1"),
    ("select rate + from changed", "VS201", "query of depends_on cannot be parsed", "line 1"),
    ("select rate from changed union select 1", "VS203", "query of depends_on has a set operation", "line 1"),
    ("with t as (select rate from changed union select 1) select rate from t", "VS203", "has a common table", "line 1"),
    ("with recursive t as (select rate from changed) select rate from t union select 1", "VS203", "a set op", "line 1"),
    (
        "select p.id from shop.products p where exists (select from changed where stars = 1)",
        "VS001",
        "named with",
        "id",
    ),
    ("select $1 from changed", "VS201", "query of depends_on has a placeholder", "line 1"),
    ("select rate, rate from changed", "VS001", "does not return the key", "(id)"),
    ("select c.* from changed c", "VS001", "does not return the key", "(id)"),
    ("select p.id from shop.products p", "VS001", "does not read changed", "changed rows"),
    ("select p.id from changed, shop.products p", "VS001", "reads no column of changed", "depends_on"),
    ("select id from changed, shop.products p", "VS001", 'column "id" of depends_on is named without', "column 8"),
    ("select changed.colour from changed", "VS001", 'column "colour" of depends_on is not found', "shop.rates"),
    ("select p.id from changed c join products p on p.title = c.country", "VS203", "without its schema", "products"),
    ("select rate + random() from changed", "VS204", "query of depends_on calls a volatile function", "random()"),
    ("select shop.nope(rate) from changed", "VS001", 'function "nope" of depends_on is not found', "column 13"),
]


def test_what_depends_on_declares_is_checked(analyse: Analyse) -> None:
    for given, sqlstate, message, detail in DECLARED:
        entry = {"relation": "shop.rates", "query": "select rate from changed"}
        if isinstance(given, str) and given != "x":
            name, _, text = given.partition(" ")
            entry |= {"relation": text} if name == "relation" else {"query": given}
            given = [entry]
        with pytest.raises(EngineError) as caught:
            analyse("select id, title as content from shop.products", {"depends_on": given})
        error = caught.value
        seen = (error.sqlstate, error.message, error.detail, error.hint)
        assert error.sqlstate == sqlstate, seen
        assert message in error.message, seen
        assert detail in f"{error.detail} {error.hint}", seen


def test_a_declared_table_that_the_document_reads_counts_with_what_is_read(analyse: Analyse) -> None:
    query = "select p.id, p.title || (select max(r.rate) from shop.rates r) as content from shop.products p"
    entry = {
        "relation": "shop.rates",
        "query": "select p.id from shop.products p, changed c where c.country <> '' -- all",
    }
    (found,) = analyse(query, {"depends_on": [entry]}).dependencies
    assert found.columns == ("country", "rate")
    assert [key.column for key in found.keys] == ["country"]
    assert found.delta.splitlines()[1] == entry["query"].removesuffix(" -- all")


@pytest.mark.parametrize(
    ("join", "table"),
    [
        ("join shop.categories c on c.id = p.category_id", ""),
        ("left join shop.categories c on c.code = p.title", ""),
        ("join shop.categories c on c.rank = p.id", "categories"),
        ("join shop.brands b on b.code = p.brand_code", "brands"),
        ("left join shop.brands b on b.code = p.brand_code and b.tenant = 1", ""),
        ("left join shop.brands b on b.code = p.brand_code left join shop.tags t on t.id = b.tenant", "brands"),
        ("join shop.brands b on b.code = p.brand_code group by p.id", ""),
    ],
)
def test_a_join_on_what_is_not_unique_is_warned_of(analyse: Analyse, join: str, table: str) -> None:
    warnings = analyse(f"select p.id, p.title as content from shop.products p {join}").warnings
    assert [warning.split(" ")[0] for warning in warnings] == ([f"shop.{table}"] if table else [])


def test_names_and_collations_in_deltas(db: Connection, analyse: Analyse) -> None:
    db.execute("""create collation shop.folding (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        create table shop."Odd ""Table" (id int primary key, "select" text collate shop.folding, "User" int);
        create table shop.changed (id int primary key, "order" text collate shop.folding, parent int)""")
    found = analyse(
        'select d.id, o."select" || coalesce(c."order", \'\') as content from shop.changed d'
        ' left join shop."Odd ""Table" o on o."select" = d."order" left join shop.changed c on c.id = o."User"'
    )
    odd, changed = (dependency.delta for dependency in found.dependencies)
    assert odd == (
        'select d.id as id from changed join shop.changed as d on (changed."select" collate shop.folding) = d."order"'
    )
    assert changed == (
        'select d.id as id from changed join shop."Odd ""Table" as o on changed.id = o."User"'
        ' join shop.changed as d on o."select" = d."order"'
    )


def test_every_reserved_word_is_quoted(db: Connection) -> None:
    words = [row[0] for row in db.execute("select word from pg_get_keywords() where catcode <> 'U'")]
    assert [word for word in words if quoted(word) != f'"{word}"'] == []


def test_random_documents_are_followed_or_refused(db: Connection, analyse: Analyse) -> None:
    followed, refused = 0, set[str]()
    for seed in range(120):
        query = Author(random.Random(seed)).document()
        with db.transaction(force_rollback=True):
            try:
                found = analyse(query)
            except psycopg.errors.UndefinedTable:
                continue
            except EngineError as error:
                refused.add(error.message.partition("shop.")[2].partition(" ")[2])
                continue
            followed += 1
            hold_against_brute_force(db, found, seed)
    assert refused == {"without a path to the root"}
    assert followed > 15


def test_the_reference_has_the_shapes() -> None:
    assert PAGE.read_text("utf-8") == page(), "python -m tests.versions"

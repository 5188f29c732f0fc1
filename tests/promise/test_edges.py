"""Any immutable expression on either side of an equality leads on: after random changes, the texts of a rebuild."""

import json
import random
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from fix_cluster import Connection
from promise.oracle import Declared, assert_fresh, declare, register, work

COLUMNS = {
    "word": ("text", ("'a'", "'b/a'", "'a/b'", "''", "null")),
    "folded": ("public.citext", ("'A'", "'a'", "'b'", "null")),
    "number": ("int", ("0", "1", "2", "null")),
    "exact": ("numeric", ("1", "1.0", "2.50", "null")),
    "info": ("jsonb", ("""'{"k": {"a": "a"}, "n": 1}'""", """'{"k": {"a": "b"}, "n": 2}'""", "'{}'", "null")),
    "plain": ("json", ("""'{"k": "a"}'""", """'{"k":  "a"}'""", "'{}'", "null")),
    "words": ("text[]", ("'{a,b}'", "'{b}'", "'{}'", "null")),
    "moment": ("timestamp", ("'2024-01-31 10:00'", "'2024-01-01'", "'2024-02-01'", "null")),
    "instant": ("timestamptz", ("'2024-01-31 23:00+00'", "'2024-02-01 02:00+05'", "null")),
    "pairs": ("public.hstore", ("'k=>a'", "'k=>b'", "''", "null")),
    "route": ("public.ltree", ("'a'", "'a.b'", "'b'", "null")),
    "cased": ('text collate "tr-x-icu"', ("'I'", "'i'", "e'\\u0131'", "null")),
}
TEXTS = (
    "{}.word",
    "lower({}.word)",
    "split_part({}.word, '/', 1)",
    "right({}.word, 1)",
    "left({}.word, -2)",
    "substring({}.word from 1 for 1)",
    "regexp_replace({}.word, '/.*', '')",
    "coalesce({}.word, 'a')",
    "nullif({}.word, 'b')",
    "concat({}.word, '')",
    "concat_ws('/', {0}.word, {0}.number::text)",
    "({}.word || '')",
    "format('%s', {}.word)",
    "case when {0}.number > 0 then {0}.word else 'a' end",
    "trim(both '/' from {}.word)",
    "overlay({}.word placing '' from 2 for 2)",
    "{}.info #>> '{{k,a}}'",
    "{}.info -> 'k' ->> 'a'",
    "{}.info['k'] ->> 'a'",
    "{}.plain ->> 'k'",
    "{}.words[1]",
    "({}.words[1:1])[1]",
    "array_to_string({}.words, '/')",
    "({}.pairs -> 'k')",
    "{}.route::text",
    "subpath({0}.route, 0, 1)::text",
    "lower({}.cased)",
    "greatest({}.word, 'a')",
    "to_char({}.moment, 'MM')",
    "translate({}.word, '/', '')",
)
NUMBERS = (
    "{}.number",
    "({}.number + 1)",
    "{}.number::bigint",
    "abs({}.number - 2)",
    "mod({}.number, 2)",
    "coalesce({}.number, 1)",
    "({}.info ->> 'n')::int",
    "length({}.word)",
    "cardinality({}.words)",
    "array_length({}.words, 1)",
    "position('a' in {}.word)",
    "extract(day from {}.moment)",
    "date_part('day', {}.moment)::int",
    "{}.exact",
    "round({}.exact)",
    "nlevel({}.route)",
    "({}.number # 1)",
)
OTHERS = (
    ("date_trunc('month', {}.moment)", "date_trunc('month', {}.moment)"),
    ("date_trunc('day', {}.instant)", "{}.instant"),
    ("{}.moment::date", "({}.moment + interval '1 day')::date"),
    ("{}.folded", "{}.folded"),
    ("{}.route", "{}.route"),
    ("{}.info -> 'k'", "{}.info -> 'k'"),
    ("({0}.number, {0}.word)", "({0}.number, {0}.word)"),
    ("row({0}.word, {0}.number)::text", "row({0}.word, {0}.number)::text"),
    ("{}.words", "string_to_array({}.word, '/')"),
    ("({}.word like 'a%')", "({}.number = 1)"),
    ("({}.number is null)", "({}.word is null)"),
)
MEMBERSHIPS = (
    "t.word = any (d.words)",
    "d.word = any (t.words)",
    "t.number in (d.number, d.number + 1)",
    "t.words && d.words",
    "t.words @> array[d.word]",
    "t.info ? d.word",
    "d.info @> jsonb_build_object('n', t.number)",
    "t.route <@ d.route",
    "d.pairs @> t.pairs",
)
FORMS = (
    (
        "select d.id, d.name || coalesce((select string_agg(t.name, ',' order by t.id) from t where {edge}), '')"
        " as content from d"
    ),
    (
        "select d.id, d.name || coalesce(string_agg(t.name, ',' order by t.id), '') as content"
        " from d left join t on {edge} group by d.id"
    ),
    (
        "select d.id, d.name || string_agg(v.name, ',' order by v.id) as content from d"
        " join lateral (select t.name, t.id from t where {edge}) v on true group by d.id"
    ),
)


def made(chooser: random.Random) -> str:
    """A condition over the tables d and t, whose names stand for their rows."""
    kind = chooser.randrange(5)
    if kind == 0:
        return chooser.choice(MEMBERSHIPS)
    sides = list(chooser.choice(OTHERS)) if kind == 1 else chooser.choices(TEXTS if kind < 4 else NUMBERS, k=2)
    left, right = sides[0].format("t"), sides[1].format("d")
    if chooser.random() < 0.5:
        left, right = right, left
    if kind == 1 and left.startswith("("):
        return f"{left} = {right}"
    return f"{left} {chooser.choice(('=', '=', 'is not distinct from'))} {right}"


def prepare(db: Connection) -> None:
    columns = ", ".join(f"{name} {kind}" for name, (kind, _) in COLUMNS.items())
    db.execute("create extension citext; create extension hstore; create extension ltree")
    for table in ("d", "t"):
        db.execute(f"create table {table} (id int primary key, name text, {columns})".encode())


def change(db: Connection, chooser: random.Random, table: str) -> None:
    key = chooser.randrange(5)
    values = {name: chooser.choice(among) for name, (_, among) in COLUMNS.items()}
    name = chooser.choice("xyz")
    if chooser.random() < 0.35:
        listed = ", ".join(("id", "name", *values))
        row = ", ".join((str(key), f"'{name}'", *values.values()))
        query = f"delete from {table} where id = {key}; insert into {table} ({listed}) values ({row})"
    elif chooser.random() < 0.15:
        query = f"delete from {table} where id = {key}"
    else:
        column = chooser.choice([*values, "name"])
        query = f"update {table} set {column} = {values.get(column, repr(name))} where id = {key}"
    db.execute(query.encode())


def follow(db: Connection, seed: int, capture: str) -> str:
    """Embed a document over a random condition, and hold it against a rebuild after each of some changes."""
    chooser = random.Random(seed)
    edge = made(chooser)
    document = chooser.choice(FORMS).format(edge=edge)
    db.execute("truncate d, t")
    for table in ("d", "t") * 6:
        change(db, chooser, table)
    embedding = declare(db, document, name="edged", capture=capture)
    work(db)
    for number in range(12):
        for _ in range(chooser.choice((1, 1, 3))):
            change(db, chooser, "t" if number % 3 else "d")
        assert_fresh(db, embedding)
    db.execute("select vsync.drop_embedding('edged')")
    return edge


@pytest.mark.parametrize("capture", ["trigger", "wal"])
def test_random_conditions_are_followed(db: Connection, tiny_model: Path, capture: str) -> None:
    register(db, tiny_model)
    prepare(db)
    for seed in range(20) if capture == "trigger" else range(100, 104):
        try:
            follow(db, seed, capture)
        except (AssertionError, psycopg.Error) as error:
            raise AssertionError(f"seed {seed}: {made(random.Random(seed))}") from error


DOWN = (
    "with recursive down as (select id from changed union select n.id from down"
    " join public.nodes n on n.parent_id = down.id) select id from down"
)


def test_a_tree_is_followed_by_a_recursive_query_of_depends_on(db: Connection, tiny_model: Path) -> None:
    register(db, tiny_model)
    db.execute("""
        create table nodes (id int primary key, parent_id int, name text);
        insert into nodes select i, nullif(i / 2, 0), 'n' || i from generate_series(1, 15) as i;
        create function path_of(int) returns text language sql stable set search_path = public, pg_temp as $$
            with recursive up as (
                select id, parent_id, name, 0 as level from nodes where id = $1
                union all select n.id, n.parent_id, n.name, level + 1 from up join nodes n on n.id = up.parent_id)
            select string_agg(name, ' > ' order by level desc) from up $$""")
    document = "select n.id, path_of(n.id) as content from nodes n"
    options = json.dumps({"depends_on": [{"relation": "public.nodes", "query": DOWN}]})
    db.execute("select vsync.create_embedding('tree', %s, 'tiny', options => %s)", [document, options])
    embedding = Declared("tree", "public", ("id",), document)
    work(db)
    changes = (
        "update nodes set name = 'root' where id = 1",
        "update nodes set parent_id = 3 where id = 2",
        "delete from nodes where id = 5",
        "insert into nodes values (5, 7, 'again')",
        "update nodes set id = 20 where id = 3; update nodes set parent_id = 20 where parent_id = 3",
        "update nodes set parent_id = 8 where id = 7; update nodes set name = 'x' where id = 4",
    )
    for change in changes:
        db.execute(change.encode())
        assert_fresh(db, embedding)


def test_what_cannot_be_followed_comes_with_a_declaration_that_works(db: Connection, tiny_model: Path) -> None:
    register(db, tiny_model)
    db.execute("create table d (id int primary key, name text, low int); create table t (id int, name text, at int)")
    db.execute("insert into d values (1, 'one', 1), (2, 'two', 5); insert into t values (1, 'x', 3), (2, 'y', 6)")
    for condition in ("t.at > d.low", "t.name like d.name || '%'", "t.at + d.low = 7", "true", "not t.at = d.low"):
        document = (
            f"select d.id, d.name || coalesce((select string_agg(t.name, '' order by t.id) from t where {condition}),"
            " '') as content from d"
        )
        with pytest.raises(psycopg.Error) as caught:
            db.execute("select vsync.create_embedding('declared', %s, 'tiny')", [document])
        hint = caught.value.diag.message_hint or ""
        assert caught.value.diag.sqlstate == "VS203"
        options = hint.partition("options => ")[2]
        query = sql.SQL("select vsync.create_embedding('declared', {}, 'tiny', options => {})")
        db.execute(query.format(sql.Literal(document), sql.SQL(options)))  # type: ignore[arg-type]
        embedding = Declared("declared", "public", ("id",), document)
        for change in ("update t set at = at + 1 where id = 1", "update t set name = 'one' where id = 2"):
            work(db)
            db.execute(change.encode())
            assert_fresh(db, embedding)
        db.execute("select vsync.drop_embedding('declared')")


def test_a_function_goes_by_the_collation_of_its_column(db: Connection, tiny_model: Path) -> None:
    register(db, tiny_model)
    db.execute("""
        create table d (id int primary key, word text); create table t (word text collate "tr-x-icu", name text);
        insert into d values (1, e'\\u0131'); insert into t values ('I', 'one')""")
    document = "select d.id, t.name as content from d join t on lower(t.word) = d.word"
    embedding = declare(db, document, name="turkish")
    work(db)
    db.execute("update t set name = 'two'")
    assert_fresh(db, embedding)


@pytest.mark.soak
def test_every_expression_is_followed(db: Connection, tiny_model: Path) -> None:
    register(db, tiny_model)
    prepare(db)
    for seed in range(1000, 1400):
        try:
            follow(db, seed, "trigger")
        except (AssertionError, psycopg.Error) as error:
            raise AssertionError(f"seed {seed}: {made(random.Random(seed))}") from error


def test_every_expression_is_an_edge(db: Connection, tiny_model: Path) -> None:
    """Each expression on either side, without a history."""
    register(db, tiny_model)
    prepare(db)
    sides = [(part, "{}.word") for part in TEXTS] + [(part, "{}.number") for part in NUMBERS] + list(OTHERS)
    edges = [f"{left.format('t')} = {right.format('d')}" for left, right in sides]
    edges += [f"{left.format('d')} = {right.format('t')}" for left, right in sides]
    edges += MEMBERSHIPS
    refused: list[str] = []
    for edge in edges:
        document = FORMS[1].format(edge=edge)
        query = sql.SQL("select vsync.create_embedding('edged', {}, 'tiny')").format(sql.Literal(document))
        try:
            db.execute(query)
            db.execute("select vsync.drop_embedding('edged')")
        except psycopg.Error as error:
            refused.append(f"{edge}: {error.diag.sqlstate} {error.diag.message_primary} {error.diag.message_detail}")
    assert refused == []

"""Bad input: a VS error with DETAIL and HINT, and nothing is left behind."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from shop import DOCUMENT, Connection, declare, open_shop, refused, register, rows, run, value

_NEW = f"select vsync.create_embedding('new', '{DOCUMENT}', 'tiny'"
_OF = "select vsync.create_embedding('new', $q${}$q$, 'tiny')"

CREATION = {
    "unknown model": (f"select vsync.create_embedding('new', '{DOCUMENT}', 'tinny')", "VS101"),
    "null model": (f"select vsync.create_embedding('new', '{DOCUMENT}', null)", "VS101"),
    "null name": (f"select vsync.create_embedding(null, '{DOCUMENT}', 'tiny')", "VS001"),
    "empty name": (f"select vsync.create_embedding('', '{DOCUMENT}', 'tiny')", "VS001"),
    "null document": ("select vsync.create_embedding('new', null, 'tiny')", "VS001"),
    "empty document": (_OF.format(""), "VS201"),
    "comment only": (_OF.format("-- nothing"), "VS201"),
    "two statements": (_OF.format(f"{DOCUMENT}; drop table shop.products"), "VS201"),
    "not a select": (_OF.format("delete from shop.products returning id"), "VS201"),
    "syntax error": (_OF.format("select id, title as content from shop.products where"), "VS201"),
    "unknown column": (_OF.format("select id, nope as content from shop.products"), "VS201"),
    "unknown table": (_OF.format("select id, title as content from shop.nope"), "VS201"),
    "no key": (_OF.format("select title as content from shop.products"), "VS202"),
    "key only in an expression": (_OF.format("select id + 1 as id, title as content from shop.products"), "VS202"),
    "root without primary key": (_OF.format("select id, title as content from shop.keyless"), "VS202"),
    "no content": (_OF.format("select id, title from shop.products"), "VS203"),
    "content is no text": (_OF.format("select id, id as content from shop.products"), "VS203"),
    "limit": (_OF.format(f"{DOCUMENT} limit 3"), "VS203"),
    "union": (_OF.format(f"{DOCUMENT} union {DOCUMENT}"), "VS203"),
    "no table": (_OF.format("select 1 as id, 'x' as content"), "VS203"),
    "a view with a limit as root": (_OF.format("select id, title as content from shop.view"), "VS203"),
    "a join without a path": (
        _OF.format("select p.id, k.title as content from shop.products p, shop.keyless k"),
        "VS203",
    ),
    "a full join": (
        _OF.format("select p.id, p.title as content from shop.products p full join shop.keyless k using (id)"),
        "VS203",
    ),
    "an aggregate": (_OF.format("select max(id) as id, max(title) as content from shop.products"), "VS203"),
    "depends_on no list": (f"{_NEW}, options => '{{\"depends_on\": 1}}')", "VS001"),
    "depends_on misspelled": (
        f'{_NEW}, options => \'{{"depends_on": [{{"relatoin": "a.b", "query": ""}}]}}\')',
        "VS001",
    ),
    "a catalog table": (_OF.format("select oid, relname::text as content from pg_class"), "VS203"),
    "composite key type": (_OF.format("select id, title as content from shop.composite"), "VS203"),
    "reserved output": (_OF.format("select id as chunk, title as content from shop.products"), "VS203"),
    "volatile function": (_OF.format("select id, random()::text as content from shop.products"), "VS204"),
    "time": (_OF.format("select id, title || now() as content from shop.products"), "VS204"),
    "session": (_OF.format("select id, title || current_user as content from shop.products"), "VS204"),
    "embedding exists": (f"select vsync.create_embedding('catalog', '{DOCUMENT}', 'tiny')", "VS301"),
    "relation beside the root": (f"select vsync.create_embedding('keyless', '{DOCUMENT}', 'tiny')", "VS301"),
    "unknown option": (f"{_NEW}, options => '{{\"refesh\": 1}}')", "VS001"),
    "vectors in the root table": (f'{_NEW}, options => \'{{"destination": "column"}}\')', "VS001"),
    "options no object": (f"{_NEW}, options => '[]')", "VS001"),
    "unknown capture": (f"{_NEW}, capture => 'triger')", "VS001"),
    "null capture": (f"{_NEW}, capture => null)", "VS001"),
    "chunk no object": (f"{_NEW}, chunk => '200')", "VS001"),
    "chunk null in json": (f"{_NEW}, chunk => 'null')", "VS001"),
    "chunk without tokens": (f"{_NEW}, chunk => '{{}}')", "VS001"),
    "chunk misspelled": (f"{_NEW}, chunk => '{{\"tokns\": 200}}')", "VS001"),
    "chunk too small": (f"{_NEW}, chunk => '{{\"tokens\": 1}}')", "VS001"),
    "chunk too large": (f"{_NEW}, chunk => '{{\"tokens\": 100000}}')", "VS001"),
    "chunk of text": (f'{_NEW}, chunk => \'{{"tokens": "many"}}\')', "VS001"),
    "overlap too large": (f'{_NEW}, chunk => \'{{"tokens": 20, "overlap": 15}}\')', "VS001"),
    "index misspelled": (f'{_NEW}, index => \'{{"typ": "hnsw"}}\')', "VS001"),
    "index type": (f'{_NEW}, index => \'{{"type": "btree"}}\')', "VS001"),
    "index distance": (f'{_NEW}, index => \'{{"distance": "cosin"}}\')', "VS001"),
    "index m out of range": (f"{_NEW}, index => '{{\"m\": 1000}}')", "VS001"),
    "index m of text": (f'{_NEW}, index => \'{{"m": "1); drop table x; --"}}\')', "VS001"),
    "index ef below 2 m": (f'{_NEW}, index => \'{{"m": 40, "ef_construction": 64}}\')', "VS001"),
    "lists of hnsw": (f"{_NEW}, index => '{{\"lists\": 10}}')", "VS001"),
    "index null": (f"{_NEW}, index => null)", "VS001"),
}
OTHERS = {
    "register: no source": ("select vsync.register_model('x', null)", "VS001"),
    "register: no name": ("select vsync.register_model('', 'file:///x')", "VS001"),
    "register: relative": ("select vsync.register_model('x', 'models/x')", "VS001"),
    "register: missing": ("select vsync.register_model('x', 'file:///nonexistent')", "VS104"),
    "register: options": ("select vsync.register_model('x', 'file:///nonexistent', '[]')", "VS001"),
    "embed: unknown model": ("select vsync.embed('tinny', 'text')", "VS101"),
    "embed: null model": ("select vsync.embed(null, array['text'])", "VS101"),
    "search: unknown": ("select * from vsync.search('catalgo', 'text')", "VS302"),
    "search: null": ("select * from vsync.search(null, 'text')", "VS302"),
    "search: k zero": ("select * from vsync.search('catalog', 'text', 0)", "VS001"),
    "search: k negative": ("select * from vsync.search('catalog', 'text', -1)", "VS001"),
    "search: k null": ("select * from vsync.search('catalog', 'text', null)", "VS001"),
    "search: k huge": ("select * from vsync.search('catalog', 'text', 2000000000)", "VS001"),
    "query_vector: unknown": ("select vsync.query_vector('catalgo', 'text')", "VS302"),
    "refresh: unknown": ("select vsync.refresh('catalgo')", "VS302"),
    "refresh: key of a wrong type": ("""select vsync.refresh('catalog', '"x"')""", "VS304"),
    "refresh: key out of range": ("select vsync.refresh('catalog', '99999999999999999999')", "VS304"),
    "refresh: key of two columns": ("""select vsync.refresh('catalog', '{"id": 1, "x": 2}')""", "VS304"),
    "refresh: key of another column": ("""select vsync.refresh('catalog', '{"ids": 1}')""", "VS304"),
    "refresh: key is an array": ("select vsync.refresh('catalog', '[1]')", "VS304"),
    "refresh: key is json null": ("select vsync.refresh('catalog', 'null')", "VS304"),
    "retry: unknown": ("select vsync.retry('catalgo')", "VS302"),
    "retry: key": ("""select vsync.retry('catalog', '"x"')""", "VS304"),
    "explain_row: unknown": ("select * from vsync.explain_row('catalgo', '1')", "VS302"),
    "explain_row: null key": ("select * from vsync.explain_row('catalog', null)", "VS304"),
    "explain_embedding: unknown": ("select * from vsync.explain_embedding('catalgo')", "VS302"),
    "drop: unknown": ("select vsync.drop_embedding('catalgo')", "VS302"),
    "drop: null": ("select vsync.drop_embedding(null)", "VS302"),
    "repair: unknown": ("select vsync.repair_capture('catalgo')", "VS302"),
    "configure: unknown": ("select vsync.configure('thread', '1')", "VS001"),
    "configure: null": ("select vsync.configure(null, '1')", "VS001"),
    "configure: no number": ("select vsync.configure('threads', 'many')", "VS001"),
    "configure: zero": ("select vsync.configure('claim_limit', '0')", "VS001"),
    "work: unknown embedding": ("call vsync.work(embedding => 'catalgo')", "VS302"),
}

_OBJECTS = """
    select 'relation', oid::regclass::text from pg_class where relnamespace <> 'pg_toast'::regnamespace
    union all select 'function', oid::regprocedure::text from pg_proc
    union all select 'trigger', tgname || ' on ' || tgrelid::regclass from pg_trigger
    union all select 'type', oid::regtype::text from pg_type
    union all select 'policy', polname from pg_policy
    union all select 'model', name || revision from vsync_internal.models
    union all select 'embedding', e::text from vsync_internal.embeddings as e
    union all select 'version', v::text from vsync_internal.versions as v
    union all select 'progress', p::text from vsync_internal.progress as p
    union all select 'serving', s::text from vsync_internal.serving as s
    union all select 'capture', c::text from vsync_internal.captures as c
    union all select 'setting', s::text from vsync_internal.settings as s
    union all select 'log', count(*)::text from vsync_internal.log
    union all select 'mark', count(*)::text from vsync_internal.marks
"""


def objects(db: Connection) -> list[tuple[str, str]]:
    return sorted(rows(db, _OBJECTS))


@pytest.fixture
def shop(db: Connection, tiny_model: Path) -> Connection:
    open_shop(db, tiny_model)
    db.execute("create table shop.keyless (id int, title text)")
    db.execute("create view shop.view as select * from shop.products limit 3")
    db.execute("create type shop.pair as (a int, b int)")
    db.execute("create table shop.composite (id shop.pair primary key, title text)")
    declare(db)
    db.execute("call vsync.work()")
    return db


def test_bad_input_of_create_embedding_is_refused_and_leaves_nothing_behind(shop: Connection) -> None:
    before = objects(shop)
    for what, (statement, sqlstate) in CREATION.items():
        refused(lambda statement=statement: run(shop, statement), sqlstate)
        assert objects(shop) == before, what


def test_bad_input_of_other_calls_is_refused_and_leaves_nothing_behind(shop: Connection) -> None:
    before = objects(shop)
    for what, (statement, sqlstate) in OTHERS.items():
        refused(lambda statement=statement: run(shop, statement), sqlstate)
        assert objects(shop) == before, what


def test_a_transaction_goes_on_after_refusals_within_savepoints(shop: Connection) -> None:
    before = objects(shop)
    with shop.transaction():
        for statement, sqlstate in CREATION.values():
            refused(lambda statement=statement: _nested(shop, statement), sqlstate)
        assert objects(shop) == before
    assert objects(shop) == before


def _nested(db: Connection, statement: str) -> None:
    with db.transaction():
        run(db, statement)


@pytest.mark.parametrize(
    ("statement", "guess"),
    [
        (f"{_NEW}, chunk => '{{\"tokns\": 200}}')", "tokens"),
        (f'{_NEW}, index => \'{{"distanse": "l2"}}\')', "distance"),
        ("select vsync.configure('thread', '1')", "threads"),
        ("select vsync.drop_embedding('catalgo')", "catalog"),
        ("select vsync.embed('tinny', 'text')", "tiny"),
    ],
)
def test_the_hint_names_what_was_probably_meant(shop: Connection, statement: str, guess: str) -> None:
    assert f'Did you mean "{guess}"?' in (refused(lambda: run(shop, statement), _state(statement)).message_hint or "")


def _state(statement: str) -> str:
    return next((state for word, state in (("drop", "VS302"), ("embed(", "VS101")) if word in statement), "VS001")


def test_work_refuses_a_transaction_block(shop: Connection) -> None:
    with shop.transaction(force_rollback=True):
        refused(lambda: _nested(shop, "call vsync.work()"), "VS004")


def test_if_not_exists_returns_the_name_and_changes_nothing(shop: Connection) -> None:
    before = objects(shop)
    again = f"select vsync.create_embedding('catalog', '{DOCUMENT}', 'tiny', if_not_exists => true)"
    assert value(shop, again) == "catalog"
    assert value(shop, "select vsync.drop_embedding('none', if_exists => true)") is None
    assert objects(shop) == before


def test_a_model_file_that_changed_or_went_is_refused_by_the_session_that_loaded_it_and_by_a_new_one(
    shop: Connection, connect: Callable[..., Connection], make_model: Callable[..., Path]
) -> None:
    directory = make_model()
    register(shop, directory, "own")
    assert value(shop, "select vsync.embed('own', 'text') is not null")
    good = (directory / "model.onnx").read_bytes()
    (directory / "model.onnx").write_bytes(good[:-1] + b"x")
    for session in (shop, connect()):
        refused(lambda session=session: session.execute("select vsync.embed('own', 'other text')"), "VS103")
    shutil.move(directory / "model.onnx", directory / "away.onnx")
    for session in (shop, connect()):
        refused(lambda session=session: session.execute("select vsync.embed('own', 'other text')"), "VS104")
    (directory / "model.onnx").write_bytes(good)
    assert value(shop, "select vsync.embed('own', 'other text') is not null")


NAMES = ['two "words"', "it's", "Ünïcödé ☃", "a" * 63, "é" * 31, "a.b;c--", "%s %I %%", "$$", "select"]


@pytest.mark.parametrize("name", NAMES)
def test_an_odd_name_works_from_creation_to_drop(db: Connection, tiny_model: Path, name: str) -> None:
    open_shop(db, tiny_model)
    declare(db, name)
    db.execute("call vsync.work()")
    db.execute("update shop.products set title = 'changed' where id = 1")
    db.execute("call vsync.work(embedding => %s)", (name,))
    found = rows(db, "select key, stale from vsync.search(%s, 'changed', 1)", name)
    assert found == [({"id": 1}, False)]
    assert rows(db, "select embedding, documents from vsync.stat_embeddings") == [(name, 3)]
    assert value(db, "select state from vsync.explain_row(%s, '1')", name) == "fresh"
    assert value(db, "select vsync.drop_embedding(%s)", name) == name
    assert value(db, "select count(*) from pg_class where relnamespace = 'vsync_data'::regnamespace") == 0
    assert value(db, "select count(*) from pg_proc where pronamespace = 'vsync_data'::regnamespace") == 0


def test_names_that_differ_late_do_not_collide(db: Connection, tiny_model: Path) -> None:
    open_shop(db, tiny_model)
    for name in ("x" * 62 + "1", "x" * 62 + "2", "x" * 45, "x" * 46, "x" * 47):
        declare(db, name)
    db.execute("call vsync.work()")
    assert value(db, "select count(*) from vsync.stat_embeddings where documents = 3") == 5


def test_a_name_that_was_cut_is_said(shop: Connection, tiny_model: Path) -> None:
    said: list[str] = []
    shop.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
    long = "n" * 70
    shop.execute("select vsync.register_model(%s, %s)", (long, f"file://{tiny_model}"))
    shop.execute("select vsync.create_embedding(%s, %s, %s)", (long, DOCUMENT, long))
    shop.execute("select vsync.create_rule(%s, %s, 'true', 'skip')", (long, long))
    assert [notice for notice in said if "63 bytes" in notice] == [f'the name "{long[:63]}" has 63 bytes'] * 3


def test_pooling_that_is_assumed_is_said(db: Connection, make_model: Callable[..., Path]) -> None:
    said: list[str] = []
    db.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
    directory = make_model()
    register(db, directory, "configured")
    assert said == []
    shutil.rmtree(directory / "1_Pooling")
    register(db, directory, "bare")
    assert said == ['pooling "mean" is assumed for model "bare"']
    db.execute("select vsync.register_model('chosen', %s, '{\"pooling\": \"cls\"}')", (f"file://{directory}",))
    assert len(said) == 1

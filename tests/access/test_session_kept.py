"""Whatever a caller has set up in its session is as before after each call of vsync, with hostile owner code behind it.

Settings, roles, cursors, prepared statements, advisory locks, channels, temporary objects, and pending triggers; in the
transaction that calls, after its COMMIT, and after an error.
"""

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from access import kept, mallory
from races.steps import wait_until
from shop import Connection, declare, open_shop, rows, run, value
from spies import plant_spy, spied

MakeRole = Callable[..., str]
Connect = Callable[..., Connection]

FROM_UNTIL = "timestamp with time zone,timestamp with time zone"
# What is run of each public function, in this order; {model} is a directory.
CALLS = {
    "configure(text,text)": "select vsync.configure('threads', '1')",
    "register_model(name,text,jsonb)": "select vsync.register_model('again', '{model}')",
    "embed(name,text[])": "select vsync.embed('tiny', array['x', null])",
    "embed(name,text)": "select vsync.embed('tiny', 'x')",
    "create_embedding(name,text,name,text,jsonb,jsonb,jsonb,boolean)": "select vsync.create_embedding('more', "
    "'select id, shop.evil(title) as content from shop.products', 'tiny')",
    "query_vector(name,text)": "select vsync.query_vector('catalog', 'x')",
    "search(name,text,integer,text)": "select * from vsync.search('catalog', 'product', 3, caller => 'x')",
    "refresh(name,jsonb)": "select vsync.refresh('catalog')",
    "refresh(name,bigint)": "select vsync.refresh('catalog', 1)",
    "refresh(name,text)": "select vsync.refresh('catalog', '1')",
    "refresh(name,uuid)": "select vsync.refresh('by_uuid', {uuid})",
    "retry(name,jsonb)": "select vsync.retry('catalog')",
    "retry(name,bigint)": "select vsync.retry('catalog', 1)",
    "retry(name,text)": "select vsync.retry('catalog', '1')",
    "retry(name,uuid)": "select vsync.retry('by_uuid', {uuid})",
    "explain_row(name,jsonb)": "select * from vsync.explain_row('catalog', '1'::jsonb)",
    "explain_row(name,bigint)": "select * from vsync.explain_row('catalog', 1)",
    "explain_row(name,text)": "select * from vsync.explain_row('catalog', '1')",
    "explain_row(name,uuid)": "select * from vsync.explain_row('by_uuid', {uuid})",
    "explain_embedding(name)": "select * from vsync.explain_embedding('catalog')",
    "describe_embedding(name)": "select vsync.describe_embedding('catalog')",
    "explain_impact(regclass,jsonb)": "select * from vsync.explain_impact('shop.kinds', '1'::jsonb)",
    "explain_impact(regclass,bigint)": "select * from vsync.explain_impact('shop.kinds', 1)",
    "explain_impact(regclass,text)": "select * from vsync.explain_impact('shop.kinds', '1')",
    "explain_impact(regclass,uuid)": "select * from vsync.explain_impact('shop.named', {uuid})",
    "index_statements(name,integer,jsonb)": "select * from vsync.index_statements('catalog')",
    "text_change(text,text)": "select vsync.text_change('one', 'two')",
    "changed(anyelement,anyelement,text[])": "select vsync.changed(p, p, 'title') from shop.products as p",
    f"create_rule(name,name,text,text,jsonb,integer,{FROM_UNTIL})": "select vsync.create_rule('further', 'catalog', "
    "'shop.evil(new.title) = ''x''', 'exclude')",
    f"alter_rule(name,text,text,jsonb,integer,{FROM_UNTIL})": "select vsync.alter_rule('further', "
    "'shop.evil(doc.content) = ''y''')",
    "disable_rule(name)": "select vsync.disable_rule('further')",
    "enable_rule(name)": "select vsync.enable_rule('further')",
    "preview_rule(name,text,text,jsonb)": "select * from vsync.preview_rule('catalog', "
    "'shop.evil(doc.content) = ''x'' or shop.evil(new.title) = ''x''', 'skip')",
    "drop_rule(name,boolean)": "select vsync.drop_rule('further')",
    "approve(bigint)": "select vsync.approve(id) from vsync.holds order by id limit 1",
    "reject(bigint)": "select vsync.reject(id) from vsync.holds order by id desc limit 1",
    "audit(name,boolean)": "select * from vsync.audit('catalog', true)",
    "doctor()": "select * from vsync.doctor()",
    "add_version(name,name,text,jsonb,jsonb)": "select vsync.add_version('catalog', chunk => '{{\"tokens\": 20}}')",
    "pause_version(name,integer)": "select vsync.pause_version('catalog', 3)",
    "resume_version(name,integer)": "select vsync.resume_version('catalog', 3)",
    "judge(name,text,jsonb,integer)": "select vsync.judge('catalog', 'q', '1'::jsonb, 2)",
    "judge(name,text,bigint,integer)": "select vsync.judge('catalog', 'q', 1, 2)",
    "judge(name,text,text,integer)": "select vsync.judge('catalog', 'q', '1', 2)",
    "judge(name,text,uuid,integer)": "select vsync.judge('by_uuid', 'q', {uuid}, 2)",
    "compare_versions(name,integer,integer,text[],integer)": "select * from vsync.compare_versions('catalog', 1, 2, "
    "array['product 1'])",
    "start_experiment(name,integer,double precision,boolean)": "select vsync.start_experiment('catalog', 2, 0.5, true)",
    "report_outcome(name,integer,text)": "select vsync.report_outcome('catalog', 2)",
    "stop_experiment(name)": "select vsync.stop_experiment('catalog')",
    "estimate_recall(name,integer,integer,integer)": "select vsync.estimate_recall('catalog')",
    "activate_version(name,integer,boolean)": "select vsync.activate_version('catalog', 2, true)",
    "version_at(name,timestamp with time zone)": "select vsync.version_at('catalog', now())",
    "rollback_version(name)": "select vsync.rollback_version('catalog')",
    "end_rollback(name)": "select vsync.end_rollback('catalog')",
    "drop_version(name,integer)": "select vsync.drop_version('catalog', 3)",
    "repair_capture(name)": "select vsync.repair_capture('catalog')",
    "repair_embedding(name)": "select vsync.repair_embedding('catalog')",
    "set_capture(name,text)": "select vsync.set_capture('by_uuid', 'manual')",
    "release_table(regclass)": "select vsync.release_table('shop.products')",
    "resume_table(regclass)": "select vsync.resume_table('shop.products')",
    "drop_embedding(name,boolean)": "select vsync.drop_embedding('more')",
}
OWNERS = {
    "add_version(name,name,text,jsonb,jsonb)",
    "create_embedding(name,text,name,text,jsonb,jsonb,jsonb,boolean)",
}
PROCEDURES = {"work(interval,name)": "call vsync.work()"}
UUID = "'00000000-0000-0000-0000-000000000001'::uuid"
DOCUMENT = (
    "select p.id, shop.evil(p.title) || ' ' || k.name as content "
    "from shop.products p join shop.kinds k on k.id = p.kind"
)
TRICKS = tuple(trick for trick in mallory.TRICKS if not trick.startswith("terminate"))
# what owner code does that a rollback does not undo, by docs/security.md
LIMITS = {"locks"}


def test_every_public_function_is_called_here(db: Connection) -> None:
    public = "select oid::regprocedure::text, prokind = 'p' from pg_proc where pronamespace = 'vsync'::regnamespace"
    found = rows(db, public)
    for calls, are_procedures in ((CALLS, False), (PROCEDURES, True)):
        assert {name.removeprefix("vsync.") for name, procedure in found if procedure is are_procedures} == set(calls)


@pytest.fixture
def owner(make_role: MakeRole) -> str:
    return make_role("vsync_admin")


@pytest.fixture
def shop(db: Connection, connect: Connect, owner: str, tiny_model: Path) -> Connection:
    """The owner's session; a document over two tables, rules of each kind, and versions, all with hostile code."""
    open_shop(db, tiny_model, owner=owner)
    session = connect(user=owner)
    plant_spy(session, owner, "vsync_sandbox", "postgres")
    mallory.prepare(session)
    run(session, "create table shop.mood (raising boolean); insert into shop.mood values (false)")
    mallory.plant(session, "evil", "begin end;")
    run(session, "alter table shop.products add kind int default 1")
    run(session, "create table shop.kinds (id int primary key, name text); insert into shop.kinds values (1, 'kind')")
    run(
        session,
        "create table shop.named (id uuid primary key default '00000000-0000-0000-0000-000000000001', name text)",
    )
    run(session, "insert into shop.named (name) values ('name')")
    declare(session, document=DOCUMENT)
    declare(session, "by_uuid", "select id, shop.evil(name) as content from shop.named")
    assert value(session, "select vsync.add_version('catalog', chunk => '{\"tokens\": 20}')") == 2
    db.execute("call vsync.work()")
    for name, condition, action in (
        ("hides", "shop.evil(doc.content) = 'hidden'", "exclude"),
        ("holds", "shop.evil(new.title) like 'held%'", "hold"),
        ("skips", "shop.evil(old.title) = 'skipped'", "skip"),
    ):
        run(session, "select vsync.create_rule(%s, 'catalog', %s, %s)", name, condition, action)
    mallory.plant(
        session,
        "evil",
        mallory.block([t for t in TRICKS if t not in LIMITS], raising="ZZ123", when="(select raising from shop.mood)"),
    )
    return session


def test_a_session_is_as_before_after_each_call(
    shop: Connection, db: Connection, connect: Connect, owner: str, tiny_model: Path
) -> None:
    kept.open_application(db)
    callers = {user: connect(user=user, autocommit=False, prepare_threshold=None) for user in ("postgres", owner)}
    sessions = {}
    for user, caller in callers.items():
        value(caller, "select count(*) from vsync.search('catalog', 'loads what a session loads')")
        kept.equip(caller)
        caller.commit()
        sessions[user] = kept.state(caller)
        caller.commit()
    for name, call in CALLS.items():
        user = owner if name in OWNERS else "postgres"
        caller = callers[user]
        statement = call.format(model=f"file://{tiny_model}", uuid=UUID)
        run(db, "update shop.products set title = title || '.'")
        kept.begin(caller)
        before = kept.state(caller)
        run(caller, "savepoint failing")
        run(shop, "update shop.mood set raising = true")
        with contextlib.suppress(psycopg.Error):
            run(caller, statement)
        run(caller, "rollback to savepoint failing")
        run(shop, "update shop.mood set raising = false")
        kept.assert_kept(caller, before, f"an error of {name}")
        run(caller, statement)
        kept.assert_kept(caller, before, name)
        kept.assert_pending(caller, name)
        caller.commit()
        kept.assert_kept(caller, sessions[user], f"the end of {name}")
        assert kept.fired(caller) == ["later", "later", "put_off", "put_off"], name
        caller.rollback()
        run(db, "truncate app.fired")
    for caller in callers.values():
        assert {notice.payload for notice in caller.notifies(timeout=0)} == set()
    assert spied(db) <= {owner, "vsync_sandbox"}


@pytest.mark.parametrize("end", ["success", "cancel"])
@pytest.mark.parametrize("raising", ["false", "true"])
def test_a_session_is_as_before_after_each_procedure(
    shop: Connection, db: Connection, connect: Connect, owner: str, raising: str, end: str
) -> None:
    caller = connect(prepare_threshold=None)
    value(caller, "select count(*) from vsync.search('catalog', 'loads what a session loads')")
    kept.equip(caller)
    before = kept.state(caller)
    run(shop, f"update shop.mood set raising = {raising}")
    run(db, "update shop.products set title = title || '.'")
    for call in PROCEDURES.values():
        if end == "success":
            run(caller, call)
        else:
            with ThreadPoolExecutor(1) as pool:
                working = pool.submit(run, caller, call.replace("()", "('1 hour')"))
                pid = caller.info.backend_pid
                begun = f"select count(*) = 1 from vsync_internal.workers where pid = {pid}"
                wait_until(lambda begun=begun: value(db, begun), "a worker")
                run(db, f"select pg_cancel_backend({pid})")
                with pytest.raises(psycopg.errors.QueryCanceled):
                    working.result()
        kept.assert_kept(caller, before, call)
    assert spied(db) <= {owner, "vsync_sandbox"}

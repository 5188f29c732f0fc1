"""Random hostile owner code: it gains nothing, leaves nothing in anybody's session, and stops no other embedding."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from access import kept, mallory
from shop import Connection, declare, open_shop, rows, run, value
from spies import plant_spy, spied

MakeRole = Callable[..., str]
Connect = Callable[..., Connection]

# what one history leaves behind where a protection is missing, the next one meets: there is nothing to shrink
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
SUPPRESSED = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)
# taking once more a lock that the session has is a limit of docs/security.md; the sessions here have none of these
BLOCKS = st.builds(
    mallory.block,
    st.lists(st.sampled_from(sorted(mallory.TRICKS)), min_size=8, max_size=30),
    raising=st.none() | st.sampled_from(sorted(mallory.CONDITIONS.values())),
    nested=st.booleans(),
)
PLACES = ("document", "condition", "written")
EVERYTHING = [(place, mallory.block(mallory.TRICKS)) for place in PLACES]
CANCELLED = [(place, mallory.block((), raising="57014")) for place in PLACES]
HISTORIES = st.lists(st.tuples(st.sampled_from(PLACES), BLOCKS), min_size=1, max_size=4)
PROMOTED = """
    select r.rolname, r.rolsuper from pg_catalog.pg_roles as r
    union all select m.roleid::regrole::text || m.member::regrole, m.admin_option from pg_catalog.pg_auth_members as m
    union all select p.oid::text || p.prosrc || coalesce(p.proconfig::text, '') || p.proowner, p.prosecdef
    from pg_catalog.pg_proc as p where p.pronamespace in ('vsync'::regnamespace, 'vsync_internal'::regnamespace)
    order by 1
"""
SEARCH = "select * from vsync.search('catalog', 'product', 3)"
CALLED = (
    SEARCH,
    "select * from vsync.audit('catalog', true)",
    "select * from vsync.explain_row('catalog', 1)",
    "select * from vsync.explain_impact('shop.products', 1)",
    "select * from vsync.preview_rule('catalog', 'shop.condition(doc.content) = ''x''', 'skip')",
    "select vsync.refresh('catalog')",
    "select * from vsync.doctor()",
)


class Stage:
    """The owner's shop, an embedding of somebody else, and sessions of those who run the owner's code."""

    def __init__(self, db: Connection, connect: Connect, owner: str, reader: str, model: Path) -> None:
        self.db, self._connect, self._owner = db, connect, owner
        # where something of the owner's code stays, nobody waits for it for long
        for setting in ("lock_timeout = '1s'", "statement_timeout = '20s'"):
            run(db, f'alter database "{db.info.dbname}" set {setting}; set {setting}')
        open_shop(db, model, owner=owner)
        session = connect(user=owner)
        plant_spy(session, owner, reader, "vsync_sandbox", "postgres")
        mallory.prepare(session)
        for name in PLACES:
            mallory.plant(session, name, "begin end;")
        declare(session, document="select id, shop.document(title) as content from shop.products")
        for name, condition, action in (
            ("hides", "shop.condition(new.title) = 'x'", "exclude"),
            ("skips", "shop.condition(doc.content) = 'x'", "skip"),
        ):
            run(session, f"select vsync.create_rule('{name}', 'catalog', %s, '{action}')", condition)
        run(
            session,
            "create function shop.write() returns trigger language plpgsql as "
            "$$ begin perform shop.written(new.title); return new; end $$;"
            "create trigger a before update on shop.products for each row execute function shop.write()",
        )
        run(db, f"grant usage on schema shop to {reader}; grant select on shop.products to {reader}")
        run(db, "create schema canary; create table canary.rows (role text)")
        run(db, "create schema safe; create table safe.docs (id int primary key, body text)")
        run(db, "insert into safe.docs values (1, '0')")
        declare(db, "safe", "select id, body as content from safe.docs")
        db.execute("call vsync.work()")
        kept.open_application(db)
        self.callers = [connect(user=user, prepare_threshold=None) for user in ("postgres", reader)]
        for caller in self.callers:
            run(caller, SEARCH)
            kept.equip(caller)
        self._before = [kept.state(caller) for caller in self.callers]
        self._powers = rows(db, PROMOTED)
        self._count = 0

    def play(self, history: list[tuple[str, str]]) -> None:
        """Put blocks into the owner's functions, run what others run, and ask what became of it."""
        self._count += 1
        for place, block in history:
            owner = self._connect(user=self._owner)
            mallory.plant(owner, place, block)
            with contextlib.suppress(psycopg.Error):
                run(owner, "update shop.products set title = 'product ' || id || %s::text", f" {self._count}")
            owner.close()
        # what the owner made in a session of its own is the owner's
        run(self.db, "select lo_unlink(oid) from pg_catalog.pg_largeobject_metadata")
        run(self.db, "update safe.docs set body = %s", str(self._count))
        superuser, reader = self.callers
        run(superuser, "call vsync.work()")
        assert value(self.db, "select content from vsync_data.safe_v1") == str(self._count)
        for caller, calls in ((superuser, CALLED), (reader, (SEARCH, "select * from shop.catalog"))):
            for call in calls:
                with contextlib.suppress(psycopg.Error):
                    run(caller, call)
        for caller, before in zip(self.callers, self._before, strict=True):
            kept.assert_kept(caller, before, str(history))
        assert rows(self.db, PROMOTED) == self._powers
        assert rows(self.db, "select * from canary.rows") == []
        assert spied(self.db) <= {self._owner, "vsync_sandbox"}


@pytest.fixture
def stage(db: Connection, connect: Connect, make_role: MakeRole, tiny_model: Path) -> Stage:
    return Stage(db, connect, make_role("vsync_admin"), make_role("vsync_reader"), tiny_model)


@settings(max_examples=6, phases=PHASES, suppress_health_check=SUPPRESSED)
@given(history=HISTORIES)
@example(history=EVERYTHING)
@example(history=CANCELLED)
def test_hostile_code_gains_nothing_and_stops_nobody(stage: Stage, history: list[tuple[str, str]]) -> None:
    stage.play(history)


@pytest.mark.soak
@settings(phases=PHASES, suppress_health_check=SUPPRESSED)
@given(history=HISTORIES)
def test_thousands_of_hostile_histories(stage: Stage, batch: int, history: list[tuple[str, str]]) -> None:
    del batch
    stage.play(history)

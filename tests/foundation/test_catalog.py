"""Rules that every object of vsync follows, asked of the catalog."""

import re
from importlib import import_module
from pathlib import Path

from shop import Connection, rows, value

_INTERNAL = {"declare_document", "work"}
_UNPINNED = {"add_version", "create_embedding", *_INTERNAL}
_OURS = "('vsync'::regnamespace, 'vsync_internal'::regnamespace)"
_FUNCTIONS = f"select oid::regprocedure::text, proname, prosrc from pg_proc where pronamespace in {_OURS}"
# what has its body bound when it is made depends on no search path
_PIN = "coalesce('search_path=pg_catalog, pg_temp' = any (proconfig), prosqlbody is not null)"


def test_every_function_pins_its_search_path(db: Connection) -> None:
    loose = {(name, row) for row, name, _ in rows(db, f"{_FUNCTIONS} and not {_PIN}")}
    assert {name for name, _ in loose} == _UNPINNED
    ours = tuple(f"vsync_internal.{name}(" for name in _INTERNAL)
    assert all(row.startswith(("vsync.", *ours)) for _, row in loose), loose


def test_every_security_definer_function_pins_its_search_path(db: Connection) -> None:
    assert rows(db, f"{_FUNCTIONS} and prosecdef and (not {_PIN} or prosqlbody is not null)") == []


def test_no_security_definer_function_belongs_to_another_role_than_the_installer_or_the_sandbox(db: Connection) -> None:
    definers = f"select distinct proowner::regrole::text from pg_proc where prosecdef and pronamespace in {_OURS}"
    assert {owner for (owner,) in rows(db, definers)} == {"postgres", "vsync_sandbox"}
    sandbox = "select proname from pg_proc where proowner = 'vsync_sandbox'::regrole order by 1"
    callers = (
        "call_count",
        "call_delta",
        "call_excluded",
        "call_hashes",
        "call_judge",
        "call_keys",
        "call_missing",
        "call_probe",
        "call_render",
        "call_tuples",
    )
    assert rows(db, sandbox) == [(name,) for name in callers]


def test_the_sandbox_holds_nothing(db: Connection) -> None:
    attributes = "rolsuper or rolinherit and false or rolcreaterole or rolcreatedb or rolcanlogin or rolbypassrls"
    assert value(db, f"select {attributes} from pg_roles where rolname = 'vsync_sandbox'") is False
    memberships = "select count(*) from pg_auth_members where 'vsync_sandbox'::regrole in (roleid, member)"
    assert value(db, memberships) == 0


def test_nothing_is_executable_by_public(db: Connection) -> None:
    granted = (
        "select p.oid::regprocedure from pg_proc as p, aclexplode(coalesce(p.proacl, acldefault('f', "
        "p.proowner))) as a "
        f"where a.grantee = 0 and p.pronamespace in {_OURS}"
    )
    assert rows(db, granted) == []


def test_python_functions_are_wrappers_of_two_lines(db: Connection) -> None:
    wrappers = rows(db, f"{_FUNCTIONS} and prolang = (select oid from pg_language where lanname = 'plpython3u')")
    assert wrappers
    for row, name, source in wrappers:
        first, second = source.strip().splitlines()
        assert first == "from vsync_engine import entry", row
        assert re.fullmatch(rf"(return )?entry\.({name}|version)\([a-z_, ]*\)", second), row


def test_every_object_has_a_comment(db: Connection) -> None:
    functions = f"select oid::regprocedure from pg_proc where pronamespace in {_OURS}"
    assert rows(db, f"{functions} and coalesce(obj_description(oid, 'pg_proc'), '') = ''") == []
    relations = f"select oid::regclass from pg_class where relkind in ('r', 'v', 'p') and relnamespace in {_OURS}"
    missing = f"{relations} and not relispartition and coalesce(obj_description(oid, 'pg_class'), '') = ''"
    assert rows(db, missing) == []


def test_the_comment_of_every_public_function_has_an_example_that_calls_it(db: Connection) -> None:
    documented = (
        "select proname, obj_description(oid, 'pg_proc') from pg_proc where pronamespace = 'vsync'::regnamespace"
    )
    for name, comment in rows(db, documented):
        assert re.search(rf"Examples?: .*vsync\.{name}\(", comment, re.S), name


def test_the_comment_of_every_public_view_is_a_manual(db: Connection) -> None:
    views = "select relname, obj_description(oid, 'pg_class') from pg_class where relnamespace = 'vsync'::regnamespace"
    for name, comment in rows(db, views):
        assert len(comment) > 60, name


def test_monitoring_views_are_security_invoker(db: Connection) -> None:
    views = "select relname, 'security_invoker=true' = any (coalesce(reloptions, '{}')) from pg_class"
    found = dict(rows(db, f"{views} where relnamespace = 'vsync'::regnamespace and relkind = 'v'"))
    # these read configuration for roles that may not read its tables, and hold no row of anybody's data
    assert {name for name, invoker in found.items() if not invoker} == {
        "models",
        "embeddings",
        "versions",
        "activations",
        "settings",
        "rules",
        "rule_history",
    }


def test_functions_of_the_author_call_nothing_by_an_unqualified_name(db: Connection) -> None:
    bodies = rows(db, f"select prosrc from pg_proc where pronamespace in {_OURS} and not {_PIN} and proname <> 'work'")
    assert len(bodies) == len(_UNPINNED) - 1
    for (body,) in bodies:
        text = re.sub(r"'(?:[^']|'')*'", "''", body)
        assert set(re.findall(r"(?<![\w.])(\w+)\(", text)) <= {"operator"}, body
        assert set(re.findall(r"::(\w+)(?!\w*\.)\b", text)) <= {"pg_catalog"}
        assert set(re.findall(r"\s(->>?|\|\||[@?]\S*|<>|<|>|~)\s", text)) == set()
        types = re.findall(r"^    v_\w+ (\w+)", body, re.M)
        assert set(types) <= {"pg_catalog", "vsync_internal"}


def test_the_workers_statements_name_everything_with_its_schema() -> None:
    from vsync_engine.foundation.host import Statement

    packages = ("foundation", "capture", "rules", "refresh")
    modules = [vars(import_module(f"vsync_engine.{package}.statements")) for package in packages]
    assert sum(isinstance(each, Statement) for module in modules for each in module.values()) > 50
    for name, statement in (item for module in modules for item in module.items()):
        if isinstance(statement, Statement):
            assert set(re.findall(r"(?<![\w.])(\w+)\(", statement.sql)) <= {"extract", "operator"}, name
            assert set(re.findall(r"::(\w+)", statement.sql)) <= {"pg_catalog"}, name
            assert all(kind.startswith("pg_catalog.") for kind in statement.types), name


def test_the_security_page_has_a_verdict_on_every_function_with_the_installers_rights(db: Connection) -> None:
    grantee = "case a.grantee when 0 then 'public' else a.grantee::regrole::text end"
    granted = f"(select string_agg(distinct {grantee}, ' ') from aclexplode(proacl) as a where a.grantee <> proowner)"
    found = rows(
        db, f"select proname, coalesce({granted}, 'nobody') from pg_proc where prosecdef and pronamespace in {_OURS}"
    )
    page = (Path(__file__).parents[2] / "docs/security.md").read_text("utf-8")
    reviewed = re.findall(r"^\| `(\w+)` \| ([\w ]+) \| \S[^|]* \| (\S[^|]*) \|$", page, re.M)
    assert {(name, grantees) for name, grantees, _ in reviewed} == set(found)
    assert len({verdict for _, _, verdict in reviewed}) > 100

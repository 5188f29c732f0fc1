"""A pytest plugin that runs the named tests: once as they are, and once a mutation of their database."""

from collections.abc import Generator, Sequence
from typing import Any

import psycopg
import pytest

from tests.mutants.table import Mutation

CONTROL = Mutation("unharmed", "", "", "", "select")
_FUNCTION = """select p.oid, pg_get_functiondef(p.oid) from pg_proc as p
where p.oid = case when %(name)s like '%%(%%' then to_regprocedure(%(qualified)s) end
or p.proname = %(name)s and p.pronamespace = 'vsync_internal'::regnamespace"""


class NotApplicable(Exception):
    """A mutation whose function or text is not there any more: the table must follow the code."""


def apply(mutation: Mutation, dsn: str) -> None:
    """Take the protection out of one database; NotApplicable where there is nothing to take out."""
    with psycopg.connect(dsn, autocommit=True) as session:
        if mutation.function:
            session.execute(mutated(mutation, session).encode())
        else:
            session.execute(mutation.put.encode())


def mutated(mutation: Mutation, session: psycopg.Connection[Any]) -> str:
    """Return the function's definition without the protection."""
    name = mutation.function
    qualified = name if name.startswith("vsync.") else f"vsync_internal.{name}"
    row = session.execute(_FUNCTION, {"name": name, "qualified": qualified}).fetchone()
    if row is None or mutation.find not in row[1]:
        raise NotApplicable(f"{name} does not hold {mutation.find!r}")
    return row[1].replace(mutation.find, mutation.put)


class Mutants:
    """Parametrises the named tests with their mutations and keeps what became of each."""

    def __init__(self, mutations: Sequence[Mutation]) -> None:
        self._mutations = mutations
        self.seconds: dict[str, float] = {}
        self.caught: dict[str, str] = {}
        self.broken: dict[str, str] = {}
        self.reasons: dict[str, str] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        here = metafunc.definition.nodeid
        mine = [m for m in self._mutations if f"tests/{m.test}".split("[")[0] == here]
        mine = [CONTROL, *mine] if mine else []
        metafunc.fixturenames.append("mutation")
        metafunc.parametrize("mutation", mine, ids=[m.name for m in mine], indirect=True)

    @pytest.fixture
    def mutation(self, request: pytest.FixtureRequest) -> Mutation:
        """The mutation of this run of a test."""
        return request.param

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen: dict[tuple[str, str], pytest.Item] = {}
        for item in items:
            mutation = _mutation(item)
            for wanted in self._mutations if mutation is CONTROL else [mutation]:
                if f"tests/{wanted.test}".split("[")[0] == item.nodeid.split("[")[0] and _is_named(item, wanted.test):
                    chosen.setdefault((mutation.name, wanted.test if mutation is CONTROL else ""), item)
        items[:] = list(dict.fromkeys(chosen.values()))

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Generator[None, Any, Any]:
        answer = yield
        if fixturedef.argname == "dsn":
            apply(_mutation(request.node), answer)
        elif fixturedef.argname == "crash_cluster":
            apply(_mutation(request.node), answer.dsn("vsync"))
        return answer

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: Any) -> Generator[None, Any, Any]:
        report = yield
        mutation = _mutation(item)
        name = item.nodeid if mutation is CONTROL else mutation.name
        self.seconds[name] = self.seconds.get(name, 0.0) + call.duration
        if not report.failed:
            return report
        self.reasons[name] = str(call.excinfo.value).partition("\n")[0]
        if report.when != "call" or mutation is CONTROL or _is_no_verdict(call.excinfo.value):
            self.broken[name] = self.reasons[name]
        else:
            self.caught[name] = item.nodeid.split("::")[-1].split("[")[0]
        return report


def _mutation(item: Any) -> Mutation:
    return item.callspec.params["mutation"]


def _is_no_verdict(error: BaseException) -> bool:
    """Tell whether the mutation is no valid SQL (class 42) or the engine could not be loaded (38)."""
    sqlstate = error.sqlstate or "" if isinstance(error, psycopg.Error) else ""
    return sqlstate[:2] in ("38", "42") and sqlstate != "42501"


def _is_named(item: pytest.Item, test: str) -> bool:
    _, bracket, wanted = test.partition("[")
    given = item.nodeid.partition("[")[2].replace(_mutation(item).name, "").strip("]-")
    return not bracket or given == wanted.rstrip("]") or given.startswith(wanted.rstrip("]") + "-")

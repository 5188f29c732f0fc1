"""A pytest plugin that runs the named tests, each once a mutation of its database."""

from collections.abc import Generator, Sequence
from typing import Any

import psycopg
import pytest

from tests.mutants.table import Mutation

_FUNCTION = """select p.oid, pg_get_functiondef(p.oid) from pg_proc as p
where p.oid = case when %(name)s like '%%(%%' then to_regprocedure(%(qualified)s) end
or p.proname = %(name)s and p.pronamespace in ('vsync_internal'::regnamespace, 'vsync'::regnamespace)
order by p.pronamespace = 'vsync'::regnamespace limit 1"""


class NotApplicable(Exception):
    """A mutation whose function or text is not there any more: the table must follow the code."""


def apply(mutation: Mutation, dsn: str) -> None:
    """Take the protection out of one database; NotApplicable where there is nothing to take out."""
    with psycopg.connect(dsn, autocommit=True) as session:
        if not mutation.function:
            session.execute(mutation.put.encode())
            return
        name = mutation.function
        qualified = name if name.startswith("vsync") else f"vsync_internal.{name}"
        row = session.execute(_FUNCTION, {"name": name, "qualified": qualified}).fetchone()
        if row is None or mutation.find not in row[1]:
            raise NotApplicable(f"{mutation.name}: {name} does not hold {mutation.find!r}")
        session.execute(row[1].replace(mutation.find, mutation.put).encode())


class Mutants:
    """Parametrises the named tests with their mutations and keeps what became of each."""

    def __init__(self, mutations: Sequence[Mutation]) -> None:
        self._mutations = mutations
        self.seconds: dict[str, float] = {}
        self.caught: dict[str, str] = {}
        self.broken: dict[str, str] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        here = metafunc.definition.nodeid
        mine = [m for m in self._mutations if f"tests/{m.test}".split("[")[0] == here]
        metafunc.fixturenames.append("mutation")
        metafunc.parametrize("mutation", mine, ids=[m.name for m in mine], indirect=True)

    @pytest.fixture
    def mutation(self, request: pytest.FixtureRequest) -> Mutation:
        """The mutation of this run of a test."""
        return request.param

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if _is_named(item, _mutation(item))]
        chosen: dict[str, pytest.Item] = {}
        for item in items:
            chosen.setdefault(_mutation(item).name, item)
        items[:] = list(chosen.values())

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
        name = _mutation(item).name
        self.seconds[name] = self.seconds.get(name, 0.0) + call.duration
        error = call.excinfo.value if call.excinfo else None
        if isinstance(error, psycopg.errors.SyntaxErrorOrAccessRuleViolation):
            self.broken[name] = f"the mutation itself fails: {error}".splitlines()[0]
        elif report.when == "call" and report.failed:
            self.caught[name] = item.nodeid.split("::")[-1].split("[")[0]
        elif report.failed:
            self.broken[name] = str(error).splitlines()[0]
        return report


def _mutation(item: Any) -> Mutation:
    return item.callspec.params["mutation"]


def _is_named(item: pytest.Item, mutation: Mutation) -> bool:
    _, bracket, wanted = mutation.test.partition("[")
    given = item.nodeid.partition("[")[2].replace(mutation.name, "")
    return not bracket or wanted.rstrip("]") in (given.rstrip("]-"), given.strip("]-")) or wanted.rstrip("]") in given

"""The locked libraries: each with its hashes, none missing, and for the server those alone that the engine needs."""

import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from vsync_admin.processes import run
from vsync_admin.server import Server

ROOT = Path(__file__).resolve().parents[2]
ENGINE = ROOT / "plpython" / "vsync_engine"
LOCKS = ("requirements.lock", "plpython/requirements.lock")
_PIN = re.compile(r"^(?P<requirement>[a-z0-9].*?)(?P<hashes>( \\\n    --hash=sha256:[0-9a-f]{64})+)\n", re.MULTILINE)
IMPORT_ALL = """
create function pg_temp.import_all() returns setof text language plpython3u as $py$
import importlib, pkgutil, vsync_engine
return [importlib.import_module(module.name).__file__
        for module in pkgutil.walk_packages(vsync_engine.__path__, "vsync_engine.")]
$py$
"""


def pins(lock: str) -> list[tuple[Requirement, str]]:
    text = (ROOT / lock).read_text("utf-8")
    return [(Requirement(pin["requirement"]), pin["hashes"]) for pin in _PIN.finditer(text)]


def declared() -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return {canonicalize_name(each.name): each for each in map(Requirement, project["dependencies"])}


def wanted_by_the_engine() -> set[str]:
    return set((ROOT / "plpython" / "requirements.in").read_text("utf-8").split())


def imported(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_nothing_but_pins_with_hashes(lock: str):
    rest = [line for line in _PIN.sub("", (ROOT / lock).read_text("utf-8")).splitlines() if not line.startswith("#")]
    assert rest == []
    assert all(re.fullmatch(r"==[^,*]+", str(pin.specifier)) for pin, _ in pins(lock))


def test_the_lock_has_what_the_project_declares():
    for name, wanted in declared().items():
        found = [pin for pin, _ in pins("requirements.lock") if canonicalize_name(pin.name) == name]
        assert found, f"{name}: make lock"
        # psycopg's extras are packages of their own: psycopg[binary] is psycopg-binary
        assert {f"{name}-{extra}" for extra in wanted.extras} <= {pin.name for pin, _ in pins("requirements.lock")}
        assert all(wanted.specifier.contains(str(pin.specifier).removeprefix("==")) for pin in found), (
            f"{name}: make lock"
        )


def test_the_engine_is_locked_to_the_same_releases():
    both = {(pin.name, str(pin.specifier)): hashes for pin, hashes in pins("requirements.lock")}
    for pin, hashes in pins("plpython/requirements.lock"):
        assert both[pin.name, str(pin.specifier)] == hashes
    assert wanted_by_the_engine() <= {pin.name for pin, _ in pins("plpython/requirements.lock")} & set(declared())


def test_the_engine_asks_for_what_it_imports():
    modules = {name for path in ENGINE.rglob("*.py") for name in imported(path)}
    modules -= {"vsync_engine", "plpy", "psycopg"}  # psycopg: where the engine runs outside the server
    assert {canonicalize_name(name) for name in modules - sys.stdlib_module_names} == wanted_by_the_engine()


def test_the_servers_environment_has_the_locked_libraries_and_no_others(server: Server):
    code = (
        "import importlib.metadata as m, json; "
        "print(json.dumps({d.metadata['Name'].lower().replace('_', '-'): d.version for d in m.distributions()}))"
    )
    found = json.loads(run([server.engine / "bin" / "python", "-I", "-c", code]))
    locked = {
        pin.name: str(pin.specifier).removeprefix("==")
        for pin, _ in pins("plpython/requirements.lock")
        if pin.marker is None or pin.marker.evaluate()
    }
    assert {name: version for name, version in found.items() if name not in ("pip", "setuptools")} == locked


def test_every_module_of_the_engine_is_imported_with_them_alone(server: Server, empty_dsn: str):
    with psycopg.connect(empty_dsn, autocommit=True) as session:
        session.execute("create extension plpython3u")
        session.execute(IMPORT_ALL)
        files = {Path(path) for (path,) in session.execute("select pg_temp.import_all()")}
    assert all(path.is_relative_to(server.engine) for path in files)
    placed = {str(path).partition("/vsync_engine/")[2] for path in files}
    assert placed == {str(path.relative_to(ENGINE)) for path in ENGINE.rglob("*.py")} - {"__init__.py"}

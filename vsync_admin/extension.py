"""The SQL of vsync: found, put together as one extension script, or run without an extension.

`sql/install.sql` is the table of contents. Files named `python.sql` need plpython3u, files named `outside.sql`
take their place without it; files named `extension.sql` hold what only `create extension` may run.
"""

import re
import sys
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from vsync_admin import __version__
from vsync_admin.errors import CommandError

_PACKAGE = Path(__file__).resolve().parent
_HEADER = '\\echo Use "create extension vsync cascade" to load this file. \\quit\n'
# Names in the script bind to what its path finds: objects of others, in public say, would become part of vsync.
_PATH = "set local search_path = pg_catalog, pg_temp;\n"
# What the event triggers look at, which only a superuser makes; nobody else may put a setting of ours on a function.
_OWN_DDL = b"set \"vsync.own_ddl\" = 'off'\n"
_ENTRY = re.compile(r"\\ir\s+(?P<path>\S+)\s*$")


def checkout() -> Path | None:
    """Return the directory of the source checkout this package runs from, if it does."""
    root = _PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "sql").is_dir() else None


def sql_directory() -> Path:
    """Return the directory with `install.sql`: the checkout's, else the one inside the package."""
    root = checkout()
    return root / "sql" if root else _PACKAGE / "sql"


def parts(directory: Path) -> list[Path]:
    """Return the files of the table of contents in order; CommandError for an unknown line or a missing file."""
    contents = directory / "install.sql"
    if not contents.is_file():
        raise CommandError(f"{contents} does not exist")
    files: list[Path] = []
    for number, line in enumerate(contents.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("--"):
            continue
        entry = _ENTRY.match(line)
        path = directory / entry["path"] if entry else None
        if path is None or not path.is_file():
            raise CommandError(f"line {number} of {contents.name} names no file: {line.strip()}")
        files.append(path)
    return files


def script(directory: Path) -> str:
    """Return the text of the extension script."""
    wanted = (path for path in parts(directory) if path.name != "outside.sql")
    texts = (f"\n-- {path.relative_to(directory)}\n{path.read_text(encoding='utf-8')}" for path in wanted)
    return _HEADER + _PATH + "".join(texts)


def extension_files(directory: Path) -> dict[str, str]:
    """Return name and text of each file that belongs into the server's extension directory."""
    files = {
        "vsync.control": (directory / "vsync.control").read_text(encoding="utf-8").replace("@version@", __version__),
        f"vsync--{__version__}.sql": script(directory),
    }
    for upgrade in sorted((directory / "upgrade").glob("*--*.sql")):
        files[f"vsync--{upgrade.name}"] = _PATH + upgrade.read_text(encoding="utf-8")
    return files


def python_available(connection: psycopg.Connection[Any]) -> bool:
    """Tell whether this session can create functions of plpython3u: a superuser's, where the server has it."""
    cursor = connection.cursor(row_factory=tuple_row)
    found = cursor.execute("select from pg_catalog.pg_available_extensions where name = 'plpython3u'").fetchone()
    return found is not None and _is_superuser(connection)


def _is_superuser(connection: psycopg.Connection[Any]) -> bool:
    return connection.info.parameter_status("is_superuser") == "on"


def install_into(connection: psycopg.Connection[Any]) -> list[str]:
    """Run the SQL in one transaction, without an extension; return the files left out for want of plpython3u.

    psycopg.Error carries the server's report; a note on it names the file.
    """
    directory = sql_directory()
    has_python, ordinary = python_available(connection), not _is_superuser(connection)
    left_out = "outside.sql" if has_python else "python.sql"
    with connection.transaction():
        connection.execute("create extension if not exists vector")
        if has_python:
            connection.execute("create extension if not exists plpython3u")
        # the type of signatures is told in a NOTICE each; bodies name what comes later, as create extension lets them
        connection.execute(
            _PATH.encode() + b"set local client_min_messages = warning; set local check_function_bodies = off"
        )
        for path in parts(directory):
            if path.name in (left_out, "extension.sql"):
                continue
            try:
                connection.execute(path.read_bytes().replace(_OWN_DDL, b"" if ordinary else _OWN_DDL))
            except psycopg.Error as error:
                error.add_note(f"in {path.relative_to(directory)}")
                raise
    if has_python:
        return []
    return [str(path.relative_to(directory)) for path in parts(directory) if path.name == "python.sql"]


def main(arguments: list[str]) -> int:
    """Write the extension's files to `build/` below the checkout."""
    root = checkout()
    if arguments != ["build"] or root is None:
        sys.stderr.write("usage: python -m vsync_admin.extension build (in a checkout)\n")
        return 2
    target = root / "build"
    target.mkdir(exist_ok=True)
    for name, text in extension_files(root / "sql").items():
        (target / name).write_text(text, encoding="utf-8")
        sys.stderr.write(f"build/{name}\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except CommandError as failure:
        sys.exit(f"{failure.message}\n{failure.detail}")

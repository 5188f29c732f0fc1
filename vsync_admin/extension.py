"""The SQL of vsync: found, put together as one extension script, or run without an extension.

`sql/install.sql` is the table of contents. Files named `python.sql` need plpython3u; files named
`extension.sql` hold what only `create extension` may run and are left out elsewhere.
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
    texts = (f"\n-- {path.relative_to(directory)}\n{path.read_text(encoding='utf-8')}" for path in parts(directory))
    return _HEADER + "".join(texts)


def extension_files(directory: Path) -> dict[str, str]:
    """Return name and text of each file that belongs into the server's extension directory."""
    files = {
        "vsync.control": (directory / "vsync.control").read_text(encoding="utf-8").replace("@version@", __version__),
        f"vsync--{__version__}.sql": script(directory),
    }
    for upgrade in sorted((directory / "upgrade").glob("*--*.sql")):
        files[f"vsync--{upgrade.name}"] = upgrade.read_text(encoding="utf-8")
    return files


def python_available(connection: psycopg.Connection[Any]) -> bool:
    """Tell whether this session has plpython3u in its database or can create it."""
    cursor = connection.cursor(row_factory=tuple_row)
    query = "select installed_version is not null from pg_catalog.pg_available_extensions where name = 'plpython3u'"
    row = cursor.execute(query).fetchone()
    return row is not None and (bool(row[0]) or connection.info.parameter_status("is_superuser") == "on")


def install_into(connection: psycopg.Connection[Any]) -> list[str]:
    """Run the SQL in one transaction, without an extension; return the files left out.

    psycopg.Error carries the server's report; a note on it names the file.
    """
    directory = sql_directory()
    has_python = python_available(connection)
    omitted: list[str] = []
    with connection.transaction():
        connection.execute("create extension if not exists vector")
        if has_python:
            connection.execute("create extension if not exists plpython3u")
        for path in parts(directory):
            name = str(path.relative_to(directory))
            if path.name == "extension.sql":
                continue
            if path.name == "python.sql" and not has_python:
                omitted.append(name)
                continue
            try:
                connection.execute(path.read_bytes())
            except psycopg.Error as error:
                error.add_note(f"in {name}")
                raise
    return omitted


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

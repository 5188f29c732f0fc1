"""Where a PostgreSQL server keeps its files, and which Python its PL/Python is linked with."""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from vsync_admin.errors import CommandError
from vsync_admin.processes import run

_LIBPYTHON = re.compile(r"libpython(?P<minor>3\.\d+)\S* => (?P<path>\S+)")


@dataclass(frozen=True)
class Server:
    """The directories of one PostgreSQL installation, as its pg_config tells them."""

    version: str
    bindir: Path
    pkglibdir: Path
    sharedir: Path

    @property
    def extension_directory(self) -> Path:
        """Where `create extension` looks for control files and scripts."""
        return self.sharedir / "extension"

    @property
    def engine(self) -> Path:
        """The virtual environment that PL/Python takes vsync_engine and its libraries from."""
        return self.pkglibdir / "vsync"


def find_server(pg_config: str | None = None) -> Server:
    """Return the server of `pg_config`, of $PG_CONFIG, or the newest one that has PL/Python."""
    path = pg_config or os.environ.get("PG_CONFIG") or _newest_pg_config()
    if not path:
        raise CommandError("no PostgreSQL server was found", hint="Run docker/debian.sh as root, or set PG_CONFIG.")
    values = run([path, "--version", "--bindir", "--pkglibdir", "--sharedir"]).splitlines()
    if len(values) != 4:
        raise CommandError(f"{path} is not a pg_config", detail="\n".join(values))
    return Server(values[0], Path(values[1]), Path(values[2]), Path(values[3]))


def _newest_pg_config() -> str | None:
    def major(path: Path) -> int:
        name = path.parts[-3]
        return int(name) if name.isdigit() else 0

    found = [
        path
        for path in Path("/usr/lib/postgresql").glob("*/bin/pg_config")
        if path.with_name("postgres").exists() and (path.parents[1] / "lib" / "plpython3.so").exists()
    ]
    return str(max(found, key=major)) if found else shutil.which("pg_config")


def linked_python(server: Server) -> Path:
    """Return the interpreter that belongs to the libpython of plpython3; CommandError when there is none."""
    library = server.pkglibdir / "plpython3.so"
    if not library.exists():
        raise CommandError("this server has no PL/Python", detail=f"{library} does not exist.")
    match = _LIBPYTHON.search(run(["ldd", library]))
    if match is None:
        raise CommandError("the libpython of PL/Python was not found", detail=f"ldd {library} names none.")
    for parent in Path(match["path"]).resolve().parents:
        python = parent / "bin" / f"python{match['minor']}"
        if python.exists():
            return python
    raise CommandError(f"python{match['minor']} was not found", detail=f"PL/Python is linked with {match['path']}.")

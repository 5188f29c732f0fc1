"""Putting the engine and the extension's files into a server, and taking them out again.

PL/Python finds the engine by one line in `vsync.pth` of its own Python: the line does something only inside
that server's `postgres` program, so neither environment variables nor settings nor the way of starting matter.
"""

import fcntl
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from vsync_admin.errors import CommandError
from vsync_admin.extension import checkout, extension_files
from vsync_admin.processes import run
from vsync_admin.server import Server, find_server, linked_python

_PTH = "vsync.pth"
_ENGINE = Path("plpython/vsync_engine")
_LOCK = Path("plpython/requirements.lock")
_PIP = (
    *("-m", "pip", "install", "-qq", "--disable-pip-version-check", "--root-user-action=ignore"),
    *("--require-hashes", "--no-deps", "--only-binary=:all:"),
)


def install(server: Server) -> list[str]:
    """Place whatever is missing or out of date; return what was done, nothing when all was in place."""
    root = checkout()
    if root is None:
        raise CommandError(
            "the server's files are placed from a source checkout",
            hint="Use `vsync install` for a database without file access.",
        )
    if _in_place(server, root):
        return []
    _require_writable(server)
    os.umask(0o022)
    with _alone(server):
        python = linked_python(server)
        done = [*_place_engine(server, python, root), *_place_pth(server, python)]
        for name, text in extension_files(root / "sql").items():
            if _write(server.extension_directory / name, text):
                done.append(f"placed {server.extension_directory / name}")
    return done


def remove(server: Server) -> list[str]:
    """Take the engine, the line of vsync.pth and the extension's files away; return what was removed."""
    _require_writable(server)
    removed: list[str] = []
    pth = _site_directory(linked_python(server)) / _PTH
    with _locked(pth.parent):
        rest = "".join(_other_lines(pth, server))
        if pth.exists() and rest:
            pth.write_text(rest, encoding="utf-8")
        elif pth.exists():
            pth.unlink()
            removed.append(str(pth))
    for path in (*server.extension_directory.glob("vsync--*.sql"), server.extension_directory / "vsync.control"):
        if path.exists():
            path.unlink()
            removed.append(str(path))
    if server.engine.exists():
        shutil.rmtree(server.engine)
        removed.append(str(server.engine))
    _lock_file(server).unlink(missing_ok=True)
    return removed


def engine_stamp(root: Path, python: Path) -> dict[str, str]:
    """Return the hashes that decide what a placement has to do: of the locked libraries and of the code."""
    dependencies = hashlib.sha256((root / _LOCK).read_bytes() + run([python, "-VV"]).encode())
    code = hashlib.sha256()
    for path in sorted((root / _ENGINE).rglob("*.py")):
        code.update(f"\0{path.relative_to(root)}\0".encode() + path.read_bytes())
    return {"dependencies": dependencies.hexdigest(), "code": code.hexdigest()}


def _in_place(server: Server, root: Path) -> bool:
    """Tell whether there is nothing to do: then no permission is needed either."""
    stamp = server.engine / "stamp.json"
    files = {server.extension_directory / name: text for name, text in extension_files(root / "sql").items()}
    if not all(path.exists() for path in (stamp, *files)):
        return False
    python = linked_python(server)
    path, line = _site_directory(python) / _PTH, _pth_line(server, _packages(server))
    return (
        path.exists()
        and line in path.read_text(encoding="utf-8").splitlines(keepends=True)
        and all(path.read_text(encoding="utf-8") == text for path, text in files.items())
        and json.loads(stamp.read_text(encoding="utf-8")) == engine_stamp(root, python)
    )


def _place_engine(server: Server, python: Path, root: Path) -> list[str]:
    stamp_file = server.engine / "stamp.json"
    wanted = engine_stamp(root, python)
    present: dict[str, str] = json.loads(stamp_file.read_text(encoding="utf-8")) if stamp_file.exists() else {}
    if present == wanted:
        return []
    own_python = server.engine / "bin" / "python"
    if present.get("dependencies") == wanted["dependencies"]:
        stamp_file.write_text(json.dumps({**present, "code": ""}), encoding="utf-8")
    else:
        sys.stderr.write(f"installing the engine and its libraries into {server.engine}\n")
        run([python, "-m", "venv", "--clear", server.engine])
        run([own_python, *_PIP, "-r", root / _LOCK])
    placed = _packages(server) / _ENGINE.name
    shutil.rmtree(placed, ignore_errors=True)
    shutil.copytree(root / _ENGINE, placed, ignore=shutil.ignore_patterns("__pycache__"))
    run([own_python, "-m", "compileall", "-q", placed])
    stamp_file.write_text(json.dumps(wanted), encoding="utf-8")
    return [f"placed the engine in {server.engine}"]


def _place_pth(server: Server, python: Path) -> list[str]:
    pth = _site_directory(python) / _PTH
    pth.parent.mkdir(parents=True, exist_ok=True)
    line = _pth_line(server, _packages(server))
    with _locked(pth.parent):
        placed = _write(pth, "".join(_other_lines(pth, server)) + line)
    return [f"placed {pth}"] if placed else []


def _packages(server: Server) -> Path:
    python = server.engine / "bin" / "python"
    return Path(run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip())


def _pth_line(server: Server, packages: Path) -> str:
    program = repr(str((server.bindir / "postgres").resolve()))
    running = "os.path.realpath('/proc/self/exe').removesuffix(' (deleted)')"
    action = f"os.path.isdir({str(packages)!r}) and sys.path.insert(0, {str(packages)!r})"
    return f"import os, sys; {running} == {program} and {action}\n"


def _other_lines(pth: Path, server: Server) -> list[str]:
    if not pth.exists():
        return []
    own = f"== {str((server.bindir / 'postgres').resolve())!r} and"
    return [line for line in pth.read_text(encoding="utf-8").splitlines(keepends=True) if own not in line]


def _site_directory(python: Path) -> Path:
    return Path(run([python, "-I", "-c", "import site; print(site.getsitepackages()[0])"]).strip())


def _write(path: Path, text: str) -> bool:
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
    return True


def _require_writable(server: Server) -> None:
    for directory in (server.pkglibdir, server.extension_directory):
        if not os.access(directory, os.W_OK):
            raise CommandError(
                f"no permission to write to {directory}",
                hint="Run `sudo make install`, or `vsync install` for a database alone.",
            )


def _lock_file(server: Server) -> Path:
    return server.pkglibdir / ".vsync.lock"


@contextmanager
def _locked(directory: Path) -> Generator[None]:
    """Hold a lock on a directory: the servers of one Python share the file."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _alone(server: Server) -> Generator[None]:
    with _lock_file(server).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(arguments: list[str]) -> int:
    """Run `install` or `remove` for the server of $PG_CONFIG."""
    actions = {"install": install, "remove": remove}
    if len(arguments) != 1 or arguments[0] not in actions:
        sys.stderr.write("usage: python -m vsync_admin.placement install|remove\n")
        return 2
    for line in actions[arguments[0]](find_server()):
        sys.stderr.write(f"{line}\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except CommandError as failure:
        sys.exit("\n".join(filter(None, (failure.message, failure.detail, failure.hint))))

"""Running other programs, as oneself or as the operating system user that owns PostgreSQL's files."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from vsync_admin.errors import CommandError

DATABASE_USER = "postgres"
# A clean environment: an activated virtualenv in PATH would make the libpython inside the server
# take that virtualenv for its own home and miss the site directory that holds vsync.pth.
DATABASE_ENVIRONMENT: Mapping[str, str] = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"}


def is_root() -> bool:
    """Tell whether this process may act as another user."""
    return os.geteuid() == 0


def run(command: Sequence[str | Path]) -> str:
    """Run a program and return what it wrote to stdout; CommandError with its stderr when it fails."""
    return _checked(subprocess.run(command, capture_output=True, text=True, check=False), command)


def run_as_database_user(command: Sequence[str | Path], *, timeout: float = 120) -> str:
    """Run a program as the postgres user when root, else as oneself; with a clean environment, in `/`."""
    user = DATABASE_USER if is_root() else None
    done = subprocess.run(
        command,
        cwd="/",
        env=dict(DATABASE_ENVIRONMENT),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        umask=0o077,
        user=user,
        group=user,
        extra_groups=[] if user else None,
    )
    return _checked(done, command)


def _checked(done: subprocess.CompletedProcess[str], command: Sequence[str | Path]) -> str:
    if done.returncode != 0:
        detail = (done.stderr.strip() or done.stdout.strip())[-4000:]
        raise CommandError(f"{Path(command[0]).name} failed with exit status {done.returncode}", detail=detail)
    return done.stdout

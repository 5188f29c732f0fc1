"""make install puts the command line where a shell finds it."""

import subprocess
from pathlib import Path

from vsync_admin.server import Server

ROOT = Path(__file__).resolve().parents[2]


def install(server: Server, command: Path) -> str:
    done = subprocess.run(
        ["make", "-s", "install", f"COMMAND={command}", f"PG_CONFIG={server.bindir / 'pg_config'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return done.stderr


def test_the_command_is_linked_once_and_nothing_else_of_that_name_is_replaced(server: Server, tmp_path: Path):
    command = tmp_path / "vsync"
    install(server, command)
    help_text = subprocess.run([command, "--help"], capture_output=True, text=True, check=True, timeout=60).stdout
    assert "vsync [OPTIONS] COMMAND" in help_text
    command.unlink()
    command.write_text("somebody else's", encoding="utf-8")
    install(server, command)
    assert command.read_text("utf-8") == "somebody else's"


def test_who_may_not_link_it_is_told_what_to_add_to_the_path(server: Server):
    assert f'export PATH="{ROOT}/.venv/bin:$PATH"' in install(server, Path("/proc/vsync"))

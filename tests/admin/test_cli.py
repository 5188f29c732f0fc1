"""The command line's frame: connection options as psql has them, errors and exit codes."""

import subprocess
import sys

import pytest

from vsync_admin.connection import Session, merge
from vsync_admin.errors import CommandError

VSYNC = [sys.executable, "-c", "from vsync_admin.cli import app; app()"]


def vsync(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*VSYNC, *arguments], capture_output=True, text=True, check=False)


def test_help_and_version_are_data():
    assert "Exit codes" in vsync("--help").stdout
    assert vsync("--version").stdout.startswith("vsync ")


def test_wrong_usage_is_2():
    done = vsync("no-such-command")
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("arguments", [("-d", "host=/nowhere", "install"), ("install", "-d", "host=/nowhere")])
def test_no_connection_is_3_wherever_the_options_stand(arguments: tuple[str, ...]):
    done = vsync(*arguments)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("ERROR:  ")


def test_a_database_error_is_1_with_its_sqlstate(empty_dsn: str, make_role):
    done = vsync("install", "-d", f"{empty_dsn} user={make_role()}")
    assert done.returncode == 1
    assert done.stderr.startswith("ERROR:  42501: ")


def test_options_after_the_command_win():
    outer = merge(None, dbname="shop", port=5433)
    inner = merge(outer, dbname="other", json=True)
    assert inner == Session({"dbname": "other", "port": "5433"}, json=True)


@pytest.mark.parametrize("dbname", ["shop", "dbname=shop", "postgresql:///shop"])
def test_a_database_is_a_name_or_a_connection_string(dbname: str):
    conninfo = merge(None, dbname=dbname, username="anna").conninfo
    assert "dbname=shop" in conninfo or "///shop" in conninfo
    assert "user=anna" in conninfo


def test_a_malformed_connection_string_is_wrong_usage():
    with pytest.raises(CommandError) as caught:
        _ = merge(None, dbname="nonsense=1").conninfo
    assert caught.value.code == 2

"""What reaches a terminal: nothing in the database can drive it, nothing is dropped unasked, and errors say how on."""

import errno
import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from admin.test_commands import VSYNC, answer, vsync
from shop import declare, open_shop, run, value
from vsync_admin.output import printable

Connection = psycopg.Connection[tuple[Any, ...]]

HOSTILE = {
    "colour": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;owned\x07",
    "link": "\x1b]8;;http://example.invalid\x1b\\here\x1b]8;;\x1b\\",
    "eight bits": "\x9b31mred\x9b0m",
    "carriage return": "long line\rshort",
    "backspace": "abc\x08\x08\x08xyz",
    "delete": "a\x7fb",
    "right to left": "user\u202etxt.exe\u2066x\u2069",
    "invisible": "pass\u200bword\ufeff\U000e0041",
    "line separator": "one\u2028two",
}
FORBIDDEN = {c for text in HOSTILE.values() for c in text if not c.isprintable()}
HARMLESS = [
    "[red]not markup[/red]",
    ":smile: [link=x]",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "naïve 日本語 👩\u200d🚀",
]


def clean(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command printed, once it is known that nothing in it drives a terminal."""
    printed = done.stdout + done.stderr
    assert not set(printed) & FORBIDDEN, ascii(printed)
    return printed


@pytest.fixture
def hostile(db: Connection, tiny_model: Path) -> None:
    """A shop whose texts are hostile."""
    open_shop(db, tiny_model, 0)
    for i, text in enumerate([*HOSTILE.values(), *HARMLESS], start=1):
        run(db, "insert into shop.products values (%s, %s, '', '')", i, text)
    declare(db)
    db.execute("call vsync.work()")


@pytest.fixture
def odd(db: Connection, tiny_model: Path) -> None:
    """A table with hostile keys and a document that fails with a hostile message."""
    open_shop(db, tiny_model, 0)
    db.execute("create table shop.odd_products (id text primary key, title text)")
    run(
        db,
        "insert into shop.odd_products values (%s, '7'), (%s, %s)",
        HOSTILE["colour"],
        HOSTILE["link"],
        HOSTILE["title"],
    )
    declare(db, "odd", "select id, title::int::text as content from shop.odd_products")
    db.execute("call vsync.work()")


def test_contents_cannot_drive_the_terminal_and_json_is_exact(hostile: None, dsn: str):
    printed = clean(vsync(dsn, "search", "catalog", "anything", "-k", "50"))
    assert r"\x1b[31mred\x1b[0m" in printed
    assert r"user\u202etxt.exe" in printed
    for text in HARMLESS:
        assert text in printed
    contents = {row["content"] for row in answer(dsn, "search", "catalog", "anything", "-k", "50")}
    assert contents == {*HOSTILE.values(), *HARMLESS}


@pytest.mark.parametrize(
    "command", ["status", "embedding list", "embedding show", "version list", "version status", "doctor", "search"]
)
def test_names_keys_and_errors_cannot_drive_the_terminal(command: str, odd: None, dsn: str, db: Connection):
    name = "odd"
    db.execute("update vsync_internal.progress set last_error = %s", (HOSTILE["title"],))
    arguments = {"embedding show": [name], "search": [name, "x"]}.get(command, [])
    clean(vsync(dsn, *command.split(), *arguments))


def test_server_errors_and_notices_cannot_drive_the_terminal(dsn: str, db: Connection, tiny_model: Path):
    open_shop(db, tiny_model, 1)
    assert "VS302" in clean(vsync(dsn, "embedding", "show", "no\x1b[31mname\u202e"))
    document = 'select id, title as content, 1 / 0 as "\x1b[31m" from shop.products'
    clean(vsync(dsn, "embedding", "create", "bad", "--model", "tiny", "--document", document))


@pytest.mark.parametrize("text", ["plain", *HARMLESS, "two\nlines\tand a tab"])
def test_harmless_text_stays_as_it_is(text: str):
    assert printable(text) == text


DROPS = {
    "embedding drop": ["catalog"],
    "version drop": ["catalog", "1"],
    "rule drop": ["cheap"],
}


@pytest.fixture
def shop(db: Connection, tiny_model: Path) -> None:
    """A shop with an embedding and a rule."""
    open_shop(db, tiny_model)
    declare(db)
    db.execute("select vsync.create_rule('cheap', 'catalog', $$new.title = 'x'$$, 'skip')")


@pytest.mark.parametrize("command", DROPS)
def test_without_a_terminal_nothing_is_dropped_unless_told(command: str, shop: None, dsn: str, db: Connection):
    done = vsync(dsn, *command.split(), *DROPS[command])
    assert (done.returncode, done.stdout) == (2, "")
    assert "--yes" in done.stderr
    assert value(db, "select count(*) from vsync.embeddings") + value(db, "select count(*) from vsync.rules") == 2


def asked(dsn: str, reply: str, *arguments: str) -> tuple[int, str]:
    """Run a command at a terminal, reply to its question, and return its exit code and what it showed."""
    main, terminal = pty.openpty()
    command = [*VSYNC, *arguments, "-d", dsn]
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, close_fds=True) as process:
        os.close(terminal)
        os.write(main, f"{reply}\n".encode())
        shown = b""
        try:
            while part := os.read(main, 1024):
                shown += part
        except OSError as error:  # how Linux says that the other side closed
            if error.errno != errno.EIO:
                raise
        code = process.wait(60)
    os.close(main)
    return code, shown.decode()


def test_at_a_terminal_a_drop_asks(shop: None, dsn: str, db: Connection, tmp_path: Path):
    code, shown = asked(dsn, "n", "embedding", "drop", "catalog")
    assert code == 1
    assert 'Drop embedding "catalog"' in shown
    assert value(db, "select count(*) from vsync.embeddings") == 1
    (tmp_path / "rules").mkdir()
    code, shown = asked(dsn, "n", "rule", "apply", str(tmp_path / "rules"))
    assert code == 1
    assert 'Drop rule "cheap"?' in shown
    assert value(db, "select count(*) from vsync.rules") == 1
    code, shown = asked(dsn, "y", "embedding", "drop", "catalog")
    assert code == 0, shown
    assert value(db, "select count(*) from vsync.embeddings") == 0


COMMANDS = [
    "doctor",
    "status",
    "audit x",
    "search x y",
    "model list",
    "embedding list",
    "embedding drop x --yes",
    "version list",
    "rule list",
    "index build x",
    "impact t 1",
    "worker",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_database_without_vsync_is_named_with_a_way_on(command: str, empty_dsn: str):
    done = vsync(empty_dsn, *command.split())
    assert (done.returncode, done.stdout) == (1, "")
    assert "vsync is not installed in database" in done.stderr
    assert "create extension vsync cascade" in done.stderr


def test_installing_twice_says_so(dsn: str, empty_dsn: str):
    assert vsync(empty_dsn, "install").returncode == 0
    for again in (dsn, empty_dsn):
        done = vsync(again, "install")
        assert (done.returncode, done.stdout) == (1, "")
        assert "already installed" in done.stderr
        assert "HINT" in done.stderr


def test_a_role_without_grants_is_told_which(dsn: str, make_role: Any, shop: None):
    done = vsync(f"{dsn} user={make_role()}", "status")
    assert done.returncode == 1
    assert "grant vsync_operator" in done.stderr


def test_a_model_that_is_not_registered_is_found_in_the_catalogue_or_among_those_that_are(shop: None, dsn: str):
    add = ("version", "add", "catalog", "--model")
    assert "vsync model add minilm minilm" in vsync(dsn, *add, "minilm").stderr
    assert "vsync model add minilm minilm" in vsync(dsn, *add, "mini_lm").stderr
    near = vsync(dsn, *add, "tny").stderr
    assert 'Did you mean "tiny"?' in near
    create = ("embedding", "create", "other", "--document", "select id, title as content from shop.products")
    assert "vsync model add minilm minilm" in vsync(dsn, *create, "--model", "minilm").stderr


def test_an_identifier_of_a_hostile_role_does_not_matter_either(dsn: str, db: Connection, make_role: Any):
    role = make_role("vsync_operator")
    odd = f"{role}\x1b[31m"
    db.execute(sql.SQL("alter role {} rename to {}").format(sql.Identifier(role), sql.Identifier(odd)))
    done = vsync(f"{dsn} user='{odd}'", "embedding", "drop", "x", "--yes")
    clean(done)
    assert json.loads(vsync(dsn, "embedding", "list", "--json").stdout) == []

"""The sub-commands against a real database: what they print, what they refuse, how they exit."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from vsync_admin.commands.model import parse_options
from vsync_admin.errors import CommandError

VSYNC = [sys.executable, "-c", "from vsync_admin.cli import app; app()"]
DOCUMENT = "select id, body as content from public.notes"
Connection = psycopg.Connection[tuple[Any, ...]]


def vsync(dsn: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [*VSYNC, *arguments, "-d", dsn]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)


def answer(dsn: str, *arguments: str) -> Any:
    done = vsync(dsn, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def notes(db: Connection, tiny_model: Path) -> None:
    """A table of three rows and a model."""
    db.execute("create table public.notes (id int primary key, body text)")
    db.execute("insert into public.notes values (1, 'one'), (2, 'two'), (3, 'three')")
    db.execute("select vsync.register_model('tiny', %s)", (f"file://{tiny_model}",))


@pytest.fixture
def embedding(notes: None, db: Connection) -> None:
    """An embedding of it, worked off."""
    db.execute("select vsync.create_embedding('notes_search', %s, 'tiny')", (DOCUMENT,))
    db.execute("call vsync.work()")


def test_model_add_registers_a_directory_once(dsn: str, tiny_model: Path, tiny_model_other: Path):
    first = answer(dsn, "model", "add", "tiny", str(tiny_model))
    assert [(row["name"], row["revision"], row["dimensions"]) for row in first] == [("tiny", 1, 8)]
    assert answer(dsn, "model", "add", "tiny", f"file://{tiny_model}") == first
    assert answer(dsn, "model", "add", "tiny", str(tiny_model_other))[0]["revision"] == 2
    assert [(row["revision"], row["current"]) for row in answer(dsn, "model", "list")] == [(1, False), (2, True)]


def test_model_add_passes_options_on(dsn: str, tiny_model: Path):
    options = ["--option", "pooling=cls", "--option", "normalize=false", "--option", "query_prefix=query: "]
    (row,) = answer(dsn, "model", "add", "tiny", str(tiny_model), *options)
    assert (row["pooling"], row["normalize"], row["query_prefix"]) == ("cls", False, "query: ")


def test_model_add_refuses_an_unknown_option_as_the_server_does(dsn: str, tiny_model: Path):
    done = vsync(dsn, "model", "add", "tiny", str(tiny_model), "--option", "poling=cls")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith('ERROR:  VS001: unknown model option "poling"')
    assert 'HINT:  Did you mean "pooling"?' in done.stderr


def test_model_add_refuses_a_source_that_is_nothing(dsn: str):
    done = vsync(dsn, "model", "add", "x", "minilmm")
    assert done.returncode == 1
    assert 'HINT:  Did you mean "minilm"?' in done.stderr


def test_options_are_json_where_they_can_be():
    assert parse_options(["a=1", "b=true", "c=text", "d=x=y"]) == {"a": 1, "b": True, "c": "text", "d": "x=y"}
    with pytest.raises(CommandError) as caught:
        parse_options(["nonsense"])
    assert caught.value.code == 2


def test_embedding_create_list_show_drop(dsn: str, notes: None, db: Connection):
    created = answer(dsn, "embedding", "create", "notes_search", "--model", "tiny", "--document", DOCUMENT)
    assert created == [{"name": "notes_search"}]
    (row,) = answer(dsn, "embedding", "list")
    assert (row["name"], row["root"], row["view"]) == ("notes_search", "notes", "public.notes_search")
    shown = answer(dsn, "embedding", "show", "notes_search")
    assert shown["versions"][0]["columns"] == ["body", "id"]
    assert shown["status"][0]["documents"] == 0
    assert "public.notes_search" in vsync(dsn, "embedding", "show", "notes_search").stdout
    assert answer(dsn, "embedding", "drop", "notes_search", "--yes") == [{"name": "notes_search"}]
    assert answer(dsn, "embedding", "list") == []


def test_embedding_create_takes_a_file_chunks_and_index(dsn: str, notes: None, tmp_path: Path, db: Connection):
    file = tmp_path / "document.sql"
    file.write_text(DOCUMENT)
    options = ["--chunk", '{"tokens": 20, "overlap": 2}', "--index", '{"type": "none"}', "--capture", "manual"]
    answer(dsn, "embedding", "create", "a", "--model", "tiny", "--file", str(file), *options)
    assert vsync(dsn, "embedding", "create", "b", "--model", "tiny", "--file", "-", stdin=DOCUMENT).returncode == 0
    found = db.execute(
        "select v.chunk, v.index ->> 'type', e.capture from vsync.versions v join vsync.embeddings e "
        "on e.name = v.embedding order by e.name"
    ).fetchall()
    assert found == [({"tokens": 20, "overlap": 2}, "none", "manual"), (None, "hnsw", "trigger")]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--document", DOCUMENT, "--file", "x"),
        ("--file", "/nowhere.sql"),
        ("--document", DOCUMENT, "--chunk", "{"),
    ],
)
def test_embedding_create_wants_one_document_and_json(dsn: str, arguments: tuple[str, ...]):
    done = vsync(dsn, "embedding", "create", "x", "--model", "tiny", *arguments)
    assert (done.returncode, done.stdout) == (2, "")


def test_a_refused_document_is_1_with_its_place(dsn: str, notes: None):
    done = vsync(dsn, "embedding", "create", "x", "--model", "tiny", "--document", "select body as content from notes")
    assert done.returncode == 1
    assert "VS202" in done.stderr
    assert "HINT:" in done.stderr


def test_status_tells_what_is_pending(dsn: str, embedding: None, db: Connection):
    (row,) = answer(dsn, "status")
    assert (row["embedding"], row["documents"], row["pending"], row["embedded_total"]) == ("notes_search", 3, 0, 3)
    db.execute("insert into public.notes values (4, 'four')")
    db.execute("select vsync_internal.fold()")
    assert answer(dsn, "status", "notes_search")[0]["pending"] == 1
    assert "notes_search" in vsync(dsn, "status").stdout


def test_status_of_an_unknown_embedding_is_an_error(dsn: str, embedding: None):
    done = vsync(dsn, "status", "notes_serch")
    assert done.returncode == 1
    assert 'Did you mean "notes_search"?' in done.stderr


def test_status_watch_writes_a_line_of_json_at_each_look_until_interrupted(dsn: str, embedding: None):
    command = [*VSYNC, "status", "--watch", "--json", "--interval", "0.1", "-d", dsn]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert [line[0]["documents"] for line in lines] == [3, 3]


def test_doctor_exits_with_4_when_it_found_an_error(dsn: str, embedding: None, db: Connection):
    assert vsync(dsn, "doctor").returncode == 0
    db.execute("alter table public.notes disable trigger vsync_update")
    done = vsync(dsn, "doctor", "--json")
    assert done.returncode == 4
    assert any(row["level"] == "error" and "vsync_update" in row["detail"] for row in json.loads(done.stdout))


def test_search_finds_the_nearest(dsn: str, embedding: None):
    rows = answer(dsn, "search", "notes_search", "two", "-k", "2")
    assert rows[0]["key"] == {"id": 2}
    assert rows[0]["stale"] is False
    assert len(rows) == 2
    assert '{"id":2}' in vsync(dsn, "search", "notes_search", "two").stdout


@pytest.mark.parametrize(
    "command",
    [
        *("status", "doctor", "search", "worker", "demo", "audit", "impact", "model add", "embedding create"),
        *(f"version {name}" for name in ("add", "list", "activate", "rollback", "drop", "compare")),
    ],
)
def test_every_command_explains_itself(command: str):
    done = subprocess.run([*VSYNC, *command.split(), "--help"], capture_output=True, text=True, check=True)
    assert "--json" in done.stdout

"""create_embedding(…, if_not_exists => true) says what differs, and no hint proposes to throw an embedding away."""

import re
from pathlib import Path

import psycopg
import pytest

from fix_cluster import Connection
from promise.oracle import register

DOCUMENT = "select id, body as content from notes"


@pytest.fixture
def notes(db: Connection, tiny_model: Path) -> Connection:
    register(db, tiny_model)
    db.execute("select vsync.register_model('other', %s)", [f"file://{tiny_model}"])
    db.execute("create table notes (id int primary key, body text)")
    db.execute("select vsync.create_embedding('e', %s, 'tiny')", [DOCUMENT])
    return db


def notices(db: Connection, arguments: str) -> list[tuple[str, str, str]]:
    """Message, detail and hint of each notice."""
    told: list[tuple[str, str, str]] = []
    db.add_notice_handler(
        lambda d: told.append((d.message_primary or "", d.message_detail or "", d.message_hint or ""))
    )
    db.execute(f"select vsync.create_embedding('e', {arguments}, if_not_exists => true)".encode())
    return told


@pytest.mark.parametrize(
    ("arguments", "differs"),
    [
        ("'select id, upper(body) as content from notes', 'tiny'", ["document"]),
        (f"'{DOCUMENT}', 'other'", ["model"]),
        (f"'{DOCUMENT}', 'tiny', capture => 'manual'", ["capture"]),
        (f"""'{DOCUMENT}', 'tiny', chunk => '{{"tokens": 50}}'""", ["chunk"]),
        (f"""'{DOCUMENT}', 'tiny', index => '{{"type": "none"}}'""", ["index"]),
        (f"""'{DOCUMENT}', 'tiny', options => '{{"retention": "3 days"}}'""", ["options"]),
        ("'select 1 as id', 'other', capture => 'manual'", ["document", "model", "capture"]),
    ],
)
def test_another_definition_is_said_in_a_notice(notes: Connection, arguments: str, differs: list[str]) -> None:
    message, detail, hint = notices(notes, arguments)[-1]
    assert message == 'embedding "e" has another definition, which stays as it is'
    assert re.findall(r"(\w+) is .*?, not ", detail) == differs
    assert "vsync.add_version('e'" in hint


@pytest.mark.parametrize("index", ["", """, index => '{"distance": "cosine"}'""", ", chunk => 'null'"])
def test_the_same_definition_is_said_to_exist_and_no_more(notes: Connection, index: str) -> None:
    told = notices(notes, f"'{DOCUMENT};\n', 'tiny'{index}")
    assert [message for message, _, _ in told] == ['embedding "e" already exists, skipping']


def test_a_name_that_is_taken_is_no_reason_to_drop(notes: Connection) -> None:
    with pytest.raises(psycopg.Error, match="already exists") as caught:
        notes.execute("select vsync.create_embedding('e', %s, 'tiny')", [DOCUMENT])
    assert "vsync.add_version('e'" in (caught.value.diag.message_hint or "")


def test_no_hint_proposes_to_drop_an_embedding() -> None:
    root = Path(__file__).parents[2]
    hint = re.compile(r"(hint\s*=|remediation|hint:).*(drop_embedding|drop the embedding|embedding again)", re.I)
    found = [
        f"{path.name}: {line.strip()}"
        for folder, pattern in (("sql", "*.sql"), ("plpython", "*.py"), ("vsync_admin", "*.py"))
        for path in sorted((root / folder).rglob(pattern))
        for line in path.read_text("utf-8").splitlines()
        if hint.search(line)
    ]
    assert found == []

"""What vsync does inside says nothing to whoever asked for it: a NOTICE is for what the caller should know."""

from pathlib import Path

import pytest
from psycopg.errors import Diagnostic

from shop import Connection, register

TABLES = """
create table kinds (id int primary key, name text);
create table items (id int primary key, title text, kind int references kinds) partition by range (id);
create table items_1 partition of items for values from (0) to (100);
create table items_2 (like items including all);
create index on items (kind);
insert into kinds values (1, 'one');
insert into items select i, 'item ' || i, 1 from generate_series(1, 20) as i;
"""

JOINED = "select i.id, i.title || k.name as content from items as i join kinds as k on k.id = i.kind"
LIFE = (
    "select vsync.create_embedding('plain', 'select id, title as content from items', 'tiny')",
    f"select vsync.create_embedding('joined', '{JOINED}', 'tiny')",
    "call vsync.work()",
    "update kinds set name = 'two'",
    "call vsync.work()",
    "alter table items attach partition items_2 for values from (100) to (200)",
    "alter table items detach partition items_2",
    "alter table items rename column title to heading",
    "select vsync.add_version('plain', chunk => '{\"tokens\": 10}')",
    "call vsync.work()",
    "select vsync.start_experiment('plain', 2)",
    "select * from vsync.search('plain', 'item 3', caller => 'anna')",
    "select vsync.stop_experiment('plain')",
    "select vsync.activate_version('plain', 2)",
    "select vsync.rollback_version('plain')",
    "select vsync.create_rule('hidden', 'plain', 'new.id > 3', 'exclude')",
    "select vsync.preview_rule('plain', 'new.id > 3', 'skip')",
    "call vsync.work()",
    "select vsync.drop_rule('hidden')",
    "select vsync.set_capture('joined', 'wal')",
    "call vsync.work()",
    "select vsync.set_capture('joined', 'trigger')",
    "select vsync.repair_capture('plain')",
    "select vsync.audit('plain', true)",
    "select vsync.doctor()",
    "select vsync.drop_embedding('plain')",
    "select vsync.drop_embedding('joined')",
)


@pytest.fixture
def told(db: Connection) -> list[str]:
    """What the server says beside its answers."""
    messages: list[str] = []

    def hear(report: Diagnostic) -> None:
        if not (report.message_primary or "").startswith("no worker is running"):
            messages.append(f"{report.severity}: {report.message_primary}")

    db.add_notice_handler(hear)
    return messages


def test_a_whole_life_is_lived_without_a_notice(db: Connection, tiny_model: Path, told: list[str]) -> None:
    register(db, tiny_model)
    db.execute(TABLES)
    for statement in LIFE:
        db.execute(statement.encode())
        assert told == [], statement


def test_who_drops_what_is_not_there_is_told(db: Connection, told: list[str]) -> None:
    db.execute("select vsync.drop_embedding('nothing', if_exists => true)")
    assert told == ['NOTICE: embedding "nothing" does not exist, skipping']

"""psql prints the context of an error: it is short, since whoever mistyped a name wants the message."""

from pathlib import Path

import psycopg
import pytest

from fix_cluster import Connection

MISTAKES = (
    "select vsync.create_embedding('e', 'select id from t', 'nope')",
    "select vsync.create_embedding('e', 'select id, b as content from t', 'nope')",
    "select vsync.create_embedding('e', 'select id from t', 'tiny')",
    "select vsync.create_embedding('e', 'select id, now()::text as content from t', 'tiny')",
    "select vsync.create_embedding('e', 'select id, b as content from t', 'tiny', options => '{\"x\": 1}')",
    "select vsync.create_embedding('e', 'select id, b as content from t', 'tiny', capture => 'x')",
    "select vsync.create_embedding('e', 'select id, b as content from t', 'tiny', chunk => '{\"tokens\": -1}')",
    "select vsync.create_embedding('e', 'select id, b as content from t', 'tiny', index => '{\"m\": 1}')",
    "select vsync.register_model('x', 'file:///nope')",
    "select vsync.register_model('x', 'http://nope')",
    "select vsync.embed('nope', 'a')",
    "select vsync.search('nope', 'a')",
    "select * from vsync.search('nope', 'a')",
    "select * from vsync.search('good', 'a', 0)",
    "select vsync.query_vector('nope', 'a')",
    "select vsync.drop_embedding('nope')",
    "select vsync.refresh('nope')",
    "select vsync.refresh('good', '{\"x\": 1}')",
    "select vsync.retry('nope')",
    "select vsync.configure('thraeds', '1')",
    "select vsync.add_version('nope')",
    "select vsync.add_version('good', 'nope')",
    "select vsync.activate_version('good', 9)",
    "select vsync.rollback_version('good')",
    "select vsync.drop_version('good', 1)",
    "select vsync.create_rule('r', 'good', 'new.nope', 'skip')",
    "select vsync.create_rule('r', 'good', 'true', 'nope')",
    "select vsync.create_rule('r', 'nope', 'true', 'skip')",
    "select vsync.drop_rule('nope')",
    "select vsync.explain_row('nope', '1')",
    "select vsync.explain_row('good', '\"a\"')",
    "select * from vsync.explain_row('good', '\"a\"')",
    "select * from vsync.explain_embedding('nope')",
    "select * from vsync.explain_impact('t', '\"a\"')",
    "select * from vsync.audit('nope')",
    "call vsync.work(embedding => 'nope')",
    "select * from vsync.preview_rule('good', 'new.x', 'skip')",
    "select vsync.judge('good', 'q', '1', -1)",
    "select vsync.set_capture('good', 'x')",
    "select vsync.compare_versions('good', 1, 9)",
    "select vsync.start_experiment('good', 9)",
    "select vsync.approve(99)",
)
LINES = 5


def test_the_context_of_a_mistake_is_short(db: Connection, tiny_model: Path):
    db.execute("select vsync.register_model('tiny', %s)", [f"file://{tiny_model}"])
    db.execute("create table t (id int primary key, b text)")
    db.execute("select vsync.create_embedding('good', 'select id, b as content from t', 'tiny')")
    long: dict[str, str] = {}
    for statement in MISTAKES:
        with pytest.raises(psycopg.Error) as raised:
            db.execute(statement.encode())
        assert (raised.value.sqlstate or "").startswith("VS"), statement
        context = raised.value.diag.context or ""
        if len(context.splitlines()) > LINES:
            long[statement] = context
    assert not long, "\n\n".join(f"{statement}\n{context}" for statement, context in long.items())

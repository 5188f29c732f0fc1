"""`vsync rule`: rules from the shell, and a folder of files as what is wanted."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.test_commands import answer, vsync
from docs.test_examples import environment, psql
from shop import Connection, declare, open_shop, rows, run, value
from vsync_admin import rule_files
from vsync_admin.rule_files import Rule

DOCUMENT = "select id, title as content, tenant from shop.products"
_RULES = "select name, embedding, condition, action, params, priority, valid_until, enabled from vsync.rules order by 1"


@pytest.fixture
def shop(db: Connection, tiny_model: Path) -> Connection:
    """Embedding catalog with three rules, one of them disabled."""
    open_shop(db, tiny_model)
    declare(db, document=DOCUMENT)
    db.execute("call vsync.work()")
    run(db, "select vsync.create_rule('drafts', 'catalog', $$new.title like 'draft%'$$, 'exclude')")
    run(
        db,
        "select vsync.create_rule('night', 'catalog', 'true', 'defer', "
        '\'{"until": "22:00", "timezone": "Europe/Berlin"}\', -3, valid_until => \'2999-01-01 12:00+02\')',
    )
    run(db, "select vsync.create_rule('b/l''ack', 'catalog', $$doc.tenant = 'it''s'$$, 'skip')")
    run(db, "select vsync.disable_rule('b/l''ack')")
    return db


def test_list_show_history_enable_disable_drop(dsn: str, shop: Connection) -> None:
    listed = answer(dsn, "rule", "list", "--embedding", "catalog")
    assert [(row["name"], row["state"]) for row in listed] == [
        ("b/l'ack", "disabled"),
        ("drafts", "in force"),
        ("night", "in force"),
    ]
    assert answer(dsn, "rule", "show", "night")[0]["priority"] == -3
    answer(dsn, "rule", "disable", "night")
    assert value(shop, "select enabled from vsync.rules where name = 'night'") is False
    answer(dsn, "rule", "enable", "night")
    assert [row["change"] for row in answer(dsn, "rule", "history", "night")] == ["enable", "disable", "create"]
    answer(dsn, "rule", "drop", "night", "--yes")
    assert answer(dsn, "rule", "history", "night")[0]["change"] == "drop"
    missing = vsync(dsn, "rule", "show", "nigth")
    assert missing.returncode == 1
    assert "VS603" in missing.stderr


def test_preview_and_test(dsn: str, shop: Connection, tmp_path: Path) -> None:
    found = answer(dsn, "rule", "preview", "catalog", "--condition", "doc.tenant = 'a'", "--action", "skip")
    assert found
    good = Rule("good", "catalog", "doc.tenant = 'a'", "skip", {})
    (tmp_path / "good.sql").write_text(rule_files.script(good))
    assert vsync(dsn, "rule", "test", str(tmp_path)).returncode == 0
    (tmp_path / "bad.sql").write_text(rule_files.script(Rule("bad", "catalog", "doc.tenants = 'a'", "skip", {})))
    done = vsync(dsn, "rule", "test", str(tmp_path))
    assert done.returncode == 4
    assert "VS602" in done.stderr
    assert "good" in done.stdout
    assert value(shop, "select count(*) from vsync.rules") == 3


def test_export_is_what_apply_and_psql_read(dsn: str, shop: Connection, tmp_path: Path) -> None:
    before = rows(shop, _RULES)
    exported = answer(dsn, "rule", "export", str(tmp_path))
    assert [Path(row["file"]).name for row in exported] == ["b%2Fl%27ack.sql", "drafts.sql", "night.sql"]
    assert answer(dsn, "rule", "plan", str(tmp_path)) == []
    for name in ("drafts", "night", "b/l'ack"):
        shop.execute("select vsync.drop_rule(%s)", (name,))
    done = vsync(dsn, "rule", "plan", str(tmp_path))
    assert done.returncode == 4
    assert "create" in done.stdout
    answer(dsn, "rule", "apply", str(tmp_path))
    assert rows(shop, _RULES) == before
    for name in ("drafts", "night", "b/l'ack"):
        shop.execute("select vsync.drop_rule(%s)", (name,))
    scripts = [path.read_text() for path in sorted(tmp_path.glob("*.sql"))]
    psql("\n".join(scripts), environment(dsn))
    assert rows(shop, _RULES) == before


def test_plan_shows_each_difference_and_apply_makes_it(dsn: str, shop: Connection, tmp_path: Path) -> None:
    wanted = [
        Rule("drafts", "catalog", "new.title like 'draft%'", "exclude", {}, 7),
        Rule("night", "catalog", "true", "defer", {"until": "23:00"}, -3, None, None),
        Rule("more", "catalog", "doc.tenant = 'x'", "hold", {}, enabled=False),
    ]
    for rule in wanted:
        (tmp_path / f"{rule.name}.sql").write_text(rule_files.script(rule))
    planned = vsync(dsn, "--json", "rule", "plan", str(tmp_path))
    assert planned.returncode == 4
    changes = {(row["change"], row["rule"], row["field"]) for row in json.loads(planned.stdout)}
    assert changes == {
        ("drop", "b/l'ack", "embedding"),
        ("drop", "b/l'ack", "condition"),
        ("drop", "b/l'ack", "action"),
        ("alter", "drafts", "priority"),
        ("create", "more", "embedding"),
        ("create", "more", "condition"),
        ("create", "more", "action"),
        ("disable", "more", "enabled"),
        ("alter", "night", "params"),
        ("alter", "night", "valid_until"),
    }
    assert value(shop, "select count(*) from vsync.rules where name = 'more'") == 0
    before = rows(shop, _RULES)
    refused = vsync(dsn, "rule", "apply", str(tmp_path))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--yes" in refused.stderr
    assert rows(shop, _RULES) == before
    answer(dsn, "rule", "apply", str(tmp_path), "--yes")
    assert answer(dsn, "rule", "plan", str(tmp_path)) == []
    assert rows(shop, "select priority from vsync.rules where name = 'drafts'") == [(7,)]
    assert rows(shop, "select valid_until, params from vsync.rules where name = 'night'") == [
        (None, {"until": "23:00"})
    ]


def test_apply_is_all_or_nothing(dsn: str, shop: Connection, tmp_path: Path) -> None:
    before = rows(shop, _RULES)
    (tmp_path / "a.sql").write_text(rule_files.script(Rule("a", "catalog", "true", "skip", {})))
    (tmp_path / "b.sql").write_text(rule_files.script(Rule("b", "catalog", "nonsense", "skip", {})))
    assert vsync(dsn, "rule", "apply", str(tmp_path), "--yes").returncode == 1
    assert rows(shop, _RULES) == before


def test_only_one_embedding(dsn: str, shop: Connection, tmp_path: Path) -> None:
    declare(shop, "other", DOCUMENT)
    run(shop, "select vsync.create_rule('kept', 'other', 'true', 'skip')")
    answer(dsn, "rule", "apply", str(tmp_path), "--embedding", "catalog", "--yes")
    assert rows(shop, "select name from vsync.rules") == [("kept",)]
    (tmp_path / "a.sql").write_text(rule_files.script(Rule("a", "other", "true", "skip", {})))
    assert vsync(dsn, "rule", "plan", str(tmp_path), "--embedding", "catalog").returncode == 1


@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
    st.dictionaries(
        st.text(max_size=5), st.integers(-(2**53), 2**53) | st.text(max_size=5) | st.booleans(), max_size=3
    ),
    st.integers(-(2**31), 2**31 - 1),
    st.booleans(),
)
def test_a_script_is_read_as_it_was_meant(
    name: str, condition: str, params: dict[str, Any], priority: int, enabled: bool
) -> None:
    rule = Rule(name, "catalog", condition, "skip", params, priority, "2020-01-01", None, enabled)
    path = Path("/dev/shm/vsync-rule-file.sql")
    path.write_bytes(rule_files.script(rule).encode())
    assert rule_files.read_file(path) == [rule]
    path.unlink()


@pytest.mark.parametrize(
    "text",
    [
        "drop table shop.products;",
        "select vsync.create_rule('a', 'b', 'c', 'd'); drop table x;",
        "select vsync.drop_embedding('catalog');",
        "select vsync.create_rule('a', 'b', 'c' || 'd', 'e');",
        "select vsync.create_rule('a', 'b', (select 'c'), 'e');",
        "select vsync.create_rule('a', 'b');",
        "select vsync.create_rule(name => 'a', name => 'b', embedding => 'c', condition => 'd', action => 'e');",
        "select vsync.create_rule(nam => 'a');",
        "select vsync.create_rule('a', 'b', 'c', 'd', '[]');",
        "select vsync.create_rule('a', 'b', 'c', 'd', '{');",
        "select vsync.create_rule('a', 'b', 'c', 'd' from x;",
        "select vsync.create_rule('a', e'b', 'c', 'd');",
        "select vsync.disable_rule('a');",
        "\\! touch /tmp/x",
        "select vsync.create_rule('a",
    ],
)
def test_what_is_no_rule_is_refused(dsn: str, tmp_path: Path, text: str) -> None:
    (tmp_path / "x.sql").write_text(text)
    done = vsync(dsn, "rule", "plan", str(tmp_path))
    assert done.returncode == 1
    assert "x.sql is not understood" in done.stderr
    assert "Traceback" not in done.stderr

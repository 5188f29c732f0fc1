"""What rules read goes along with the keys, by trigger and by WAL, for statements of every size."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from capture.steps import read_all
from fix_cluster import Connect, Connection
from races.steps import blocked, in_background, wait_until
from rules.shelf import marks, open_shelf, rule, text, work
from shop import refused, rows, run, value

CAPTURES = ["trigger", "wal"]


@pytest.fixture(params=CAPTURES)
def shelf(db: Connection, tiny_model: Path, request: pytest.FixtureRequest) -> Connection:
    open_shelf(db, tiny_model, capture=request.param)
    rule(db, "titles", "old.title <> new.title and new.price > 0 and old.note is distinct from 'x'", "skip")
    return db


def logged(db: Connection) -> dict[str, Any]:
    """Return the images of articles by key, as the log has them."""
    if value(db, "select exists (select from vsync_internal.feeds where capture = 'wal')"):
        read_all(db.info.dsn)
    images = "unnest(l.keys, l.images) as u (key, image)"
    found = rows(db, f"select u.key, u.image from vsync_internal.log as l, {images} order by l.captured_at")
    return {key: image and orjson.loads(image) for key, image in found}


def image(title: str, price: str = "10", note: str | None = None) -> dict[str, Any]:
    return {"title": title, "price": price, "note": note}


def same(images: dict[str, Any]) -> dict[str, Any]:
    """Let a number be its text, as the WAL has it, and leave the key out."""

    def plain(row: dict[str, Any] | None) -> dict[str, Any] | None:
        return row and {name: v if name != "price" else str(v) for name, v in row.items() if name != "id"}

    return {key: {side: plain(row) for side, row in pair.items()} for key, pair in images.items()}


def test_insert_update_and_delete_tell_the_row_before_and_after(shelf: Connection) -> None:
    run(shelf, "insert into shelf.articles values (9, 1, 'new')")
    run(shelf, "update shelf.articles set title = 'changed' where id = 1")
    run(shelf, "delete from shelf.articles where id = 2")
    assert same(logged(shelf)) == {
        "9": {"old": None, "new": image("new")},
        "1": {"old": image("article 1"), "new": image("changed")},
        "2": {"old": image("article 2"), "new": None},
    }


def test_a_changed_key_is_a_row_gone_and_a_row_new(shelf: Connection) -> None:
    run(shelf, "update shelf.articles set id = 10 where id = 1")
    assert same(logged(shelf)) == {
        "1": {"old": image("article 1"), "new": None},
        "10": {"old": None, "new": image("article 1")},
    }


@pytest.mark.parametrize("count", [2, 1500])
def test_rows_of_a_large_statement_are_paired(shelf: Connection, count: int) -> None:
    run(shelf, "insert into shelf.articles select i, 1, 'a' || i from generate_series(11, 1600) as i")
    work(shelf)
    run(shelf, "update shelf.articles set title = 'b' || id where id between 11 and 10 + %s", count)
    found = same(logged(shelf))
    changed = {key: pair for key, pair in found.items() if pair["old"] and pair["new"]}
    assert len(changed) == count
    assert all(pair == {"old": image(f"a{key}"), "new": image(f"b{key}")} for key, pair in changed.items())


def test_values_out_of_line_are_told_though_the_update_did_not_touch_them(shelf: Connection) -> None:
    long = "select string_agg(md5(i::text), '') from generate_series(1, 500) as i"
    run(shelf, f"update shelf.articles set note = ({long}) where id = 1")
    work(shelf)
    run(shelf, "update shelf.articles set title = 'changed' where id = 1")
    expected = value(shelf, long)
    assert same(logged(shelf))["1"]["new"] == image("changed", note=expected)


def test_both_captures_decide_the_same(shelf: Connection) -> None:
    rule(shelf, "names", "new.name like 'u%'", "hold", '{"relation": "shelf.sections"}')
    run(shelf, "update shelf.articles set title = 'changed' where id = 1")
    run(shelf, "update shelf.articles set title = 'changed', note = 'x' where id = 3")
    run(shelf, "update shelf.articles set title = 'changed too' where id = 3")
    run(shelf, "update shelf.sections set name = 'uno' where id = 1")
    work(shelf)
    assert marks(shelf) == [
        ("1", "skip", "titles", True),
        ("2", "hold", "names", True),
        ("4", "hold", "names", True),
    ]
    assert text(shelf, 3) == "changed too in two"


def test_types_of_others_go_in_as_text(db: Connection, tiny_model: Path) -> None:
    open_shelf(db, tiny_model)
    run(db, "create type shelf.mood as enum ('calm', 'upset')")
    run(db, "alter table shelf.articles add mood shelf.mood default 'calm', add times interval, add tags text[]")
    rule(db, "moods", "new.mood = 'upset' and new.times > interval '1 day' and 'a' = any (new.tags)", "skip")
    run(db, "set intervalstyle = 'sql_standard'; set datestyle = 'SQL, DMY'")
    run(
        db,
        "update shelf.articles set title = 'x', mood = 'upset', times = '1 day 02:00:00', tags = '{a,b}' where id = 1",
    )
    run(db, "update shelf.articles set title = 'y', mood = null, times = '1 day 02:00:00', tags = '{a,b}' where id = 2")
    work(db)
    assert marks(db) == [("1", "skip", "moods", True)]
    assert text(db, 2) == "y in one"


def test_without_rules_the_trigger_is_what_it_was(db: Connection, tiny_model: Path) -> None:
    open_shelf(db, tiny_model)
    source = "select prosrc, proconfig from pg_proc where proname like 'capture_%' order by proname"
    before = rows(db, source)
    rule(db, "titles", "old.title <> new.title", "skip")
    rule(db, "watched", "new.note = 'hidden'", "exclude")
    assert rows(db, source) != before
    run(db, "select vsync.disable_rule('titles'), vsync.drop_rule('watched')")
    assert rows(db, source) == before


def test_a_renamed_or_dropped_column_never_fails_a_writer(db: Connection, tiny_model: Path) -> None:
    open_shelf(db, tiny_model)
    rule(db, "notes", "new.note = 'x'", "skip")
    rule(db, "vips", "new.vip", "hold")
    run(db, "alter table shelf.articles rename note to remark")
    run(db, "update shelf.articles set title = 'changed' where id = 1")
    run(db, "alter table shelf.articles drop vip")
    run(db, "update shelf.articles set title = 'changed' where id in (2, 3)")
    work(db)
    assert [text(db, key) for key in (1, 2, 3)] == ["changed in two", "changed in one", "changed in two"]
    assert len(rows(db, "select name from vsync.rules where broken is not null")) == 2


def test_rules_on_rows_that_the_wal_does_not_tell_are_refused(db: Connection, tiny_model: Path) -> None:
    open_shelf(db, tiny_model, capture="wal")
    run(db, "alter table shelf.articles replica identity default")
    report = refused(lambda: rule(db, "titles", "old.title <> new.title", "skip"), "VS502")
    assert report.message_hint == "alter table shelf.articles replica identity full"
    assert rows(db, "select * from vsync.rules") == []


def test_creating_a_rule_waits_for_who_is_writing(db: Connection, connect: Connect, tiny_model: Path) -> None:
    open_shelf(db, tiny_model)
    writer, author = connect(autocommit=False), connect()
    run(writer, "update shelf.articles set title = 'before' where id = 1")
    creating = in_background(lambda: rule(author, "titles", "old.title <> new.title", "skip"))
    wait_until(lambda: blocked(db, author), "the rule behind the writer")
    writer.commit()
    creating.result(20)
    run(db, "update shelf.articles set title = 'after' where id = 2")
    work(db)
    assert text(db, 1) == "before in two"
    assert marks(db) == [("2", "skip", "titles", True)]

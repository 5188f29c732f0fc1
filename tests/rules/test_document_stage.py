"""Rules over doc and last: asked when a document has been rendered, before its text goes to the model."""

from pathlib import Path
from typing import Any

import pytest

from shop import Connection, declare, open_shop, rows, run, value
from vsync_engine.refresh.priority import in_windows

_DOCUMENT = "select id, title as content, price, tenant from shop.products"


@pytest.fixture
def shop(db: Connection, tiny_model: Path) -> Connection:
    """Give products 1 to 3, embedded, with prices 100, 200, 300."""
    open_shop(db, tiny_model)
    db.execute("alter table shop.products add price numeric(10, 2)")
    db.execute("update shop.products set price = id * 100")
    declare(db, document=_DOCUMENT)
    work(db)
    return db


def work(db: Connection) -> None:
    db.execute("call vsync.work()")


def create(db: Connection, name: str, condition: str, action: str = "skip", params: str = "{}", **more: Any) -> None:
    named = "".join(f", {option} => %s" for option in more)
    call = f"select vsync.create_rule(%s, 'catalog', %s, %s, %s{named})"
    run(db, call, name, condition, action, params, *more.values())
    work(db)  # what a new rule has decided again is not what these tests count


def embedded(db: Connection) -> list[str]:
    return [text for (text,) in rows(db, "select content from vsync_data.catalog_v1 order by id, chunk")]


def sent(db: Connection) -> int:
    return value(db, "select inference_total from vsync.stat_embeddings")


def marks(db: Connection) -> list[tuple[Any, ...]]:
    return rows(db, "select key, verdict, due_at = 'infinity' from vsync_internal.marks order by key")


def test_small_moves_are_skipped_and_add_up(shop: Connection) -> None:
    create(shop, "small_moves", "abs(doc.price - last.price) < 0.05 * last.price")
    before = sent(shop)
    shop.execute("update shop.products set price = 103, title = 'at 103' where id = 1")
    work(shop)
    assert (sent(shop), embedded(shop)[0], marks(shop)) == (before, "product 1", [("1", "skip", True)])
    shop.execute("update shop.products set price = 106, title = 'at 106' where id = 1")
    work(shop)
    assert (sent(shop), embedded(shop)[0], marks(shop)) == (before + 1, "at 106", [])
    assert value(shop, "select attributes from vsync_data.catalog_v1 where id = 1") == {"price": 106.0, "tenant": "a"}


def test_a_typo_waits_and_further_edits_join_it(shop: Connection) -> None:
    create(shop, "typo", "vsync.text_change(last.content, doc.content) < 0.6", "defer", '{"for": "1 hour"}')
    for title in ("produkt 1", "produkt 1!"):
        run(shop, "update shop.products set title = %s where id = 1", title)
        work(shop)
        due = value(shop, "select extract(epoch from due_at - clock_timestamp()) from vsync_internal.marks")
        assert 3500 < due < 3600
        assert (embedded(shop)[0], marks(shop)) == ("product 1", [("1", "defer", False)])
    first = value(shop, "select due_at from vsync_internal.marks")
    shop.execute("update shop.products set title = 'produkt 1!!' where id = 1")
    work(shop)
    assert value(shop, "select due_at from vsync_internal.marks") == first
    shop.execute("update vsync_internal.marks set due_at = now(), held_until = now()")
    work(shop)
    assert (embedded(shop)[0], marks(shop)) == ("produkt 1!!", [])


def test_what_is_gone_goes_whatever_rules_say(shop: Connection) -> None:
    create(shop, "never", "true")
    shop.execute("update shop.products set title = 'other' where id = 1")
    work(shop)
    shop.execute("delete from shop.products where id = 1; update shop.products set title = '' where id = 2")
    work(shop)
    assert (embedded(shop), marks(shop)) == (["product 3"], [])


def test_the_same_text_again_settles_what_was_held(shop: Connection) -> None:
    create(shop, "never", "true")
    shop.execute("update shop.products set title = 'other' where id = 1")
    work(shop)
    assert marks(shop) == [("1", "skip", True)]
    shop.execute("update shop.products set title = 'product 1' where id = 1")
    work(shop)
    assert marks(shop) == []


def test_the_first_by_priority_decides_and_the_others_are_reported(shop: Connection) -> None:
    create(shop, "skip_all", "true", priority=1)
    create(shop, "now", "doc.tenant = 'vip'", "refresh", priority=2)
    create(shop, "later", "doc.price > 150", "defer", '{"for": "1 day"}', priority=1)
    shop.execute("update shop.products set title = 'new ' || id, tenant = case id when 1 then 'vip' else 'a' end")
    work(shop)
    assert embedded(shop) == ["new 1", "product 2", "product 3"]
    assert marks(shop) == [("2", "defer", False), ("3", "defer", False)]
    decisions = "select rule, revision, verdict, key ->> 'id' from vsync.decisions order by 4, 1"
    assert rows(shop, decisions) == [
        ("now", 1, "refresh", "1"),
        ("skip_all", 1, "overruled", "1"),
        ("later", 1, "defer", "2"),
        ("skip_all", 1, "overruled", "2"),
        ("later", 1, "defer", "3"),
        ("skip_all", 1, "overruled", "3"),
    ]
    stat = "select name, asked, matched, failed, texts_saved from vsync.stat_rules order by name"
    assert rows(shop, stat) == [("later", 3, 2, 0, 0), ("now", 3, 1, 0, 0), ("skip_all", 3, 3, 0, 0)]


def test_a_rule_of_the_change_stands_against_those_of_the_document(shop: Connection) -> None:
    create(shop, "cheap_change", "new.price > 0", "skip", priority=5)
    create(shop, "vip", "doc.tenant = 'vip'", "refresh", priority=9)
    create(shop, "night", "doc.tenant = 'b'", "defer", '{"for": "1 day"}', priority=1)
    shop.execute("update shop.products set price = 1, title = 'new', tenant = (array['vip', 'b', 'a'])[id]")
    work(shop)
    assert embedded(shop) == ["new", "product 2", "product 3"]
    assert marks(shop) == [("2", "skip", True), ("3", "skip", True)]


def test_the_most_important_texts_go_first(shop: Connection) -> None:
    create(shop, "vip", "doc.price > 0", "prioritize", '{"expression": "doc.price"}')
    shop.execute("insert into shop.products select i, 'p ' || i, 'x', 'a', i from generate_series(1001, 3000) as i")
    work(shop)
    # published in two parts, and the second holds the rest
    order = "select array_agg(id order by embedded_at, id) from vsync_data.catalog_v1 where id > 1000"
    embedded_first = value(shop, order)[:900]
    assert min(embedded_first) > 1900


def test_windows_keep_the_order_and_are_one_where_there_is_none() -> None:
    assert list(in_windows([1.0, 3.0, 2.0, 3.0, 0.0], 2)) == [[1, 3], [2, 0], [4]]
    assert list(in_windows([2.0] * 5, 2)) == [[0, 1, 2, 3, 4]]
    assert list(in_windows([], 2)) == []


def test_a_document_waits_for_a_yes_under_a_hold_of_its_own(shop: Connection) -> None:
    create(shop, "big_rewrite", "vsync.text_change(last.content, doc.content) > 0.8", "hold")
    shop.execute("update shop.products set title = 'something else' where id < 3")
    work(shop)
    held = "select embedding, documents, state, sample from vsync_internal.holds order by id"
    assert rows(shop, held) == [("catalog", 1, "waiting", ["1"]), ("catalog", 1, "waiting", ["2"])]
    shop.execute("update shop.products set title = 'something quite else' where id = 1")
    work(shop)
    assert value(shop, "select count(*) from vsync_internal.holds") == 2
    assert marks(shop) == [("1", "hold", True), ("2", "hold", True)]
    assert embedded(shop)[:2] == ["product 1", "product 2"]


def test_last_is_the_whole_text_of_a_document_in_chunks(shop: Connection) -> None:
    shop.execute("select vsync.drop_embedding('catalog')")
    shop.execute("update shop.products set title = repeat('word ', 100) where id = 1")
    declare(shop, document=_DOCUMENT, chunk='{"tokens": 50}')
    work(shop)
    assert value(shop, "select count(*) from vsync_data.catalog_v1 where id = 1") > 1
    whole = "last.content = repeat('word ', 100) and last.version = 1 and last.embedded_at < now() and last.id = 1"
    create(shop, "known", whole)
    shop.execute("update shop.products set title = title || 'x'")
    work(shop)
    assert marks(shop) == [("1", "skip", True)]


def test_what_was_never_embedded_has_no_last(shop: Connection) -> None:
    create(shop, "new", "last.content is null and last.version is null and last.price is null")
    shop.execute("insert into shop.products values (4, 'product 4', 'x', 'a', 1)")
    shop.execute("update shop.products set title = 'x' where id = 1")
    work(shop)
    assert embedded(shop) == ["x", "product 2", "product 3"]
    assert marks(shop) == [("4", "skip", True)]


def test_new_is_the_row_as_it_is_when_the_document_is_rendered(shop: Connection) -> None:
    create(shop, "hidden", "new.hidden = 'secret' and doc.price < 150")
    shop.execute("update shop.products set title = 'x'")
    work(shop)
    assert embedded(shop) == ["product 1", "x", "x"]
    shop.execute("update shop.products set hidden = 'told', title = 'y' where id = 1")
    work(shop)
    assert embedded(shop) == ["y", "x", "x"]


def test_types_of_every_kind_come_through(shop: Connection) -> None:
    shop.execute(
        "create type shop.mood as enum ('glad', 'sad'); create domain shop.word as text; "
        "create type shop.pair as (a int, b text); "
        "alter table shop.products add mood shop.mood default 'glad', add words shop.word[] default '{a,\"b c\"}', "
        "add pair shop.pair default row(1, 'x'), add wide numeric default 12345678901234567890.123456789012345, "
        "add at timestamptz default '2026-01-02 03:04:05.678901+00', add days interval default '1 day 02:00', "
        "add data jsonb default '{\"a\": [1]}', add raw bytea default '\\x00ff', add nothing int, "
        "add span int4range default '[1,5)', add f float8 default 'NaN'"
    )
    columns = "mood, words, pair, wide, at, days, data, raw, nothing, span, f"
    run(shop, "select vsync.drop_embedding('catalog')")
    declare(shop, document=f"select id, title as content, {columns} from shop.products")
    work(shop)
    same = (
        "{0}.mood operator(pg_catalog.=) 'glad'::shop.mood and {0}.words::text[] = array['a', 'b c'] "
        "and ({0}.pair).b = 'x' and {0}.wide = 12345678901234567890.123456789012345 "
        "and {0}.at = '2026-01-02 03:04:05.678901+00' and {0}.days = interval '26 hours' "
        "and {0}.data #>> array['a', '0'] = '1' and {0}.raw = '\\x00ff'::bytea and {0}.nothing is null "
        "and {0}.span @> 4 and {0}.f = 'NaN'::float8 and {0}.id = 1"
    )
    create(shop, "same", " and ".join(same.format(name) for name in ("doc", "last")))
    shop.execute("update shop.products set title = 'x'")
    work(shop)
    assert rows(shop, "select name, failed, last_error from vsync.stat_rules") == [("same", 0, None)]
    assert marks(shop) == [("1", "skip", True)]


def test_two_versions_are_each_asked_of_their_own(shop: Connection) -> None:
    shop.execute(
        "select vsync.add_version('catalog', document => $$select id, title || '!' as content, price, tenant "
        "from shop.products$$)"
    )
    work(shop)
    create(shop, "second", "last.version = 2 and last.content like '%!'")
    shop.execute("update shop.products set title = 'x' where id = 1")
    work(shop)
    assert rows(shop, "select version_id, verdict from vsync_internal.marks") == [(2, "skip")]
    assert value(shop, "select content from vsync_data.catalog_v1 where id = 1") == "x"

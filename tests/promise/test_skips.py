"""Nothing is wasted: `embedded_total` moves by the distinct new texts of a change, and by nothing else."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from fix_cluster import Connect, Connection
from fix_models import package_texts, tiny_tokenizer
from promise.oracle import Declared, assert_fresh, contents, declare, embedded_total, register, statistic, work

COLUMNS = "id int primary key, title text, body text, live boolean default true, hits int"
DOCUMENT = "select id, title || ': ' || body as content from notes where live"
TOKENIZER: Tokenizer = tiny_tokenizer()


@pytest.fixture
def notes(db: Connection, tiny_model: Path) -> Declared:
    """Four notes with four texts, drained."""
    register(db, tiny_model)
    db.execute(f"create table notes ({COLUMNS})".encode())
    db.execute("insert into notes select i, 'title', 'body ' || i from generate_series(1, 4) as i")
    embedding = declare(db, DOCUMENT)
    assert_fresh(db, embedding)
    assert embedded_total(db, embedding) == 4
    return embedding


CHANGES = {
    "irrelevant column": ("update notes set hits = 1", 0),
    "irrelevant column of one row": ("update notes set hits = 2 where id = 1", 0),
    "same value": ("update notes set body = body, title = title, live = true", 0),
    "new row": ("insert into notes (id, title, body) values (9, 'a', 'b: c')", 1),
    "same text of other values": ("update notes set title = 'a: b', body = 'c' where id = 9", 0),
    "there and back": ("update notes set body = body || '!'; update notes set body = trim(body, '!')", 0),
    "delete and insert": (
        "delete from notes where id = 2; insert into notes (id, title, body) values (2, 'title', 'body 2')",
        0,
    ),
    "truncate and the same rows": (
        "create temp table kept as table notes; truncate notes; insert into notes table kept; drop table kept",
        0,
    ),
    "one row": ("update notes set body = 'new' where id = 1", 1),
    "two rows, one text": ("update notes set body = 'equal' where id < 3", 1),
    "a text that another row has": ("update notes set body = 'body 4' where id = 3", 0),
    "new rows, old text": ("insert into notes (id, title, body) values (5, 'title', 'body 4')", 0),
    "refresh": ("select vsync.refresh('promised')", 0),
    "key of one row": ("update notes set id = 77 where id = 1", 0),
    "keys of several rows": ("update notes set id = id + 100 where id in (3, 4, 5)", 0),
    "keys back": ("update notes set id = case id when 77 then 1 else id - 100 end where id in (77, 103, 104, 105)", 0),
    "many rows, three texts": (
        "insert into notes (id, title, body) select i, 'many', 'text ' || i % 3 from generate_series(200, 3000) as i",
        3,
    ),
    "many rows, irrelevant column": ("update notes set hits = 3", 0),
    "many rows, same value": ("update notes set body = body", 0),
    "out of the condition": ("update notes set live = false where id = 4 or id > 2000", 0),
    "into the condition, text elsewhere": ("update notes set live = true where id > 2000", 0),
}


def test_only_new_texts_are_embedded(db: Connection, notes: Declared) -> None:
    total = embedded_total(db, notes)
    for change, (statements, new) in CHANGES.items():
        db.execute(statements.encode())
        assert_fresh(db, notes)
        assert embedded_total(db, notes) - total == new, change
        total += new
        assert statistic(db, notes, "inference_total") == total, change


def test_one_text_in_many_rows_is_embedded_once_in_the_first_backlog(db: Connection, tiny_model: Path) -> None:
    register(db, tiny_model)
    db.execute(f"create table notes ({COLUMNS})".encode())
    db.execute("insert into notes select i, 't', 'body ' || i % 7 from generate_series(1, 5000) as i")
    embedding = declare(db, DOCUMENT)
    assert_fresh(db, embedding)
    assert embedded_total(db, embedding) == statistic(db, embedding, "inference_total") == 7
    assert statistic(db, embedding, "reused_total") == 4993


def test_one_text_in_many_rows_is_embedded_once_by_several_workers(
    db: Connection, connect: Connect, tiny_model: Path
) -> None:
    register(db, tiny_model)
    db.execute(f"create table notes ({COLUMNS})".encode())
    embedding = declare(db, DOCUMENT)
    db.execute("select vsync.configure('claim_limit', '50')")
    workers = [connect() for _ in range(3)]
    for worker in workers:
        worker.execute("call vsync.work()")
    for repeat in range(3):
        db.execute(
            "insert into notes select i, %s, 'body ' || i %% 211 from generate_series(1, 2110) as i"
            " on conflict (id) do update set title = excluded.title",
            [f"repeat {repeat}"],
        )
        threads = [threading.Thread(target=work, args=[worker]) for worker in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert_fresh(db, embedding)
        assert embedded_total(db, embedding) == statistic(db, embedding, "inference_total") == 211 * (repeat + 1)


def test_a_text_that_another_claim_is_embedding_is_waited_for(
    db: Connection, connect: Connect, notes: Declared
) -> None:
    slow = connect()
    db.execute("update notes set body = 'shared' where id = 1")
    db.execute("select vsync_internal.fold()")
    (version,) = db.execute("select id from vsync_internal.versions").fetchone() or (0,)
    row = slow.execute("select token, keys from vsync_internal.claim(%s, 1)", [version]).fetchone()
    assert row is not None
    (rendered,) = slow.execute("select hash from vsync_internal.render(%s, %s)", row).fetchall()
    slow.execute("select * from vsync_internal.reserve(%s, %s)", [row[0], [rendered[0]]])
    db.execute("update notes set body = 'shared' where id = 2")
    other = threading.Thread(target=work, args=[connect()])
    other.start()
    other.join(0.5)
    assert other.is_alive()
    assert embedded_total(db, notes) == 4
    slow.close()
    other.join()
    assert_fresh(db, notes)
    assert embedded_total(db, notes) == 5


def tokens(text: str) -> int:
    return len(TOKENIZER.encode(text, add_special_tokens=False).ids)


@pytest.fixture
def long(db: Connection, tiny_model: Path) -> Declared:
    """Two long documents of forty paragraphs each, in chunks of 200 tokens."""
    register(db, tiny_model)
    db.execute("create table paragraphs (doc int, n int, body text, primary key (doc, n))")
    db.execute("create table docs (id int primary key, body text, hits int)")
    texts = [" ".join(text.split())[:300] for text in package_texts(80)]
    for number, text in enumerate(texts):
        db.execute("insert into paragraphs values (%s, %s, %s)", [number // 40, number % 40, text])
    rewrite(db)
    embedding = declare(db, "select id, body as content from docs", chunk={"tokens": 200, "overlap": 20})
    assert_fresh(db, embedding)
    return embedding


def rewrite(db: Connection) -> None:
    db.execute(r"""insert into docs select doc, string_agg(body, e'\n\n' order by n) from paragraphs group by doc
        on conflict (id) do update set body = excluded.body""")


def test_an_edited_paragraph_embeds_the_touched_chunks_only(db: Connection, long: Declared) -> None:
    for edit in (
        "update paragraphs set body = 'a paragraph that is now short' where (doc, n) = (0, 20)",
        "update paragraphs set body = body || ' and longer: ' || repeat('word ', 50) where (doc, n) = (1, 10)",
        "insert into paragraphs values (0, 100, 'one more at the end')",
        "delete from paragraphs where (doc, n) = (1, 0)",
    ):
        before = {text for texts in contents(db, long).values() for text in texts}
        total = embedded_total(db, long)
        db.execute(edit)
        rewrite(db)
        assert_fresh(db, long)
        after = {text for texts in contents(db, long).values() for text in texts}
        assert embedded_total(db, long) - total == len(after - before)
        assert len(after - before) <= 8 < len(after) / 8


def test_a_chunk_that_did_not_change_is_not_embedded(db: Connection, long: Declared) -> None:
    total = embedded_total(db, long)
    for change in (
        "update docs set hits = 1",
        "update docs set body = body",
        "select vsync.refresh('promised')",
        "insert into docs select id + 10, body from docs",
        "delete from docs where id < 10",
    ):
        db.execute(change.encode())
        assert_fresh(db, long)
        assert embedded_total(db, long) == total, change


def test_a_text_longer_than_the_model_reads_is_counted(db: Connection, make_model: Callable[..., Path]) -> None:
    register(db, make_model(max_tokens=32))
    db.execute(f"create table notes ({COLUMNS})".encode())
    db.execute("insert into notes select i, 't', repeat('x', i * 20) from generate_series(1, 4) as i")
    whole, cut = declare(db, DOCUMENT), declare(db, DOCUMENT, name="cut", chunk={"tokens": 24})
    work(db)
    assert [statistic(db, whole, name) for name in ("truncated", "truncated_total", "vectors")] == [3, 3, 4]
    assert [statistic(db, cut, name) for name in ("truncated", "truncated_total", "documents")] == [0, 0, 4]
    db.execute("update notes set body = 'short' where id = 4; update notes set body = repeat('y', 99) where id = 3")
    work(db)
    assert [statistic(db, whole, name) for name in ("truncated", "truncated_total", "vectors")] == [2, 4, 4]

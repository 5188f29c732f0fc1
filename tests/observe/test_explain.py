"""explain_row says why a row is as it is, in each of its states; explain_embedding says what a document depends on."""

import hashlib
from datetime import UTC
from pathlib import Path

import pytest

from shop import DOCUMENT, Connection, declare, open_shop, refused, rows, value


@pytest.fixture
def shop(db: Connection, tiny_model_poison: Path) -> Connection:
    open_shop(db, tiny_model_poison)
    declare(db)
    return db


def explained(db: Connection, key: str = "1") -> tuple[str, str]:
    answer = rows(db, "select state, reason from vsync.explain_row('catalog', %s)", key)
    assert len(answer) == 1
    return answer[0]


def test_a_row_before_its_backfill_is_absent(shop: Connection) -> None:
    assert explained(shop) == ("absent", "the backfill has not finished")


def test_a_row_that_was_embedded_is_fresh_with_its_facts(shop: Connection) -> None:
    shop.execute("call vsync.work()")
    assert explained(shop)[0] == "fresh"
    facts = rows(
        shop,
        (
            "select chunks, content_hash, token is not null, attempts, model, model_sha256 from "
            "vsync.explain_row('catalog', '1')"
        ),
    )
    digest = value(shop, "select encode(sha256('product 1'), 'hex')")
    assert facts == [(1, digest, True, 0, "tiny", value(shop, "select sha256 from vsync.models"))]
    order = "select change_seen_at <= embedded_at and embedded_at <= now() from vsync.explain_row('catalog', '1')"
    assert value(shop, order) is True


def test_a_row_the_document_leaves_out_is_absent(shop: Connection) -> None:
    shop.execute("call vsync.work()")
    assert explained(shop, "77") == ("absent", "the document query returns no text for this key")


def test_a_change_is_told_while_it_is_in_the_log_and_when_it_is_marked(shop: Connection) -> None:
    shop.execute("call vsync.work()")
    shop.execute("update shop.products set title = 'x' where id = 1")
    assert explained(shop) == ("stale", "a committed change is in the log and not folded yet")
    shop.execute("select vsync_internal.fold()")
    assert explained(shop) == ("stale", "a change is marked and waits for a worker")
    assert explained(shop, "2")[0] == "fresh"


def test_a_claimed_row_is_being_worked_on(shop: Connection) -> None:
    shop.execute("call vsync.work()")
    shop.execute("update shop.products set title = 'x' where id = 1")
    shop.execute("select vsync_internal.fold()")
    token = value(shop, "select token from vsync_internal.claim(1, 10)")
    assert explained(shop) == ("working", f"a worker claimed it with token {token}")
    shop.execute("select vsync_internal.release(%s)", (token,))
    assert explained(shop)[0] == "stale"


def test_a_failing_row_is_retried_then_parked_then_revived(shop: Connection) -> None:
    shop.execute("select vsync.configure('max_attempts', '2'), vsync.configure('retry_seconds', '1000')")
    shop.execute("update shop.products set title = 'poisonpill' where id = 1")
    shop.execute("call vsync.work()")
    state, reason = explained(shop)
    assert state == "retrying"
    assert reason.startswith("failed 1 times, next attempt at")
    assert explained(shop, "2")[0] == "fresh"
    assert value(shop, "select vsync.retry('catalog', '2')") == 0
    shop.execute("update vsync_internal.marks set due_at = now()")
    shop.execute("call vsync.work()")
    state, reason = explained(shop)
    assert state == "parked"
    assert "select vsync.retry('catalog', '1')" in reason
    failure = rows(
        shop, "select embedding, version, key, attempts, parked, next_attempt_at, sqlstate from vsync.failures"
    )
    assert failure == [("catalog", 1, {"id": 1}, 2, True, None, "VS102")]
    assert value(shop, "select failed_at is not null and message <> '' from vsync.failures")
    shop.execute("update shop.products set title = 'cured' where id = 1")
    shop.execute("call vsync.work()")
    assert explained(shop)[0] == "fresh"
    assert rows(shop, "table vsync.failures") == []


def test_retry_makes_a_parked_row_due_again(shop: Connection) -> None:
    shop.execute("select vsync.configure('max_attempts', '1')")
    shop.execute("update shop.products set title = 'poisonpill ' || id where id < 3")
    shop.execute("call vsync.work()")
    assert explained(shop)[0] == explained(shop, "2")[0] == "parked"
    assert value(shop, "select vsync.retry('catalog', '{\"id\": 1}')") == 1
    assert explained(shop)[0] == "stale"
    assert value(shop, "select vsync.retry('catalog')") == 1
    assert value(shop, "select count(*) from vsync.failures") == 0


def test_a_broken_embedding_says_so_for_each_row(shop: Connection) -> None:
    shop.execute("call vsync.work()")
    shop.execute("alter table shop.products drop column title cascade")
    assert explained(shop)[0] == "broken"
    assert value(shop, "select state from vsync.stat_embeddings") == "broken"


def test_a_key_is_given_as_an_object_or_bare_and_otherwise_refused(shop: Connection) -> None:
    assert explained(shop, '{"id": 1}') == explained(shop, "1") == explained(shop, '"1"')
    refused(lambda: explained(shop, '{"id": 1, "x": 1}'), "VS304")


GRAPH = "select version, number, relation::text, alias, role, keys, columns::text[], path, capture from "


def test_explain_embedding_tells_relation_key_columns_and_capture(shop: Connection) -> None:
    declare(shop, "narrow", f"{DOCUMENT} where tenant = 'a'", capture="manual")
    root = (1, 0, "shop.products", "products", "root", "id")
    query = f"{GRAPH} vsync.explain_embedding(%s)"
    assert rows(shop, query, "catalog") == [(*root, ["id", "title"], [], "trigger")]
    assert rows(shop, query, "narrow") == [(*root, ["id", "tenant", "title"], [], "manual")]


def test_the_graph_of_a_chain_is_told_as_rows_and_as_a_tree(shop: Connection) -> None:
    shop.execute("create table shop.tenants (name text primary key, country text, note text)")
    shop.execute("create table shop.countries (code text primary key, title text)")
    shop.execute("create table shop.reviews (id int primary key, product_id int, body text, stars int)")
    document = """
    select p.id, p.title || t.name || c.title || coalesce((select string_agg(r.body, ' ' order by r.id)
        from shop.reviews r where r.product_id = p.id), '') as content
    from shop.products p
    left join shop.tenants t on t.name = p.tenant
    left join shop.countries c on c.code = t.country
    """
    declare(shop, "chain", document)
    told = rows(shop, "select number, relation::text, alias, role, keys, columns::text[], path from "
                "vsync.explain_embedding('chain') order by alias")  # fmt: skip
    numbers = {row[2]: row[0] for row in told}
    assert numbers["products"] == 0
    assert sorted(numbers.values()) == [0, 1, 2, 3]
    paths = {row[2]: row[6] for row in told}
    assert [len(paths[alias]) for alias in ("products", *"tcr")] == [0, 1, 2, 1]
    assert paths["c"][1:] == paths["t"]
    assert {row[2]: (row[1], row[3], row[4]) for row in told}["c"] == ("shop.countries", "dependency", "code")
    text = value(shop, "select vsync.describe_embedding('chain')")
    lines = text.splitlines()
    assert lines[0] == "chain version 1"
    assert lines[1] == "    shop.products, key id"
    assert lines[2] == "      reads id, tenant, title"
    place = {line.strip().partition(",")[0]: line.index("shop") for line in lines if line.lstrip().startswith("shop")}
    assert place == {
        "shop.products": 4,
        "shop.tenants as t": 8,
        "shop.countries as c": 12,
        "shop.reviews as r": 8,
    }
    assert "note" not in text
    assert "stars" not in text


def test_describe_embedding_of_nothing_is_refused(shop: Connection) -> None:
    refused(lambda: shop.execute("select vsync.describe_embedding('catalogue')"), "VS302")


def test_provenance_says_in_words_what_made_the_vectors(shop: Connection) -> None:
    columns = "label, document_sha256, captured_at, worker, token, embedded_at, provenance"
    query = f"select {columns} from vsync.explain_row('catalog', '1')"
    assert rows(shop, query)[0][-1] is None
    shop.execute("call vsync.work()")
    label, document, captured_at, worker, token, embedded_at, provenance = rows(shop, query)[0]
    assert (label, worker) == ("1.0", shop.info.backend_pid)
    assert document == hashlib.sha256(DOCUMENT.encode()).hexdigest()
    assert document == value(shop, "select document_sha256 from vsync.versions")
    model = value(shop, "select sha256 from vsync.models")
    text = hashlib.sha256(b"product 1").hexdigest()
    changed, embedded = (
        f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}".rstrip("0") + "+00" for moment in (captured_at, embedded_at)
    )
    assert provenance == (
        f"1 chunk of version 1 (1.0) by model tiny, revision 1, sha256 {model}; text with sha256 {text}, from the "
        f"document query with sha256 {document}; changed at {changed}, embedded at {embedded} by worker {worker} under "
        f"claim {token}"
    )
    shop.execute("update shop.products set title = 'x' where id = 1; select vsync_internal.fold()")
    assert rows(shop, query)[0][-1] == provenance


def test_labels_stand_beside_numbers(shop: Connection) -> None:
    shop.execute("update shop.products set title = 'poisonpill' where id = 1")
    shop.execute("call vsync.work()")
    for view in ("stat_embeddings", "stat_queue", "stat_versions", "failures", "activations", "versions"):
        assert rows(shop, f"select version, label from vsync.{view}") == [(1, "1.0")], view

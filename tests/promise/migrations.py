"""The steps of a random history of migrations: each takes the archive and the chances it has."""

from collections.abc import Callable
from random import Random

from promise.archive import Archive
from promise.oracle import work

Step = Callable[[Archive, Random], None]


def rows_change(archive: Archive, chance: Random) -> None:
    archive.run(archive.write(chance))


def workers_catch_up(archive: Archive, chance: Random) -> None:
    del chance
    work(archive.db)


def renames(archive: Archive, chance: Random) -> None:
    archive.run([archive.rename_table(chance.random() < 0.5), *archive.write(chance), archive.rename("hits")])


def types_in_one_transaction(archive: Archive, chance: Random) -> None:
    archive.run([*archive.release(), *archive.changes(chance)])


def release_after_writing(archive: Archive, chance: Random) -> None:
    archive.run([*archive.write(chance), *archive.release(), *archive.changes(chance), *archive.write(chance)])


def only_the_joined_table(archive: Archive, chance: Random) -> None:
    changes = [archive.other_type("name", chance), archive.other_type("number", chance)]
    archive.run([*archive.release(books=False), *changes, *archive.write(chance)])


def types_in_several_transactions(archive: Archive, chance: Random) -> None:
    archive.run(archive.release())
    archive.assert_down("joined", "chunked")
    archive.run(archive.write(chance))
    archive.assert_deletes_followed("joined", "chunked")
    archive.assert_down("joined", "chunked")
    archive.run(archive.changes(chance))
    archive.run(archive.write(chance))
    if chance.random() < 0.5:
        archive.db.execute("select vsync.resume_table()")
    else:
        work(archive.db)


def released_and_left(archive: Archive, chance: Random) -> None:
    books, authors = chance.choice([(True, False), (True, True), (False, True)])
    archive.run(archive.release(books, authors))
    archive.assert_down("joined", *["chunked"] * books)


def rolled_back(archive: Archive, chance: Random) -> None:
    before = archive.books, archive.authors, dict(archive.names), dict(archive.kinds)
    archive.run([*archive.release(), *archive.changes(chance)], commit=False)
    archive.books, archive.authors, archive.names, archive.kinds = before


def rolled_back_to_a_savepoint(archive: Archive, chance: Random) -> None:
    first, outer = archive.write(chance), archive.release() if chance.random() < 0.5 else []
    before = archive.books, archive.authors, dict(archive.names), dict(archive.kinds)
    inner = [*archive.release(), *archive.changes(chance)]
    archive.books, archive.authors, archive.names, archive.kinds = before
    last = archive.changes(chance) if outer else archive.write(chance)
    archive.run([*first, *outer, "savepoint s", *inner, "rollback to s", *last])


def repaired(archive: Archive, chance: Random, *names: str) -> None:
    """By hand or by a worker: what is gone is known by the name that it had, and until then it keeps that."""
    if chance.random() < 0.5:
        for name in names:
            archive.db.execute("select vsync.repair_embedding(%s)", [name])
    else:
        work(archive.db)


def column_lost_and_back(archive: Archive, chance: Random) -> None:
    column = chance.choice(["title", "body", "hits"])
    key, name, kept = archive.names["id"], archive.names[column], archive.new("kept")
    archive.run(
        [
            f"create table {kept} as select {key} as k, {name} as v from {archive.books}",
            f"alter table {archive.books} drop column {name} cascade",
        ]
    )
    down = {"title": ("joined", "chunked"), "body": ("chunked",), "hits": ("joined",)}[column]
    archive.assert_down(*down)
    archive.assert_deletes_followed(*down)

    def restore() -> None:
        name, key = archive.names[column], archive.names["id"]
        archive.run(
            [
                f"alter table {archive.books} add column {name} {archive.kinds[column]}",
                f"update {archive.books} as b set {name} = k.v from {kept} as k where k.k::text = b.{key}::text",
                f"drop table {kept}",
            ]
        )

    restore()
    repaired(archive, chance, *down)


def table_dropped_and_made_again(archive: Archive, chance: Random) -> None:
    # what was renamed while released is known by its old name once it is gone
    archive.db.execute("select vsync.resume_table()")
    books, kept = archive.books, archive.new("kept")
    make = [
        f"create table {books} (like {kept} including all)",
        f"alter table {books} add primary key ({archive.names['id']})",
        f"insert into {books} select * from {kept}",
        f"drop table {kept}",
    ]
    drop = [f"create table {kept} as table {books}", f"drop table {books} cascade"]
    if chance.random() < 0.5:
        archive.run([*archive.release(), *drop, *make, f"alter table {books} replica identity full"])
    else:
        archive.run(drop)
        archive.run([*make, f"alter table {books} replica identity full"])
        repaired(archive, chance, "joined", "chunked")


def comparison_fails_for_a_while(archive: Archive, chance: Random) -> None:
    books, author = archive.books, archive.names["author"]
    listed = f"alter table {books} alter column {author} type text[] using array[{author}]::text[]"
    archive.run([*archive.release(), listed])
    archive.assert_down("joined")
    work(archive.db)
    archive.assert_down("joined")
    archive.assert_deletes_followed("joined")
    archive.kinds["author"] = "bigint"
    archive.run([f"alter table {books} alter column {author} type bigint using {author}[1]::bigint"])
    repaired(archive, chance, "joined")


def serving_view_dropped(archive: Archive, chance: Random) -> None:
    name = chance.choice(["joined", "chunked"])
    archive.run([f"drop view {name}", *archive.write(chance)])
    archive.db.execute("select vsync.repair_capture(%s)", [name])


def triggers_off(archive: Archive, chance: Random) -> None:
    table = chance.choice([archive.books, archive.authors])
    what = chance.choice(["all", "user"])
    off, on = f"alter table {table} disable trigger {what}", f"alter table {table} enable trigger {what}"
    if chance.random() < 0.5:
        archive.run([off, *archive.write(chance), on])
    else:
        archive.run([off])
        archive.run(archive.write(chance))
        archive.run([on])


def of_no_concern(archive: Archive, chance: Random) -> None:
    books, hits, new = archive.books, archive.names["hits"], archive.new("column")
    for statement in chance.sample(
        [
            [f"alter table {books} alter column {hits} set default '0'"],
            [
                f"update {books} set {hits} = '0' where {hits} is null",
                f"alter table {books} alter {hits} set default '0', alter {hits} set not null",
            ],
            [f"alter table {books} alter {hits} drop default, alter {hits} drop not null"],
            [f"alter table {books} add column {new} int default 3", f"alter table {books} alter {new} type text"],
            [f"alter table {books} set (fillfactor = 90)", f"create index on {books} ({hits})"],
            [f"alter table {books} add constraint {new} check ({hits} is null or {hits} is not null)"],
        ],
        3,
    ):
        archive.run([*statement, *archive.write(chance)])


def rewritten(archive: Archive, chance: Random) -> None:
    table = chance.choice([archive.books, archive.authors])
    if chance.random() < 0.5:
        archive.db.execute(f"vacuum full {table}".encode())
    else:
        archive.db.execute(f"cluster {table} using {table_key(archive, table)}".encode())


def table_key(archive: Archive, table: str) -> str:
    row = archive.db.execute(
        "select indexrelid::regclass::text from pg_index where indrelid = %s::regclass and indisprimary", [table]
    ).fetchone()
    assert row is not None
    return row[0]


def truncated(archive: Archive, chance: Random) -> None:
    n, number = archive.names, 1000 + archive.count
    archive.count += 1
    fill = [
        f"insert into {archive.books} ({n['id']}, {n['title']}, {n['author']}, {n['hits']})"
        f" values ('{key}', 'filled {number} {key}', '{1 + key % 3}', '{key}')"
        for key in range(1, 8)
    ]
    released = archive.release() if chance.random() < 0.3 else []
    if chance.random() < 0.5:
        archive.run([*released, f"truncate {archive.books}", *fill])
    else:
        archive.run([*released, f"truncate {archive.books}"])
        archive.run(fill)


STEPS: tuple[Step, ...] = (
    rows_change,
    workers_catch_up,
    renames,
    types_in_one_transaction,
    types_in_one_transaction,
    release_after_writing,
    only_the_joined_table,
    types_in_several_transactions,
    released_and_left,
    rolled_back,
    rolled_back_to_a_savepoint,
    column_lost_and_back,
    table_dropped_and_made_again,
    comparison_fails_for_a_while,
    serving_view_dropped,
    triggers_off,
    of_no_concern,
    rewritten,
    truncated,
)

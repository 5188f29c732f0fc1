"""Migrations as Alembic runs them, beside a worker: up, in batches, and down again."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import psycopg
import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from fix_cluster import Connection
from migrations.conftest import DOCUMENT, Migrating
from promise.oracle import Declared, declare, embedded_total, work

Revision = Callable[[], AbstractContextManager[Operations]]
RELEASE = "select vsync.release_table('blog_post')"


@pytest.fixture
def revision(dsn: str) -> Iterator[Revision]:
    """Give a context manager: the operations of one revision, in one transaction."""
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), poolclass=sa.NullPool)

    @contextmanager
    def begin() -> Iterator[Operations]:
        with engine.begin() as connection:
            yield Operations(MigrationContext.configure(connection))

    yield begin
    engine.dispose()


def test_altered_types_embed_nothing_again_up_and_down(
    revision: Revision, posts: Declared, migrating: Migrating
) -> None:
    with migrating():
        with revision() as op:
            op.execute(RELEASE)
            op.alter_column("blog_post", "title", type_=sa.String(200), existing_type=sa.String(100))
            op.alter_column("blog_post", "id", type_=sa.BigInteger(), existing_type=sa.Integer())
        with revision() as op:
            op.execute(RELEASE)
            op.alter_column("blog_post", "id", type_=sa.Integer(), existing_type=sa.BigInteger())
            op.alter_column("blog_post", "title", type_=sa.String(100), existing_type=sa.String(200))


def test_a_batch_embeds_only_what_it_changes(revision: Revision, posts: Declared, migrating: Migrating) -> None:
    with migrating(DOCUMENT.replace("p.body", "p.words"), embedded=2), revision() as op:
        op.execute(RELEASE)
        with op.batch_alter_table("blog_post") as batch:
            batch.alter_column("title", type_=sa.Text(), existing_type=sa.String(100))
            batch.alter_column("body", new_column_name="words")
            batch.add_column(sa.Column("summary", sa.Text(), server_default="none"))
        op.execute("update blog_post set title = 'another' where id in (3, 5)")


def test_a_batch_that_builds_the_table_again_embeds_nothing_again(
    revision: Revision, posts: Declared, migrating: Migrating
) -> None:
    with migrating(), revision() as op:
        op.execute(RELEASE)
        with op.batch_alter_table("blog_post", recreate="always") as batch:
            batch.alter_column("title", type_=sa.Text(), existing_type=sa.String(100))


def test_a_downgrade_that_drops_a_joined_table_and_the_next_upgrade_embed_nothing_again(
    db: Connection, revision: Revision, posts: Declared, migrating: Migrating
) -> None:
    with migrating():
        with revision() as op:
            op.execute("select vsync.release_table('blog_author')")
            op.drop_constraint("blog_post_author_id_fkey", "blog_post")
            op.drop_table("blog_author")
        state = "select state from vsync.stat_embeddings where embedding = 'promised'"
        assert db.execute(state.encode()).fetchone() in {("released",), ("broken",)}
        with revision() as op:
            op.create_table(
                "blog_author",
                sa.Column("id", sa.Integer(), primary_key=True),
                sa.Column("name", sa.String(100), nullable=False),
            )
            op.execute("insert into blog_author values (1, 'Ada'), (2, 'Grace')")


def test_a_downgrade_that_drops_the_embedded_table_leaves_the_others_alone(
    db: Connection, revision: Revision, posts: Declared
) -> None:
    authors = declare(db, "select id, name as content from blog_author", name="authors")
    work(db)
    before = embedded_total(db, authors)
    with revision() as op:
        op.execute(RELEASE)
        op.drop_table("blog_post")
    db.execute("update blog_author set name = 'Barbara' where id = 1")
    work(db)
    assert embedded_total(db, authors) == before + 1
    with pytest.raises(psycopg.Error, match=r"broken|released") as caught:
        db.execute("select * from vsync.search('promised', 'a')")
    assert caught.value.sqlstate == "VS303"

"""Migrations as Django runs them, beside a worker. Where a type changes, the migration releases the table first."""

from collections.abc import Callable
from typing import Any

import django
import psycopg
import pytest
from django.conf import settings
from django.db import NotSupportedError, connections, migrations, models
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.migrations.state import ProjectState
from psycopg.conninfo import conninfo_to_dict

from fix_cluster import Connect, Connection
from migrations.conftest import DOCUMENT, Migrating
from promise.oracle import Declared, assert_fresh, contents, declare, statistic, work
from promise.stage import Background

Operation = Any
Back = Callable[[], None]


def release(table: str) -> Operation:
    """Release forwards and backwards, where it stands first; an operation back stands last, so it stands there, too."""
    return migrations.RunSQL([f"select vsync.release_table('{table}')"], migrations.RunSQL.noop)


def released_back(table: str) -> Operation:
    """The last operation of a migration: on the way back it is the first one."""
    return migrations.RunSQL(migrations.RunSQL.noop, [f"select vsync.release_table('{table}')"])


RELEASE = release("blog_post")
RELEASE_BACK = released_back("blog_post")
INITIAL = [
    migrations.CreateModel(
        "Author",
        [("id", models.AutoField(primary_key=True)), ("name", models.CharField(max_length=100))],
    ),
    migrations.CreateModel(
        "Post",
        [
            ("id", models.AutoField(primary_key=True)),
            ("title", models.CharField(max_length=100)),
            ("body", models.TextField()),
            ("hits", models.IntegerField()),
            ("author", models.ForeignKey("blog.Author", models.CASCADE, null=True)),
        ],
    ),
]


class Blog:
    """A Django application "blog" whose tables are there already."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._state = ProjectState()
        for operation in INITIAL:
            operation.state_forwards("blog", self._state)

    def remove(self) -> None:
        """Undo the first migration, in one transaction."""
        migration = migrations.Migration("0001", "blog")
        migration.operations = INITIAL
        with self._connection.schema_editor(atomic=True) as editor:
            self._state = migration.unapply(ProjectState(), editor)

    def migrate(self, *operations: Operation) -> Back:
        """Run one migration in one transaction; return what undoes it, in another one."""
        before = self._state.clone()
        migration = migrations.Migration("0002", "blog")
        migration.operations = list(operations)
        with self._connection.schema_editor(atomic=True) as editor:
            self._state = migration.apply(before.clone(), editor)

        def back() -> None:
            with self._connection.schema_editor(atomic=True) as editor:
                self._state = migration.unapply(before, editor)

        return back


@pytest.fixture
def blog(dsn: str) -> Any:
    if not settings.configured:
        settings.configure(INSTALLED_APPS=[], USE_TZ=True)
        django.setup()
    given = conninfo_to_dict(dsn)
    parameters: dict[str, Any] = {
        "NAME": given["dbname"],
        "USER": given.get("user", ""),
        "PASSWORD": given.get("password", ""),
        "HOST": given.get("host", ""),
        "PORT": str(given.get("port", "")),
        "OPTIONS": {},
        "TIME_ZONE": None,
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": False,
        "AUTOCOMMIT": True,
        "ATOMIC_REQUESTS": False,
    }
    connection = DatabaseWrapper(parameters, alias="default")
    connections["default"] = connection
    yield Blog(connection)
    connection.close()


def test_a_longer_char_field_embeds_nothing_again(blog: Blog, posts: Declared, migrating: Migrating) -> None:
    with migrating():
        blog.migrate(RELEASE, migrations.AlterField("Post", "title", models.CharField(max_length=200)))


def test_a_char_field_that_becomes_text_embeds_nothing_again(blog: Blog, posts: Declared, migrating: Migrating) -> None:
    with migrating():
        blog.migrate(RELEASE, migrations.AlterField("Post", "title", models.TextField()))


def test_an_integer_key_that_becomes_big_embeds_nothing_again(
    blog: Blog, posts: Declared, migrating: Migrating
) -> None:
    with migrating():
        blog.migrate(RELEASE, migrations.AlterField("Post", "id", models.BigAutoField(primary_key=True)))


def test_a_key_of_a_joined_table_that_becomes_big_embeds_nothing_again(
    blog: Blog, posts: Declared, migrating: Migrating
) -> None:
    with migrating():
        blog.migrate(
            RELEASE,
            release("blog_author"),
            migrations.AlterField("Author", "id", models.BigAutoField(primary_key=True)),
        )


def test_several_operations_of_one_migration_embed_what_changed(
    blog: Blog, posts: Declared, migrating: Migrating
) -> None:
    with migrating(DOCUMENT.replace("p.body", "p.words"), embedded=1):
        blog.migrate(
            RELEASE,
            migrations.AlterField("Post", "title", models.CharField(max_length=200)),
            migrations.RenameField("Post", "body", "words"),
            migrations.RunSQL(["update blog_post set words = 'another text' where id = 7"]),
            migrations.AlterField("Post", "title", models.TextField()),
            migrations.AddField("Post", "summary", models.TextField(default="none")),
        )


def test_renamed_models_and_fields_are_followed(blog: Blog, posts: Declared, migrating: Migrating) -> None:
    document = DOCUMENT.replace("blog_post", "blog_article").replace("p.title", "p.headline")
    with migrating(document):
        blog.migrate(migrations.RenameModel("Post", "Article"))
        blog.migrate(migrations.RenameField("Article", "title", "headline"))


def test_fields_that_no_document_reads_come_and_go(blog: Blog, posts: Declared, migrating: Migrating) -> None:
    with migrating():
        blog.migrate(migrations.AddField("Post", "summary", models.TextField(default="none")))
        blog.migrate(migrations.AlterField("Post", "hits", models.BigIntegerField()))
        blog.migrate(migrations.RemoveField("Post", "hits"), migrations.RemoveField("Post", "summary"))


def test_a_removed_field_that_comes_back_embeds_nothing_again(
    db: Connection, blog: Blog, posts: Declared, migrating: Migrating
) -> None:
    with migrating():
        blog.migrate(migrations.RunSQL(["create table kept as select id, body from blog_post"]))
        blog.migrate(migrations.RemoveField("Post", "body"))
        assert db.execute("select bool_and(stale) from vsync.search('promised', 'a')").fetchone() == (True,)
        assert statistic(db, posts, "pending") is None
        blog.migrate(
            migrations.AddField("Post", "body", models.TextField(null=True)),
            migrations.RunSQL(["update blog_post as p set body = k.body from kept as k where k.id = p.id"]),
        )


def test_a_migration_goes_forwards_and_backwards(blog: Blog, posts: Declared, migrating: Migrating) -> None:
    with migrating():
        back = blog.migrate(
            RELEASE,
            migrations.AlterField("Post", "id", models.BigAutoField(primary_key=True)),
            migrations.AlterField("Post", "title", models.CharField(max_length=200)),
            migrations.RenameField("Post", "body", "words"),
            migrations.RenameModel("Post", "Article"),
            released_back("blog_article"),
        )
        back()


def test_rows_are_written_in_the_migration_that_alters_their_table(
    blog: Blog, posts: Declared, migrating: Migrating
) -> None:
    insert = "insert into blog_post (title, body, hits, author_id) values ('title 41', 'body 41', 0, 1)"
    with migrating(embedded=1):
        blog.migrate(
            RELEASE,
            migrations.AlterField("Post", "title", models.TextField()),
            migrations.RunSQL([insert, "update blog_post set author_id = author_id"]),
        )


def test_a_foreign_key_is_renamed(blog: Blog, posts: Declared, migrating: Migrating) -> None:
    with migrating(DOCUMENT.replace("author_id", "writer_id")):
        blog.migrate(migrations.RenameField("Post", "author", "writer"))


def test_a_many_to_many_field_is_renamed_with_its_table(
    db: Connection, blog: Blog, posts: Declared, migrating: Migrating
) -> None:
    blog.migrate(
        migrations.CreateModel(
            "Tag", [("id", models.AutoField(primary_key=True)), ("name", models.CharField(max_length=9))]
        ),
        migrations.AddField("Post", "tags", models.ManyToManyField("blog.Tag")),
        migrations.RunSQL(
            "insert into blog_tag values (1, 'red'), (2, 'blue');"
            " insert into blog_post_tags (post_id, tag_id) select id, 1 + id % 2 from blog_post where id < 40"
        ),
    )
    document = """select p.id, string_agg(t.name, ' ' order by t.name) as content
        from blog_post as p join blog_post_tags as pt on pt.post_id = p.id join blog_tag as t on t.id = pt.tag_id
        group by p.id"""
    tagged = declare(db, document, name="tagged")
    assert_fresh(db, tagged)
    before = statistic(db, tagged, "inference_total")
    with migrating():
        blog.migrate(migrations.RenameField("Post", "tags", "labels"))
        blog.migrate(migrations.RenameModel("Tag", "Label"))
        blog.migrate(
            *(release(name) for name in ("blog_label", "blog_post_labels")),
            migrations.AlterField("Label", "id", models.BigAutoField(primary_key=True)),
            migrations.AlterField("Label", "name", models.CharField(max_length=99)),
        )
    now = document.replace("blog_post_tags", "blog_post_labels").replace("blog_tag", "blog_label")
    now = now.replace("tag_id", "label_id")
    assert_fresh(db, tagged, document=now)
    assert statistic(db, tagged, "inference_total") == before
    db.execute("update blog_label set name = 'green' where id = 1")
    assert_fresh(db, tagged, document=now)


def test_what_postgresql_refuses_names_the_document_and_changes_nothing(
    blog: Blog, posts: Declared, migrating: Migrating
) -> None:
    wider = migrations.AlterField("Post", "title", models.CharField(max_length=200))
    with migrating():
        with pytest.raises(NotSupportedError, match=r"vsync_data\.promised_v1_document") as caught:
            blog.migrate(wider)
        assert "cannot alter type of a column used by a view or rule" in str(caught.value)
        back = blog.migrate(RELEASE, wider)
        with pytest.raises(NotSupportedError, match=r"vsync_data\.promised_v1_document"):
            back()


def test_all_migrations_are_undone_and_done_again(
    db: Connection, blog: Blog, posts: Declared, migrating: Migrating
) -> None:
    db.execute("create table kept_authors as table blog_author; create table kept_posts as table blog_post")
    with migrating():
        blog.remove()  # Django writes DROP TABLE … CASCADE
        assert db.execute("select state from vsync.stat_embeddings").fetchone() == ("broken",)
        with pytest.raises(psycopg.Error, match="broken") as caught:
            db.execute("select * from vsync.search('promised', 'a')")
        assert "repair_embedding" in str(caught.value.diag.message_hint)
        (found,) = db.execute("select level, remediation from vsync.doctor() where name = 'embeddings'").fetchall()
        assert found[0] == "error"
        blog.migrate(
            *INITIAL,
            migrations.RunSQL(
                "insert into blog_author table kept_authors;"
                " insert into blog_post (id, title, body, hits, author_id)"
                " select id, title, body, hits, author_id from kept_posts"
            ),
        )


def test_a_removed_field_is_left_out_by_another_version(
    db: Connection, blog: Blog, posts: Declared, connect: Connect
) -> None:
    with Background(connect()):
        blog.migrate(migrations.RemoveField("Post", "body"))
        db.execute("delete from blog_post where id = 3")
    work(db)
    assert "3" not in contents(db, posts)
    (found,) = db.execute("select level, remediation from vsync.doctor() where name = 'embeddings'").fetchall()
    assert found[0] == "error"
    document = DOCUMENT.replace(" || ' ' || p.body", "")
    db.execute("select vsync.add_version('promised', document => %s)", [document])
    work(db)
    db.execute("select vsync.activate_version('promised', 2)")
    db.execute("select vsync.end_rollback('promised'); select vsync.drop_version('promised', 1)")
    db.execute("update blog_post set title = 'another' where id = 5; delete from blog_post where id = 6")
    work(db)
    assert db.execute("select content from promised where id = 5").fetchall() == [("another by Grace",)]
    audited = "select version, checked, missing, extra, stale, mixed from vsync.audit('promised')"
    assert db.execute(audited.encode()).fetchall() == [(2, 38, 0, 0, 0, 0)]

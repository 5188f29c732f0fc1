"""What the vectors must be once workers have drained: a rebuild from the document query, text by text.

An embedding here is created by `declare`, so that its document query is known; `assert_fresh` drains and compares.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString, cast

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from fix_cluster import Connection
from fix_models import tiny_tokenizer
from vsync_engine.refresh import chunking

MODEL = "tiny"
_TOKENIZER = tiny_tokenizer()
_PINNED = (
    "set local timezone = 'UTC'",
    "set local datestyle = 'ISO, MDY'",
    "set local intervalstyle = 'postgres'",
    "set local extra_float_digits = 1",
)
_vectors: dict[str, NDArray[np.float32]] = {}


@dataclass(frozen=True)
class Declared:
    """An embedding and what it was declared with. schema: of the root; key: its outputs in the document."""

    name: str
    schema: str
    key: tuple[str, ...]
    document: str
    chunk: dict[str, int] | None = None

    @property
    def view(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)

    @property
    def data(self) -> sql.Identifier:
        return sql.Identifier("vsync_data", f"{self.name}_v1")


def register(db: Connection, directory: Path) -> None:
    db.execute("select vsync.register_model(%s, %s)", [MODEL, f"file://{directory}"])


def declare(
    db: Connection,
    document: str,
    *,
    name: str = "promised",
    schema: str = "public",
    key: Iterable[str] = ("id",),
    chunk: dict[str, int] | None = None,
    capture: str = "trigger",
) -> Declared:
    """Create an embedding of the model registered by `register`, without a vector index."""
    options = '{"replica_identity": "full"}' if capture == "wal" else "{}"
    db.execute(
        "select vsync.create_embedding(%s, %s, %s, capture => %s, chunk => %s::jsonb, options => %s,"
        ' index => \'{"type": "none"}\')',
        [name, document, MODEL, capture, None if chunk is None else str(chunk).replace("'", '"'), options],
    )
    return Declared(name, schema, tuple(key), document, chunk)


def work(db: Connection) -> None:
    db.execute("call vsync.work()")


def assert_fresh(db: Connection, *embeddings: Declared, document: str | None = None) -> None:
    """Drain, then compare every embedding with its rebuild. document: today's spelling, after a rename."""
    work(db)
    assert_equal_to_rebuild(db, *embeddings, document=document)
    for queue in ("marks", "pages", "leases"):
        rows = db.execute(sql.SQL("select * from vsync_internal.{}").format(sql.Identifier(queue))).fetchall()
        assert rows == [], f"{queue} at rest"


def assert_equal_to_rebuild(db: Connection, *embeddings: Declared, document: str | None = None) -> None:
    for embedding in embeddings:
        _assert_equal(db, embedding, document or embedding.document)


def embedded_total(db: Connection, embedding: Declared) -> int:
    """Return how many distinct texts were embedded and published so far."""
    return statistic(db, embedding, "embedded_total")


def statistic(db: Connection, embedding: Declared, column: str) -> int:
    query = sql.SQL("select {} from vsync.stat_embeddings where embedding = %s").format(sql.Identifier(column))
    row = db.execute(query, [embedding.name]).fetchone()
    assert row is not None
    return row[0]


def contents(db: Connection, embedding: Declared) -> dict[str, list[str]]:
    """Return the texts by key as text, in the order of chunks, as the serving view shows them."""
    query = sql.SQL("select ({})::text, array_agg(content order by chunk) from {} group by 1").format(
        _keys("v", embedding), sql.SQL("{} as v").format(embedding.view)
    )
    return dict(db.execute(query).fetchall())


def rendered(db: Connection, embedding: Declared) -> dict[str, str]:
    """Return the texts that there should be now, by key as text: without null and empty ones."""
    query = sql.SQL("select ({})::text, d.content from ({}) as d where d.content <> ''").format(
        _keys("d", embedding), sql.SQL(cast(LiteralString, embedding.document))
    )
    return dict(db.execute(query).fetchall())


def _assert_equal(db: Connection, embedding: Declared, document: str) -> None:
    same = sql.SQL("row({}) = row({})").format(_keys("v", embedding), _keys("d", embedding))
    compared = sql.SQL(
        "select row({keys})::text, d.content, array(select json_build_array(v.chunk, v.content, v.embedding::text)"
        " from {view} as v where {same} order by v.chunk) from ({document}) as d"
    ).format(
        keys=_keys("d", embedding), view=embedding.view, same=same, document=sql.SQL(cast(LiteralString, document))
    )
    superfluous = sql.SQL(
        "select row({keys})::text, v.content from {view} as v where not exists"
        " (select from ({document}) as d where {same} and d.content <> '')"
    ).format(
        keys=_keys("v", embedding), view=embedding.view, same=same, document=sql.SQL(cast(LiteralString, document))
    )
    unproven = sql.SQL(
        "select count(*) from {data} as v where v.content_hash <> sha256(convert_to(v.content, 'UTF8'))"
        " or not v.token > 0"
    ).format(data=embedding.data)
    with db.transaction():
        for setting in _PINNED:
            db.execute(setting)
        rows = db.execute(compared).fetchall()
        assert db.execute(superfluous).fetchall() == [], f"{embedding.name} has vectors of no document"
        assert db.execute(unproven).fetchone() == (0,)
    expected = {key: split(content, embedding.chunk) for key, content, _ in rows}
    stored = {key: chunks for key, _, chunks in rows}
    made = vectors(db, {text for texts in expected.values() for text in texts})
    for key, texts in expected.items():
        assert [(i, text) for i, text in enumerate(texts)] == [(i, text) for i, text, _ in stored[key]], (
            f"{embedding.name}: texts of {key}"
        )
        for text, (_, _, vector) in zip(texts, stored[key], strict=True):
            difference = np.abs(_parsed(vector) - made[text]).max()
            assert difference < 1e-4, f"{embedding.name}: vector of {key} is not that of {text!r}"


def split(content: str | None, chunk: dict[str, int] | None) -> list[str]:
    """Return the chunks of a document, none of an empty one."""
    if not content:
        return []
    if chunk is None:
        return [content]
    return chunking.split(content, _TOKENIZER, tokens=chunk["tokens"], overlap=chunk.get("overlap", 0))


def vectors(db: Connection, texts: set[str]) -> Mapping[str, NDArray[np.float32]]:
    """Return the vectors (8 floats) of texts, and of others."""
    missing = sorted(texts - _vectors.keys())
    if missing:
        row = db.execute("select vsync.embed(%s, %s::text[])::text[]", [MODEL, missing]).fetchone()
        assert row is not None
        _vectors.update(zip(missing, map(_parsed, row[0]), strict=True))
    return _vectors


def _parsed(vector: str) -> NDArray[np.float32]:
    return np.array(vector.strip("[]").split(","), dtype=np.float32)


def _keys(alias: str, embedding: Declared) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(alias, column) for column in embedding.key)

"""The oracle of all batteries: sources, texts, hashes, vectors, versions and marks at rest against the journal.

Vectors are computed here, from the text and the tiny model's weights, by nothing that the server runs.
"""

from collections import Counter
from dataclasses import dataclass, fields
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from chaos.journal import Expected
from fix_cluster import Connection
from fix_models import POSITION_WEIGHT, TINY_MAX_TOKENS, tiny_tokenizer, tiny_weights
from races.steps import run

_DIMENSIONS = 8
_TOLERANCE = 1e-4
_TOKENIZER = tiny_tokenizer()
_TOKENIZER.enable_truncation(TINY_MAX_TOKENS)
_QUEUE = """select (select count(*) from vsync_internal.marks where due_at is distinct from 'infinity')
+ (select count(*) from vsync_internal.pages) + (select count(*) from vsync_internal.leases)"""
_VERSIONS = """select v.version, m.name, v.state = 'active', v.data from vsync_internal.versions as v
join vsync_internal.models as m on m.id = v.model_id
where v.embedding = 'found' and v.state <> 'dropped' and v.following"""


@dataclass(frozen=True)
class Verdict:
    """Counts of documents, but waiting: marks, pages and leases at rest. Everything must be zero."""

    lost: int = 0
    stale: int = 0
    extra: int = 0
    duplicated: int = 0
    mixed: int = 0
    waiting: int = 0

    def __add__(self, other: "Verdict") -> "Verdict":
        return Verdict(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __str__(self) -> str:
        return ", ".join(f"{f.name} {getattr(self, f.name)}" for f in fields(self))


def tiny_vectors(texts: list[str], seed: int = 1) -> NDArray[np.float32]:
    """Return the vectors (n, 8) that the tiny model of a seed gives texts."""
    weights = tiny_weights(_DIMENSIONS, seed, _TOKENIZER.get_vocab_size())
    vectors = np.empty((len(texts), _DIMENSIONS), dtype=np.float32)
    begun = [text[: 20 * TINY_MAX_TOKENS] for text in texts]  # a token is a character, or a word of at most ten
    for i, encoding in enumerate(_TOKENIZER.encode_batch_fast(begun)):
        scale = 1 + POSITION_WEIGHT * np.arange(len(encoding.ids), dtype=np.float32)
        vectors[i] = (weights[encoding.ids] * scale[:, None]).mean(axis=0)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def judge(session: Connection, expected: Expected, *, parked: frozenset[int] = frozenset()) -> Verdict:
    """Compare everything at rest. parked: documents that must have no vectors of their present text, but a failure."""
    sources = _differences(dict(_rows(session, "items", "kind, body")), expected.items)
    sources += _differences(dict(_rows(session, "kinds", "name")), expected.kinds)
    documents = {key: text for key, text in expected.documents().items() if text and key not in parked}
    verdict = Verdict(lost=sources, waiting=run(session, _QUEUE)[0][0])
    for version, model, active, data in run(session, _VERSIONS):
        verdict += _of_table(session, f"vsync_data.{data}", documents, parked, seed=1 if model == "tiny" else 2)
        if active:
            verdict += _of_view(session, version, data)
    failed = {row[0] for row in run(session, "select (key ->> 'id')::int from vsync.failures where parked")}
    return verdict + Verdict(lost=len(parked - failed), extra=len(failed - parked))


def _rows(session: Connection, table: str, columns: str) -> list[tuple[int, list[object]]]:
    return [(key, row) for key, *row in run(session, f"select id, {columns} from shop.{table}")]


def _differences(found: dict[int, list[object]], expected: dict[int, list[object]]) -> int:
    return sum(found.get(key) != expected.get(key) for key in found.keys() | expected.keys())


def _of_table(
    session: Connection, table: str, documents: dict[int, str], parked: frozenset[int], *, seed: int
) -> Verdict:
    columns = "id, chunk, chunks, content, content_hash, document_hash, embedding::text, token"
    rows = [row for row in run(session, f"select {columns} from {table}") if row[0] not in parked]
    counts = Counter((row[0], row[1]) for row in rows)
    kept = [row for row in rows if row[0] in documents]
    texts = [row[3] for row in kept]
    found = np.array([np.fromstring(row[6].strip("[]"), dtype=np.float32, sep=",") for row in kept])
    right = near(found, tiny_vectors(texts, seed)) if kept else np.empty(0, dtype=bool)
    foreign = near(found, tiny_vectors(texts, 3 - seed)) if kept else right
    stale = mixed = 0
    for row, good, other in zip(kept, right, foreign, strict=True):
        key, chunk, chunks, content, content_hash, document_hash, _, token = row
        digest = sha256(content.encode()).digest()
        mixed += int(other)
        fresh = content == documents[key] and content_hash == document_hash == digest and chunk == 0 and chunks == 1
        stale += not (fresh and token > 0 and (good or other))
    return Verdict(
        lost=len(documents.keys() - {row[0] for row in rows}),
        stale=stale,
        extra=len({row[0] for row in rows} - documents.keys()),
        duplicated=sum(count > 1 for count in counts.values()),
        mixed=mixed,
    )


def near(found: NDArray[np.float32], made: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell of each vector whether it is the one made here."""
    return np.abs(found - made).max(axis=1) < _TOLERANCE


def _of_view(session: Connection, version: int, data: str) -> Verdict:
    """The view shows the table of the active version, row by row, and no other version."""
    view = run(session, "select id, chunk, content, embedding::text, version from shop.found")
    table = run(session, f"select id, chunk, content, embedding::text from vsync_data.{data}")
    shown, stored = Counter(row[:4] for row in view), Counter(table)
    return Verdict(
        lost=(stored - shown).total(),
        duplicated=(shown - stored).total(),
        mixed=sum(row[4] != version for row in view),
    )

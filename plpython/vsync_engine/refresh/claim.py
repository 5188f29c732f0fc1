"""One claim, from rendered text to published vectors. No transaction is open while the model runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import orjson

from vsync_engine.foundation.errors import EngineError
from vsync_engine.foundation.host import Host, HostError, OverrunError, Row, Statement, value
from vsync_engine.foundation.transaction import transaction
from vsync_engine.models.watchdog import heed_cancel
from vsync_engine.refresh import chunking, statements
from vsync_engine.refresh.embedding import Batch, Embedding
from vsync_engine.refresh.failure import described, is_of_the_version
from vsync_engine.refresh.settings import Settings
from vsync_engine.rules import document_stage
from vsync_engine.rules.document_stage import Ruled

_PUBLISH_EVERY = 1.0  # seconds
_PUBLISHED_TOGETHER = 1024  # documents
_BUSY = 0.05  # seconds until a text that another claim is embedding is looked at again
_BLOCKED = {"55P03", "53100"}  # a lock not granted in time, a disk that is full: no smaller claim would fare better
_SAMPLE = 8  # documents that fail alone, twice, before all are taken to fail


@dataclass
class _Document:
    key: str
    hash: str
    content: str
    chunks: list[str]
    hashes: list[str]
    further: str | None = None  # its other columns, as JSON
    priority: float = 0.0
    made: str | None = None  # what decides who may read it, when it was rendered
    forced: bool = False  # embedded even where its text has a vector
    missing: set[str] = field(default_factory=set[str])  # hashes of texts without a vector yet


@dataclass
class _Text:
    content: str
    hash: str
    documents: list[_Document]
    truncated: bool = False
    vector: str | None = None  # None where the database has it
    fresh: bool = False  # embedded here and not published yet


@dataclass
class Claim:
    """Keys of one version under a fencing token. attend: called between batches, to let fresher work pass."""

    host: Host
    version_id: int
    token: int
    keys: list[str]
    embedding: Embedding
    chunking: dict[str, Any] | None
    settings: Settings
    attend: Callable[[], None]
    busy: float = 0.0  # seconds in the model since the last publish
    renewed: float = field(default_factory=time.monotonic)
    owned: bool = True

    def work(self) -> None:
        """Render, skip, chunk, embed, publish; what is left when this ends, for whatever reason, is free again."""
        try:
            self._refresh(list(self._render()))
            self._release()
        except BaseException:
            self.host.rollback()
            self._release()
            raise

    def _keep(self) -> bool:
        """Renew the lease in time; False where somebody else has it."""
        if self.owned and time.monotonic() - self.renewed > self.settings.lease_seconds / 3:
            self.owned = bool(transaction(self.host, lambda: value(self.host, statements.RENEW, self.token)))
            self.renewed = time.monotonic()
        return self.owned

    def _release(self) -> None:
        transaction(self.host, lambda: self.host.rows(statements.RELEASE, self.token))

    def _render(self) -> Iterator[_Document]:
        """Yield the documents that changed; those that fail are found by halves, and recorded where others do not."""
        waiting = [self.keys]
        failed: list[tuple[list[str], HostError]] = []
        rendered = False
        while waiting:
            keys = waiting.pop()
            try:
                rows = transaction(self.host, lambda keys=keys: self._limited(statements.RENDER, self.token, keys))
            except OverrunError as error:
                self._isolate(keys, error)
                raise
            except HostError as error:
                if error.sqlstate in _BLOCKED:
                    raise
                if len(keys) > 1:
                    waiting += [keys[len(keys) // 2 :], keys[: len(keys) // 2]]
                    continue
                failed.append((keys, error))
                if not rendered and all(is_of_the_version(each) for _, each in failed):
                    waiting = _sampled(waiting, len(failed))
                    if not waiting:
                        raise
                continue
            rendered = True
            yield from self._documents(rows)
        for keys, error in failed:
            self._fail(keys, error)

    def _limited(self, statement: Statement, *arguments: object) -> list[Row]:
        return self.host.limited(self.settings.document_timeout_ms / 1000, statement, *arguments)

    def _isolate(self, keys: list[str], error: OverrunError) -> None:
        """Have documents that take too long claimed apart and fewer together, until one that stands alone fails."""
        if len(keys) == 1:
            self._fail(keys, error)
        else:
            transaction(self.host, lambda: self.host.rows(statements.ISOLATE, self.token))

    def _documents(self, rows: list[Row]) -> Iterator[_Document]:
        for ruled in self._ruled(rows):
            try:
                yield self._document(ruled)
            except EngineError as error:
                self._fail([ruled.row["key"]], error)

    def _ruled(self, rows: list[Row]) -> list[Ruled]:
        """Return what the rules let through."""
        seconds = self.settings.rule_timeout_ms / 1000
        return transaction(
            self.host, lambda: document_stage.rule(self.host, self.version_id, self.token, rows, seconds)
        )

    def _document(self, ruled: Ruled) -> _Document:
        content, digest = ruled.row["content"], ruled.row["hash"]
        document = _Document(ruled.row["key"], digest, content, [content], [digest], ruled.row["further"])
        document.made = ruled.row["made"]
        document.priority, document.forced = ruled.priority, ruled.forced
        if self.chunking is not None:
            tokens, overlap = self.chunking["tokens"], self.chunking.get("overlap", 0)
            document.chunks = chunking.split(
                content, self.embedding.tokenizer, tokens=tokens, overlap=overlap, attend=self._attend_split
            )
            document.hashes = [sha256(part.encode()).hexdigest() for part in document.chunks]
        return document

    def _attend_split(self) -> None:
        heed_cancel()
        self._keep()

    def _refresh(self, documents: list[_Document]) -> None:
        texts = self._reserve(documents)
        ready = [document for document in documents if document.chunks and not document.missing]
        fresh = [text for text in texts.values() if text.fresh]
        priorities = [max(document.priority for document in text.documents) for text in fresh]
        sent = 0
        published = time.monotonic()
        batches = self.embedding.embed([text.content for text in fresh], priorities)
        while self._keep():
            batch = next(batches, None)
            if batch is None:
                break
            sent += batch.sent
            self.busy += batch.seconds
            ready.extend(self._accept(batch, fresh))
            now = time.monotonic()
            if now - published > _PUBLISH_EVERY or len(ready) >= _PUBLISHED_TOGETHER:
                self._publish(ready, texts, sent)
                ready, sent, published = [], 0, now
            self.attend()
        if self.owned:
            self._publish(ready, texts, sent)

    def _reserve(self, documents: list[_Document]) -> dict[str, _Text]:
        """Return the texts by hash; fresh are those that this claim embeds. Busy ones go back."""
        texts: dict[str, _Text] = {}
        for document in documents:
            for content, digest in zip(document.chunks, document.hashes, strict=True):
                text = texts.setdefault(digest, _Text(content, digest, [], fresh=True))
                if digest not in document.missing:
                    document.missing.add(digest)
                    text.documents.append(document)
        if not texts:
            return texts
        forced = {digest for document in documents if document.forced for digest in document.hashes}
        wanted = sorted(texts.keys() - forced)
        rows = transaction(self.host, lambda: self.host.rows(statements.RESERVE, self.token, wanted))
        busy: set[str] = set()
        for row in rows:
            text = texts[row["hash"]]
            text.fresh = False
            for document in text.documents:
                document.missing.discard(text.hash)
                if row["state"] == "busy":
                    busy.add(document.key)
        if busy:
            keys = sorted(busy)
            transaction(self.host, lambda: self.host.rows(statements.POSTPONE, self.token, keys, _BUSY))
        for document in documents:
            if document.key in busy:
                document.chunks = []
                for digest in document.missing:
                    texts[digest].documents.remove(document)
        return {digest: text for digest, text in texts.items() if text.documents or not text.fresh}

    def _accept(self, batch: Batch, fresh: list[_Text]) -> Iterator[_Document]:
        """Yield the documents that have all their vectors now; those with a text that failed are recorded."""
        for embedded in batch.texts:
            text = fresh[embedded.index]
            if embedded.error is not None:
                self._fail([document.key for document in text.documents], embedded.error)
                continue
            text.vector, text.truncated = embedded.vector, embedded.truncated
            for document in text.documents:
                document.missing.discard(text.hash)
                if not document.missing and document.chunks:
                    yield document

    def _publish(self, documents: list[_Document], texts: dict[str, _Text], sent: int) -> None:
        if not documents and not sent:
            return
        rows = orjson.dumps([row for document in documents for row in _rows(document, texts)]).decode()
        busy, self.busy = self.busy, 0.0
        try:
            transaction(self.host, lambda: self.host.rows(statements.PUBLISH, self.token, rows, sent, busy))
        except HostError as error:
            self.busy += busy
            if is_of_the_version(error):
                raise
            if len(documents) <= 1:
                self._fail([document.key for document in documents], error)
                return
            self._publish(documents[: len(documents) // 2], texts, sent)
            self._publish(documents[len(documents) // 2 :], texts, 0)
            return
        for document in documents:
            for digest in document.hashes:
                texts[digest].fresh = False

    def _fail(self, keys: list[str], error: Exception) -> None:
        transaction(self.host, lambda: self.host.rows(statements.FAIL, self.token, keys, described(error)))


def _sampled(waiting: list[list[str]], failed: int) -> list[list[str]]:
    """Return what to render next after so many documents failed alone; nothing where no other is likely to succeed."""
    if failed < _SAMPLE:
        return waiting
    if failed > _SAMPLE:
        return waiting if failed < 2 * _SAMPLE else []
    rest = [key for keys in waiting for key in keys]
    picked = rest[:: max(1, len(rest) // _SAMPLE)]
    others = sorted({*rest} - {*picked})
    return [*([others] if others else []), *([key] for key in picked)]


def _rows(document: _Document, texts: dict[str, _Text]) -> Iterable[dict[str, object]]:
    for i, (content, digest) in enumerate(zip(document.chunks, document.hashes, strict=True)):
        text = texts[digest]
        yield {
            "key": document.key,
            "chunk": i,
            "content": content,
            "hash": digest,
            "document": document.hash,
            "vector": text.vector,
            "truncated": text.truncated,
            "fresh": text.fresh,
            "made": document.made,
            **(_of_the_document(document) if i == 0 else {}),
        }


def _of_the_document(document: _Document) -> dict[str, object]:
    further = None if document.further is None else orjson.Fragment(document.further)
    return {"further": further, "whole": document.content if len(document.chunks) > 1 else None}

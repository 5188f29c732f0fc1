"""One claim, from rendered text to published vectors. No transaction is open while the model runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, TypeVar

import orjson

from vsync_engine import chunk, models, ruling, statements
from vsync_engine.errors import SEARCH_PATH_MISSING, EngineError
from vsync_engine.host import Host, HostError, OverrunError, Row, Statement, value
from vsync_engine.model import Encoded, Model, plan_batches
from vsync_engine.ruling import Ruled, in_windows
from vsync_engine.watch import heed_cancel

T = TypeVar("T")

_PUBLISH_EVERY = 1.0  # seconds
_PUBLISHED_TOGETHER = 1024  # documents
_BUSY = 0.05  # seconds until a text that another claim is embedding is looked at again
_TRANSIENT = {"40001", "40P01"}
_ATTEMPTS = 5
_BLOCKED = {"55P03", "53100"}  # a lock not granted in time, a disk that is full: no smaller claim would fare better
# privileges, objects that are gone, connections, resources, states, files: whoever mends it mends all documents
_OF_THE_VERSION = ("08", "0A", "28", "3D", "3F", "42", "53", "55", "58", "HV", SEARCH_PATH_MISSING)
_SAMPLE = 8  # documents that fail alone, twice, before all are taken to fail
_RANKED_TOGETHER = 64  # texts: fewer would keep the order of rules better, more makes fuller batches
_LONGEST_MESSAGE = 500  # characters


@dataclass(frozen=True)
class Settings:
    """Settings of the installation, read once a call of work(); vsync.settings says what they mean and their bounds."""

    threads: int
    batch_tokens: int
    memory_limit_mb: int
    claim_limit: int
    lease_seconds: int
    poll_ms: int
    document_timeout_ms: int
    rule_timeout_ms: int
    share_models: int


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
    encoded: Encoded | None = None
    vector: str | None = None  # None where the database has it
    fresh: bool = False  # embedded here and not published yet


@dataclass
class Claim:
    """Keys of one version under a fencing token. attend: called between batches, to let fresher work pass."""

    host: Host
    version_id: int
    token: int
    keys: list[str]
    model: Model
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
        return transaction(self.host, lambda: ruling.rule(self.host, self.version_id, self.token, rows, seconds))

    def _document(self, ruled: Ruled) -> _Document:
        content, digest = ruled.row["content"], ruled.row["hash"]
        document = _Document(ruled.row["key"], digest, content, [content], [digest], ruled.row["further"])
        document.made = ruled.row["made"]
        document.priority, document.forced = ruled.priority, ruled.forced
        if self.chunking is not None:
            tokens, overlap = self.chunking["tokens"], self.chunking.get("overlap", 0)
            document.chunks = chunk.split(
                content, self.model.tokenizer, tokens=tokens, overlap=overlap, attend=self._attend_split
            )
            document.hashes = [sha256(part.encode()).hexdigest() for part in document.chunks]
        return document

    def _attend_split(self) -> None:
        heed_cancel()
        self._keep()

    def _refresh(self, documents: list[_Document]) -> None:
        texts = self._reserve(documents)
        ready = [document for document in documents if document.chunks and not document.missing]
        pending = list(self._encoded([text for text in texts.values() if text.fresh]))
        sent = 0
        published = time.monotonic()
        for members in self._batches(pending):
            if not self._keep():
                return
            sent += len(members)
            ready.extend(self._embed(members))
            now = time.monotonic()
            if now - published > _PUBLISH_EVERY or len(ready) >= _PUBLISHED_TOGETHER:
                self._publish(ready, texts, sent)
                ready, sent, published = [], 0, now
            self.attend()
        self._publish(ready, texts, sent)

    def _batches(self, pending: list[tuple[_Text, Encoded]]) -> Iterator[list[tuple[_Text, Encoded]]]:
        priorities = [max(document.priority for document in text.documents) for text, _ in pending]
        for window in in_windows(priorities, _RANKED_TOGETHER):
            for batch in plan_batches([len(pending[i][1].ids) for i in window], self.settings.batch_tokens):
                yield [pending[window[place]] for place in batch]

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

    def _encoded(self, texts: list[_Text]) -> Iterator[tuple[_Text, Encoded]]:
        try:
            encoded = self.model.encode([text.content for text in texts], "passage")
        except Exception as error:
            if len(texts) == 1:
                self._fail([document.key for document in texts[0].documents], error)
                return
            yield from self._encoded(texts[: len(texts) // 2])
            yield from self._encoded(texts[len(texts) // 2 :])
            return
        for text, tokens in zip(texts, encoded, strict=True):
            text.encoded = tokens
            yield text, tokens

    def _embed(self, batch: list[tuple[_Text, Encoded]]) -> Iterator[_Document]:
        """Embed a batch, in halves where it fails; yield the documents that have all their vectors now."""
        started = time.monotonic()
        try:
            vectors = self.model.run([encoded for _, encoded in batch])
            self.busy += time.monotonic() - started
        except Exception as error:
            if len(batch) == 1:
                self._fail([document.key for document in batch[0][0].documents], error)
                return
            for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
                if self._keep():
                    yield from self._embed(half)
            return
        for (text, _), vector in zip(batch, vectors, strict=True):
            text.vector = models.as_text(vector)
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
            "truncated": text.encoded is not None and text.encoded.truncated,
            "fresh": text.fresh,
            "made": document.made,
            **(_of_the_document(document) if i == 0 else {}),
        }


def _of_the_document(document: _Document) -> dict[str, object]:
    further = None if document.further is None else orjson.Fragment(document.further)
    return {"further": further, "whole": document.content if len(document.chunks) > 1 else None}


def transaction(host: Host, call: Callable[[], T]) -> T:
    """Run a call in a transaction of its own; again after a deadlock or a lost race. HostError otherwise."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            result = call()
            host.commit()
            return result
        except HostError as error:
            host.rollback()
            if is_fatal(error):
                raise Interrupted(error) from error
            if error.sqlstate not in _TRANSIENT or attempt == _ATTEMPTS:
                raise
            time.sleep(0.01 * attempt)
    raise AssertionError


class Interrupted(Exception):
    """The session was told to stop, or cannot go on, whatever the document: cancelled, shut down, disk full."""

    def __init__(self, error: HostError) -> None:
        super().__init__(error.message)
        self.error = error


def is_fatal(error: HostError) -> bool:
    """Tell whether an error is the session's and not a document's."""
    if isinstance(error, OverrunError):
        return False
    return error.sqlstate in ("", "53300", "25P03", "25006") or error.sqlstate.startswith("57")


def is_of_the_version(error: HostError) -> bool:
    """Tell whether an error is likely to meet every document of a version, until its cause is mended."""
    return error.sqlstate.startswith(_OF_THE_VERSION)


def described(error: Exception) -> str:
    """Return an error as the JSON that vsync.failures shows; cut at a character, never inside one."""
    sqlstate = error.sqlstate if isinstance(error, (EngineError, HostError)) else "VS102"
    message = error.message if isinstance(error, (EngineError, HostError)) else f"{type(error).__name__}: {error}"
    detail = error.detail if isinstance(error, (EngineError, HostError)) else ""
    fields = {"sqlstate": sqlstate, "message": message[:_LONGEST_MESSAGE], "detail": detail[:_LONGEST_MESSAGE]}
    if isinstance(error, HostError) and error.sqlstate == SEARCH_PATH_MISSING:
        # any other hint may be an owner's, and doctor() shows it as a statement to run
        fields["hint"] = error.hint
    return orjson.dumps({name: _storable(text) for name, text in fields.items()}).decode()


def _storable(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode()

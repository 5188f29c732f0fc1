"""What embeds: texts in, vectors out. It knows no document, no rule and no database.

A claim decides which texts are embedded and what becomes of their vectors. It takes what comes back batch by batch,
and may stop between two of them. What embeds in threads, in another process or on another machine is another
`Embedding`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from vsync_engine.models import session_cache
from vsync_engine.models.embedder import Encoded, Model, plan_batches
from vsync_engine.models.runtime import tokenizers
from vsync_engine.refresh.priority import in_windows

_RANKED_TOGETHER = 64  # texts: fewer would keep the order of rules better, more makes fuller batches


@dataclass(frozen=True)
class Embedded:
    """What became of one text. index: its position among those that were given; vector: in pgvector's text form."""

    index: int
    vector: str | None = None
    truncated: bool = False
    error: Exception | None = None


@dataclass(frozen=True)
class Batch:
    """Texts that are done. sent: how many went to the model; seconds: spent in it."""

    texts: list[Embedded]
    sent: int = 0
    seconds: float = 0.0


class Embedding(Protocol):
    """Embeds the texts of one version, each of which is tried alone before it is given up."""

    @property
    def tokenizer(self) -> tokenizers.Tokenizer:
        """The model's tokenizer without truncation and padding, as chunking needs it."""
        ...

    def embed(self, texts: Sequence[str], priorities: Sequence[float]) -> Iterator[Batch]:
        """Yield every text once, in batches, those of the highest priority first."""
        ...


@dataclass(frozen=True)
class InSession:
    """Embeds in this session, one batch after the other."""

    model: Model
    batch_tokens: int

    @property
    def tokenizer(self) -> tokenizers.Tokenizer:
        """The model's tokenizer."""
        return self.model.tokenizer

    def embed(self, texts: Sequence[str], priorities: Sequence[float]) -> Iterator[Batch]:
        """Yield every text once; a batch that fails is tried again in halves."""
        encoded: dict[int, Encoded] = {}
        failed: list[Embedded] = []
        self._encode(list(range(len(texts))), texts, encoded, failed)
        if failed:
            yield Batch(failed)
        indexes = list(encoded)
        for window in in_windows([priorities[i] for i in indexes], _RANKED_TOGETHER):
            for batch in plan_batches([len(encoded[indexes[i]].ids) for i in window], self.batch_tokens):
                members = [indexes[window[i]] for i in batch]
                yield from self._run(members, encoded, len(members))

    def _encode(
        self, indexes: list[int], texts: Sequence[str], encoded: dict[int, Encoded], failed: list[Embedded]
    ) -> None:
        try:
            encoded.update(zip(indexes, self.model.encode([texts[i] for i in indexes], "passage"), strict=True))
        except Exception as error:
            if len(indexes) == 1:
                failed.append(Embedded(indexes[0], error=error))
                return
            self._encode(indexes[: len(indexes) // 2], texts, encoded, failed)
            self._encode(indexes[len(indexes) // 2 :], texts, encoded, failed)

    def _run(self, members: list[int], encoded: dict[int, Encoded], sent: int) -> Iterator[Batch]:
        started = time.monotonic()
        try:
            vectors = self.model.run([encoded[i] for i in members])
        except Exception as error:
            if len(members) == 1:
                yield Batch([Embedded(members[0], error=error)], sent)
                return
            yield from self._run(members[: len(members) // 2], encoded, sent)
            yield from self._run(members[len(members) // 2 :], encoded, 0)
            return
        seconds = time.monotonic() - started
        done = [
            Embedded(i, session_cache.as_text(vector), encoded[i].truncated)
            for i, vector in zip(members, vectors, strict=True)
        ]
        yield Batch(done, sent, seconds)

"""What the PL/Python functions call: JSON and plain values in, JSON and plain values out.

A session that only searches loads what it needs: reading SQL and working cost as much time and memory as the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import orjson

from vsync_engine import __version__
from vsync_engine.foundation import statements
from vsync_engine.foundation.errors import EngineError
from vsync_engine.foundation.host import HostError, PlpyHost, value
from vsync_engine.models import embedder, session_cache
from vsync_engine.models.pooling import NONE
from vsync_engine.models.spec import ModelSpec, read_layout


@cache
def _host() -> PlpyHost:
    return PlpyHost()


def version() -> str:
    """Return the engine's version."""
    return __version__


def inspect_model(source: str, options: str) -> str:
    """Return {"spec", "probe", "assumed"} of a model directory, or {"error"}; assumed: the pooling nobody spoke of."""

    def answer() -> dict[str, Any]:
        given = orjson.loads(options)
        spec, probe = embedder.inspect(source, given)
        said = spec.pooling == NONE or read_layout(source, given).pooling is not None
        return {"spec": orjson.loads(spec.to_json()), "probe": probe, "assumed": None if said else spec.pooling}

    return _answer(answer)


def embed_texts(model_id: int, kind: embedder.Kind, inputs: Sequence[str | None] | None) -> list[str | None] | None:
    """Return the vectors of texts in pgvector's text form; raises VS103, VS104 when the model's files changed."""
    if inputs is None:
        return None
    try:
        settings = {row["name"]: int(row["value"]) for row in _host().rows(statements.SETTINGS)}
        spec = value(_host(), statements.MODEL_SPEC, model_id)
        loaded = session_cache.load(spec, settings["threads"], share=settings["share_models"] != 0)
        asker = _host().rows(statements.ASKER)[0]
        if not asker["known"]:  # a new session, or one that DISCARD ALL made like new
            session_cache.forget()
            _host().rows(statements.KNOW)
        return session_cache.embed(loaded, kind, inputs, settings["batch_tokens"], asker["asker"])
    except EngineError as error:
        _host().report(error)


def check_document(text: str) -> str:
    """Return {} for a document query as its author wrote it, or {"error"}."""
    from vsync_engine.documents import source_check

    def answer() -> dict[str, Any]:
        source_check.check(text)
        return {}

    return _answer(answer)


def analyse_document(catalog: str) -> str:
    """Return {"document"} of a stored document query, or {"error"}."""
    from vsync_engine.documents import analyse

    return _answer(lambda: {"document": analyse.analyse(orjson.loads(catalog)).as_json()})


def analyse_rule(facts: str) -> str:
    """Return {"rule"} of a rule as its author wrote it, or {"error"}."""
    from vsync_engine.rules import analyse

    return _answer(lambda: {"rule": analyse.analyse(orjson.loads(facts)).as_json()})


def check_chunk(options: str, spec: str) -> str:
    """Return {} where a model can chunk so, or {"error"}."""
    from vsync_engine.refresh import chunking

    def answer() -> dict[str, Any]:
        chunking.validate(orjson.loads(options), ModelSpec.from_json(spec))
        return {}

    return _answer(answer)


def work(duration: str | None, embedding: str | None) -> tuple[str]:
    """Be a worker in this session; return {}, or {"error"} unless a cancel came meanwhile, as a procedure's row."""
    from vsync_engine.refresh import worker

    try:
        worker.work(_host(), duration, embedding)
    except (EngineError, HostError) as error:
        _host().heed_cancel()
        return (orjson.dumps({"error": error.as_json()}).decode(),)
    return ("{}",)


def _answer(call: Callable[[], dict[str, Any]]) -> str:
    try:
        return orjson.dumps(call()).decode()
    except EngineError as error:
        return orjson.dumps({"error": error.as_json()}).decode()

"""The engine of a server that has none: it asks in error VS006, is answered here, and is asked again."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
import psycopg

from vsync_admin.connection import Row
from vsync_engine.foundation.errors import ENGINE_OUTSIDE, EngineError

_ANSWER = "select vsync_internal.answer(%s, %s::jsonb)"
_FORGET = "select vsync_internal.forget_answers()"
_SETTINGS = "select name, value::int as value from vsync.settings where name in ('threads', 'batch_tokens')"
_VECTORS = "select set_config('vsync.answers', %s, true)"

Arguments = Sequence[object] | Mapping[str, object]


def execute(connection: psycopg.Connection[Row], statement: str | bytes, arguments: Arguments) -> list[Row]:
    """Run a statement in a transaction and return its rows; a server without an engine is told what it asks."""
    query = statement.encode() if isinstance(statement, str) else statement
    answered: dict[str, object] = {}
    with connection.transaction():
        while True:
            try:
                with connection.transaction():
                    rows = connection.execute(query, arguments).fetchall()
                break
            except psycopg.Error as error:
                if error.sqlstate != ENGINE_OUTSIDE or not error.diag.constraint_name:
                    raise
                question = orjson.loads(error.diag.constraint_name)
                if question["key"] in answered:
                    raise
            answered[question["key"]] = _answer(connection, **question)
            connection.execute(_VECTORS, (_json({key: vectors for key, vectors in answered.items() if vectors}),))
        if answered:
            connection.execute(_FORGET)
        return rows


def _answer(connection: psycopg.Connection[Row], key: str, name: str, arguments: list[Any]) -> object:
    """Return vectors, which the session keeps; any other answer is the installer's to give."""
    if name == "embed_texts":
        settings = {row["name"]: row["value"] for row in connection.execute(_SETTINGS).fetchall()}
        return _vectors(*arguments, **settings)
    texts = (argument if isinstance(argument, str) else _json(argument) for argument in arguments)
    connection.execute(_ANSWER, (key, _engine(name)(*texts)))
    return None


def _engine(name: str) -> Callable[..., str]:
    from vsync_engine import entry  # brings the model runtime, which only such a server's client needs

    functions = (
        entry.inspect_model,
        entry.check_document,
        entry.analyse_document,
        entry.check_chunk,
        entry.analyse_rule,
    )
    return {function.__name__: function for function in functions}[name]


def _vectors(spec: dict[str, Any], kind: Any, inputs: list[str | None], *, threads: int, batch_tokens: int) -> Any:
    from vsync_engine.models import session_cache

    try:
        return {"vectors": session_cache.embed(session_cache.load(_json(spec), threads), kind, inputs, batch_tokens)}
    except EngineError as error:
        return {"error": error.as_json()}


def _json(value: object) -> str:
    return orjson.dumps(value).decode()

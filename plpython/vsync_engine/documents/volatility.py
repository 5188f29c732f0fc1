"""Which functions a document may call: not volatile ones, and none that answers by the clock or by who asks.

A stored vector is made from what the document said when it was rendered. The rest of what is STABLE is allowed:
rendering pins TimeZone, DateStyle and the other settings of output.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlglot import exp

from vsync_engine.documents.catalog import Catalog, Function
from vsync_engine.foundation import sql_lexer
from vsync_engine.foundation.errors import DOCUMENT_VOLATILE, EngineError

# SQLValueFunctionOp in the server's order
_SESSION_VALUES = (
    "current_date",
    "current_time",
    "current_time",
    "current_timestamp",
    "current_timestamp",
    "localtime",
    "localtime",
    "localtimestamp",
    "localtimestamp",
    "current_role",
    "current_user",
    "user",
    "session_user",
    "current_catalog",
    "current_schema",
)
_TIME_VALUES = frozenset(_SESSION_VALUES[:9])

_TIME = frozenset({"now", "statement_timestamp", "transaction_timestamp"})
_TIME_SIGNATURES = frozenset(
    {
        ("age", "timestamp with time zone"),
        ("age", "timestamp without time zone"),
        ("age", "xid"),
        ("mxid_age", "xid"),
    }
)
_CURRENT_DAY = {"now", "today", "tomorrow", "yesterday"}

_SESSION = frozenset(
    {
        "col_description",
        "current_database",
        "current_schema",
        "current_schemas",
        "current_setting",
        "current_user",
        "format_type",
        "get_current_ts_config",
        "getdatabaseencoding",
        "getpgusername",
        "obj_description",
        "row_security_active",
        "session_user",
        "shobj_description",
        "system_user",
        "version",
    }
)
_SESSION_PREFIXES = ("has_", "inet_client_", "inet_server_", "pg_", "to_reg", "txid_")
_READS_TABLES_PREFIXES = ("database_to_xml", "schema_to_xml", "table_to_xml")
_NOT_OF_THE_SESSION = frozenset({"pg_typeof"})
_TEXT_SEARCH = frozenset(
    {
        "json_to_tsvector",
        "jsonb_to_tsvector",
        "phraseto_tsquery",
        "plainto_tsquery",
        "to_tsquery",
        "to_tsvector",
        "ts_headline",
        "websearch_to_tsquery",
    }
)
_TIME_TYPES = frozenset(
    {
        exp.DataType.Type.DATE,
        exp.DataType.Type.TIME,
        exp.DataType.Type.TIMETZ,
        exp.DataType.Type.TIMESTAMP,
        exp.DataType.Type.TIMESTAMPNTZ,
        exp.DataType.Type.TIMESTAMPTZ,
    }
)

_ROW_HINT = "Keep the value in a column of the table, and let the document read that column."
_TIME_HINT = f"{_ROW_HINT} Or give options.refresh_every, such as 1 day."
_OF_TIME = "depends on the time"


def refuse(catalog: Catalog, trees: Iterable[exp.Expr], *, clock: bool) -> None:
    """Raise VS204 for the first function or value in the queries that may differ without a change of the rows.

    clock: functions of time are let through, but no volatile ones.
    """
    for number in catalog.session_values:
        name = _SESSION_VALUES[number] if number < len(_SESSION_VALUES) else f"SQL value function {number}"
        what = "time" if name in _TIME_VALUES else "session"
        if not (clock and what == "time"):
            hint = _TIME_HINT if what == "time" else _ROW_HINT
            raise _error(f"document query depends on the {what}", f"{name} differs from {what} to {what}.", hint)
    for function in catalog.functions:
        require_steady(function, "document query", clock=clock, text="\n".join(q.text for q in catalog.queries))
    for cast in (cast for tree in trees for cast in tree.find_all(exp.Cast)):
        literal = cast.this
        while isinstance(literal, (exp.Cast, exp.Paren)):
            literal = literal.this
        if _is_time(cast) and isinstance(literal, exp.Literal) and literal.name.strip().lower() in _CURRENT_DAY:
            if clock:
                continue
            sql = sql_lexer.shortened(cast.sql(dialect="postgres"), 120)
            raise _error("document query depends on the time", f"It reads the clock: {sql}.", _TIME_HINT)


def require_steady(function: Function, what: str, *, clock: bool, text: str) -> None:
    """Raise VS204 if a function called in a text may answer differently without a change of its arguments."""
    verdict = _verdict(function)
    if verdict is None or (clock and verdict[0] == _OF_TIME):
        return
    message, fact, hint = verdict
    raise _error(f"{what} {message}", f"{function} {fact}. {_where(text, function)}".rstrip(), hint)


def may_read_tables(catalog: Catalog) -> bool:
    """Whether the document calls functions that may read tables on their own."""
    return any(_reads(function) for function in catalog.functions)


def warnings(catalog: Catalog) -> tuple[str, ...]:
    """Sentences about functions that are allowed and may yet hide what the document depends on."""
    return tuple(
        f"{function} is stable: tables and settings that it reads are not followed."
        for function in catalog.functions
        if _reads(function)
    )


def _reads(function: Function) -> bool:
    return function.volatility == "s" and function.schema != "pg_catalog"


def _verdict(function: Function) -> tuple[str, str, str] | None:
    """Message, fact and hint against a function, or None."""
    if function.volatility == "v":
        hint = _ROW_HINT
        if function.schema != "pg_catalog":
            hint = (
                "If its result depends on its arguments alone: "
                f"alter {'procedure' if function.kind == 'p' else 'function'} {function} immutable;"
            )
        return "calls a volatile function", "is declared volatile", hint
    if function.volatility != "s" or function.schema != "pg_catalog":
        return None
    name = function.name
    if name in _TIME or (name, function.arguments) in _TIME_SIGNATURES:
        return _OF_TIME, "differs from time to time", _TIME_HINT
    if name.startswith(_READS_TABLES_PREFIXES):
        return "reads tables that cannot be followed", "reads whole tables by name", _ROW_HINT
    if name in _TEXT_SEARCH:
        hint = f"Name the configuration: {name}('pg_catalog.english', …)."
        return "depends on the session", "follows the setting default_text_search_config", hint
    of_session = name in _SESSION or name.startswith(_SESSION_PREFIXES)
    if of_session and name not in _NOT_OF_THE_SESSION:
        return "depends on the session", "depends on the session or the server", _ROW_HINT
    return None


def _where(text: str, function: Function) -> str:
    found = sql_lexer.call(text, function.name)
    if found is not None:
        return "" if found == str(function) else f"It stands in the query as {sql_lexer.shortened(found, 120)}."
    if function.operators:
        return f"It stands in the query as the operator {function.operators[0]}."
    return ""


def _is_time(cast: exp.Cast) -> bool:
    kind = cast.to
    return kind.this in _TIME_TYPES


def _error(message: str, detail: str, hint: str) -> EngineError:
    return EngineError(message, sqlstate=DOCUMENT_VOLATILE, detail=detail, hint=hint)

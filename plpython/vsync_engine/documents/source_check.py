"""A query as its author wrote it: one SELECT and nothing else, before anything is stored."""

from __future__ import annotations

from sqlglot import exp

from vsync_engine.documents import parser, unsupported
from vsync_engine.foundation import sql_lexer
from vsync_engine.foundation.errors import DOCUMENT_SYNTAX, DOCUMENT_UNSUPPORTED, EngineError

_EXAMPLE = "Write select <key>, <text> as content from <table> where <condition>."
_DEEPEST = 1000


def check(text: str) -> None:
    """Raise unless the text, as its author wrote it, is a SELECT that may be a document, as far as the text tells.

    VS201: no SELECT, several statements, not to be parsed, INTO, FOR UPDATE, placeholders. VS203: a shape that is
    not supported. DETAIL has line and column.
    """
    select = require_select(text)
    _raise(text, unsupported.outermost_refusal(select))
    _check_names(text, select)


def require_select(text: str, *, recursive: bool = False) -> exp.Select:
    """The tree of the text; errors as `check`. recursive: recursive common table expressions are let through."""
    _check_lexemes(text)
    statement = parser.original(text)
    for node in statement.walk():
        if isinstance(node, exp.Into):
            raise _syntax(text, node, ("into",), "writes into a table", "Take INTO out: the document only reads.")
        if isinstance(node, exp.Lock):
            offset = max(lexeme.start for lexeme in sql_lexer.lexemes(text) if lexeme.text.lower() == "for")
            raise parser.at(text, offset, "locks rows", "Take FOR UPDATE or FOR SHARE out.")
        if isinstance(node, exp.Placeholder):
            offset = parser.standing_alone(text, ":", node.this) if node.this else parser.standing_alone(text, "?")
            if offset is not None:  # or else an operator such as <%, taken for a placeholder
                raise parser.at(text, offset, "has a placeholder", "Write the value itself.")
        if isinstance(node, (exp.Insert, exp.Update, exp.Delete, exp.Merge)):
            raise _syntax(text, node, ("insert", "update", "delete", "merge"), "writes", _EXAMPLE)
        if isinstance(node, exp.Parameter):
            detail = f"It is at {sql_lexer.place(text, parser.standing_alone(text, '@') or 0)}."
            raise _unsupported("the prefix operator @", detail, "Write abs(…), or call the operator's function.")
    _raise(text, unsupported.find_refusal(statement, recursive=recursive))
    assert isinstance(statement, exp.Select)
    return statement


def _raise(text: str, refusal: unsupported.Refusal | None) -> None:
    if refusal is not None:
        offset = parser.offset(text, refusal.node, refusal.words)
        raise _unsupported(refusal.what, f"It is at {sql_lexer.place(text, offset)}.", refusal.hint)


def _check_lexemes(text: str) -> None:
    """The statement by the server's own lexical rules: one, a SELECT, no parameters, brackets that match."""
    ended = False
    depth = 0
    first: sql_lexer.Lexeme | None = None
    for lexeme in sql_lexer.lexemes(text):
        if lexeme.text == ";" and lexeme.kind == "symbol":
            ended = True
            continue
        if ended and first is not None:
            raise parser.at(
                text, lexeme.start, "is more than one statement", "Give one SELECT.", "The second one begins at"
            )
        if lexeme.kind == "parameter":
            raise parser.at(text, lexeme.start, "has a placeholder", "Write the value itself.")
        if lexeme.kind == "symbol":
            depth += {"(": 1, ")": -1}.get(lexeme.text, 0)
        if depth < 0:
            raise parser.at(text, lexeme.start, "closes a parenthesis that is not open", "Take it out.")
        if depth > _DEEPEST:
            detail = f"More than {_DEEPEST} parentheses are open at {sql_lexer.place(text, lexeme.start)}."
            raise _unsupported("too many nested parentheses", detail, "Move a part into an immutable SQL function.")
        if first is None and lexeme.text != "(":
            first = lexeme
            if lexeme.text.lower() not in ("select", "with"):
                raise parser.at(text, lexeme.start, "is not a SELECT", _EXAMPLE)
    if first is None:
        raise EngineError(
            "document query is empty", sqlstate=DOCUMENT_SYNTAX, detail="It holds no statement.", hint=_EXAMPLE
        )
    if depth:
        raise parser.at(text, len(text.rstrip()), "does not close a parenthesis", "Close it.", "It is still open at")


def _check_names(text: str, select: exp.Select) -> None:
    seen: set[str] = set()
    for item in select.selects:
        identifier = item.args.get("alias") if isinstance(item, exp.Alias) else item.this
        if not isinstance(identifier, exp.Identifier):
            continue
        name = identifier.name if identifier.args.get("quoted") else identifier.name.lower()
        if name in seen:
            detail = f"The second is at {sql_lexer.place(text, parser.offset(text, item, ()))}."
            raise _unsupported(f'two outputs named "{name}"', detail, "Give one of them another name with AS.")
        seen.add(name)


def _unsupported(what: str, detail: str, hint: str) -> EngineError:
    return EngineError(f"document query has {what}", sqlstate=DOCUMENT_UNSUPPORTED, detail=detail, hint=hint)


def _syntax(text: str, node: exp.Expr, words: tuple[str, ...], what: str, hint: str) -> EngineError:
    return parser.at(text, parser.offset(text, node, words), what, hint)

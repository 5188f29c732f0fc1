"""PostgreSQL's own lexical rules: where strings, comments and quoted names end, and so what a statement holds.

The text of a document goes into a `create view`. Whether it is one statement is decided here, by the rules of
the server's scanner (scan.l, standard_conforming_strings = on), and not by a parser of another dialect.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from vsync_engine.foundation.errors import DOCUMENT_SYNTAX, EngineError

Kind = Literal["word", "quoted", "string", "number", "parameter", "symbol"]

_SPACE = re.compile(r"[ \t\n\r\f\v]+")
_LINE_COMMENT = re.compile(r"--[^\n\r]*")
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_WORD = re.compile(r"[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*")
_NUMBER = re.compile(r"[0-9][0-9A-Za-z_.]*")
_PARAMETER = re.compile(r"\$[0-9]+")
_DOLLAR = re.compile(r"\$(?:[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)?\$")
_QUOTED = re.compile(r'"(?:[^"]|"")*+"')
_PLAIN = re.compile(r"'(?:[^']|'')*+'")
_ESCAPED = re.compile(r"'(?:[^'\\]|''|\\.)*+'", re.DOTALL)
_PATTERNS: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (_WORD, "word"),
    (_NUMBER, "number"),
    (_PARAMETER, "parameter"),
)


@dataclass(frozen=True)
class Lexeme:
    """One piece of SQL that is neither space nor comment: its kind, its text as written, its offset in characters."""

    kind: Kind
    text: str
    start: int

    @property
    def end(self) -> int:
        """The offset after the last character."""
        return self.start + len(self.text)


def place(text: str, offset: int) -> str:
    """Say where an offset is: line and column from 1, and the first words found there."""
    before = text[:offset]
    line = before.count("\n") + 1
    column = offset - (before.rfind("\n") + 1) + 1
    words = " ".join(text[offset : offset + 160].split())
    return f"line {line}, column {column}" + (f', near "{shortened(words, 48)}"' if words else ", at the end")


def shortened(text: str, length: int) -> str:
    """Cut a text that is longer than so many characters and mark the cut."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def lexemes(text: str) -> Iterator[Lexeme]:
    """Cut SQL into lexemes; VS201 for a string, quoted name or comment that does not end."""
    position = 0
    while position < len(text):
        after = _skip_blank(text, position)
        if after > position:
            position = after
            continue
        found = _lexeme(text, position)
        yield found
        position = found.end


def call(text: str, name: str) -> str | None:
    """Return the first call of a function, `name(…)` or `schema.name(…)` as written, or None if there is none."""
    found = list(lexemes(text))
    for index, lexeme in enumerate(found[:-1]):
        if plain_name(lexeme) != name or found[index + 1].text != "(":
            continue
        qualified = index >= 2 and found[index - 1].text == "." and found[index - 2].kind in ("word", "quoted")
        start = found[index - 2].start if qualified else lexeme.start
        depth = 0
        for closing in found[index + 1 :]:
            depth += {"(": 1, ")": -1}.get(closing.text, 0)
            if depth == 0:
                return text[start : closing.end]
    return None


def plain_name(lexeme: Lexeme) -> str | None:
    """Return the identifier that a lexeme spells, as the catalog has it, or None if it is none."""
    if lexeme.kind == "word":
        return lexeme.text.lower()
    return lexeme.text[1:-1].replace('""', '"') if lexeme.kind == "quoted" else None


def _lexeme(text: str, position: int) -> Lexeme:
    character = text[position]
    if character == "'":
        return _literal(text, position, position, _PLAIN)
    if character in "eE" and text[position + 1 : position + 2] == "'":
        return _literal(text, position, position + 1, _ESCAPED)
    if character == '"':
        match = _QUOTED.match(text, position)
        if match is None:
            raise _unterminated("quoted name", text, position, 'Close it with ".')
        return Lexeme("quoted", match[0], position)
    for pattern, kind in _PATTERNS:
        if match := pattern.match(text, position):
            return Lexeme(kind, match[0], position)
    if match := _DOLLAR.match(text, position):
        end = text.find(match[0], match.end())
        if end < 0:
            raise _unterminated("dollar-quoted string", text, position, f"Close it with {match[0]}.")
        return Lexeme("string", text[position : end + len(match[0])], position)
    return Lexeme("symbol", character, position)


def _literal(text: str, start: int, quote: int, pattern: re.Pattern[str]) -> Lexeme:
    """A string and what continues it: a quote on a later line goes on with the rules of the first part."""
    end = quote
    while True:
        match = pattern.match(text, end)
        if match is None:
            raise _unterminated("string", text, start, "Close it with '.")
        following = _continuation(text, match.end())
        if following is None:
            return Lexeme("string", text[start : match.end()], start)
        end = following


def _continuation(text: str, position: int) -> int | None:
    start = position
    while match := _SPACE.match(text, position) or _LINE_COMMENT.match(text, position):
        position = match.end()
    blank = text[start:position]
    continued = ("\n" in blank or "\r" in blank) and text[position : position + 1] == "'"
    return position if continued else None


def _skip_blank(text: str, position: int) -> int:
    if match := _SPACE.match(text, position) or _LINE_COMMENT.match(text, position):
        return match.end()
    if not text.startswith("/*", position):
        return position
    depth = 0
    for edge in _COMMENT_EDGE.finditer(text, position):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    raise _unterminated("comment", text, position, "Close it with */; comments nest.")


def _unterminated(what: str, text: str, position: int, hint: str) -> EngineError:
    return EngineError(
        f"document query has a {what} that does not end",
        sqlstate=DOCUMENT_SYNTAX,
        detail=f"It begins at {place(text, position)}.",
        hint=hint,
    )


def literal(text: str) -> str:
    """A text as an SQL string."""
    return "'" + text.replace("'", "''") + "'"

"""Rules as files: each is a script of `select vsync.create_rule(…)` that psql runs, and that is read back here.

Only values are read, no expressions, so that reading a folder runs nothing of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import orjson

from vsync_admin.errors import CommandError
from vsync_engine.foundation import sql_lexer
from vsync_engine.foundation.errors import EngineError
from vsync_engine.foundation.sql_lexer import Lexeme

_ARGUMENTS = ("name", "embedding", "condition", "action", "params", "priority", "valid_from", "valid_until")
_REQUIRED = _ARGUMENTS[:4]
_PLAIN = re.compile(r"'(?:[^']|'')*'")
_INTEGER = re.compile(r"-?[0-9]+")
_EXAMPLE = "A file has select vsync.create_rule(name => '…', embedding => '…', condition => '…', action => '…');"

Value = str | int | None


@dataclass(frozen=True)
class Rule:
    """A rule as somebody wants it. Times are texts as PostgreSQL reads them."""

    name: str
    embedding: str
    condition: str
    action: str
    params: Mapping[str, Any]
    priority: int = 0
    valid_from: str | None = None
    valid_until: str | None = None
    enabled: bool = True


def read_directory(directory: Path) -> list[Rule]:
    """Return the rules of a folder's `.sql` files, by name; CommandError where one cannot be read."""
    if not directory.is_dir():
        raise CommandError(f"{directory} is no directory", hint="Make it with: vsync rule export DIR")
    found: dict[str, Path] = {}
    rules: list[Rule] = []
    for path in sorted(directory.glob("*.sql")):
        for rule in read_file(path):
            if rule.name in found:
                raise CommandError(
                    f'rule "{rule.name}" is given twice', detail=f"By {found[rule.name]} and {path}.", hint="Keep one."
                )
            found[rule.name] = path
            rules.append(rule)
    return sorted(rules, key=lambda rule: rule.name)


def read_file(path: Path) -> list[Rule]:
    """Return the rules of one file."""
    try:
        text = path.read_bytes().decode()  # line ends as they are
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read {path}", detail=str(error)) from error
    try:
        return _rules(text)
    except EngineError as error:
        raise CommandError(f"{path} is not understood", detail=error.detail, hint=error.hint) from error
    except _NotUnderstoodError as error:
        detail = f"{error.what} at {sql_lexer.place(text, error.start)}."
        raise CommandError(f"{path} is not understood", detail=detail, hint=_EXAMPLE) from error


def file_name(rule: Rule) -> str:
    """Return the name of the file that a rule is exported to."""
    return f"{quote(rule.name, safe='')}.sql"


def script(rule: Rule) -> str:
    """Return the script that makes a rule: what `read_file` reads."""
    given = [
        ("name", _literal(rule.name)),
        ("embedding", _literal(rule.embedding)),
        ("condition", _literal(rule.condition)),
        ("action", _literal(rule.action)),
    ]
    if rule.params:
        given.append(("params", _literal(orjson.dumps(rule.params, option=orjson.OPT_SORT_KEYS).decode())))
    if rule.priority:
        given.append(("priority", str(rule.priority)))
    given += [
        (name, _literal(at))
        for name, at in (("valid_from", rule.valid_from), ("valid_until", rule.valid_until))
        if at is not None
    ]
    arguments = ",\n".join(f"    {name} => {value}" for name, value in given)
    disabled = "" if rule.enabled else f"select vsync.disable_rule({_literal(rule.name)});\n"
    return f"select vsync.create_rule(\n{arguments}\n);\n{disabled}"


def _literal(text: str) -> str:
    if "'" not in text and "\\" not in text:
        return f"'{text}'"
    tag = "$rule$"
    while tag in text + tag[:-1]:
        tag = f"{tag[:-1]}_$"
    return f"{tag}{text}{tag}"


class _NotUnderstoodError(Exception):
    def __init__(self, what: str, start: int) -> None:
        self.what = what
        self.start = start


def _rules(text: str) -> list[Rule]:
    rules: dict[str, Rule] = {}
    for statement in _statements(list(sql_lexer.lexemes(text))):
        start = statement[0].start
        words = [piece.text.lower() for piece in statement[:5]]
        if words[:3] != ["select", "vsync", "."] or words[4:] != ["("] or statement[-1].text != ")":
            raise _NotUnderstoodError("A statement that is no call of create_rule or disable_rule", start)
        given = _arguments(statement[5:-1], start)
        if words[3] == "create_rule":
            rule = _rule(given, start)
            rules[rule.name] = rule
        elif words[3] == "disable_rule" and given.get("name") in rules:
            name = cast("str", given["name"])
            rules[name] = replace(rules[name], enabled=False)
        else:
            raise _NotUnderstoodError(
                "A call of something else, or disable_rule of a rule that the file has not", start
            )
    return list(rules.values())


def _statements(found: Sequence[Lexeme]) -> Iterator[list[Lexeme]]:
    statement: list[Lexeme] = []
    for piece in found:
        if piece.text != ";":
            statement.append(piece)
        elif statement:
            yield statement
            statement = []
    if statement:
        yield statement


def _arguments(pieces: Sequence[Lexeme], start: int) -> dict[str, Value]:
    given: dict[str, Value] = {}
    for place, argument in enumerate(_split(pieces)):
        name, value = _ARGUMENTS[place] if place < len(_ARGUMENTS) else "", argument
        if [piece.text for piece in argument[1:3]] == ["=", ">"]:
            name, value = argument[0].text.lower(), argument[3:]
        if name not in _ARGUMENTS or name in given:
            raise _NotUnderstoodError(f'An argument "{name}" that create_rule has not, or twice', start)
        given[name] = _value(value, start)
    return given


def _split(pieces: Sequence[Lexeme]) -> Iterator[list[Lexeme]]:
    argument: list[Lexeme] = []
    for piece in pieces:
        if piece.text == ",":
            yield argument
            argument = []
        else:
            argument.append(piece)
    if argument:
        yield argument


def _value(pieces: Sequence[Lexeme], start: int) -> Value:
    """A text, a whole number or null; a cast behind it says nothing new."""
    texts = [piece.text for piece in pieces]
    if ":" in texts:
        pieces = pieces[: texts.index(":")]
    written = "".join(piece.text for piece in pieces)
    place = pieces[0].start if pieces else start
    if len(pieces) == 1 and pieces[0].kind == "string":
        if written.startswith("$"):
            tag = written[: written.index("$", 1) + 1]
            return written[len(tag) : -len(tag)]
        if _PLAIN.fullmatch(written):
            return written[1:-1].replace("''", "'")
    if _INTEGER.fullmatch(written):
        return int(written)
    if written.lower() == "null":
        return None
    raise _NotUnderstoodError("What is no plain text, number or null", place)


def _rule(given: Mapping[str, Value], start: int) -> Rule:
    for name in _REQUIRED:
        if not isinstance(given.get(name), str):
            raise _NotUnderstoodError(f'A rule without a text "{name}"', start)
    try:
        params = orjson.loads(str(given.get("params") or "{}"))
    except orjson.JSONDecodeError as error:
        raise _NotUnderstoodError(f"Params that are not JSON ({error})", start) from error
    if not isinstance(params, dict) or not isinstance(given.get("priority", 0), int):
        raise _NotUnderstoodError("Params that are no object, or a priority that is no number", start)
    return Rule(**{**given, "params": cast("dict[str, Any]", params)})  # type: ignore[arg-type]

"""Checks the SQL files for the conventions that no linter sees inside function bodies; exit status 1 if any fails."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

SQL = Path(__file__).resolve().parent.parent / "sql"
LONGEST_FILE = 300

# Comments, literals, quoted names: what may hold capitals. A body's dollar quotes are no literal here.
_QUIET = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"", re.DOTALL)
_KEYWORD = re.compile(
    r"\b(ALTER|AND|AS|BEGIN|BY|CALL|CASE|COMMENT|CREATE|DECLARE|DEFAULT|DELETE|DISTINCT|DO|DROP|ELSE|END|EXCEPTION|"
    r"EXECUTE|EXISTS|FALSE|FOR|FROM|FUNCTION|GRANT|GROUP|IF|IN|INSERT|INTO|IS|JOIN|LANGUAGE|LIMIT|LOOP|NOT|NULL|ON|"
    r"OR|ORDER|PERFORM|RAISE|RETURN|RETURNING|RETURNS|REVOKE|SELECT|SET|TABLE|THEN|TRUE|UNION|UPDATE|USING|VALUES|"
    r"VIEW|WHEN|WHERE|WITH)\b"
)
_PYTHON_BODY = re.compile(r"\$py\$.*?\$py\$", re.DOTALL)
_CONCATENATED = re.compile(r"\bexecute\s+(?:'(?:[^']|'')*'|\w+)\s*\|\|", re.IGNORECASE)
# a column or parameter that PostgreSQL 16 to 18 take for a keyword, and 15 does not
_RESERVED = re.compile(
    r"[(,]\s*(json(?:_(?:array|arrayagg|exists|object|objectagg|query|scalar|serialize|table|value))?|merge_action|system_user|xmltext)\s+\w"
)


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def findings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line number and complaint."""
    text = path.read_text(encoding="utf-8")
    code = _QUIET.sub(_blank, _PYTHON_BODY.sub(_blank, text))
    for match in _KEYWORD.finditer(code):
        yield code.count("\n", 0, match.start()) + 1, f"keyword in capitals: {match[0]}"
    for match in _CONCATENATED.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, "SQL concatenated for execute: use format() and using"
    for match in _RESERVED.finditer(code):
        yield code.count("\n", 0, match.start(1)) + 1, f"a keyword of later majors: {match[1]}"
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        if line != line.rstrip() or "\t" in line:
            yield number, "tab or space at the end of the line"
    if len(lines) > LONGEST_FILE:
        yield len(lines), f"longer than {LONGEST_FILE} lines"


def unlisted() -> Iterator[str]:
    """Yield the files that the table of contents does not name."""
    contents = (SQL / "install.sql").read_text(encoding="utf-8")
    for path in sorted(SQL.rglob("*.sql")):
        name = str(path.relative_to(SQL))
        if name != "install.sql" and not name.startswith("upgrade/") and f"\\ir {name}\n" not in contents:
            yield name


def misplaced() -> Iterator[str]:
    """Yield the files that the table of contents names too late: foundation, tables, then the stages in their order."""
    contents = (SQL / "install.sql").read_text(encoding="utf-8")
    names = [line.removeprefix("\\ir ") for line in contents.splitlines() if line.startswith("\\ir ")]
    places = [
        (0 if name.startswith("00_") else 1 if name.endswith("/tables.sql") else 2, name.partition("/")[0])
        for name in names
    ]
    yield from (name for name, place, before in zip(names[1:], places[1:], places, strict=False) if place < before)


def main() -> int:
    """Print every finding."""
    complaints = [f"sql/{name}: not named in install.sql" for name in unlisted()]
    complaints += [f"sql/install.sql: {name} comes after a later stage" for name in misplaced()]
    for path in sorted(SQL.rglob("*.sql")):
        complaints += [f"sql/{path.relative_to(SQL)}:{number}: {text}" for number, text in findings(path)]
    sys.stdout.write("".join(f"{complaint}\n" for complaint in complaints))
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())

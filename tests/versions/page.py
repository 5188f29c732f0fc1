"""The tables of shapes in docs/reference/documents.md, made from the list that the tests hold against a server."""

from pathlib import Path

from .shapes import REFUSED, SUPPORTED

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/documents.md"
_LEAD = """\
# Documents

A document query is one SELECT. vsync reads it as the server stored it and finds out which rows of which tables it depends on; a change to
any of them refreshes the documents that read it, and no others. `select * from vsync.explain_embedding('name')` shows what was found.
This page is written by `python -m tests.versions` from the list of shapes that the tests hold against a server.

## What a document needs

- The **root** is the first table of FROM; where that is a view or a subquery, the first table of its FROM. It has a primary key, and the
  select list carries the whole key as plain columns.
  The type of each column of the key is compared by built-in operators: `ltree`, `citext` and others of extensions are refused.
- One row for each key, with an output named `content` that is text. Further outputs are for rules.
- Every other table has a **path** to the root: equalities that lead from its rows to the root's key. Views, common table expressions and
  subqueries are opened on the way, and each mention of a table has a path of its own.

## Which equalities count

- A conjunct of WHERE or ON, `USING`, `NATURAL`, or `IN (SELECT …)`: `a.x = b.y`, not under OR or NOT. Either side is a column, or any
  expression over columns of one table, such as `lower(c.code)` or `(p.info #>> '{a,b}')::int`. `IS NOT DISTINCT FROM` counts, too.
- Where no equality leads on: `= ANY (array)`, `IN (a, b)`, and the operators `@>`, `<@`, `&&`, `?`, `?|` and `?&` over columns of two tables.
- WHERE and the ON of an inner join count for all tables below them; the ON of a left join for its right side only.
- In a subquery or LATERAL, an equality with a column of the outer query leads outwards, wherever the subquery stands.
- An equality with an output of a subquery or view leads out of it if its rows can be chosen by that output beforehand: there is no LIMIT, and the
  output is in its GROUP BY, its DISTINCT ON and the PARTITION BY of its window functions.
- At the top, GROUP BY, DISTINCT ON and PARTITION BY have the root's key in them.

Only columns that the document uses count, and those on the path; a whole row (`c::text`, `row_to_json(c)`) counts every column. A document
that joins a table on columns that are not unique is accepted with a warning: it may return several rows for one key (`VS206`).

## Options

| option | meaning |
|---|---|
| `depends_on` | declares what cannot be found: a list of `{"relation": "schema.table", "query": "select <root key> from changed …"}`. The query reads the changed rows of the table as `changed`, with the columns it names; other tables are named with their schema. It may be recursive (`with recursive … union …`, which ends in a cycle of rows), as for a tree of parents |
| `refresh_every` | an interval, such as `1 day`: functions of time (`now()`, `current_date`, `age(x)`) are let through, and documents are looked at again so often |

"""  # noqa: E501


def page() -> str:
    """The whole text of docs/reference/documents.md."""
    lines = ["## Supported", "", "| shape | reads | by the path |", "|---|---|---|"]
    for shape in SUPPORTED:
        for number, read in enumerate(shape.reads or (None,)):
            if shape.shown:
                title = shape.title if number == 0 else ""
                table = f"`{read.table}`" if read else ""
                lines.append(f"| {title} | {table} | {' → '.join(map(_code, read.path)) if read else ''} |")
    lines += ["", "As SQL:", "", "```sql"]
    for shape in SUPPORTED:
        if shape.shown:
            lines += [f"-- {shape.title}", f"{shape.query};"]
    lines += ["```", "", "## Refused", "", "| shape | SQLSTATE | for instance |", "|---|---|---|"]
    lines += [f"| {shape.title} | `{shape.sqlstate}` | {_code(shape.query)} |" for shape in REFUSED if shape.shown]
    return _LEAD + "\n".join(lines) + "\n"


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")

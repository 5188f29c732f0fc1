"""The tables that histories and key tests run over: a shape is a table, its key and keys to put into it, a document."""

from dataclasses import dataclass

BODY = "title text, body text, live boolean default true, hits int"


@dataclass(frozen=True, repr=False)
class Shape:
    """keys: SQL of rows of key columns, each as it stands between parentheses; equal keys stand side by side.

    setup and teardown: what the table needs beside itself. leaves: partitions and the keys (by number) they hold.
    """

    name: str
    create: str
    root: str
    columns: tuple[str, ...]
    keys: tuple[str, ...]
    document: str
    schema: str = "public"
    outputs: tuple[str, ...] | None = None
    drop: str = ""
    chunk: dict[str, int] | None = None
    leaves: tuple[tuple[str, tuple[int, ...]], ...] = ()
    detachable: tuple[tuple[str, str, str], ...] = ()  # parent, partition, bound

    def __repr__(self) -> str:
        return f"<{self.name}>"

    @property
    def key(self) -> tuple[str, ...]:
        return self.outputs or self.columns


CONTENT = "title || body as content"


def _simple(name: str, kind: str, keys: tuple[str, ...], before: str = "select", drop: str = "") -> Shape:
    return Shape(
        name,
        f"{before}; create table {name}_t (id {kind} primary key, {BODY})",
        f"{name}_t",
        ("id",),
        keys,
        f"select id, {CONTENT} from {name}_t where live",
        drop=drop,
    )


TEXT_KEYS = ("''", "'a'", "'it''s'", "'\"q\"'", r"e'\\\n\t'", "'{a,b}'", "'ünï 😀'", "' lead'", "'[1]'", "'null'")
DATES = ("'2024-02-03'", "'2024-03-02'", "'0044-03-15 BC'", "'infinity'", "'99999-01-02'", "'1999-12-31'")
MOMENTS = (
    "'2024-02-03 04:05:06.789012+00'",
    "'2024-03-02 04:05:06+05:30'",
    "'2024-10-27 00:30:00+00'",
    "'2024-10-27 01:30:00+00'",
    "'-infinity'",
    "'0044-03-15 12:00:00+00 BC'",
)

SHAPES = (
    _simple("plain", "bigint", ("1", "2", "-3", "9223372036854775807", "-9223372036854775808", "10", "11", "20", "0")),
    _simple("worded", "text", TEXT_KEYS),
    _simple("moments", "timestamptz", MOMENTS),
    _simple("dates", "date", DATES),
    _simple("numbers", "numeric", ("1", "1.0", "2.50", "2.5", "-1e20", "0.00000000000000000001", "'NaN'", "0", "-7")),
    _simple("floats", "float8", ("0.1", "0.30000000000000004", "1e300", "'-infinity'", "'NaN'", "-5e-324", "3")),
    _simple("spans", "interval", ("'1 mon'", "'30 days'", "'-1 year 3 days'", "'12:34:56.789'", "'1 day'", "'0'")),
    _simple("blobs", "bytea", (r"'\x'", r"'\x00ff'", r"'\x5c78'", r"'\x27'", r"'\x41'", r"'\x0041'")),
    _simple("short", "character(4)", ("'a'", "'b'", "'it''s'", "''", "'1'", "'ab c'")),
    _simple(
        "ids",
        "uuid",
        tuple(f"'{digit * 8}-0000-4000-8000-00000000000{digit}'" for digit in "0123456789abcdef"[:9]),
    ),
    _simple(
        "moods",
        "mood",
        ("'happy'", "'so so'", "'Sad'", "'it''s'", "'a,b'"),
        before="create type mood as enum ('happy', 'so so', 'Sad', 'it''s', 'a,b')",
        drop="drop type if exists mood",
    ),
    _simple(
        "checked",
        '"Dom Ain"',
        ("1", "2", "3", "40", "50", "60"),
        before='create domain "Base" as int check (value > 0); create domain "Dom Ain" as "Base" check (value < 100)',
        drop='drop domain if exists "Dom Ain"; drop domain if exists "Base"',
    ),
    Shape(
        "pairs",
        f"create table pairs_t (a int, b text, {BODY}, primary key (b, a))",
        "pairs_t",
        ("a", "b"),
        tuple(f"{i % 3}, {text}" for i, text in enumerate(TEXT_KEYS)),
        f"select b, {CONTENT}, a from pairs_t where live",
    ),
    Shape(
        "timed",
        f"create table timed_t (at timestamptz, span interval, day date, {BODY}, primary key (at, span, day))",
        "timed_t",
        ("at", "span", "day"),
        tuple(f"{at}, '{i} days 01:02:03', {day}" for i, (at, day) in enumerate(zip(MOMENTS, DATES, strict=True))),
        f"select at, span, day, {CONTENT} from timed_t where live",
    ),
    Shape(
        "quoted",
        f'create schema "Sche ma"; create table "Sche ma"."My ""Table" ("Key Col" int, "select" text, "%s" uuid,'
        f' {BODY}, primary key ("Key Col", "select", "%s"))',
        '"Sche ma"."My ""Table"',
        ('"Key Col"', '"select"', '"%s"'),
        tuple(f"{i % 4}, {text}, '{i % 3 + 1:08d}-0000-4000-8000-000000000000'" for i, text in enumerate(TEXT_KEYS)),
        f'select "Key Col", "select" as "Se""lected", "%s" as "$1", {CONTENT} from "Sche ma"."My ""Table" where live',
        schema="Sche ma",
        outputs=("Key Col", 'Se"lected', "$1"),
        drop='drop schema if exists "Sche ma" cascade',
    ),
    Shape(
        "chunked",
        f"create table chunked_t (id int primary key, {BODY})",
        "chunked_t",
        ("id",),
        tuple(map(str, range(6))),
        "select id, repeat(title, 3) || e'\\n\\n' || body || e'\\n\\n' || repeat(body, 4) || e'\\n\\nthe end of it'"
        " as content from chunked_t where live",
        chunk={"tokens": 24, "overlap": 6},
    ),
    Shape(
        "ranged",
        f"""create table ranged_t (id int primary key, {BODY}) partition by range (id);
        create table ranged_a partition of ranged_t for values from (0) to (5);
        create table ranged_b partition of ranged_t for values from (5) to (10)""",
        "ranged_t",
        ("id",),
        tuple(map(str, range(10))),
        f"select id, {CONTENT} from ranged_t where live",
        leaves=(("ranged_a", (0, 1, 2, 3, 4)), ("ranged_b", (5, 6, 7, 8, 9))),
        detachable=(("ranged_t", "ranged_b", "for values from (5) to (10)"),),
    ),
    Shape(
        "listed",
        f"""create table listed_t (region text, id int, {BODY}, primary key (region, id)) partition by list (region);
        create table listed_x partition of listed_t for values in ('x') partition by range (id);
        create table listed_x1 (id int, live boolean default true, hits int, region text not null, title text,
            body text, primary key (region, id));
        alter table listed_x attach partition listed_x1 for values from (0) to (3);
        create table listed_x2 partition of listed_x default;
        create table listed_y partition of listed_t for values in ('y', 'z')""",
        "listed_t",
        ("region", "id"),
        tuple(f"'{region}', {i}" for i in (1, 2, 5) for region in "xyz"),
        f"select region, id, {CONTENT} from listed_t where live",
        leaves=(("listed_x", (0, 3, 6)), ("listed_x1", (0, 3)), ("listed_x2", (6,)), ("listed_y", (1, 2, 4, 5, 7, 8))),
        detachable=(
            ("listed_x", "listed_x1", "for values from (0) to (3)"),
            ("listed_t", "listed_x", "for values in ('x')"),
            ("listed_t", "listed_y", "for values in ('y', 'z')"),
        ),
    ),
)

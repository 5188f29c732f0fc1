"""Many keys marked at once: where no mark is among them, and where another session marks some of them first."""

from typing import Any

import pytest

from fix_cluster import Connect, Connection
from races.steps import blocked, in_background, run, scalar, wait_until

_MANY = 300
_MARK = "select vsync_internal.mark(1, %s, %s, clock_timestamp(), 1)"
_DECIDED = """
select vsync_internal.mark(%(version)s, k.keys, 7, '2026-01-01 12:00+00', 1, k.decisions)
from (select array_agg(i::text) as keys, array_agg(row(
        (array['skip', 'defer', 'exclude', 'refresh', null])[1 + i %% 5], i, null, '2026-01-02 12:00+00',
        6, i %% 3, '{}')::vsync_internal.decision) as decisions
    from generate_series(1, %(count)s) as i group by i / %(page)s) as k
"""


def _keys(first: int, number: int = _MANY) -> list[str]:
    return [f"{key:05}" for key in range(first, first + number)]


def _marked(s: Connection) -> dict[str, tuple[Any, ...]]:
    return {row[0]: row[1:] for row in run(s, "select key, generation, since from vsync_internal.marks")}


@pytest.mark.parametrize("overlap", [1, 150, 300])
def test_keys_that_another_session_marks_at_the_same_time_are_marked_once_for_both(
    items: Connection, connect: Connect, overlap: int
) -> None:
    first, second = connect(autocommit=False), connect()
    assert scalar(first, _MARK, _keys(0), 1001) == _MANY
    other = _keys(_MANY - overlap)
    marking = in_background(lambda: scalar(second, _MARK, other, 1002))
    wait_until(lambda: blocked(items, second), "both are at one key")
    first.commit()
    assert marking.result(60) == _MANY
    marked = _marked(items)
    assert sorted(marked) == _keys(0, 2 * _MANY - overlap)
    assert {marked[key] for key in other[:overlap]} == {(1002, 1001)}
    assert {marked[key] for key in other[overlap:]} == ({(1002, 1002)} if overlap < _MANY else set())


def test_keys_among_which_some_are_marked_are_marked_again(items: Connection) -> None:
    assert scalar(items, _MARK, ["00100", "00200"], 1001) == 2
    assert scalar(items, _MARK, _keys(0), 1002) == _MANY
    marked = _marked(items)
    assert sorted(marked) == _keys(0)
    assert {key for key, generations in marked.items() if generations == (1002, 1001)} == {"00100", "00200"}


def test_keys_given_twice_are_marked_once(items: Connection) -> None:
    assert scalar(items, _MARK, _keys(0) * 2, 1001) == _MANY
    assert len(_marked(items)) == _MANY


def test_many_keys_are_marked_as_few_are(items: Connection) -> None:
    for version, page in ((1, _MANY * 2), (2, 50)):
        items.execute(_DECIDED, {"version": version, "count": _MANY, "page": page})
    query = "select to_jsonb(m) - 'version_id' from vsync_internal.marks as m where version_id = {} order by key"
    assert len(rows := run(items, query.format(1))) == _MANY
    assert rows == run(items, query.format(2))


def test_pages_are_expanded_one_a_transaction(items: Connection) -> None:
    for keys in (["2"], ["1"]):
        items.execute(
            "insert into vsync_internal.pages (version_id, generation, captured_at, keys) values (1, 7, now(), %s)",
            [keys],
        )
    assert scalar(items, "select vsync_internal.expand()") == 1
    assert sorted(_marked(items)) == ["2"]
    assert scalar(items, "select vsync_internal.expand()") == 1
    assert scalar(items, "select vsync_internal.expand()") == 0

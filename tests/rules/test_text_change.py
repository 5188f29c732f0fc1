"""How much of a text differs, held against the formula computed in the plainest way."""

from collections import Counter
from itertools import pairwise
from time import monotonic
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import Connection

from shop import run, value


def formula(a: str | None, b: str | None) -> float:
    """Return 1 - 2c / (m + n) over the sequences of three characters."""
    padded = [f"  {text or ''}  " for text in (a, b)]
    if padded[0] == padded[1]:
        return 0
    if not a or not b:
        return 1
    first, second = (Counter(text[i : i + 3] for i in range(len(text) - 2)) for text in padded)
    return 1 - 2 * sum((first & second).values()) / (first.total() + second.total())


def asked(db: Connection[Any], a: str | None, b: str | None) -> float:
    return value(db, "select vsync.text_change(%s, %s)", a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("", ""),
        (None, None),
        (None, ""),
        (None, "x"),
        ("x", None),
        ("a", "b"),
        ("a", "aa"),
        ("aaaa", "aaa"),
        ("abab", "baba"),
        (" ", "  "),
        ("the quick brown fox", "the quick brown dog"),
        ("one two three", "three two one"),
        ("Straße 7", "Strasse 7"),
        ("日本語の文章", "日本語の長い文章"),
        ("x" * 50 + "y" + "x" * 50, "x" * 50 + "z" + "x" * 50),
        ("abcabcabc", "abcabc"),
    ],
)
def test_examples(db: Connection[Any], a: str | None, b: str | None) -> None:
    assert asked(db, a, b) == pytest.approx(formula(a, b), abs=1e-12)


def test_random(db: Connection[Any]) -> None:
    texts = st.text(st.sampled_from("ab é."), max_size=14)

    @given(texts, texts, texts, texts)
    def check(head: str, a: str, b: str, tail: str) -> None:
        first, second = head + a + tail, head + b + tail
        found = asked(db, first, second)
        assert found == pytest.approx(formula(first, second), abs=1e-12)
        assert found == asked(db, second, first)
        assert 0 <= found <= 1

    check()


def test_small_edits_add_up(db: Connection[Any]) -> None:
    texts = ["word " * 200 + "end " * i for i in range(6)]
    from_first = [asked(db, texts[0], text) for text in texts]
    assert all(a < b for a, b in pairwise(from_first))
    assert all(asked(db, a, b) < 0.01 for a, b in pairwise(texts))


def test_what_long_texts_have_in_common_at_both_ends_costs_little(db: Connection[Any]) -> None:
    long, short = "lorem ipsum dolor " * 20_000, "dolor sit amet, " * 9_000

    def seconds(a: str, b: str) -> float:
        before = monotonic()
        assert asked(db, a, b) > 0
        return monotonic() - before

    assert asked(db, long + "a" + long, long + "b" + long) < 1e-4
    edited = min(seconds(long + "a" + long, long + "b" + long) for _ in range(5))
    rewritten = min(seconds(short, short[::-1]) for _ in range(5))
    assert edited < rewritten  # a fifth as long, and nothing in common


def test_equal_by_collation_is_not_equal(db: Connection[Any]) -> None:
    run(db, "create collation sloppy (provider = icu, locale = 'und-u-ks-level1', deterministic = false)")
    assert value(db, "select vsync.text_change('résumé' collate sloppy, 'resume' collate sloppy)") > 0


@pytest.mark.parametrize(
    ("old", "new", "columns", "answer"),
    [
        ("(1, 'a', null)", "(1, 'a', null)", ["id", "title", "price"], False),
        ("(1, 'a', null)", "(1, 'a', 3)", ["id", "title"], False),
        ("(1, 'a', null)", "(1, 'a', 3)", ["title", "price"], True),
        ("(1, 'a', 2)", "(1, 'b', 2)", ["title"], True),
        (None, "(1, 'b', 2)", ["title"], True),
    ],
)
def test_changed(db: Connection[Any], old: str | None, new: str, columns: list[str], answer: bool) -> None:
    run(db, "create table things (id int, title text, price int)")
    before = f"row{old}::things" if old else "null::things"
    assert value(db, f"select vsync.changed(row{new}::things, {before}, variadic %s)", columns) is answer

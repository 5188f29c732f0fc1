"""Chunks stay within their size, lose nothing, and change only near an edit."""

import itertools
import re
from functools import cache
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from fix_models import package_texts, tiny_tokenizer
from vsync_engine.foundation.errors import EngineError
from vsync_engine.models import watchdog
from vsync_engine.models.embedder import Model, ModelSpec, inspect
from vsync_engine.refresh import chunking

TINY = tiny_tokenizer()


@cache
def paragraphs() -> tuple[str, ...]:
    return tuple(" ".join(text.split()) for text in package_texts(300))


@cache
def words() -> tuple[str, ...]:
    return tuple(" ".join(paragraphs()).split())


@pytest.fixture(scope="module")
def tokenizer(minilm: Path) -> Tokenizer:
    return Model.load(inspect(str(minilm), {})[0], threads=1).tokenizer


def count(tokenizer: Tokenizer, text: str) -> int:
    return len(tokenizer.encode(text, add_special_tokens=False).ids)


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


PIECES = st.lists(st.one_of(st.text(max_size=60), st.sampled_from([" ", "\n", "\n\n", ". ", "\r\n", "😀", "é"])))


@given(PIECES.map("".join), st.integers(8, 40), st.data())
def test_bound_order_and_nothing_lost(text: str, tokens: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, tokens // 2))
    chunks = chunking.split(text, TINY, tokens=tokens, overlap=overlap)
    bare = chunking.split(text, TINY, tokens=tokens, overlap=0)
    assert chunks
    if not text.strip():
        assert chunks == [text]
        return
    assert all(count(TINY, part) <= tokens and part.strip() for part in chunks)
    assert squeezed("".join(bare)) == squeezed(text)
    position = 0
    for part in chunks:
        found = text.find(part, position)
        assert found >= 0
        position = found


def test_overlap_is_the_end_of_the_chunk_before(tokenizer: Tokenizer) -> None:
    text = "\n\n".join(paragraphs()[:40])
    chunks = chunking.split(text, tokenizer, tokens=100, overlap=20)
    overlaps = 0
    for before, after in itertools.pairwise(chunks):
        shared = max(size for size in range(len(before) + 1) if after.startswith(before[len(before) - size :]))
        assert count(tokenizer, before[len(before) - shared :]) <= 20
        overlaps += count(tokenizer, before[len(before) - shared :]) >= 15
    assert overlaps > 0.8 * len(chunks)
    assert max(count(tokenizer, part) for part in chunks) <= 100


def test_short_and_blank_texts(tokenizer: Tokenizer) -> None:
    assert chunking.split("", tokenizer, tokens=50, overlap=5) == [""]
    assert chunking.split(" \n ", tokenizer, tokens=50, overlap=5) == [" \n "]
    assert chunking.split("  one line \n", tokenizer, tokens=50, overlap=5) == ["one line"]


@cache
def chunks_of(tokenizer: Tokenizer, text: str, tokens: int, overlap: int) -> frozenset[str]:
    return frozenset(chunking.split(text, tokenizer, tokens=tokens, overlap=overlap))


def changed(tokenizer: Tokenizer, before: str, after: str, tokens: int, overlap: int) -> tuple[int, int]:
    """Return how many chunks the edit made new, and how many there are."""
    old = chunks_of(tokenizer, before, tokens, overlap)
    new = chunking.split(after, tokenizer, tokens=tokens, overlap=overlap)
    return sum(part not in old for part in new), len(new)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 7), st.integers(0, 29), st.sampled_from(["", "Short.", "insert", "longer", "one word"]))
def test_an_edited_paragraph_changes_the_chunks_around_it(
    tokenizer: Tokenizer, start: int, place: int, edit: str
) -> None:
    before = list(paragraphs()[start * 30 : start * 30 + 30])
    after = list(before)
    if edit == "insert":
        after.insert(place, "A paragraph that was not there before.")
    elif edit == "longer":
        after[place] += " And now it says more, in a sentence at its end, than it used to say."
    elif edit == "one word":
        after[place] = f"Edited {after[place]}"
    else:
        after[place] = edit
    new, total = changed(tokenizer, "\n\n".join(before), "\n\n".join(after), 64, 8)
    assert new <= 10
    assert total > 40


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1199), st.integers(0, 2), st.integers(0, 12))
def test_an_edit_in_a_text_without_structure(tokenizer: Tokenizer, place: int, taken: int, given_: int) -> None:
    before = [word.strip(".!?") for word in words()[:1200]]
    after = before[:place] + ["added"] * given_ + before[place + taken :]
    new, total = changed(tokenizer, " ".join(before), " ".join(after), 50, 5)
    assert new <= 16
    assert total > 25


@pytest.mark.parametrize(("joint", "unit"), [("\n\n", "paragraphs"), (" ", "words")])
def test_edits_change_few_chunks_on_average(tokenizer: Tokenizer, joint: str, unit: str) -> None:
    before = list(paragraphs()[:30]) if unit == "paragraphs" else [word.strip(".!?") for word in words()[:1200]]
    news: list[int] = []
    for place in range(0, len(before), len(before) // 12):
        after = [*before[:place], before[place] + " more of it, in nine words than there were", *before[place + 1 :]]
        news.append(changed(tokenizer, joint.join(before), joint.join(after), 50, 5)[0])
    assert sum(news) / len(news) <= 6


def test_repeated_lines_and_one_endless_word(tokenizer: Tokenizer) -> None:
    lines = chunking.split("the same line again\n" * 2000, tokenizer, tokens=64, overlap=8)
    assert max(count(tokenizer, part) for part in lines) <= 64
    blob = chunking.split("Begin. " + "0a1b2c3d" * 500 + " End.", TINY, tokens=64, overlap=8)
    assert max(count(TINY, part) for part in blob) <= 64


def test_lone_surrogates(tokenizer: Tokenizer) -> None:
    assert chunking.split("a\ud800b " * 200, tokenizer, tokens=32, overlap=4)


@pytest.fixture(scope="module")
def spec(tiny_model: Path) -> ModelSpec:
    return inspect(str(tiny_model), {"max_tokens": 110, "passage_prefix": "abcdefgh"})[0]


@pytest.mark.parametrize(
    "options", [{"tokens": 8}, {"tokens": 100, "overlap": 50}, {"tokens": 100, "overlap": 0}, {"tokens": 9}]
)
def test_good_options(spec: ModelSpec, options: dict[str, object]) -> None:
    chunking.validate(options, spec)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"tokens": 100, "overlop": 1}, 'Did you mean "overlap"?'),
        ({}, "from 8 to 100"),
        ({"tokens": 7}, "from 8 to 100"),
        ({"tokens": 101}, "from 8 to 100"),
        ({"tokens": "50"}, "from 8 to 100"),
        ({"tokens": True}, "from 8 to 100"),
        ({"tokens": 20.0}, "from 8 to 100"),
        ({"tokens": 50, "overlap": 26}, "from 0 to 25"),
        ({"tokens": 50, "overlap": -1}, "from 0 to 25"),
        ({"tokens": 50, "overlap": None}, "from 0 to 25"),
    ],
)
def test_bad_options(spec: ModelSpec, options: dict[str, object], hint: str) -> None:
    with pytest.raises(EngineError) as caught:
        chunking.validate(options, spec)
    assert caught.value.sqlstate == "VS001"
    assert hint in caught.value.hint


def test_a_model_that_reads_too_little_for_chunks(tiny_model: Path) -> None:
    spec, _ = inspect(str(tiny_model), {"max_tokens": 9})
    with pytest.raises(EngineError, match="too little"):
        chunking.validate({"tokens": 8}, spec)


class Recorder:
    """A tokenizer that adds up how many characters it was given."""

    def __init__(self) -> None:
        self.characters = 0
        self.longest = 0

    def encode(self, text: str, add_special_tokens: bool = True) -> object:
        self.characters += len(text)
        self.longest = max(self.longest, len(text))
        return TINY.encode(text, add_special_tokens=add_special_tokens)

    def encode_batch(self, texts: list[str], add_special_tokens: bool = True) -> object:
        self.characters += sum(map(len, texts))
        return TINY.encode_batch(texts, add_special_tokens=add_special_tokens)


ENDLESS = {
    "one letter": "a" * 40_000,
    "hexadecimal": "".join(f"{i * 2654435761 % 2**32:08x}" for i in range(5_000)),
    "punctuation": "." * 40_000,
    "combining marks": "e\u0301" * 20_000,
    "one character of many marks": "e" + "\u0301" * 20_000,
    "joined emoji": "\U0001f468\u200d\U0001f469\u200d" * 10_000,
    "ideographs": "日本語文書検索" * 5_000,
    "flags": "\U0001f1e9\U0001f1ea" * 10_000,
    "one word": "same " * 20_000,
    "blank lines": "ab" * 100 + "\n \n" * 10_000 + "ab" * 100,
    "spaces": ("x" * 60 + " " * 2_000) * 20,
}


@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS)
def test_a_text_without_a_place_to_cut_is_split_in_linear_time(text: str) -> None:
    recorder = Recorder()
    chunks = chunking.split(text, cast("Tokenizer", recorder), tokens=64, overlap=0)
    assert all(count(TINY, part) <= 64 and part.strip() for part in chunks)
    assert squeezed("".join(chunks)) == squeezed(text)
    assert recorder.characters <= 60 * len(text)


def test_a_cut_inside_a_run_does_not_divide_a_character() -> None:
    for text in ("e\u0301\u0302" * 5_000, "\U0001f468\u200d\U0001f469" * 5_000, "\U0001f44d\U0001f3fd" * 5_000):
        chunks = chunking.split(text, TINY, tokens=64, overlap=0)
        assert not [part for part in chunks if part[0] in "\u0301\u0302\u200d\U0001f3fd" or part[-1] == "\u200d"]


def test_text_longer_than_a_segment_is_split_as_if_tokenised_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n\n".join(paragraphs()[:60])
    expected = chunking.split(text, TINY, tokens=64, overlap=8)
    monkeypatch.setattr(chunking, "_ENCODED", 500)
    assert chunking.split(text, TINY, tokens=64, overlap=8) == expected


def test_a_cancel_ends_a_split_between_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter(range(1_000_000))
    monkeypatch.setattr(watchdog, "is_cancelled", lambda: next(looks) == 20)
    with pytest.raises(EngineError) as caught:
        chunking.split("a" * 100_000, TINY, tokens=64, overlap=8)
    assert caught.value.sqlstate == "57014"
    assert next(looks) == 21

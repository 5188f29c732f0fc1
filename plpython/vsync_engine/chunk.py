"""Long texts cut into chunks, so that an edit changes the chunks around it and leaves all others byte for byte.

Where a chunk ends usually depends on where the one before it ended, so that one edit shifts every chunk after it. Here
the text is first cut into groups at places found by content alone: a piece (paragraph, line, sentence or word) starts a
group when its hash is the lowest of all pieces within some tokens before and after it. The library then splits each
group for itself.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence

from semantic_text_splitter import TextSplitter

from vsync_engine import files
from vsync_engine.errors import INVALID_ARGUMENT, EngineError, unknown_option
from vsync_engine.layout import TOKENIZER, ModelSpec
from vsync_engine.model import well_formed
from vsync_engine.native import tokenizers

OPTIONS = ("overlap", "tokens")
LEAST_TOKENS = 8
# A group's start is the lowest hash within this many chunks before and after: groups are longer than that, about
# twice as long on average. Shorter groups keep edits closer together and leave more chunks partly filled.
REACH = 1.5

_Span = tuple[int, int]
_LEVELS = (
    re.compile(r"\n\s*\n\s*"),  # paragraphs
    re.compile(r"\n"),
    re.compile(r"[.!?…][\"')\]»”’]*\s+|[。！？]"),  # noqa: RUF001
    re.compile(r"\s+"),
)


def validate(options: Mapping[str, object], spec: ModelSpec) -> None:
    """Raise VS001 unless options are tokens, from 8 to what the model reads, and overlap, at most half of that.

    What the model reads is max_tokens less the special tokens and the passage prefix.
    """
    for key in options:
        if key not in OPTIONS:
            raise unknown_option(key, OPTIONS, "chunk")
    tokenizer = tokenizers.Tokenizer.from_buffer(
        files.read_verified(spec.path(TOKENIZER), spec.files[TOKENIZER]).content
    )
    tokenizer.no_padding()
    tokenizer.no_truncation()
    room = spec.max_tokens - len(tokenizer.encode(spec.passage_prefix).ids)
    if room < LEAST_TOKENS:
        raise EngineError(
            "model reads too little to be given chunks",
            sqlstate=INVALID_ARGUMENT,
            detail=f"Beside special tokens and prefix it reads {room} tokens.",
            hint="Leave chunk out, or register the model with more max_tokens.",
        )
    tokens = _whole(options, "tokens", None, LEAST_TOKENS, room)
    _whole(options, "overlap", 0, 0, tokens // 2)


def split(text: str, tokenizer: tokenizers.Tokenizer, *, tokens: int, overlap: int) -> list[str]:
    """Cut a text into chunks of at most `tokens` tokens, special tokens not counted.

    Each chunk but the first begins with the last `overlap` tokens of the chunk before it. tokenizer: without truncation
    and padding, as `Model.tokenizer`. A text of white space, or an empty one, is one chunk.
    """
    if not text.strip():
        return [text]
    text = well_formed(text)
    encoding = tokenizer.encode(text, add_special_tokens=False)
    if len(encoding) <= tokens:
        return [text.strip()]
    capacity = tokens - overlap
    starts = [start for start, _ in encoding.offsets]

    def size(span: _Span) -> int:
        return bisect_left(starts, span[1]) - bisect_left(starts, span[0])

    def counted(part: str) -> int:
        return len(tokenizer.encode(part, add_special_tokens=False))

    splitter = TextSplitter.from_callback(counted, capacity)
    spans: list[_Span] = []
    for start, end in _groups(text, _pieces(text, size, capacity), size, capacity):
        for offset, body in splitter.chunk_indices(text[start:end]):
            if body.strip():
                spans.append((start + offset, start + offset + len(body)))
    return _overlapped(text, spans, tokenizer, tokens, overlap)


def _pieces(text: str, size: Callable[[_Span], int], capacity: int) -> list[_Span]:
    """Cut into paragraphs, and what exceeds the capacity into lines, then sentences, then words."""
    pieces = [(0, len(text))]
    for level in _LEVELS:
        finer: list[_Span] = []
        for piece in pieces:
            finer.extend(_cut(text, piece, level) if size(piece) > capacity else [piece])
        pieces = finer
    return pieces


def _cut(text: str, span: _Span, level: re.Pattern[str]) -> list[_Span]:
    ends = [match.end() for match in level.finditer(text, *span)]
    return [pair for pair in itertools.pairwise([span[0], *ends, span[1]]) if pair[0] < pair[1]]


def _groups(text: str, pieces: Sequence[_Span], size: Callable[[_Span], int], capacity: int) -> list[_Span]:
    """Join pieces to groups. The two ends of the text rank lowest, so that no short group remains beside them."""
    sizes = [size(piece) for piece in pieces]
    hashes = [b"", *(_hash(text[start:end]) for start, end in pieces[1:]), b""]
    firsts = [0]
    for i in range(1, len(pieces)):
        beside_giant = sizes[i] > capacity or sizes[i - 1] > capacity
        if beside_giant or _is_lowest(hashes, sizes, i, int(capacity * REACH)):
            firsts.append(i)
    bounds = [*(pieces[i][0] for i in firsts), len(text)]
    return list(itertools.pairwise(bounds))


def _is_lowest(hashes: Sequence[bytes], sizes: Sequence[int], i: int, reach: int) -> bool:
    room = reach
    for j in range(i - 1, -1, -1):
        if hashes[j] <= hashes[i]:
            return False
        room -= sizes[j]
        if room <= 0:
            break
    room = reach
    for j in range(i + 1, len(hashes)):
        if hashes[j] <= hashes[i]:
            return False
        room -= sizes[j - 1]
        if room <= 0:
            break
    return True


def _hash(piece: str) -> bytes:
    return hashlib.blake2b(piece.strip().encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _overlapped(text: str, spans: list[_Span], tokenizer: tokenizers.Tokenizer, tokens: int, overlap: int) -> list[str]:
    chunks = [text[start:end] for start, end in spans]
    if not overlap:
        return chunks
    encodings = tokenizer.encode_batch(chunks, add_special_tokens=False)
    joined = chunks[:1]
    for before, encoding, (_, end) in zip(spans, encodings, spans[1:], strict=False):
        starts = [before[0] + start for start in _last_starts(encoding, overlap)]
        joined.append(_longest_fitting(text, starts, end, chunks[len(joined)], tokenizer, tokens))
    return joined


def _last_starts(encoding: tokenizers.Encoding, count: int) -> list[int]:
    """Return where words start among the last tokens; where tokens start, if one word fills them all."""
    first = max(0, len(encoding) - count)
    words, offsets = encoding.word_ids, encoding.offsets
    inner = range(first, len(encoding))
    return [offsets[i][0] for i in inner if i == 0 or words[i] != words[i - 1]] or [offsets[i][0] for i in inner]


def _longest_fitting(
    text: str, starts: Sequence[int], end: int, body: str, tokenizer: tokenizers.Tokenizer, tokens: int
) -> str:
    """Return the text from the first start whose tokens fit: at the seam a tokenizer may count otherwise."""
    for start in starts:
        whole = text[start:end].lstrip()
        if len(tokenizer.encode(whole, add_special_tokens=False)) <= tokens:
            return whole
    return body


def _whole(options: Mapping[str, object], key: str, default: int | None, least: int, most: int) -> int:
    value = options.get(key, default)
    if type(value) is int and least <= value <= most:
        return value
    raise EngineError(
        f'invalid value for chunk option "{key}"',
        sqlstate=INVALID_ARGUMENT,
        detail="It is missing." if value is None else f"The value is {value}.",
        hint=f"It must be a whole number from {least} to {most}.",
    )

"""Long texts cut into chunks, so that an edit changes the chunks around it and leaves all others byte for byte.

Where a chunk ends usually depends on where the one before it ended, so that one edit shifts every chunk after it. Here
the text is first cut into groups at places found by content alone: a piece (paragraph, line, sentence or word) starts a
group when its hash is the lowest of all pieces within some tokens before and after it. The library then splits each
group for itself.

The library's time grows with the square of a group's length, and it cannot be interrupted. So groups are bounded: a
run without any place to cut (one word of 200,000 characters) is cut first, and the caller has a say between groups.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence

from semantic_text_splitter import TextSplitter

from vsync_engine.foundation.errors import INVALID_ARGUMENT, EngineError, unknown_option
from vsync_engine.models import files
from vsync_engine.models.embedder import well_formed
from vsync_engine.models.runtime import tokenizers
from vsync_engine.models.spec import TOKENIZER, ModelSpec
from vsync_engine.models.watchdog import heed_cancel

OPTIONS = ("overlap", "tokens")
LEAST_TOKENS = 8
# A group's start is the lowest hash within this many chunks before and after: groups are longer than that, about
# twice as long on average. Shorter groups keep edits closer together and leave more chunks partly filled.
REACH = 1.5
# A run without a place to cut is cut after so many chunks, and at least so many tokens: a long link stays whole.
_LONGEST_RUN, _LEAST_RUN = 16, 512
# So many tokens end a group of many pieces. Text in which one word repeats has no lowest hash, and gets that far.
_LONGEST_GROUP = 16_384
_CHARACTERS = 8  # for each token of a run or group: more is what the tokenizer drops
_ENCODED = 1 << 18  # characters tokenised together; a longer text is tokenised in segments
_BATCH = 256  # chunks tokenised together
_JOINED = 32  # characters that are looked at to find where a character of several code points begins

_ZWJ = "\u200d"  # zero width joiner
_SKIN_TONES = "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"

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


def split(
    text: str, tokenizer: tokenizers.Tokenizer, *, tokens: int, overlap: int, attend: Callable[[], object] = heed_cancel
) -> list[str]:
    """Cut a text into chunks of at most `tokens` tokens, special tokens not counted.

    Each chunk but the first begins with the last `overlap` tokens of the chunk before it. tokenizer: without truncation
    and padding, as `Model.tokenizer`. A text of white space, or an empty one, is one chunk. attend: called at least
    once for each group, that is several times a second; what it raises ends the call.
    """
    if not text.strip():
        return [text]
    text = well_formed(text)
    starts = _token_starts(text, tokenizer, attend)
    if len(starts) <= tokens:
        return [text.strip()]
    capacity = tokens - overlap

    def size(span: _Span) -> int:
        return bisect_left(starts, span[1]) - bisect_left(starts, span[0])

    def counted(part: str) -> int:
        return len(tokenizer.encode(part, add_special_tokens=False))

    splitter = TextSplitter.from_callback(counted, capacity)
    spans: list[_Span] = []
    for start, end in _groups(text, _pieces(text, starts, size, capacity), size, capacity):
        attend()
        for offset, body in splitter.chunk_indices(text[start:end]):
            if body.strip():
                spans.append((start + offset, start + offset + len(body)))
    return _overlapped(text, spans, tokenizer, tokens, overlap, attend)


def _token_starts(text: str, tokenizer: tokenizers.Tokenizer, attend: Callable[[], object]) -> Sequence[int]:
    """Return where each token starts. Segments begin with a space where there is one, as words in a text do."""
    starts = array("L")
    begin = 0
    while begin < len(text):
        end = begin + _ENCODED
        if end < len(text):
            space = begin + len(text[begin : text.rfind(" ", begin, end) + 1].rstrip(" "))
            end = space if space > begin else _character(text, begin, end)
        attend()
        encoding = tokenizer.encode(text[begin:end], add_special_tokens=False)
        starts.extend(begin + start for start, _ in encoding.offsets)
        begin = end
    return starts


def _pieces(text: str, starts: Sequence[int], size: Callable[[_Span], int], capacity: int) -> list[_Span]:
    """Cut into paragraphs, and what exceeds the capacity into lines, then sentences, then words, then runs."""
    pieces = [(0, len(text))]
    for level in _LEVELS:
        finer: list[_Span] = []
        for piece in pieces:
            finer.extend(_cut(text, piece, level) if size(piece) > capacity else [piece])
        pieces = finer
    most = max(_LONGEST_RUN * capacity, _LEAST_RUN)
    return [run for piece in pieces for run in _runs(text, piece, starts, most)]


def _runs(text: str, span: _Span, starts: Sequence[int], most: int) -> list[_Span]:
    """Cut a piece that holds more than `most` tokens, or far too many characters for them."""
    runs: list[_Span] = []
    begin, end = span
    while begin < end:
        token = bisect_left(starts, begin) + most
        stop = min(end, begin + most * _CHARACTERS, starts[token] if token < len(starts) else end)
        stop = max(begin + 1, stop if stop == end else _character(text, begin, stop))
        runs.append((begin, stop))
        begin = stop
    return runs


def _character(text: str, begin: int, stop: int) -> int:
    """Return where the character begins that a cut at `stop` would divide: a base with marks, a joined emoji."""
    for i in range(stop, max(begin, stop - _JOINED), -1):
        if not (_ZWJ in text[i - 1 : i + 1] or unicodedata.category(text[i])[0] == "M" or text[i] in _SKIN_TONES):
            return i
    return stop


def _cut(text: str, span: _Span, level: re.Pattern[str]) -> list[_Span]:
    ends = [match.end() for match in level.finditer(text, *span)]
    return [pair for pair in itertools.pairwise([span[0], *ends, span[1]]) if pair[0] < pair[1]]


def _groups(text: str, pieces: Sequence[_Span], size: Callable[[_Span], int], capacity: int) -> list[_Span]:
    """Join pieces to groups. The two ends of the text rank lowest, so that no short group remains beside them."""
    sizes = [size(piece) for piece in pieces]
    hashes = [b"", *(_hash(text[start:end]) for start, end in pieces[1:]), b""]
    positions = [0, *itertools.accumulate(sizes)]
    lowest = _lowest(hashes, positions, int(capacity * REACH))
    most = max(_LONGEST_RUN * capacity, _LONGEST_GROUP)
    firsts = [0]
    for i in range(1, len(pieces)):
        first = firsts[-1]
        beside_giant = sizes[i] > capacity or sizes[i - 1] > capacity
        too_long = positions[i + 1] - positions[first] > most or pieces[i][1] - pieces[first][0] > most * _CHARACTERS
        if beside_giant or lowest[i] or too_long:
            firsts.append(i)
    bounds = [*(pieces[i][0] for i in firsts), len(text)]
    return list(itertools.pairwise(bounds))


def _lowest(hashes: Sequence[bytes], positions: Sequence[int], reach: int) -> list[bool]:
    """Tell for each piece whether every other hash within `reach` tokens before and after it is higher.

    positions: the tokens before each piece. Linear: of each piece only the nearest that is not higher counts.
    """
    count = len(positions) - 1
    lowest = [True] * count
    waiting: list[int] = []  # pieces whose next piece that is not higher has not come yet, in ascending order of hash
    for i in range(count + 1):
        while waiting and hashes[waiting[-1]] >= hashes[i]:
            before = waiting.pop()
            lowest[before] = lowest[before] and positions[i - 1] - positions[before] >= reach
            if hashes[before] == hashes[i] and i < count:
                lowest[i] = lowest[i] and positions[i] - positions[before + 1] >= reach
        if waiting and i < count:
            lowest[i] = lowest[i] and positions[i] - positions[waiting[-1] + 1] >= reach
        waiting.append(i)
    return lowest


def _hash(piece: str) -> bytes:
    return hashlib.blake2b(piece.strip().encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _overlapped(
    text: str,
    spans: list[_Span],
    tokenizer: tokenizers.Tokenizer,
    tokens: int,
    overlap: int,
    attend: Callable[[], object],
) -> list[str]:
    chunks = [text[start:end] for start, end in spans]
    if not overlap:
        return chunks
    joined = chunks[:1]
    for first in range(0, len(chunks) - 1, _BATCH):
        attend()
        encodings = tokenizer.encode_batch(chunks[first : first + _BATCH], add_special_tokens=False)
        following = spans[first + 1 : first + 1 + _BATCH]
        for before, encoding, (_, end) in zip(spans[first:], encodings, following, strict=False):
            attend()
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

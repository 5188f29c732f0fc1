"""One day of edits, replayed on a clock of its own, through five ways of keeping vectors fresh.

What each way embeds, and when, follows from its description and from the measured rate of the model; vsync is run for
real, edit by edit. Staleness: documents whose vector is not their text's, times how long, over the day.
"""

from __future__ import annotations

import random
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.bench.drain import DECLARE
from tests.bench.measure import Connection, Figure, database, real_texts
from vsync_admin import catalogue
from vsync_admin.cluster import Cluster

DOCUMENTS = 2_000
EDITS = 1_500
DAY = 86_400.0
SEED = 7
_FLAGGED = 0.8  # share of the edits that people remember to flag
_NOTICED = 3_600.0  # seconds until they do, on average
_STEP = 300.0  # seconds between the points of the curve


@dataclass(frozen=True)
class Edit:
    """At a second of the day one row changes; text is None where the document does not read what changed."""

    at: float
    row: int
    text: str | None


@dataclass(frozen=True)
class Outcome:
    """Intervals during which a document was stale, and how many texts went to the model."""

    stale: tuple[tuple[float, float], ...]
    embedded: int

    @property
    def staleness(self) -> float:
        """Document-hours."""
        return sum(end - start for start, end in self.stale) / 3600

    def curve(self) -> tuple[tuple[float, float], ...]:
        """Return how many documents are stale at an hour of the day, through the day."""
        starts, ends = sorted(start for start, _ in self.stale), sorted(end for _, end in self.stale)
        times = [_STEP * step for step in range(int(DAY / _STEP) + 1)]
        return tuple((round(at / 3600, 3), bisect_right(starts, at) - bisect_right(ends, at)) for at in times)


def trace(texts: Sequence[str]) -> list[Edit]:
    """Return a day's edits: most by day, some rows often, two of five in columns that no document reads."""
    chance = random.Random(SEED)
    edits: list[Edit] = []
    for i in range(EDITS):
        hour = min(23.99, max(0.0, chance.gauss(14, 3.5)))
        row = int(len(texts) * chance.random() ** 3)
        relevant = chance.random() < 0.6
        edits.append(Edit(hour * 3600, row, f"{texts[row]} (edit {i})" if relevant else None))
    return sorted(edits, key=lambda edit: edit.at)


def nightly(edits: list[Edit], rate: float) -> Outcome:
    """Everything is embedded anew at the end of the day."""
    return _at_once(edits, [DAY], DOCUMENTS / rate, DOCUMENTS)


def any_change(edits: list[Edit], rate: float) -> Outcome:
    """Everything is embedded anew after a change, the next time when that is done."""
    took, starts = DOCUMENTS / rate, list[float]()
    for edit in edits:
        if not starts or edit.at > starts[-1]:
            starts.append(edit.at if not starts else max(edit.at, starts[-1] + took))
    return _at_once(edits, starts, took, DOCUMENTS)


def hourly(edits: list[Edit], rate: float) -> Outcome:
    """Rows touched since the last full hour are embedded, whatever changed in them."""
    hours = [3600.0 * hour for hour in range(1, 25)]
    rows = [{edit.row for edit in edits if at - 3600 <= edit.at < at} for at in hours]
    done = {at: at + len(found) / rate for at, found in zip(hours, rows, strict=True)}
    stale = [(edit.at, done[next(at for at in hours if at > edit.at)]) for edit in edits if edit.text is not None]
    return Outcome(_without_overlap(edits, stale), sum(map(len, rows)))


def flagged(edits: list[Edit], rate: float) -> Outcome:
    """People flag what changed, some time later; what they forget waits for the end of the day."""
    chance = random.Random(SEED + 1)
    stale: list[tuple[float, float]] = []
    embedded = 0
    for edit in edits:
        remembered = chance.random() < _FLAGGED
        embedded += remembered
        noticed = edit.at + chance.expovariate(1 / _NOTICED) if remembered else DAY
        if edit.text is not None:
            stale.append((edit.at, min(DAY, noticed) + 1 / rate))
    return Outcome(_without_overlap(edits, stale), embedded)


def _at_once(edits: list[Edit], starts: list[float], took: float, texts: int) -> Outcome:
    relevant = [edit for edit in edits if edit.text is not None]
    stale = [(edit.at, next((at for at in starts if at >= edit.at), DAY) + took) for edit in relevant]
    return Outcome(_without_overlap(edits, stale), texts * len(starts))


def _without_overlap(edits: list[Edit], stale: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Count a document once while several of its edits wait."""
    rows = [edit.row for edit in edits if edit.text is not None]
    merged: dict[int, list[tuple[float, float]]] = {}
    for row, (start, end) in zip(rows, stale, strict=True):
        before = merged.setdefault(row, [])
        if before and start <= before[-1][1]:
            before[-1] = (before[-1][0], max(end, before[-1][1]))
        else:
            before.append((start, end))
    return tuple(sorted(interval for intervals in merged.values() for interval in intervals))


def replay(session: Connection, edits: list[Edit]) -> Outcome:
    """Make each edit and work it off; how long a document was stale is measured."""
    before = _sent(session)
    stale: list[tuple[float, float]] = []
    for edit in edits:
        start = time.perf_counter()
        if edit.text is None:
            session.execute("update texts set views = views + 1 where id = %s", [edit.row])
        else:
            session.execute("update texts set body = %s where id = %s", [edit.text, edit.row])
        session.execute("call vsync.work()")
        if edit.text is not None:
            stale.append((edit.at, edit.at + time.perf_counter() - start))
    return Outcome(tuple(stale), _sent(session) - before)


def _sent(session: Connection) -> int:
    row = session.execute("select inference_total from vsync.stat_embeddings").fetchone()
    assert row is not None
    return row[0]


def figures(cluster: Cluster) -> Iterator[Figure]:
    """Measure the model's rate and vsync on the trace; work out the rest."""
    texts = real_texts(DOCUMENTS)
    edits = trace(texts)
    with database(cluster, "patterns") as session:
        session.execute("select vsync.register_model('minilm', %s)", [f"file://{catalogue.locate('minilm')}"])
        session.execute("create table texts (id int primary key, body text, views int not null default 0)")
        with session.cursor() as cursor, cursor.copy("copy texts (id, body) from stdin") as copy:
            for row in enumerate(texts):
                copy.write_row(row)
        session.execute(DECLARE)
        start = time.perf_counter()
        session.execute("call vsync.work()")
        rate = DOCUMENTS / (time.perf_counter() - start)
        outcomes = {
            "rebuild every night": nightly(edits, rate),
            "people flag what changed": flagged(edits, rate),
            "rebuild all at any change": any_change(edits, rate),
            "poll every hour": hourly(edits, rate),
            "vsync": replay(session, edits),
        }
    for name, outcome in outcomes.items():
        note = f"{DOCUMENTS} documents, {EDITS} edits in a day"
        ours = name == "vsync"
        yield Figure(
            f"{name}: staleness",
            outcome.staleness,
            "document-hours",
            at_most=True,
            note=note,
            compared=ours,
            series=outcome.curve(),
        )
        yield Figure(f"{name}: texts embedded", outcome.embedded, "texts", at_most=True, note=note, compared=ours)

"""One run of a battery: a seed, faults counted, and the verdict at every rest."""

import random
from pathlib import Path

from chaos.journal import Journal
from chaos.verdict import Verdict, judge
from fix_cluster import Connection
from races.steps import scalar, wait_until

_WAITING = "select key, attempts, losses, verdict, due_at, error from vsync_internal.marks limit 9"


class Battery:
    """chance: everything random comes from it. faults: how often something was broken on purpose."""

    def __init__(self, name: str, seed: int, chance: random.Random, journal: Path) -> None:
        self.name = name
        self.seed = seed
        self.chance = chance
        self.journal = Journal(journal)
        self.faults = 0
        self.rests = 0
        self.verdict = Verdict()

    def __str__(self) -> str:
        return f"{self.name}: seed {self.seed}, {self.faults} faults, {self.rests} rests: {self.verdict}"

    def rest(self, session: Connection, *, parked: frozenset[int] = frozenset()) -> None:
        """Work off, compare everything with the journal: nothing may be wrong."""
        session.execute("call vsync.work()")
        # a worker beside may have settled its documents and not ended its claim yet
        wait_until(lambda: scalar(session, "select count(*) = 0 from vsync_internal.leases"), "the end of all claims")
        verdict = judge(session, self.journal.replay(), parked=parked)
        self.found(verdict, session.execute(_WAITING).fetchall() if verdict.waiting else None)

    def found(self, verdict: Verdict, why: object = None) -> None:
        """Count what an oracle found; nothing may be wrong. why: told where something is."""
        self.rests += 1
        self.verdict += verdict
        assert verdict == Verdict(), f"{self} {why}"


def change(session: Connection, battery: Battery, rows: int, text: str) -> None:
    """Give twenty of so many rows a new body, `text` and the key, and acknowledge it."""
    for key in battery.chance.sample(range(1, rows + 1), 20):
        body = f"{text} {key}"
        session.execute("update shop.items set body = %s where id = %s", [body, key])
        battery.journal.acknowledge([("items", key, [key % 20, body])])

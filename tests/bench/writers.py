"""What capture by triggers costs writers: single-row updates by pgbench, and one update of a million rows."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.measure import Figure
from tests.bench.switched import CLIENTS, IRRELEVANT, RELEVANT, bulk, figure, pgbench, ratios, switched
from vsync_admin.cluster import Cluster

_SINGLE = (("relevant", RELEVANT, 0.88, 0.95), ("irrelevant", IRRELEVANT, 0.92, 0.97))


def figures(cluster: Cluster) -> Iterator[Figure]:
    """Measure with and without triggers in turn."""
    with switched(cluster, "writers") as session:
        for name, script, must, aim in _SINGLE:
            pairs = ratios(session, "trigger", lambda turn, _, script=script: pgbench(cluster, "writers", script, turn))
            yield figure(f"single-row update, {CLIENTS} clients, TPS ÷ without, {name} column", pairs, must, aim)
        pairs = ratios(session, "trigger", lambda turn, _: bulk(session, turn))
        yield figure("1,000,000-row update, time ÷ without", pairs, 1.25, 1.15, at_most=True)

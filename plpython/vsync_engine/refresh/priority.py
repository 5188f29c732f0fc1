"""The order in which texts go to the model: those that rules prefer first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def in_windows(priorities: Sequence[float], size: int) -> Iterable[list[int]]:
    """Yield positions, those of the highest priority first, a window at a time; one window where all are the same."""
    if len(set(priorities)) <= 1:
        size = max(1, len(priorities))
    order = sorted(range(len(priorities)), key=lambda i: -priorities[i])
    for first in range(0, len(order), size):
        yield order[first : first + size]

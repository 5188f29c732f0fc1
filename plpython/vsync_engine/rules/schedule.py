"""When what a rule defers is due, and when a refresh comes round."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim

from vsync_engine.rules.model import Rule


def next_time(rule: Rule, now: datetime, zone: str) -> datetime:
    """Return when what a rule defers is due, or a refresh comes next; zone: the database's time zone. In UTC."""
    if rule.delay is not None:
        return now.astimezone(UTC) + timedelta(seconds=rule.delay)
    there = now.astimezone(_zone(rule.params.get("timezone", zone)))
    if "cron" in rule.params:
        return next(CronSim(rule.params["cron"], there)).astimezone(UTC)
    hour, minute, second = (*(int(part) for part in rule.params["until"].split(":")), 0)[:3]
    wanted = time(hour, minute, second)
    for days in range(3):
        due = datetime.combine(there.date() + timedelta(days=days), wanted, there.tzinfo).astimezone(UTC)
        if due > now:
            return due
    raise AssertionError


def refreshed_next(
    rule_id: int, params: Mapping[str, Any], delay: float | None, zone: str, now: datetime | None = None
) -> datetime | None:
    """Return when a refresh rule's schedule comes round next; None where it has none."""
    if delay is None and "cron" not in params:
        return None
    return next_time(
        Rule(rule_id, "", 0, "document", "refresh", params, 0, delay=delay), now or datetime.now(UTC), zone
    )


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # PostgreSQL knows more kinds of names
        return ZoneInfo("UTC")

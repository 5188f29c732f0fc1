"""The params that each action takes, and what each of them may be."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from cronsim import CronSim, CronSimError

from vsync_engine.foundation import sql_lexer
from vsync_engine.foundation.errors import INVALID_ARGUMENT, EngineError, unknown_option

_GATE = ("relation", "subqueries", "on_error")
_KNOWN = {
    "skip": _GATE,
    "defer": ("for", "until", "cron", "timezone", *_GATE),
    "prioritize": ("priority", "expression", "relation", "subqueries"),
    "exclude": ("subqueries",),
    "hold": ("over", *_GATE),
    "refresh": ("every", "cron", "timezone", "force", "subqueries"),
}
_ONE_OF = {"defer": ("for", "until", "cron"), "prioritize": ("priority", "expression")}
_AT_MOST_ONE_OF = {"refresh": ("every", "cron")}
_HIGHEST_PRIORITY = 1e9
_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?")

_EXAMPLES = {
    "relation": '"shop.categories"',
    "subqueries": "true",
    "on_error": '"hold" or "ignore"',
    "for": '"2 hours"',
    "until": '"18:00"',
    "cron": '"0 18 * * *": minute, hour, day, month, day of the week',
    "timezone": '"Europe/Berlin"',
    "priority": "10",
    "expression": '"new.revenue / 1000"',
    "over": "50000",
    "every": '"1 month"',
    "force": "true",
}


def check(action: str, params: Mapping[str, Any]) -> None:
    """Raise VS001 for an unknown action, a param it does not take, or a value that the param cannot have."""
    if action not in _KNOWN:
        known = ", ".join(_KNOWN)
        raise _error(f'unknown action "{action}"', f"Actions are {known}.", f"Use one of {known}.")
    for name, value in params.items():
        if name not in _KNOWN[action]:
            raise unknown_option(name, _KNOWN[action], action)
        if not _FITS[name](value):
            detail = f"It is {sql_lexer.shortened(repr(value), 80)}."
            raise _error(f"params.{name} is not valid", detail, f"For instance {_EXAMPLES[name]}.")
    given = [name for name in _ONE_OF.get(action, ()) if name in params]
    if action in _ONE_OF and len(given) != 1:
        names = ", ".join(_ONE_OF[action])
        detail = f"Given are {', '.join(given)}." if given else "None is given."
        first = _ONE_OF[action][0]
        raise _error(f"{action} takes one of {names}", detail, f"For instance {{{first!r}: {_EXAMPLES[first]}}}.")
    if len([name for name in _AT_MOST_ONE_OF.get(action, ()) if name in params]) > 1:
        names = " or ".join(_AT_MOST_ONE_OF[action])
        raise _error(f"{action} takes {names}, not both", "Both are given.", "Leave one of them out.")
    if "timezone" in params and not {"until", "cron"} & set(params):
        raise _error("params.timezone is for until and cron", "Neither is given.", "Leave params.timezone out.")


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _truth(value: object) -> bool:
    return isinstance(value, bool)


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _HIGHEST_PRIORITY


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _time_of_day(value: object) -> bool:
    return isinstance(value, str) and _TIME_OF_DAY.fullmatch(value) is not None


def _cron(value: object) -> bool:
    if not isinstance(value, str) or len(value.split()) != 5:
        return False
    try:
        next(CronSim(value, datetime(2020, 1, 1)))
    except (CronSimError, StopIteration):
        return False
    return True


def _timezone(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


_FITS: Mapping[str, Callable[[object], bool]] = {
    "relation": _text,
    "subqueries": _truth,
    "on_error": lambda value: value in ("hold", "ignore"),
    "for": _text,
    "until": _time_of_day,
    "cron": _cron,
    "timezone": _timezone,
    "priority": _number,
    "expression": _text,
    "over": _count,
    "every": _text,
    "force": _truth,
}


def _error(message: str, detail: str, hint: str) -> EngineError:
    return EngineError(message, sqlstate=INVALID_ARGUMENT, detail=detail, hint=hint)

"""Errors in PostgreSQL's shape; EngineError is what the engine raises for whatever a user can cause or mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

INVALID_ARGUMENT = "VS001"
INSUFFICIENT_PRIVILEGE = "VS002"
VERSION_MISMATCH = "VS003"
NOT_IN_TRANSACTION_BLOCK = "VS004"
ENVIRONMENT_UNUSABLE = "VS005"
ENGINE_OUTSIDE = "VS006"
STANDBY = "VS007"

MODEL_NOT_FOUND = "VS101"
MODEL_UNUSABLE = "VS102"
MODEL_FILE_CHANGED = "VS103"
MODEL_FILE_MISSING = "VS104"
WORKER_LOST = "VS105"

DOCUMENT_SYNTAX = "VS201"
DOCUMENT_WITHOUT_KEY = "VS202"
DOCUMENT_UNSUPPORTED = "VS203"
DOCUMENT_VOLATILE = "VS204"
CATALOG_DISAGREES = "VS205"
DOCUMENT_REPEATS_KEY = "VS206"
SEARCH_PATH_MISSING = "VS207"

NAME_TAKEN = "VS301"
EMBEDDING_NOT_FOUND = "VS302"
EMBEDDING_BROKEN = "VS303"
KEY_DOES_NOT_FIT = "VS304"

VERSION_NOT_FOUND = "VS401"
VERSION_NOT_FIT = "VS402"
NO_ROLLBACK = "VS403"
VERSION_IN_USE = "VS404"
INDEX_NOT_BUILT = "VS405"
NO_CHALLENGER = "VS406"

CRASH_SHUTDOWN = "57P02"  # PostgreSQL's own, as the next two
QUERY_CANCELED = "57014"
INTERNAL_ERROR = "XX000"

WAL_UNREADABLE = "VS501"
IDENTITY_INSUFFICIENT = "VS502"

RULE_CONDITION = "VS601"
RULE_NAMES = "VS602"
RULE_NOT_FOUND = "VS603"
HOLD_NOT_FOUND = "VS604"


class SqlError(Exception):
    """An error in PostgreSQL's shape: message, sqlstate (five characters), detail and hint."""

    def __init__(self, message: str, *, sqlstate: str, detail: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.sqlstate = sqlstate
        self.detail = detail
        self.hint = hint

    def as_json(self) -> dict[str, str]:
        """The error as a mapping with the keys sqlstate, message, detail and hint, all of them strings.

        XX000 where there is no sqlstate.
        """
        sqlstate = self.sqlstate or INTERNAL_ERROR
        return {"sqlstate": sqlstate, "message": self.message, "detail": self.detail, "hint": self.hint}


class EngineError(SqlError):
    """An error a user can act on.

    message: short, lowercase, no full stop. detail: facts. hint: what to do, as SQL that can be run
    where possible. sqlstate: of class VS.
    """

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self.message, self.sqlstate, self.detail, self.hint))


def _rebuild(message: str, sqlstate: str, detail: str, hint: str) -> EngineError:
    return EngineError(message, sqlstate=sqlstate, detail=detail, hint=hint)


def unknown_option(key: str, known: Iterable[str], what: str) -> EngineError:
    """VS001 for an option key that does not exist; `what` names the thing it was given to, as in "model"."""
    names = sorted(known)
    close = difflib.get_close_matches(key.lower(), names, n=1)
    hint = f'Did you mean "{close[0]}"?' if close else f"Use one of {', '.join(names)}."
    return EngineError(
        f'unknown {what} option "{key}"',
        sqlstate=INVALID_ARGUMENT,
        detail=f"{what[:1].upper()}{what[1:]} options are {', '.join(names)}.",
        hint=hint,
    )

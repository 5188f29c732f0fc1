"""What an error is held against, a document or its whole version, and how it is recorded."""

from __future__ import annotations

import orjson

from vsync_engine.foundation.errors import SEARCH_PATH_MISSING, EngineError
from vsync_engine.foundation.host import HostError

# privileges, objects that are gone, connections, resources, states, files: whoever mends it mends all documents
_OF_THE_VERSION = ("08", "0A", "28", "3D", "3F", "42", "53", "55", "58", "HV", SEARCH_PATH_MISSING)
_LONGEST_MESSAGE = 500  # characters


def is_of_the_version(error: HostError) -> bool:
    """Tell whether an error is likely to meet every document of a version, until its cause is mended."""
    return error.sqlstate.startswith(_OF_THE_VERSION)


def described(error: Exception) -> str:
    """Return an error as the JSON that vsync.failures shows; cut at a character, never inside one."""
    sqlstate = error.sqlstate if isinstance(error, (EngineError, HostError)) else "VS102"
    message = error.message if isinstance(error, (EngineError, HostError)) else f"{type(error).__name__}: {error}"
    detail = error.detail if isinstance(error, (EngineError, HostError)) else ""
    fields = {"sqlstate": sqlstate, "message": message[:_LONGEST_MESSAGE], "detail": detail[:_LONGEST_MESSAGE]}
    if isinstance(error, HostError) and error.sqlstate == SEARCH_PATH_MISSING:
        # any other hint may be an owner's, and doctor() shows it as a statement to run
        fields["hint"] = error.hint
    return orjson.dumps({name: _storable(text) for name, text in fields.items()}).decode()


def _storable(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode()

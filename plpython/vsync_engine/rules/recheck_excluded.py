"""What rules hid until now: their answer may change by itself, and then the text of the document is looked at again."""

from __future__ import annotations

from vsync_engine.foundation.host import Host, HostError, Row, value
from vsync_engine.rules import evaluate, statements


def show_again(host: Host, page: Row, seconds: float) -> int:
    """Free those documents of a page of hidden_keys() that are hidden no more, in the caller's transaction.

    Where that cannot be told in so many seconds all are freed: they are rendered, and the rules asked one by one.
    Returns how many.
    """
    version_id, keys = page["version_id"], page["keys"]
    try:
        hidden = host.attempt(seconds, statements.EXCLUDED, version_id, keys)[0]["keys"]
    except HostError as error:
        evaluate.raise_if_cancelled(error)
        hidden = []
    shown = sorted({*keys} - {*hidden})
    return value(host, statements.SHOW_AGAIN, version_id, shown) if shown else 0

"""Looking again and again, until interrupted: `--watch` of the commands that have it."""

import sys
import time
from collections.abc import Callable

import orjson
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from vsync_admin.connection import Row
from vsync_admin.output import console

Look = Callable[[], list[Row]]


def watch(look: Look, page: Callable[[list[Row]], RenderableType], interval: float, *, as_json: bool) -> None:
    """Show what is seen every interval seconds, under the time; with as_json a line of JSON at each look."""
    if as_json:
        _write_lines(look, interval)
    with Live(console=console(), auto_refresh=False) as live:
        while True:
            moment = Text(time.strftime("%H:%M:%S"), style="dim")
            live.update(Group(moment, page(look())), refresh=True)
            time.sleep(interval)


def _write_lines(look: Look, interval: float) -> None:
    while True:
        sys.stdout.write(orjson.dumps(look(), default=str).decode() + "\n")
        sys.stdout.flush()
        time.sleep(interval)

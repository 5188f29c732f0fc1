"""The text of a join condition, in which the columns are known, so that they can be written after other aliases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vsync_engine.documents.catalog import quoted
from vsync_engine.documents.scope import Occurrence


@dataclass(frozen=True)
class Reference:
    """A column of an occurrence in the text of a condition."""

    occurrence: Occurrence
    column: str


Text = tuple[str | Reference, ...]


def written(text: Text) -> str:
    """A condition for people, in one line."""
    return " ".join(rendered(text, {}).split())


def rendered(text: Text, aliases: Mapping[Occurrence, str]) -> str:
    """A condition as SQL, its columns after these aliases, or else those of the query."""
    return "".join(
        part
        if isinstance(part, str)
        else f"{aliases.get(part.occurrence, part.occurrence.alias)}.{quoted(part.column)}"
        for part in text
    )

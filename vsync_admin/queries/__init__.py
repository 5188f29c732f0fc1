"""The statements of the command line that are longer than a line: one file each."""

from functools import cache
from importlib import resources


@cache
def load(name: str) -> bytes:
    """Return the statement of `name.sql`, without its last semicolon."""
    return resources.files(__name__).joinpath(f"{name}.sql").read_bytes().strip().removesuffix(b";")

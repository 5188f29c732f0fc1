"""What a mutation is, and the names that several tables share."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """Replace text in a function's definition, everywhere it stands, or, where there is no function, run SQL.

    function: regprocedure or name without arguments. test: node id below tests/.
    """

    name: str
    test: str
    function: str
    find: str
    put: str


CLAIMS = "races/test_claims.py::"

LOG_RACES = "races/test_log.py::"

WORK = "work(interval,name,jsonb)"

WORK_BODY = "from vsync_engine import entry\n"

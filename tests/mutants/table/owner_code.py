"""Mutations of what contains the code of an embedding's owner."""

from tests.mutants.table.mutation import Mutation

_HOSTILE = "access/test_hostile_code.py::test_hostile_code_gains_nothing_and_stops_nobody"
_ROLLED_BACK = "raise sqlstate 'VS900';"
_STATES = "if not done and (state = '57014'"

OWNER_CODE = (
    *(
        Mutation(f"{function} does not roll owner code back", _HOSTILE, function, _ROLLED_BACK, "")
        for function in ("call_render", "call_excluded", "call_judge")
    ),
    Mutation(
        "prepared statements and advisory locks of owner code stay",
        _HOSTILE,
        "end_lasting",
        "if vsync_internal.lasting() = before then",
        "if true then",
    ),
    Mutation(
        "an SQLSTATE of owner code passes for one of the session's",
        _HOSTILE,
        "end_call",
        _STATES,
        "if false and (state = '57014'",
    ),
)

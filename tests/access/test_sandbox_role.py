"""The role that owner code runs as: its functions are changed by nobody but the installer, its members are reported."""

from collections.abc import Callable

import psycopg
import pytest

from shop import Connection, refused, rows, run

MakeRole = Callable[..., str]
Connect = Callable[..., Connection]

_CALL = "vsync_internal.call_count(name, text)"
_BODY = "function vsync_internal.call_count(data name, ticket text) returns bigint language sql as 'select 1::bigint'"


@pytest.mark.parametrize(
    "statement",
    [
        f"alter function {_CALL} security invoker",
        f"alter routine {_CALL} security invoker",
        f"create or replace {_BODY}",
    ],
)
def test_a_member_of_the_sandbox_changes_none_of_its_functions(
    db: Connection, connect: Connect, make_role: MakeRole, statement: str
) -> None:
    role = make_role("vsync_admin")
    with db.transaction(force_rollback=True):
        run(db, "grant create on schema vsync_internal to vsync_sandbox")
        run(db, "set local session authorization vsync_sandbox")
        refused(lambda: run(db, statement), "VS002")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connect(user=role).execute(statement.encode())
    run(db, f"alter function {_CALL} security definer")


def test_doctor_names_members_of_the_sandbox_and_who_could_make_one(db: Connection, make_role: MakeRole) -> None:
    role = make_role("vsync_admin")
    with db.transaction(force_rollback=True):
        run(db, f"grant vsync_admin to {role} with admin option")
        run(db, f"grant vsync_sandbox to {role}; grant vsync_admin to vsync_sandbox")
        found = rows(db, "select level, remediation from vsync.doctor() where name = 'sandbox' order by 1, 2")
    assert found == [
        ("error", "revoke vsync_admin from vsync_sandbox"),
        ("error", f"revoke vsync_sandbox from {role}"),
        ("warning", f"revoke admin option for vsync_admin from {role}"),
    ]

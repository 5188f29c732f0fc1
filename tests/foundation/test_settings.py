"""Settings of the installation: each has bounds, which hold where it is set and where it is read."""

import psycopg
import pytest

from fix_cluster import Connection

BOUNDS = "select name, minimum, maximum, default_value::bigint from vsync.settings order by name"


def test_every_setting_has_bounds_and_refuses_what_lies_outside(db: Connection) -> None:
    settings = db.execute(BOUNDS).fetchall()
    assert settings
    for name, minimum, maximum, default in settings:
        assert minimum <= default <= maximum
        for value in (minimum, maximum):
            assert db.execute("select vsync.configure(%s, %s)", [name, str(value)]).fetchone() == (str(value),)
        for value in (str(minimum - 1), str(maximum + 1), "999999999999", "1e3", "0x10", "", " 1", "1.5"):
            with pytest.raises(psycopg.Error) as caught:
                db.execute("select vsync.configure(%s, %s)", [name, value])
            assert caught.value.sqlstate == "VS001"
            assert f"from {minimum} to {maximum}" in (caught.value.diag.message_detail or "")
        assert db.execute("select vsync.configure(%s, null)", [name]).fetchone() == (str(default),)


def test_a_stored_value_outside_the_bounds_counts_as_the_nearest_bound(db: Connection) -> None:
    db.execute("insert into vsync_internal.settings values ('threads', '999999'), ('claim_limit', '0')")
    assert db.execute("select vsync_internal.setting('threads'), vsync_internal.setting('claim_limit')").fetchone() == (
        256,
        1,
    )
    with pytest.raises(psycopg.errors.CheckViolation):
        db.execute("insert into vsync_internal.settings values ('poll_ms', '-1')")


@pytest.mark.parametrize("option", ["refresh_every", "rollback_window", "retention"])
def test_an_interval_among_the_options_is_bounded(db: Connection, option: str) -> None:
    for value in ("-1 s", "101 years", "170000000 years"):
        with pytest.raises(psycopg.Error) as caught:
            db.execute(
                "select vsync_internal.check_embedding_options(jsonb_build_object(%s::text, %s::text))", [option, value]
            )
        assert caught.value.sqlstate == "VS001"
    db.execute("select vsync_internal.check_embedding_options(jsonb_build_object(%s::text, '100 years'))", [option])

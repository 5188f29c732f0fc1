"""A witness that no rollback silences: a sequence for each role counts how often that role ran the spy."""

from shop import Connection, rows, run


def plant_spy(owner: Connection, *roles: str) -> None:
    """Make shop.spy(text), which anybody may run, as a function of `owner`; it fails in roles that were not named."""
    owner.execute("grant usage on schema shop to public")
    for role in roles:
        run(owner, f"create sequence shop.as_{role}; grant all on sequence shop.as_{role} to public")
    body = (
        "begin perform nextval('shop.as_' || current_user); return true; "
        "exception when read_only_sql_transaction then return true; end"
    )
    run(owner, f"create function shop.spy(place text) returns boolean language plpgsql volatile as $${body}$$")


def spied(db: Connection) -> set[str]:
    """The roles that ran the spy."""
    seen = "select sequencename from pg_sequences where schemaname = 'shop' and sequencename like 'as\\_%'"
    return {name.removeprefix("as_") for (name,) in rows(db, f"{seen} and last_value is not null")}


def forget(owner: Connection, *roles: str) -> None:
    """Begin to count anew."""
    for role in roles:
        run(owner, f"alter sequence shop.as_{role} restart")

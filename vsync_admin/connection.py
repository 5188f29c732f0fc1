"""Connecting as psql does: -d, -h, -p, -U, else PG* variables, service and password files (all libpq's)."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Concatenate, ParamSpec

import psycopg
import typer
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow, dict_row, tuple_row

from vsync_admin.errors import CommandError, ExitCode
from vsync_admin.output import say

Row = DictRow
P = ParamSpec("P")

_SCHEMAS = """
select n.nspname from pg_catalog.pg_namespace as n
where n.nspname in ('vsync', 'vsync_data', 'vsync_internal') order by n.nspname
"""
_PANEL = "Connection"
Dbname = Annotated[
    str | None, typer.Option("--dbname", "-d", help="Database, or a connection string.", rich_help_panel=_PANEL)
]
Host = Annotated[
    str | None, typer.Option("--host", "-h", help="Server, or directory of its socket.", rich_help_panel=_PANEL)
]
Port = Annotated[int | None, typer.Option("--port", "-p", help="Port of the server.", rich_help_panel=_PANEL)]
Username = Annotated[str | None, typer.Option("--username", "-U", help="Role to connect as.", rich_help_panel=_PANEL)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

_OPTIONS: Mapping[str, Any] = {"dbname": Dbname, "host": Host, "port": Port, "username": Username, "json": Json}


@dataclass(frozen=True)
class Session:
    """What the user said about the connection and the form of the answer; empty parts are left to libpq."""

    options: Mapping[str, str] = field(default_factory=dict[str, str])
    json: bool = False

    @property
    def conninfo(self) -> str:
        """Return the libpq connection string; CommandError when `-d` holds a malformed one."""
        options = dict(self.options)
        dbname = options.pop("dbname", "")
        given = dbname if "=" in dbname or "://" in dbname else make_conninfo(**({"dbname": dbname} if dbname else {}))
        try:
            return make_conninfo(given, **options, fallback_application_name="vsync")
        except psycopg.ProgrammingError as error:
            raise CommandError("malformed connection string", detail=str(error).strip(), code=ExitCode.USAGE) from error


def connect(session: Session, *, installed: bool = True) -> psycopg.Connection[Row]:
    """Open an autocommit connection with rows as dicts; notices go to stderr.

    installed: vsync must be there. CommandError where it is not, and (exit code 3) where there is no connection.
    """
    try:
        connection = psycopg.Connection[Row].connect(
            session.conninfo, autocommit=True, row_factory=dict_row, prepare_threshold=None
        )
    except psycopg.OperationalError as error:
        raise CommandError(str(error).strip(), code=ExitCode.NO_CONNECTION) from error
    connection.add_notice_handler(_tell)
    if installed:
        try:
            require_vsync(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def schemas_of_vsync(connection: psycopg.Connection[Any]) -> list[str]:
    """Return those schemas of vsync that the database has: all three, or none where it is not installed."""
    cursor = connection.cursor(row_factory=tuple_row)
    return [name for (name,) in cursor.execute(_SCHEMAS).fetchall()]


def require_vsync(connection: psycopg.Connection[Any]) -> None:
    """Raise CommandError where the database has no vsync."""
    if schemas_of_vsync(connection):
        return
    raise CommandError(
        f'vsync is not installed in database "{connection.info.dbname}"',
        hint="As a superuser: create extension vsync cascade. Without files on the server: vsync install."
        " For another database: -d NAME, or PGDATABASE.",
    )


def takes_session(command: Callable[Concatenate[Session, P], None]) -> Callable[..., None]:
    """Give a command the connection options and --json: they reach it as its first argument, a Session.

    The options may stand before the sub-command too (`vsync -d shop status`); those after it win.
    """
    return _with_options(command, _OPTIONS)


def takes_json(command: Callable[Concatenate[Session, P], None]) -> Callable[..., None]:
    """Give a command that needs no connection the option --json, as `json` of the Session it gets first."""
    return _with_options(command, {"json": Json})


def _with_options(command: Callable[..., None], options: Mapping[str, Any]) -> Callable[..., None]:
    only = inspect.Parameter.KEYWORD_ONLY
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    parameters = [parameter.replace(kind=only) for parameter in own]
    for name, annotation in options.items():
        default = False if name == "json" else None
        parameters.append(inspect.Parameter(name, only, annotation=annotation, default=default))
    parameters.append(inspect.Parameter("ctx", only, annotation=typer.Context))

    def wrapper(**values: Any) -> None:
        ctx: typer.Context = values.pop("ctx")
        given = {name: values.pop(name) for name in options}
        command(merge(ctx.obj, **given), **values)

    wrapper.__name__, wrapper.__doc__, wrapper.__module__ = command.__name__, command.__doc__, command.__module__
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    wrapper.__dict__["__signature__"] = inspect.Signature(parameters)
    return wrapper


def merge(
    outer: Session | None,
    *,
    dbname: str | None = None,
    host: str | None = None,
    port: int | None = None,
    username: str | None = None,
    json: bool = False,
) -> Session:
    """Return the session of the options given here, those of `outer` where nothing is given."""
    before = outer or Session()
    named = {"dbname": dbname, "host": host, "port": port, "user": username}
    given = {name: str(value) for name, value in named.items() if value is not None}
    return Session({**before.options, **given}, json or before.json)


def _tell(diagnostic: psycopg.errors.Diagnostic) -> None:
    say(f"{diagnostic.severity}: {diagnostic.message_primary}")
    if diagnostic.message_hint:
        say(f"HINT: {diagnostic.message_hint}")

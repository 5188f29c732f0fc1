"""The `vsync` command: finds the sub-commands, hands them the connection, turns errors into exit codes.

Each module of `vsync_admin.commands` has one function `register(app)`, which adds a command or a group.
"""

import importlib
import pkgutil
import sys
from typing import Annotated, Any

import psycopg
import typer

from vsync_admin import __version__, commands
from vsync_admin.connection import Dbname, Host, Json, Port, Username, merge
from vsync_admin.errors import CommandError, ExitCode
from vsync_admin.output import close_stdout, report, report_database_error

_EPILOG = (
    "Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no connection,"
    " 4 something was found (doctor, audit, rule plan), 130 interrupted."
)


class App(typer.Typer):
    """A Typer application whose errors are reported as the server reports its own."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line and exit."""
        try:
            return super().__call__(*args, **kwargs)
        except CommandError as error:
            report(error.message, detail=error.detail, hint=error.hint)
            sys.exit(error.code)
        except psycopg.Error as error:
            report_database_error(error)
            sys.exit(ExitCode.FAILED)
        except KeyboardInterrupt:
            sys.exit(ExitCode.INTERRUPTED)
        except BrokenPipeError:
            close_stdout()
            sys.exit(ExitCode.FAILED)


app = App(
    name="vsync",
    help="Keep vector embeddings fresh inside PostgreSQL.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vsync {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    dbname: Dbname = None,
    host: Host = None,
    port: Port = None,
    username: Username = None,
    json: Json = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Keep vector embeddings fresh inside PostgreSQL."""
    del version
    ctx.obj = merge(None, dbname=dbname, host=host, port=port, username=username, json=json)


for _module in pkgutil.iter_modules(commands.__path__):
    importlib.import_module(f"{commands.__name__}.{_module.name}").register(app)

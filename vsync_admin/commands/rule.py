"""`vsync rule`: looking at rules, switching them, and keeping them as files."""

from pathlib import Path
from typing import Annotated, LiteralString

import orjson
import psycopg
import typer

from vsync_admin import outside, rule_files, rule_plan
from vsync_admin.arguments import Yes, check_json, confirm
from vsync_admin.connection import Row, Session, connect, takes_session
from vsync_admin.errors import CommandError, ExitCode
from vsync_admin.output import console, emit, emit_json, report_database_error, say, table
from vsync_admin.queries import load

_EXISTS = "select from vsync_internal.find_rule(%s::name)"
_DROP = "select vsync.drop_rule(%s::name, %s) as rule"
_ENABLE = "select vsync.enable_rule(%s::name) as rule"
_DISABLE = "select vsync.disable_rule(%s::name) as rule"

group = typer.Typer(help="Rules: what a change is worth.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the rule.")]
Directory = Annotated[Path, typer.Argument(metavar="DIR", help="Folder with a .sql file a rule.")]
Of = Annotated[str | None, typer.Option("--embedding", help="Only the rules of one embedding; all without.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="rule")


@group.command("list")
@takes_session
def list_(session: Session, embedding: Of = None) -> None:
    """List the rules in the order in which they decide."""
    with connect(session) as connection:
        rows = connection.execute(load("rules"), {"embedding": embedding}).fetchall()
    emit(rows, as_json=session.json)


@group.command()
@takes_session
def show(session: Session, name: Name) -> None:
    """Show a rule and what it has done so far."""
    with connect(session) as connection:
        connection.execute(_EXISTS, (name,))
        rows = connection.execute(load("rule"), {"name": name}).fetchall()
    if session.json:
        emit(rows, as_json=True)
        return
    told = [{"what": what, "value": value} for what, value in rows[0].items() if value is not None]
    console().print(table(told))


@group.command()
@takes_session
def history(session: Session, name: Name) -> None:
    """Show every revision of a rule, the newest first; those of a dropped rule too."""
    with connect(session) as connection:
        rows = connection.execute(load("rule_history"), {"name": name}).fetchall()
    if not rows:
        raise CommandError(f'rule "{name}" has no history', hint="vsync rule list")
    emit(rows, as_json=session.json)


@group.command()
@takes_session
def preview(
    session: Session,
    embedding: Annotated[str, typer.Argument(help="Name of the embedding.")],
    condition: Annotated[str, typer.Option("--condition", metavar="SQL", help="What the rule would ask.")],
    action: Annotated[str, typer.Option("--action", help="skip, defer, prioritize, exclude, hold or refresh.")],
    params: Annotated[str, typer.Option("--params", metavar="JSON", help='For example {"until": "18:00"}.')] = "{}",
) -> None:
    """Say what a rule would do now: how many documents, which, and what is saved or spent. Nothing changes."""
    arguments = {
        "embedding": embedding,
        "condition": condition,
        "action": action,
        "params": check_json(params, "--params"),
    }
    with connect(session) as connection:
        rows = outside.execute(connection, load("rule_preview"), arguments)
    emit(rows, as_json=session.json)


@group.command()
@takes_session
def test(session: Session, directory: Directory) -> None:
    """Prove every rule of a folder against the database, and say what each would do now. Nothing changes.

    Exit code 4 where one cannot be a rule here.
    """
    refused = False
    rows: list[Row] = []
    with connect(session) as connection:
        for rule in rule_files.read_directory(directory):
            params = orjson.dumps(rule.params).decode()
            arguments = {
                "embedding": rule.embedding,
                "condition": rule.condition,
                "action": rule.action,
                "params": params,
            }
            try:
                found = outside.execute(connection, load("rule_preview"), arguments)
                rows += [{"rule": rule.name, **row} for row in found]
            except psycopg.DatabaseError as error:
                refused = True
                say(f"rule {rule.name}:")
                report_database_error(error)
    emit(rows, as_json=session.json)
    if refused:
        raise typer.Exit(ExitCode.FINDINGS)


@group.command()
@takes_session
def enable(session: Session, name: Name) -> None:
    """Let a rule decide again, from the next commit on."""
    _call(session, _ENABLE, name)


@group.command()
@takes_session
def disable(session: Session, name: Name) -> None:
    """Keep a rule and let it decide nothing; what it held back is decided again."""
    _call(session, _DISABLE, name)


@group.command()
@takes_session
def drop(
    session: Session,
    name: Name,
    if_exists: Annotated[bool, typer.Option("--if-exists", help="Nothing happens when it is not there.")] = False,
    yes: Yes = False,
) -> None:
    """Drop a rule; what it held back is decided again, and its history stays. Asks, or takes --yes."""
    confirm(f'Drop rule "{name}"?', yes=yes)
    _call(session, _DROP, name, if_exists)


@group.command()
@takes_session
def plan(session: Session, directory: Directory, embedding: Of = None) -> None:
    """Show what makes the rules of the database those of a folder; exit code 4 where they differ."""
    wanted = rule_files.read_directory(directory)
    with connect(session) as connection:
        changes = rule_plan.plan(connection, wanted, embedding)
    emit([row for change in changes for row in change.rows()], as_json=session.json)
    if changes:
        raise typer.Exit(ExitCode.FINDINGS)
    say("nothing to do")


@group.command()
@takes_session
def apply(session: Session, directory: Directory, embedding: Of = None, yes: Yes = False) -> None:
    """Make the rules of the database those of a folder, in one transaction.

    Rules without a file are dropped; where there are some it asks, or takes --yes.
    """
    wanted = rule_files.read_directory(directory)
    with connect(session) as connection:
        changes = rule_plan.plan(connection, wanted, embedding)
        kept = {rule.name for rule in wanted}
        dropped = [f'"{change.rule.name}"' for change in changes if change.rule.name not in kept]
        if dropped:
            confirm(f"Drop {'rule' if len(dropped) == 1 else 'rules'} {', '.join(dropped)}?", yes=yes)
        rule_plan.carry_out(connection, changes)
    emit([row for change in changes for row in change.rows()], as_json=session.json)
    say(f"{len(changes)} changes made" if changes else "nothing to do")


@group.command()
@takes_session
def export(session: Session, directory: Directory, embedding: Of = None) -> None:
    """Write the rules of the database to a folder, a file each, as psql and `vsync rule apply` read them."""
    with connect(session) as connection:
        rules = rule_plan.current(connection, embedding)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        written = [directory / rule_files.file_name(rule) for rule in rules]
        for path, rule in zip(written, rules, strict=True):
            path.write_bytes(rule_files.script(rule).encode())
    except OSError as error:
        raise CommandError(f"cannot write to {directory}", detail=str(error)) from error
    others = sorted({*directory.glob("*.sql")} - {*written})
    if others:
        say(f"left alone, though no rule of the database: {', '.join(path.name for path in others)}")
    names = [{"rule": rule.name, "file": str(path)} for path, rule in zip(written, rules, strict=True)]
    if session.json:
        emit_json(names)
    else:
        emit(names, as_json=False)


def _call(session: Session, statement: LiteralString, *arguments: object) -> None:
    with connect(session) as connection:
        rows = connection.execute(statement, arguments).fetchall()
    emit(rows, as_json=session.json)

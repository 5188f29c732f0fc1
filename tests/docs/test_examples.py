"""What the documentation shows runs as it stands, SQL in psql and commands in a shell; shown output is compared."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from vsync_admin.server import find_server
from vsync_engine.foundation import errors

ROOT = Path(__file__).resolve().parents[2]
MODEL = "/var/lib/vsync/models/minilm"
DOCUMENTS = ("README.md", "docs/tutorial.md", "docs/reference/rules.md", "docs/operations.md")
# what a document takes for granted
BEFORE = {"docs/operations.md": "create schema shop; create table shop.products (id int primary key, title text);"}
# makes the machine's own installation, needs a Docker engine, fetches from the hub, or names a host of the reader's
ELSEWHERE = ("make ", "docker ", " hf:", "db.example")
ENDLESS = ("vsync worker", "--watch")
_BLOCK = re.compile(r"^```(sql|sh|output)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def environment(dsn: str) -> dict[str, str]:
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE"}
    settings = {names[key]: str(value) for key, value in conninfo_to_dict(dsn).items() if key in names}
    path = os.pathsep.join((str(Path(sys.executable).parent), str(find_server().bindir), os.environ["PATH"]))
    return {**os.environ, **settings, "PATH": path, "PYTHONUNBUFFERED": "1"}


def psql(script: str, env: dict[str, str]) -> str:
    command = ["psql", "-X", "-v", "ON_ERROR_STOP=1", "-f", "-"]
    done = subprocess.run(command, input=script, capture_output=True, text=True, check=False, timeout=120, env=env)
    assert done.returncode == 0, f"{script}\n{done.stderr}"
    return done.stdout


def commands(block: str) -> Iterator[str]:
    for line in block.splitlines():
        command = line.partition(" # ")[0].strip()
        if command and not command.startswith("#") and not any(word in command for word in ELSEWHERE):
            # what is redrawn on a terminal is one line at each look as JSON
            yield f"{command} --json" if "--watch" in command else command


def shell(block: str, directory: Path, env: dict[str, str]) -> str:
    printed = ""
    for command in commands(block):
        # a command that never ends by itself is interrupted once it has begun to speak
        endless = any(word in command for word in ENDLESS)
        with subprocess.Popen(
            shlex.split(command), cwd=directory, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            assert process.stdout is not None
            if endless:
                printed += process.stdout.readline()
                process.send_signal(signal.SIGINT)
            printed += process.stdout.read()
        assert process.returncode in ((0, 130) if endless else (0,)), f"{command}\n{printed}"
    return printed


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_block_runs_in_order_and_shows_what_it_prints(
    document: str, empty_dsn: str, minilm: Path, paraphrase: Path, tmp_path: Path
):
    del paraphrase  # fetched before a command asks for it
    env = environment(empty_dsn)
    text = (
        (ROOT / document)
        .read_text("utf-8")
        .replace(MODEL, str(minilm))
        .replace(" anna", " docs_anna")
        .replace(" vsync_worker", " docs_worker")
    )
    psql(BEFORE.get(document, ""), env)
    printed = ""
    try:
        for kind, block in _BLOCK.findall(text):
            if kind == "output":
                assert _lines(printed) == _lines(block)
            else:
                printed = psql(block, env) if kind == "sql" else shell(block, tmp_path, env)
    finally:
        with psycopg.connect(empty_dsn, autocommit=True) as session:
            session.execute("drop role if exists docs_anna, docs_worker")


def test_what_is_run_elsewhere_is_still_shown():
    shown = "\n".join(
        block for name in DOCUMENTS for kind, block in _BLOCK.findall((ROOT / name).read_text("utf-8")) if kind == "sh"
    )
    assert [word for word in ELSEWHERE if word not in shown and word != "docker "] == []


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip("\n").splitlines()]


def test_links_between_the_documents_lead_somewhere():
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text("utf-8")):
            assert "://" in target or (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_reference_has_every_error():
    codes = {value for value in vars(errors).values() if isinstance(value, str) and re.fullmatch(r"VS\d\d\d", value)}
    reference = (ROOT / "docs/reference/errors.md").read_text("utf-8")
    assert codes == set(re.findall(r"^\| `(VS\d\d\d)`", reference, re.MULTILINE))


def test_the_reference_has_every_setting_with_its_default(db):
    settings = dict(db.execute("select name, default_value from vsync.settings").fetchall())
    reference = (ROOT / "docs/reference/options.md").read_text("utf-8")
    section = reference.partition("## Settings")[2].partition("\n## ")[0]
    assert settings == dict(re.findall(r"^\| `(\w+)` \| `?(\d+)`? \|", section, re.MULTILINE))

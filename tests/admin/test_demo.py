"""The demonstration: its rows, and that it holds what it says, the first time and when repeated."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from vsync_admin import demo, demo_catalogue, dev
from vsync_admin.demo_catalogue import Package, parse
from vsync_admin.errors import CommandError

CONTROL = """\
Package: tar
Version: 1.34
Section: main/utils
Maintainer: Somebody <some@body.example>
Description: GNU version of the tar archiving utility
 Tar is a program for packaging a set of files
 as a single archive.
 .
 The second paragraph: with a colon.
Tag: role::program,
 scope::utility

Package: nothing-to-say
Version: 1

Package: short
Description-en: one line
"""


def quiet() -> Console:
    return Console(file=io.StringIO(), markup=False, highlight=False)


@pytest.fixture
def some_packages() -> list[Package]:
    """Few rows, those that the demonstration changes among them."""
    known = {package.name: package for package in demo_catalogue.packages()}
    chosen = ["tar", "gzip", *sorted(known)[:100]]
    return [known[name] for name in dict.fromkeys(chosen)]


def test_a_control_file_is_read():
    tar, short = parse(CONTROL)
    assert tar == Package(
        "tar",
        "1.34",
        "utils",
        "Somebody <some@body.example>",
        "GNU version of the tar archiving utility",
        "Tar is a program for packaging a set of files as a single archive.\n\nThe second paragraph: with a colon.",
        "role::program, scope::utility",
    )
    assert (short.name, short.summary, short.description) == ("short", "one line", "")


def test_the_rows_are_many_and_the_same_each_time():
    packages = demo_catalogue.packages()
    assert len(packages) >= 1000 or len(packages) == len({package.name for package in packages})
    assert packages == demo_catalogue.packages()
    assert {"tar", "gzip"} <= {package.name for package in packages}


def test_the_demonstration_holds_and_may_be_repeated(
    dsn: str, minilm: Path, some_packages: list[Package], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dev, "up", dev.private_cluster)
    monkeypatch.setattr(dev, "dsn", lambda: dsn)
    monkeypatch.setattr(demo_catalogue, "packages", lambda: some_packages)
    first = demo.run(quiet(), quiet())
    again = demo.run(quiet(), quiet())
    for outcome in (first, again):
        assert outcome.documents == len(some_packages)
        assert [change["texts"] for change in outcome.changes] == [1, 1, 0, 0, 0]
        assert [change["rows"] for change in outcome.changes][3] == len(some_packages)
        assert set(outcome.searches) == set(demo.SEARCHES)
    demo.next_steps(quiet(), dsn)


def test_a_claim_that_does_not_hold_is_an_error(
    dsn: str, minilm: Path, some_packages: list[Package], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dev, "up", dev.private_cluster)
    monkeypatch.setattr(dev, "dsn", lambda: dsn)
    monkeypatch.setattr(demo_catalogue, "packages", lambda: some_packages[:5])
    monkeypatch.setattr(demo, "CHANGES", (demo.Change("wrong", "demo_irrelevant", 5),))
    with pytest.raises(CommandError, match="the demonstration failed"):
        demo.run(quiet(), quiet())

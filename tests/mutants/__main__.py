"""`python -m tests.mutants [WORD …]`: take each protection out; a test must fail. Exit 1 where one survives.

With words, only the mutations whose name or test holds them all; exit 2 where there are none.
"""

import sys

import pytest
from rich.console import Console
from rich.table import Table

from tests.mutants.plugin import Mutants
from tests.mutants.table import MUTATIONS


def main() -> int:
    """Run the mutations whose name or test holds every word given, all without one, and print what caught them."""
    chosen = [m for m in MUTATIONS if all(word in m.name or word in m.test for word in sys.argv[1:])]
    if not chosen:
        print(f"no mutation is named by: {' '.join(sys.argv[1:])}", file=sys.stderr)
        return 2
    mutants = Mutants(chosen)
    tests = sorted({f"tests/{m.test.split('[')[0]}" for m in chosen})
    pytest.main(["-qq", "--tb=no", "--no-summary", "--show-capture=no", "-m", "", *tests], plugins=[mutants])
    table = Table("mutation", "caught by", "seconds", title=f"{len(chosen)} protections taken out")
    for mutation in chosen:
        seconds = f"{mutants.seconds.get(mutation.name, 0):.1f}"
        table.add_row(mutation.name, mutants.caught.get(mutation.name, "[red]nothing[/red]"), seconds)
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    for name, reason in mutants.broken.items():
        print(f"no verdict: {name}: {reason}")
    survived = [m for m in chosen if m.name not in mutants.caught]
    for mutation in survived:
        print(f"not caught: {mutation.name}: {mutation.test}")
    print(f"{len(chosen) - len(survived)} caught, {len(survived)} not, {len(mutants.broken)} without a verdict")
    return 1 if survived or mutants.broken else 0


if __name__ == "__main__":
    sys.exit(main())

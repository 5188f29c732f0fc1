"""`python -m tests.mutants [WORD]`: take each protection out; a test must fail. Exit 1 where one survives."""

import sys

import pytest
from rich.console import Console
from rich.table import Table

from tests.mutants.plugin import Mutants
from tests.mutants.table import MUTATIONS


def main() -> int:
    """Run the mutations whose name holds the word given, all without one, and print what caught them."""
    chosen = [m for m in MUTATIONS if all(word in m.name for word in sys.argv[1:])]
    mutants = Mutants(chosen)
    tests = sorted({f"tests/{m.test.split('[')[0]}" for m in chosen})
    pytest.main(["-qq", "--tb=no", "--no-summary", "--show-capture=no", "-m", "", *tests], plugins=[mutants])
    table = Table("mutation", "caught by", "seconds", title=f"{len(chosen)} protections taken out")
    survived = 0
    for mutation in chosen:
        caught = mutants.caught.get(mutation.name)
        survived += caught is None
        verdict = caught or f"[red]{mutants.broken.get(mutation.name, 'survived ' + mutation.test)}"
        table.add_row(mutation.name, verdict, f"{mutants.seconds.get(mutation.name, 0):.1f}")
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    print(f"{len(chosen) - survived} caught, {survived} not")
    return 1 if survived or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())

"""The table follows the code: what a mutation takes out is there, and so is the test that must notice."""

import subprocess
import sys
from pathlib import Path

from fix_cluster import Connection
from tests.mutants.plugin import mutated
from tests.mutants.table import MUTATIONS

ROOT = Path(__file__).parents[2]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_what_a_mutation_takes_out_is_there(db: Connection) -> None:
    """NotApplicable names what is not."""
    for mutation in MUTATIONS:
        if mutation.function:
            mutated(mutation, db)


def test_the_tests_that_the_mutations_name_are_there() -> None:
    named = {f"tests/{mutation.test}" for mutation in MUTATIONS}
    collected = python("pytest", "--collect-only", "-qq", "-m", "", *sorted(named))
    assert collected.returncode == 0, collected.stdout + collected.stderr


def test_words_that_name_no_mutation_are_refused() -> None:
    refused = python("tests.mutants", "no such mutation")
    assert (refused.returncode, refused.stderr) == (2, "no mutation is named by: no such mutation\n")

"""The mutations: each takes one protection out of a fresh database, and names the test that must then fail."""

from tests.mutants.table.capture import CAPTURE, JOINS, WAL
from tests.mutants.table.chaos import CHAOS
from tests.mutants.table.indexes import INDEXES
from tests.mutants.table.keeping import AUDIT, KEEPING
from tests.mutants.table.models import MODELS
from tests.mutants.table.mutation import Mutation
from tests.mutants.table.owner_code import OWNER_CODE
from tests.mutants.table.queue import LOG, QUEUE
from tests.mutants.table.row_security import ROW_SECURITY
from tests.mutants.table.rules import RULES
from tests.mutants.table.versions import VERSIONS
from tests.mutants.table.worker import WORKER

__all__ = ["MUTATIONS", "Mutation"]

MUTATIONS = (
    *QUEUE,
    *LOG,
    *CAPTURE,
    *JOINS,
    *KEEPING,
    *WORKER,
    *AUDIT,
    *WAL,
    *VERSIONS,
    *INDEXES,
    *RULES,
    *ROW_SECURITY,
    *OWNER_CODE,
    *CHAOS,
    *MODELS,
)

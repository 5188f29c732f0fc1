"""Mutations of the worker."""

from tests.mutants.table.mutation import WORK, WORK_BODY, Mutation

_NO_BISECTION = """
run = embedding.InSession._run
def whole(self, members, encoded, sent):
    try:
        self.model.run([encoded[i] for i in members])
    except Exception as error:
        yield embedding.Batch([embedding.Embedded(i, error=error) for i in members], sent)
        return
    yield from run(self, members, encoded, sent)
embedding.InSession._run = whole
"""

_NOTHING_RESTORED = """
from contextlib import contextmanager
@contextmanager
def kept(host):
    for name, setting in worker._SESSION.items():
        host.rows(statements.SET, name, setting)
    host.commit()
    yield
worker._session = kept
"""

_ABORTED = """
def fail(self, keys, error):
    self.host.rows(statements.FAIL, self.token, keys, failure.described(error))
    self.host.rollback()
claim.Claim._fail = fail
"""

_IMPORTS = """from vsync_engine import entry
from vsync_engine.refresh import claim, embedding, failure, statements, worker
"""

# These change the engine in the worker's own session only.
WORKER = (
    *(
        Mutation(
            name,
            f"chaos/{test}",
            WORK,
            WORK_BODY,
            f"{_IMPORTS}{put}\n",
        )
        for name, test, put in (
            (
                "the model runs inside a transaction",
                "test_online.py::test_ddl_on_the_source_does_not_wait_behind_the_model",
                "claim.transaction = worker.transaction = lambda host, call: call()",
            ),
            (
                "failures are recorded in the transaction that aborts",
                "test_poison.py::test_a_poison_text_is_parked_and_its_siblings_are_embedded_once[poisonpill]",
                _ABORTED,
            ),
            (
                "a batch fails as a whole",
                "test_poison.py::test_a_poison_text_is_parked_and_its_siblings_are_embedded_once[poisonpill]",
                _NO_BISECTION,
            ),
            (
                "the worker leaves its settings behind",
                "test_interrupt.py::test_a_cancelled_worker_loses_nothing_and_leaves_its_session_as_it_was[EMBED]",
                _NOTHING_RESTORED,
            ),
            (
                "the worker keeps its claim when cancelled",
                "test_interrupt.py::test_a_cancelled_worker_loses_nothing_and_leaves_its_session_as_it_was[EMBED]",
                "claim.Claim._release = lambda self: None",
            ),
        )
    ),
    Mutation(
        "failures keep their place in the queue",
        "chaos/test_poison.py::test_old_failures_never_starve_new_work",
        "fail",
        "then 3 else m.lane",
        "then m.lane else m.lane",
    ),
    Mutation(
        "the queue is unlogged, and the server crashes",
        "chaos/test_kill.py::test_log_and_queue_survive_a_crash_of_the_server",
        "",
        "",
        "alter table vsync_internal.marks set unlogged",
    ),
)

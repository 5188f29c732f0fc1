"""Mutations of the worker."""

from tests.mutants.table.mutation import WORK, WORK_BODY, Mutation

_NO_BISECTION = """
embed = claim.Claim._embed
def whole(self, batch):
    try:
        self.model.run([encoded for _, encoded in batch])
    except Exception as error:
        for text, _ in batch:
            self._fail([document.key for document in text.documents], error)
        return
    yield from embed(self, batch)
claim.Claim._embed = whole
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
    self.host.rows(statements.FAIL, self.token, keys, claim.described(error))
    self.host.rollback()
claim.Claim._fail = fail
"""

# These change the engine in the worker's own session only.
WORKER = (
    *(
        Mutation(
            name,
            f"chaos/{test}",
            WORK,
            WORK_BODY,
            f"from vsync_engine import claim, entry, statements, worker\n{put}\n",
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

"""What must hold once the queue is worked off."""

from fix_cluster import Connection
from races.steps import DOCUMENT, scalar, stored

_WRONG_VECTORS = """select count(*) from vsync_data.found_v1 as v,
(select array_agg(content order by id) as texts, array_agg(id order by id) as ids from vsync_data.found_v1) as a,
unnest(a.ids, vsync.embed('tiny', a.texts)) as e (id, embedding)
where e.id = v.id and e.embedding <-> v.embedding > 1e-4"""


def assert_at_rest(s: Connection) -> None:
    """Work off; every document has exactly the vector of its text, and nothing waits."""
    s.execute("call vsync.work()")
    for table in ("marks", "leases", "pages"):
        assert scalar(s, f"select count(*) from vsync_internal.{table}") == 0, table
    assert stored(s) == dict(s.execute(DOCUMENT).fetchall())
    assert scalar(s, "select count(*) from vsync_data.found_v1") == scalar(s, "select count(*) from shop.items")
    assert scalar(s, _WRONG_VECTORS) == 0

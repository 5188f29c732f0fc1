"""A random history over one table of some shape, in one thread: several writers, partial workers, dying claims.

Writers own disjoint keys, so that none waits for another; whatever takes a whole table first ends the others.
"""

from collections.abc import Iterable

from promise.oracle import Declared, declare
from promise.shapes import Shape
from promise.stage import TEXTS, WRITERS, Sessions, Step
from promise.steps import Steps


class History(Steps):
    """A shape's table with rows and embeddings of it: `run` the steps, `finish`, `settle` and, always, `remove`."""

    def __init__(self, sessions: Sessions, shape: Shape, rows: int, second: bool) -> None:
        super().__init__(sessions)
        self.shape = shape
        self.columns = ", ".join(shape.columns)
        self._sweep()
        self._sql(self.db, shape.create)
        for key in shape.keys[:rows]:
            self._sql(
                self.db,
                f"insert into {shape.root} ({self.columns}, title, body) values ({key}, 't', 'b')"
                " on conflict do nothing",
            )
        self.embeddings = [self._declare(f"of_{shape.name}", shape.document)]
        if second:
            outputs = (f'{column} as "{name.replace(chr(34), chr(34) * 2)}"' for column, name in self._outputs())
            document = f"select 'hits ' || hits as content, {', '.join(outputs)} from {shape.root}"
            self.embeddings.append(self._declare("second", document))

    def run(self, steps: list[Step]) -> None:
        for step in steps:
            owner = self._owner(step.keys[0])
            if self.exclusive is not None and self.exclusive != owner:
                self._yield()
            getattr(self, step.kind)(step, owner)

    # rows

    def insert(self, step: Step, owner: int) -> None:
        self._write(owner, f"insert into {self._into(step)} {self._values(step, owner)}")

    def insert_default(self, step: Step, owner: int) -> None:
        values = self._values(step, owner)
        self._write(owner, f"insert into {self._into(step)} {values} on conflict do nothing")

    def upsert(self, step: Step, owner: int) -> None:
        self._write(
            owner,
            f"insert into {self._into(step)} {self._values(step, owner, one=True)} on conflict ({self.columns})"
            " do update set title = excluded.title, body = excluded.body",
        )

    def merge(self, step: Step, owner: int) -> None:
        source = f"select {self.columns}, title, body from {self.shape.root} where false union all "
        source += f"select {self._key(self._own(step, owner)[0])}, 't', {TEXTS[step.text]}"
        condition = " and ".join(f"m.{column} = s.{column}" for column in self.shape.columns)
        columns = ", ".join(f"s.{column}" for column in self.shape.columns)
        matched = ("update set body = s.body", "delete", "do nothing", "update set live = not live")[step.variant]
        self._write(
            owner,
            f"merge into {self.shape.root} as m using ({source}) as s on {condition} when matched then {matched}"
            f" when not matched then insert ({self.columns}, title, body) values ({columns}, s.title, s.body)",
        )

    def copy(self, step: Step, owner: int) -> None:
        shown = ", ".join(f"{column}::text" for column in self.shape.columns)
        empty = f"select {self.columns} from {self.shape.root} where false"
        keys = f"select {shown} from ({empty} union all select {self._key(self._own(step, owner)[0])}) as k"
        writer = self.sessions.writers[owner]

        def stream() -> None:
            rows = writer.execute(keys.encode()).fetchall()
            with writer.cursor() as cursor, cursor.copy(f"copy {self._into(step)} from stdin".encode()) as copy:
                for row in rows:
                    copy.write_row((*row, "t", f"copied {step.text}"))

        self._guarded(owner, stream)

    def update(self, step: Step, owner: int) -> None:
        change = (f"body = {TEXTS[step.text]}", f"title = {TEXTS[step.text]}", "live = not live", "title = 't'")
        self._write(owner, f"update {self.shape.root} set {change[step.variant]} where {self._where(step, owner)}")

    def update_in_vain(self, step: Step, owner: int) -> None:
        change = ("hits = coalesce(hits, 0) + 1", "body = body, title = title", "hits = hits", "live = live")
        self._write(owner, f"update {self.shape.root} set {change[step.variant]} where {self._where(step, owner)}")

    def rekey(self, step: Step, owner: int) -> None:
        own = self._own(step, owner)
        key = self._key(own[-1])
        where = self._equal(own[0])
        self._write(owner, f"update {self.shape.root} set ({self.columns}) = row({key}), hits = 1 where {where}")

    def delete(self, step: Step, owner: int) -> None:
        self._write(owner, f"delete from {self.shape.root} where {self._where(step, owner)}")

    def several(self, step: Step, owner: int) -> None:
        self.delete(step, owner)
        self.insert(step, owner)
        self.update(step, owner)

    def everything(self, step: Step, owner: int) -> None:
        self._alone(owner)
        change = ("update {} set body = body || '.'", "update {} set hits = 1", "delete from {}", "truncate {}")
        self._write(owner, change[step.variant].format(self.shape.root))
        self.exclusive = owner if self._open(owner) else None

    # partitions

    def leaf(self, step: Step, owner: int) -> None:
        if not self.shape.leaves:
            return
        leaf, keys = self.shape.leaves[step.text % len(self.shape.leaves)]
        own = [key for key in keys if self._owner(key) == owner]
        if step.variant == 3 or not own:
            self._alone(owner)
            self._write(owner, f"truncate {leaf}" if step.variant == 3 else f"update {leaf} set body = body || '!'")
            self.exclusive = owner if self._open(owner) else None
        elif step.variant == 0:
            self._write(
                owner, f"insert into {leaf} ({self.columns}, title, body) values ({self._key(own[0])}, 'l', 'f')"
            )
        elif step.variant == 1:
            self._write(owner, f"update {leaf} set body = {TEXTS[step.text]} where {self._equal(own[-1])}")
        else:
            self._write(owner, f"delete from {leaf} where {self._equal(own[0])}")

    def attach(self, step: Step, owner: int) -> None:
        if not self.shape.detachable:
            return
        for writer in range(WRITERS):
            self._finish(writer, commit=step.variant > 0)
        parent, leaf, bound = self.shape.detachable[step.text % len(self.shape.detachable)]
        query = "select relispartition from pg_class where oid = %s::regclass"
        row = self.db.execute(query, [leaf]).fetchone()
        change = f"detach partition {leaf}" if row == (True,) else f"attach partition {leaf} {bound}"
        self._write(owner, f"alter table {parent} {change}")

    def _outputs(self) -> Iterable[tuple[str, str]]:
        return zip(self.shape.columns, self.shape.key, strict=True)

    def _declare(self, name: str, document: str) -> Declared:
        return declare(
            self.db, document, name=name, schema=self.shape.schema, key=self.shape.key, chunk=self.shape.chunk
        )

    def _sweep(self) -> None:
        """Drop everything, what a history that failed half-way has left included."""
        for name in (f"of_{self.shape.name}", "second"):
            self.db.execute("select vsync.drop_embedding(%s, true)", [name])
        for table in (self.shape.root, *(leaf for leaf, _ in self.shape.leaves)):
            self._sql(self.db, f"drop table if exists {table}")
        if self.shape.drop:
            self._sql(self.db, self.shape.drop)

    def _owner(self, key: int) -> int:
        return key % len(self.shape.keys) // 2 % WRITERS

    def _own(self, step: Step, owner: int) -> list[int]:
        count = len(self.shape.keys)
        return list(dict.fromkeys(key % count for key in step.keys if self._owner(key) == owner))

    def _key(self, key: int) -> str:
        return self.shape.keys[key]

    def _equal(self, key: int) -> str:
        return f"({self.columns}) = ({self._key(key)})"

    def _where(self, step: Step, owner: int) -> str:
        return " or ".join(self._equal(key) for key in self._own(step, owner))

    def _into(self, step: Step) -> str:
        return f"{self.shape.root} ({self.columns}, title, body)"

    def _values(self, step: Step, owner: int, *, one: bool = False) -> str:
        own = self._own(step, owner)[: 1 if one else None]
        return "values " + ", ".join(f"({self._key(key)}, 't', {TEXTS[step.text]})" for key in own)

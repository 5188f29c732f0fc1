"""A random history over the tables of a joined document: all of them change, and every commit is looked at.

What the documents read after each commit bounds what may be embedded: a text that no commit brought is waste.
"""

from promise.joins import Joined, Table
from promise.oracle import declare, embedded_total, rendered, work
from promise.stage import WRITERS, JoinStep, Sessions, Step
from promise.steps import Steps

NAMES = ("'red'", "'blue'", "'it''s'", "'green'", "'red; blue'", "'grey'", "''", "null")


class JoinHistory(Steps):
    """`run` the steps, `finish`, `settle` and, always, `remove`.

    captures: one embedding of the shape's document a capture mode. beside: the number of a table that has an embedding
    of its own as well. calm: nobody works but at a drain, so that what is embedded is known exactly.
    """

    def __init__(
        self, sessions: Sessions, shape: Joined, captures: tuple[str, ...], rows: int, beside: int, calm: bool
    ) -> None:
        super().__init__(sessions)
        self.shape = shape
        self.calm = calm
        self.by_wal = "wal" in captures
        self._sweep()
        self._sql(self.db, shape.before)
        for table in reversed(shape.tables):
            self._sql(self.db, table.create)
        self._sql(self.db, shape.after)
        self._fill(rows)
        for capture in captures:
            name = f"of_{shape.name}_{capture}"
            self._declare(name, shape.document, shape.key, capture)
        table = shape.tables[beside % len(shape.tables)]
        if beside < len(shape.tables):
            outputs = ", ".join(table.key)
            document = f"select {outputs}, name as content from {table.name}"
            self._declare("beside", document, tuple(map(_bare, table.key)), captures[0])
        self._state = {embedding.name: rendered(self.db, embedding) for embedding in self.embeddings}
        self._allowed = {name: len(texts) for name, texts in self._state.items()}
        self._expected = dict.fromkeys(self._state, 0)
        self._at_rest: dict[str, set[str]] = {name: set() for name in self._state}
        if calm:
            self._drained()
        elif self.by_wal:
            work(self.db)  # makes the slot, which waits for open transactions

    def _declare(self, name: str, document: str, key: tuple[str, ...], capture: str) -> None:
        self.embeddings.append(
            declare(self.db, document, name=name, schema=self.shape.schema, key=key, capture=capture)
        )

    def run(self, steps: list[JoinStep]) -> None:
        for step in steps:
            if self.calm and step.kind in ("fold", "claim", "publish", "die", "late"):
                continue
            owner = step.writer % WRITERS
            if self.exclusive is not None and self.exclusive != owner:
                self._yield()
            if self.shape.checked:
                self._alone(owner)
            getattr(self, step.kind)(step, owner)

    def settle(self) -> None:
        super().settle()
        self._drained()
        for embedding in self.embeddings:
            total = embedded_total(self.db, embedding)
            if self.calm:
                assert total == self._expected[embedding.name], f"{embedding.name}: embedded, and new texts"
            else:
                assert total <= self._allowed[embedding.name], f"{embedding.name}: embedded, and changed documents"

    def fill(self, step: JoinStep, owner: int) -> None:
        """Give every table its first rows again."""
        self.finish()
        self._fill(6)

    def _fill(self, rows: int) -> None:
        for table in reversed(self.shape.tables):
            key = ", ".join(table.key)
            changes = ", ".join(f"{column} = excluded.{column}" for column in (*table.links, "name"))
            for number in range(min(rows, len(table.keys))):
                self._write(
                    0,
                    f"insert into {self._into(table)} values {self._row(table, number, number, number)}"
                    f" on conflict ({key}) do update set {changes}, live = true",
                )

    def drain(self, step: Step, owner: int) -> None:
        if self.calm:
            self.finish()
        super().drain(step, owner)
        if self.calm:
            self._drained()

    def _drained(self) -> None:
        work(self.db)
        for name, texts in self._state.items():
            now = set(texts.values())
            self._expected[name] += len(now - self._at_rest[name])
            self._at_rest[name] = now

    def _committed(self) -> None:
        for embedding in self.embeddings:
            now = rendered(self.db, embedding)
            before = self._state[embedding.name]
            self._allowed[embedding.name] += sum(before.get(key) != text for key, text in now.items())
            self._state[embedding.name] = now

    def _sweep(self) -> None:
        for (name,) in self.db.execute("select name from vsync_internal.embeddings").fetchall():
            self.db.execute("select vsync.drop_embedding(%s)", [name])
        self._sql(self.db, self.shape.drop)
        if self.shape.schema == "public":
            self._sql(self.db, f"drop table if exists {', '.join(table.name for table in self.shape.tables)}")

    # rows

    def insert(self, step: JoinStep, owner: int) -> None:
        table, values = self._values(step, owner)
        self._write(owner, f"insert into {self._into(table)} values {', '.join(values)}")

    def insert_default(self, step: JoinStep, owner: int) -> None:
        table, values = self._values(step, owner)
        self._write(owner, f"insert into {self._into(table)} values {', '.join(values)} on conflict do nothing")

    def upsert(self, step: JoinStep, owner: int) -> None:
        table, values = self._values(step, owner)
        changes = ", ".join(f"{column} = excluded.{column}" for column in (*table.links, "name"))
        key = ", ".join(table.key)
        self._write(
            owner,
            f"insert into {self._into(table)} values {', '.join(values)} on conflict ({key}) do update set {changes}",
        )

    def merge(self, step: JoinStep, owner: int) -> None:
        table, values = self._values(step, owner)
        columns = (*table.key, *table.links, "name")
        source = self._typed(table, values)
        condition = " and ".join(f"m.{column} = s.{column}" for column in table.key)
        changes = ", ".join(f"{column} = s.{column}" for column in (*table.links, "name"))
        matched = (f"update set {changes}", "delete", "do nothing", "update set live = not live")[step.variant]
        inserted = ", ".join(f"s.{column}" for column in columns)
        self._write(
            owner,
            f"merge into {table.name} as m using ({source}) as s on {condition} when matched then {matched}"
            f" when not matched then insert ({', '.join(columns)}) values ({inserted})",
        )

    def copy(self, step: JoinStep, owner: int) -> None:
        table, values = self._values(step, owner)
        columns = ", ".join(f"{column}::text" for column in (*table.key, *table.links, "name"))
        rows = f"select {columns} from ({self._typed(table, values)}) as v"
        writer = self.sessions.writers[owner]

        def stream() -> None:
            read = writer.execute(rows.encode()).fetchall()
            with writer.cursor() as cursor, cursor.copy(f"copy {self._into(table)} from stdin".encode()) as copy:
                for row in read:
                    copy.write_row(row)

        self._guarded(owner, stream)

    def update(self, step: JoinStep, owner: int) -> None:
        table = self._table(step)
        name, links = f"name = {self._name(step.text)}", self._links(table, step.link)
        change = (name, "live = not live", ", ".join(links or [name]), ", ".join([name, *links]))
        self._write(owner, f"update {table.name} set {change[step.variant]} where {self._where(step, owner)}")

    def relink(self, step: JoinStep, owner: int) -> None:
        """Give own rows other parents; the second statement, if any, gives them others again."""
        table = self._table(step)
        for number in range(1 + step.variant % 2):
            if links := self._links(table, step.link + number):
                self._write(owner, f"update {table.name} set {', '.join(links)} where {self._where(step, owner)}")

    def update_in_vain(self, step: JoinStep, owner: int) -> None:
        table = self._table(step)
        same = ", ".join(f"{column} = {column}" for column in (*table.links, "name"))
        change = ("hits = coalesce(hits, 0) + 1", same, "hits = hits", "live = live")
        self._write(owner, f"update {table.name} set {change[step.variant]} where {self._where(step, owner)}")

    def there_and_back(self, step: JoinStep, owner: int) -> None:
        table = self._table(step)
        opened = not self._open(owner) and step.variant
        if opened:
            self._write(owner, "begin")
        for change in ("name = name || '!'", "name = left(name, -1)"):
            self._write(owner, f"update {table.name} set {change} where {self._where(step, owner)}")
        if opened:
            self._finish(owner, commit=True)

    def rekey(self, step: JoinStep, owner: int) -> None:
        own = self._own(step, owner)
        table = self._table(step)
        key = ", ".join(table.key)
        self._write(
            owner,
            f"update {table.name} set ({key}) = row({table.keys[own[-1]]}), hits = 1"
            f" where ({key}) = ({table.keys[own[0]]})",
        )

    def delete(self, step: JoinStep, owner: int) -> None:
        self._write(owner, f"delete from {self._table(step).name} where {self._where(step, owner)}")

    def several(self, step: JoinStep, owner: int) -> None:
        self.delete(step, owner)
        self.insert(step, owner)
        self.update(step, owner)

    def everything(self, step: JoinStep, owner: int) -> None:
        """Take a table whole: all its rows, or all that have one parent."""
        self._alone(owner)
        table = self._table(step)
        name = f"update {table.name} set name = coalesce(name, '') || '.'"
        change = [name, f"update {table.name} set hits = 1", f"delete from {table.name}"]
        several = step.text % 2 and not self.shape.checked
        truncated = {table.name, self._table(step, step.link).name} if several else set[str]()
        change.append(f"truncate {', '.join(sorted(truncated) or [table.name + ' cascade' * self.shape.checked])}")
        if table.links and step.text % 2:
            column = list(table.links)[step.link % len(table.links)]
            domain = table.links[column]
            old, new = domain[step.keys[0] % len(domain)], domain[step.link % len(domain)]
            change[:3] = [f"update {table.name} set {column} = {new} where {column} is not distinct from {old}"] * 3
        self._write(owner, change[step.variant])
        self.exclusive = owner if self._open(owner) else None

    def _table(self, step: JoinStep, offset: int = 0) -> Table:
        return self.shape.tables[(step.table + offset) % len(self.shape.tables)]

    def _own(self, step: JoinStep, owner: int) -> list[int]:
        """Return numbers of keys that this writer alone changes: every third."""
        own = range(owner, len(self._table(step).keys), WRITERS)
        return list(dict.fromkeys(own[key % len(own)] for key in step.keys))

    def _where(self, step: JoinStep, owner: int) -> str:
        table = self._table(step)
        keys = ", ".join(f"({table.keys[number]})" for number in self._own(step, owner))
        return f"({', '.join(table.key)}) in ({keys})"

    def _into(self, table: Table) -> str:
        return f"{table.name} ({', '.join((*table.key, *table.links, 'name'))})"

    def _values(self, step: JoinStep, owner: int) -> tuple[Table, list[str]]:
        table = self._table(step)
        return table, [
            self._row(table, number, step.link + i, step.text + i) for i, number in enumerate(self._own(step, owner))
        ]

    def _typed(self, table: Table, values: list[str]) -> str:
        rows = "".join(f" union all select {row[1:-1]}" for row in values)
        return f"select {', '.join((*table.key, *table.links, 'name'))} from {table.name} where false{rows}"

    def _row(self, table: Table, key: int, link: int, text: int) -> str:
        links = [domain[(link + i) % len(domain)] for i, domain in enumerate(table.links.values())]
        return f"({', '.join((table.keys[key], *links, self._name(text)))})"

    def _links(self, table: Table, link: int) -> list[str]:
        return [
            f"{column} = {domain[(link + i) % len(domain)]}" for i, (column, domain) in enumerate(table.links.items())
        ]

    def _name(self, text: int) -> str:
        return NAMES[text % len(NAMES)]


def _bare(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name

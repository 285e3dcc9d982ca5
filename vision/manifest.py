"""Weights on disk: what `manifest.json` declares, and that the files are still those.

A `.pt` is a pickle and an engine trusts its model blindly, so nothing is loaded whose SHA-256 is not the declared one.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Final

import msgspec

from ioc.errors import ModelError

#: The project's own weights.
OWN_WEIGHTS: Final = Path(__file__).parent / "weights"
MANIFEST: Final = "manifest.json"


class WeightFile(msgspec.Struct, frozen=True):
    """One file beside the manifest: what reads it, its size and its content's SHA-256 in hexadecimal."""

    format: str
    bytes: int
    sha256: str


class Input(msgspec.Struct, frozen=True):
    """What the network looks at, in pixels.

    Attributes:
        upright: height that a picture which is taller than wide is brought to, 0 = all there is. A network that was trained on
            wide pictures alone knows nothing as large as what such a picture would show it.
    """

    height: int
    width: int
    upright: int = 0


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """An object on a golden picture: its class and its box in pixels."""

    label: str
    x1: float
    y1: float
    x2: float
    y2: float


class Golden(msgspec.Struct, frozen=True):
    """A picture beside the manifest, its content's SHA-256, and what must be seen on it."""

    picture: str
    sha256: str
    seen: tuple[Seen, ...]


class Manifest(msgspec.Struct, frozen=True):
    """The files of one detector.

    Attributes:
        name: of the detector.
        classes: label of each output class, in order.
        input: what the network looks at.
        files: by name.
        default: the `.xml` to take where there are several.
        golden: pictures that tell whether the network works.
    """

    name: str
    classes: tuple[str, ...]
    input: Input
    files: dict[str, WeightFile]
    default: str = ""
    golden: tuple[Golden, ...] = ()


class Model(msgspec.Struct, frozen=True):
    """Verified weights: the bytes that were hashed, ready to be loaded.

    Attributes:
        name: of the main file.
        sha256: of the main file.
        input_size: (height, width) in pixels.
        classes: label of each output class.
        content: bytes by suffix, such as `.xml` and `.bin`.
        upright: see `Input`.
    """

    name: str
    sha256: str
    input_size: tuple[int, int]
    classes: tuple[str, ...]
    content: dict[str, bytes]
    upright: int = 0


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a folder of weights.

    Raises:
        ModelError: it is absent or malformed.
    """
    path = folder / MANIFEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError as error:
        raise ModelError(
            f"{path} does not exist: train a detector (python -m vision.train, then vision.export), or point"
            " vision_weights at a folder that holds one"
        ) from error
    except (OSError, msgspec.MsgspecError) as error:
        raise ModelError(f"{path} cannot be read: {error}; restore it from the repository") from error


def write_golden(folder: Path, golden: tuple[Golden, ...]) -> None:
    """Declare golden pictures in the manifest; all else in it stays as it is."""
    path = folder / MANIFEST
    declared = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    declared["golden"] = golden
    replace(path, msgspec.json.format(msgspec.json.encode(declared), indent=2) + b"\n")


def replace(path: Path, content: bytes) -> None:
    """Write a file in one step: who reads it meanwhile reads the old one or the new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(content)
    beside.replace(path)


def stamp(folder: Path) -> tuple[object, ...]:
    """Changes when the manifest does, or one of the files it declares; cheap enough to be asked every second."""
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
        names = msgspec.json.decode(content, type=Manifest).files
    except (OSError, msgspec.MsgspecError):
        return ("unreadable", _touched(path))
    return (content, *((name, _touched(folder / Path(name).name)) for name in names))


def _touched(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def load(folder: Path, suffixes: tuple[str, ...]) -> Model:
    """Read and verify the weights in a format, named by the suffixes of its files, the main one first.

    Raises:
        ModelError: a file is undeclared, missing, or not the one that was declared.
    """
    manifest = read_manifest(folder)
    main = _choose(folder, manifest, suffixes[0])
    stem = main.removesuffix(suffixes[0])
    content = {suffix: _verified(folder, manifest, stem + suffix) for suffix in suffixes}
    size = (manifest.input.height, manifest.input.width)
    return Model(main, manifest.files[main].sha256, size, manifest.classes, content, manifest.input.upright)


def _choose(folder: Path, manifest: Manifest, suffix: str) -> str:
    fitting = [name for name in manifest.files if name.endswith(suffix)]
    if not fitting:
        names = ", ".join(manifest.files) or "nothing"
        raise ModelError(
            f"{folder / MANIFEST} declares {names}: expected a {suffix} file; choose another vision_engine"
        )
    return manifest.default if manifest.default in fitting else fitting[0]


def _verified(folder: Path, manifest: Manifest, name: str) -> bytes:
    declared = manifest.files.get(name)
    if declared is None or Path(name).name != name:
        raise ModelError(f"{folder / MANIFEST} does not declare {name} beside it; write it anew with vision.export")
    path = folder / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error}; restore it from the repository") from error
    got = hashlib.sha256(content).hexdigest()
    if got != declared.sha256:
        raise ModelError(
            f"{path} has SHA-256 {got} and {len(content)} bytes, declared are {declared.sha256} and {declared.bytes}:"
            " the file was changed or cut short; restore it from the repository"
        )
    return content

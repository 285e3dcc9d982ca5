"""Detectors that are not this project's, for `ioc-vision detect` and `evaluate`; the worker never loads one.

A folder with a manifest is opened as the worker opens it. Besides, what ultralytics and others export: ONNX, OpenVINO, and `.pt`
for those who say that they trust it: a `.pt` is a pickle, which does whatever whoever made it wants. Class names are read from
what the export says of itself (ONNX metadata, `metadata.yaml`, the checkpoint), else from the `data.yaml` of its training set.
"""

from __future__ import annotations

import ast
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from ioc.errors import DatasetError, ModelError
from ioc.settings import Settings
from vision.engine import Detector, open_detector
from vision.manifest import MANIFEST, Model

#: Side of the input where a network takes any.
_SIDE: Final = 640
#: The same class under another name.
_SAME: Final = {"motorcycle": "motorbike", "motor": "motorbike", "pedestrian": "person"}


def open_any(
    settings: Settings,
    weights: Path | None,
    *,
    confidence: float | None = None,
    trust_pickle: bool = False,
    names: Sequence[str] = (),
) -> Detector:
    """Open a folder with a manifest, an OpenVINO or ONNX export, or, if it is trusted, a `.pt` of ultralytics.

    Args:
        settings: as for `open_detector`.
        weights: the folder or file; None = the settings' own.
        confidence: another least confidence.
        trust_pickle: the `.pt` is trusted.
        names: of the classes, where the export does not know them.

    Raises:
        ModelError: it is none of these, has no class names, or cannot be loaded.
    """
    if weights is None or (weights / MANIFEST).is_file():
        return open_detector(settings, weights=weights, confidence=confidence)
    least = settings.vision_confidence if confidence is None else confidence
    if weights.suffix == ".pt":
        model = pickled(settings, weights, trusted=trust_pickle)
        from vision.engine.ultralytics import Ultralytics

        return Ultralytics(model, confidence=least, home=settings.home)
    model = _exported(weights, names)
    from vision.engine.openvino import OpenVino

    threads = settings.vision_threads or max(1, len(os.sched_getaffinity(0)) - 1)
    return OpenVino(model, confidence=least, threads=threads)


def pickled(settings: Settings, path: Path, *, trusted: bool) -> Model:
    """A `.pt` of ultralytics from elsewhere.

    Raises:
        ModelError: nobody said that it is trusted, or it is none.
    """
    if not trusted:
        raise ModelError(
            f"{path} is a pickle, which runs the code of whoever made it: add --trust-pickle if you trust them, or give an ONNX"
            " or OpenVINO export"
        )
    from vision.engine.ultralytics import checkpoint_names

    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    names = _in_order(checkpoint_names(content, settings.home), str(path))
    return Model(path.name, hashlib.sha256(content).hexdigest(), (_SIDE, _SIDE), names, {".pt": content})


def read_names(path: Path) -> tuple[str, ...]:
    """Class names in a `data.yaml`, `metadata.yaml` or `classes.txt`, in the order of their numbers.

    Raises:
        ModelError: it cannot be read, or has none.
    """
    try:
        text = path.read_text("utf-8")
        if path.suffix == ".txt":
            return tuple(line.strip() for line in text.splitlines() if line.strip())
        declared = yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    if not isinstance(declared, dict) or not declared.get("names"):
        raise ModelError(f"{path} has no `names`")
    return _in_order(declared["names"], str(path))


def class_map(label_names: Sequence[str], classes: Sequence[str]) -> dict[int, int]:
    """Number of each class of label files that a detector has, to the detector's number; names are compared, not numbers.

    Raises:
        DatasetError: two classes of the label files have one name.
    """
    names = [name.strip().lower() for name in label_names]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DatasetError(f"classes of the label files: {', '.join(twice)} is there more than once")
    known = {_canonical(name): number for number, name in enumerate(classes)}
    return {number: known[_canonical(name)] for number, name in enumerate(label_names) if _canonical(name) in known}


def find_names(labels: Path) -> Path | None:
    """The file beside a folder of labels, or above it, that names their classes."""
    for folder in (labels, *list(labels.resolve().parents)[:2]):
        for name in ("data.yaml", "dataset.yaml", "classes.txt"):
            if (folder / name).is_file():
                return folder / name
    return None


def _exported(weights: Path, names: Sequence[str]) -> Model:
    import openvino

    path = weights
    if weights.is_dir():
        found = sorted([*weights.glob("*.xml"), *weights.glob("*.onnx")])
        if len(found) != 1:
            raise ModelError(
                f"{weights} holds {len(found)} .xml and .onnx files, expected one, or a {MANIFEST}; name the file"
            )
        (path,) = found
    if path.suffix not in (".xml", ".onnx"):
        raise ModelError(f"{path}: expected a folder with {MANIFEST}, or a .xml, .onnx or .pt file")
    try:
        network = openvino.Core().read_model(path)
    except RuntimeError as error:
        raise ModelError(f"OpenVINO cannot read {path}: {error}") from error
    said = path.parent / "metadata.yaml"
    if path.suffix == ".onnx" and (own := _onnx_names(path)):
        names = own
    elif path.suffix == ".xml" and said.is_file():
        names = read_names(said)
    if not names:
        raise ModelError(f"{path} does not name its classes: give the data.yaml of its training set with --data")
    shapes = [given.get_partial_shape() for given in network.inputs]
    if len(shapes) != 1 or shapes[0].rank.is_dynamic or len(shapes[0]) != 4:
        takes = ", ".join(map(str, shapes)) or "nothing"
        raise ModelError(f"{path} takes {takes}, expected one input of four dimensions: pictures")
    (shape,) = shapes
    edges = shape[2], shape[3]
    if network.input(0).get_element_type() == openvino.Type.u8:
        edges = shape[1], shape[2]
    height, width = (_SIDE if edge.is_dynamic else edge.get_length() for edge in edges)
    with tempfile.TemporaryDirectory(prefix="ioc-weights-") as folder:
        # ONNX becomes OpenVINO's own form here, so that the engine knows one form alone.
        plain = Path(folder) / "network.xml"
        openvino.save_model(network, plain, compress_to_fp16=False)
        content = {".xml": plain.read_bytes(), ".bin": plain.with_suffix(".bin").read_bytes()}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Model(path.name, digest, (height, width), tuple(names), content)


def _in_order(names: Any, where: str) -> tuple[str, ...]:
    """Names as a list, or as a mapping from their numbers."""
    if isinstance(names, Mapping):
        try:
            numbers = sorted(int(number) for number in names)
        except (TypeError, ValueError, OverflowError) as error:
            raise ModelError(f"{where} numbers its classes {', '.join(map(str, names))}, expected 0, 1, 2 …") from error
        if numbers != list(range(len(numbers))):
            raise ModelError(f"{where} numbers its classes {numbers}, expected 0 to {len(numbers) - 1}")
        names = [names[number] for number in sorted(names, key=int)]
    if not isinstance(names, list | tuple):
        raise ModelError(f"{where} has `names` that are neither a list nor a mapping")
    return tuple(str(name) for name in names)


def _canonical(name: str) -> str:
    plain = name.strip().lower()
    return _SAME.get(plain, plain)


def _onnx_names(path: Path) -> tuple[str, ...]:
    """The class names in the metadata of an ONNX file, () when it has none; in ultralytics' form, a Python literal."""
    for number, value in _fields(path.read_bytes()):
        # ModelProto.metadata_props: pairs of key (1) and value (2), https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
        if number == 14:
            pair = dict(_fields(value))
            if pair.get(1) == b"names":
                try:
                    return _in_order(ast.literal_eval(pair[2].decode()), str(path))
                except (KeyError, SyntaxError, UnicodeDecodeError, ValueError) as error:
                    raise ModelError(f"{path} names its classes in a way that cannot be read: {error}") from error
    return ()


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of each field of a protobuf message that holds bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            _, at = _varint(message, at)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        elif kind == 2:
            length, at = _varint(message, at)
            yield key >> 3, message[at : at + length]
            at += length
        else:
            raise ModelError(f"not an ONNX file: a field of kind {kind}")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message):
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
    raise ModelError("not an ONNX file: it is cut short")

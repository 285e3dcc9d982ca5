"""A detector in the form that a runtime wants: `ioc-vision export`. Made from the `.pt` of a folder of weights.

    onnx           float RGB, any batch; for Triton, ONNX Runtime and others. Needs torch, ultralytics and onnx
    openvino       half precision, with its own preprocessing. Needs torch and ultralytics
    openvino-int8  the same, quantised on frames. Needs nncf too
    engine         TensorRT in half precision for this machine's NVIDIA GPU, any batch up to a most. Needs tensorrt and onnx too

All but `engine` become a new folder of weights with a manifest, tried on the golden pictures of the old one; an engine goes
where the worker looks for it, with its SHA-256 (`vision.engine.ultralytics.keep_engine`).
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np

from ioc.errors import DatasetError, ModelError
from ioc.settings import Settings
from vision import foreign
from vision.golden import check
from vision.manifest import MANIFEST, Golden, Input, Manifest, Model, load, read_manifest, replace

Format = Literal["onnx", "openvino", "openvino-int8", "engine"]

#: Pictures that a TensorRT engine takes at once.
ENGINE_BATCH: Final = 16
_NEEDS: Final[dict[Format, tuple[str, ...]]] = {
    "onnx": ("torch", "ultralytics", "onnx"),
    "openvino": ("torch", "ultralytics"),
    "openvino-int8": ("torch", "ultralytics", "nncf"),
    "engine": ("torch", "ultralytics", "tensorrt", "onnx"),
}
_OPSET: Final = 17
FORMS: Final = tuple(_NEEDS)


def convert(
    kind: Format,
    settings: Settings,
    weights: Path,
    out: Path | None,
    frames: Path | None,
    *,
    trust_pickle: bool = False,
) -> Path:
    """Write another form of weights; returns the folder or the engine.

    Args:
        kind: the form.
        settings: `home`, where engines are kept.
        weights: folder with a manifest that declares a `.pt`, or, if it is trusted, a `.pt` from elsewhere.
        out: new folder for all but `engine`.
        frames: pictures that `openvino-int8` is calibrated on.
        trust_pickle: a `.pt` from elsewhere is trusted.

    Raises:
        ModelError: what it needs is not on this machine, or the weights are not what they are declared to be.
        DatasetError: no frames to calibrate on, or a folder that is not empty.
    """
    missing = [name for name in _NEEDS[kind] if find_spec(name) is None]
    if missing:
        raise ModelError(f"{kind} needs {', '.join(missing)}: pip install {' '.join(missing)}")
    if weights.suffix == ".pt":
        model = foreign.pickled(settings, weights, trusted=trust_pickle)
        height, width = model.input_size
        manifest = Manifest(weights.stem, model.classes, Input(height, width), {})
    else:
        model, manifest = load(weights, (".pt",)), read_manifest(weights)
    if kind == "engine":
        return _engine(model, settings)
    try:
        empty = out is not None and not any(out.iterdir())
    except FileNotFoundError:
        empty = True
    except OSError:
        empty = False
    if out is None or not empty:
        raise DatasetError(f"--out {out}: expected a new or empty folder")
    chosen = _calibration(frames) if kind == "openvino-int8" else []
    network = _network(model)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"--out {out} cannot be made: {error.strerror}") from error
    path = out / f"{manifest.name}_{kind.removeprefix('openvino-').replace('openvino', 'fp16')}"
    if kind == "onnx":
        path = path.with_suffix(".onnx")
        _onnx(network, model, path)
    else:
        path = path.with_suffix(".xml")
        _openvino(network, model, path, chosen)
    _declare(out, manifest, path, weights)
    made = foreign.open_any(settings.model_copy(update={"vision_engine": "openvino"}), path, names=model.classes)
    try:
        check(made, out, required=False)
    finally:
        made.close()
    return out


def _network(model: Model) -> Any:
    """The verified checkpoint as a float network. It is ours, or somebody declared its SHA-256: so it may be unpickled."""
    from vision.train import load_ultralytics

    load_ultralytics()
    import torch

    loaded = torch.load(io.BytesIO(model.content[".pt"]), map_location="cpu", weights_only=False)
    return (loaded.get("ema") or loaded["model"]).float().eval()


def _onnx(network: Any, model: Model, path: Path) -> None:
    import torch

    fused = copy.deepcopy(network).fuse(verbose=False).eval()
    head = fused.model[-1]
    head.export, head.format, head.dynamic = True, "onnx", True
    # Two pictures in the example: with one, tracing takes the batch for a constant.
    example = torch.zeros(2, 3, *model.input_size)
    with torch.no_grad():
        fused(example)
        torch.onnx.export(
            fused,
            (example,),
            str(path),
            input_names=["images"],
            output_names=["cells"],
            dynamic_axes={"images": {0: "batch", 2: "height", 3: "width"}, "cells": {0: "batch", 2: "cells"}},
            opset_version=_OPSET,
            dynamo=False,
        )
    # Fields of a protobuf message may be appended: here metadata_props (14), as ultralytics writes them.
    with path.open("ab") as file:
        for key, value in (
            ("names", repr(dict(enumerate(model.classes)))),
            ("imgsz", repr(list(model.input_size))),
            ("task", "detect"),
        ):
            pair = _field(1, key.encode()) + _field(2, value.encode())
            file.write(_field(14, pair))


def _field(number: int, content: bytes) -> bytes:
    """A protobuf field of bytes."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _openvino(network: Any, model: Model, path: Path, frames: Sequence[Path]) -> None:
    import openvino

    from vision.export import embed_preprocessing, quantise, to_openvino

    height, width = model.input_size
    converted = to_openvino(network, height, width)
    if frames:
        converted = quantise(converted, frames, height, width)
    openvino.save_model(embed_preprocessing(converted), path, compress_to_fp16=True)


def _calibration(frames: Path | None) -> list[Path]:
    from vision.evaluate import SUFFIXES
    from vision.export import CALIBRATION_FRAMES

    found = sorted(path for path in frames.iterdir() if path.suffix.lower() in SUFFIXES) if frames else []
    if not found:
        raise DatasetError(f"--frames {frames}: expected a folder of pictures of streets, to calibrate INT8 on")
    evenly = np.linspace(0, len(found) - 1, min(CALIBRATION_FRAMES, len(found))).round().astype(int)
    return [found[index] for index in evenly]


def _declare(out: Path, manifest: Manifest, main: Path, weights: Path) -> None:
    """Write the manifest of a new folder, with the golden pictures of the old one."""
    formats = {".xml": "openvino", ".bin": "openvino", ".onnx": "onnx"}
    files = {}
    for path in sorted(out.iterdir()):
        content = path.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        files[path.name] = {"format": formats[path.suffix], "bytes": len(content), "sha256": sha256}
    for golden in manifest.golden:
        shutil.copyfile(weights / Path(golden.picture).name, out / Path(golden.picture).name)
    declared: dict[str, Any] = {
        "name": manifest.name,
        "classes": manifest.classes,
        "input": msgspec.to_builtins(manifest.input),
        "default": main.name,
        "files": files,
        "golden": [_plain(golden) for golden in manifest.golden],
    }
    replace(out / MANIFEST, json.dumps(declared, indent=2).encode() + b"\n")


def _plain(golden: Golden) -> dict[str, Any]:
    seen = [[one.label, one.x1, one.y1, one.x2, one.y2] for one in golden.seen]
    return {"picture": golden.picture, "sha256": golden.sha256, "seen": seen}


def _engine(model: Model, settings: Settings) -> Path:
    """Build a TensorRT engine with ultralytics. It fits this GPU and this TensorRT alone."""
    from vision.engine.ultralytics import keep_engine
    from vision.train import load_ultralytics

    ultralytics = load_ultralytics()
    import torch

    if not torch.cuda.is_available():
        raise ModelError(
            "engine: no NVIDIA GPU that torch can use is here, and an engine is built on the machine it is for"
        )
    with tempfile.TemporaryDirectory(prefix="ioc-weights-") as folder:
        path = Path(folder) / "weights.pt"
        path.write_bytes(model.content[".pt"])
        try:
            built = ultralytics.YOLO(str(path)).export(
                format="engine",
                half=True,
                dynamic=True,
                batch=ENGINE_BATCH,
                imgsz=list(model.input_size),
                verbose=False,
            )
        except (RuntimeError, OSError, AttributeError, ImportError, TypeError, ValueError) as error:
            raise ModelError(f"TensorRT cannot build an engine of {model.name}: {error}") from error
        return keep_engine(settings.home, model, Path(built).read_bytes())

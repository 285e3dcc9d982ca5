"""ultralytics on a GPU: torch, or TensorRT where an engine was built. Imported only where torch is wanted.

The network is called directly. ultralytics' `predict` would hold one lock around everything, scale the pictures anew and
need torchvision; so letterbox, decoding and suppression are the ones every engine here has, and give the same boxes.

A TensorRT engine fits one GPU, so it is built on the machine it runs on, and named by the SHA-256 of the weights it was
made from: `ioc-vision export engine` puts it where `engine_file` says, and its own SHA-256 beside it.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ioc.errors import ModelError
from vision.boxes import Boxes, Image, decode, letterbox
from vision.manifest import Model, replace


def engine_file(home: Path, model: Model) -> Path:
    """Where a TensorRT engine made of these weights is looked for."""
    return home / "engines" / f"{model.sha256[:16]}.engine"


def keep_engine(home: Path, model: Model, content: bytes) -> Path:
    """Put a TensorRT engine made of these weights where it is looked for, its SHA-256 beside it as `sha256sum` writes it."""
    path = engine_file(home, model)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, content)
    replace(_digest_file(path), f"{hashlib.sha256(content).hexdigest()}  {path.name}\n".encode())
    return path


def kept_engine(home: Path, model: Model) -> bytes | None:
    """The TensorRT engine made of these weights, None where none was built.

    Raises:
        ModelError: it is not the one that was put there.
    """
    path = engine_file(home, model)
    if not path.exists():
        return None
    try:
        content, declared = path.read_bytes(), _digest_file(path).read_text("ascii").split()[:1]
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} cannot be verified: {error}; {_ANEW}") from error
    got = hashlib.sha256(content).hexdigest()
    if [got] != declared:
        raise ModelError(f"{path} has SHA-256 {got}, declared beside it is {' '.join(declared) or 'nothing'}; {_ANEW}")
    return content


def _digest_file(engine: Path) -> Path:
    return engine.with_name(f"{engine.name}.sha256")


_ANEW: Final = "remove it, or build it anew with `ioc-vision export engine`"


class Ultralytics:
    """A detector on torch (a GPU, or a CPU without one) or TensorRT."""

    every_class = False

    def __init__(self, model: Model, *, confidence: float, home: Path) -> None:
        """Load the network.

        Args:
            model: a `.pt` of ultralytics.
            confidence: detections below are dropped.
            home: the runtime folder; ultralytics keeps its settings there instead of in the user's home.

        Raises:
            ModelError: torch or ultralytics are not installed, or cannot load it, or an engine is not the one that was built.
        """
        torch, backend = _import(home)
        self._torch = torch
        self.input_size = model.input_size
        self._upright = model.upright
        self.classes = model.classes
        self.weights = model.sha256[:12]
        self.device = "cuda:0" if torch.cuda.is_available() else "CPU"
        self._place = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
        self._confidence = confidence
        # One execution context, and one picture of what is on the GPU: the calls take turns.
        self._turn = threading.Lock()
        on_gpu = self._place.type == "cuda"
        engine = kept_engine(home, model) if on_gpu else None
        self.name = "ultralytics" if engine is None else "tensorrt"
        try:
            if engine is None:
                self._network = _from_bytes(
                    backend, model.content[".pt"], ".pt", device=self._place, fp16=on_gpu, fuse=True
                )
            else:
                self._network = _from_bytes(backend, engine, ".engine", device=self._place, fp16=True)
        except (RuntimeError, OSError, AttributeError, ImportError, TypeError, ValueError) as error:
            raise ModelError(f"ultralytics cannot load {model.name}: {error}; export the model anew") from error
        self._network.eval()
        #: A dynamic engine takes no more pictures at once than it was built for.
        self.batch = int(self._network.batch) if self.name == "tensorrt" else 64

    def detect(self, images: Sequence[Image]) -> list[Boxes]:
        """Boxes of each picture; see `Detector`."""
        inputs: Image = np.empty((len(images), *self.input_size, 3), dtype=np.uint8)
        fits = [letterbox(image, slot, self._upright) for image, slot in zip(images, inputs, strict=True)]
        found: list[Boxes] = []
        try:
            for start in range(0, len(images), self.batch):
                for raw in self._infer(inputs[start : start + self.batch]):
                    found.append(fits[len(found)].back(decode(raw, self._confidence, every_class=self.every_class)))
        except RuntimeError as error:
            raise ModelError(f"torch failed: {error}") from error
        return found

    def close(self) -> None:
        """Forget the network."""
        del self._network

    def _infer(self, inputs: Image) -> list[NDArray[np.float32]]:
        """Raw output of each picture, of the candidates that pass the least confidence only."""
        torch = self._torch
        with self._turn, torch.inference_mode():
            pictures = torch.from_numpy(inputs).to(self._place, non_blocking=True)
            pictures = pictures.flip(-1).permute(0, 3, 1, 2).contiguous()
            pictures = (pictures.half() if self._network.fp16 else pictures.float()) / 255
            answer = self._network(pictures)
            raw = answer[0] if isinstance(answer, list | tuple) else answer
            if raw.shape[1] != 4 + len(self.classes):
                raise ModelError(
                    f"the network gives {tuple(raw.shape)}, expected (n, {4 + len(self.classes)}, …) for its"
                    f" {len(self.classes)} classes"
                )
            sure = raw[:, 4:].amax(1) > self._confidence
            return [one[:, keep].float().cpu().numpy() for one, keep in zip(raw, sure, strict=True)]


def checkpoint_names(content: bytes, home: Path) -> Any:
    """The class names in a `.pt` of ultralytics; runs whatever code is in it.

    Raises:
        ModelError: it is none, or torch is not installed.
    """
    torch, _ = _import(home)
    try:
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)
        return (loaded.get("ema") or loaded["model"]).names
    except (RuntimeError, OSError, AttributeError, ImportError, KeyError, TypeError, ValueError, EOFError) as error:
        raise ModelError(f"not a checkpoint of ultralytics: {type(error).__name__} {error}") from error
    except pickle.UnpicklingError as error:
        raise ModelError(f"not a checkpoint of ultralytics: {error}") from error


def _import(home: Path) -> tuple[Any, Any]:
    """Torch and ultralytics' loader, kept from installing packages and from reporting."""
    os.environ.update(YOLO_AUTOINSTALL="false", YOLO_OFFLINE="true", YOLO_VERBOSE="false")
    folder = home / "ultralytics"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("YOLO_CONFIG_DIR", str(folder.resolve()))
    try:
        import torch
        from ultralytics import settings as reporting
        from ultralytics.nn.autobackend import AutoBackend
    except ImportError as error:
        raise ModelError(
            f"vision_engine needs {error.name}: pip install 'thuduc-ioc[ultralytics]', or set vision_engine = openvino"
        ) from error
    reporting.update({"sync": False})
    return torch, AutoBackend


def _from_bytes(backend: Any, content: bytes, suffix: str, **how: Any) -> Any:
    """Load exactly the bytes that were verified, from a file that only we could have changed since."""
    with tempfile.TemporaryDirectory(prefix="ioc-weights-") as folder:
        path = Path(folder) / f"weights{suffix}"
        path.write_bytes(content)
        return backend(path, verbose=False, **how)

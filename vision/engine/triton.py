"""A detector on another machine: a Triton server, or any that speaks KServe's inference protocol v2 over HTTP.

Protocol: https://github.com/kserve/open-inference-protocol (REST), and for tensors as bytes behind the JSON Triton's extension
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md. Pictures are scaled here
and boxes decoded here, by the code that every engine shares; the server sees tensors alone. It may serve what
`ioc-vision export` writes (uint8 BGR, channels last) or a plain export of ultralytics (float RGB, channels first, 0 to 1).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, Final

import httpx
import msgspec
import numpy as np
from numpy.typing import NDArray

from ioc.errors import ModelError
from ioc.service import backoff
from vision.boxes import Boxes, Image, decode, letterbox
from vision.manifest import Manifest

#: Pictures in one request, where the server takes any number.
MOST_BATCH: Final = 16
#: Times a request is tried, as long as its time allows.
TRIES: Final = 3
_LENGTH: Final = "Inference-Header-Content-Length"
_TYPES: Final = {"UINT8": np.uint8, "FP16": np.float16, "FP32": np.float32}


class _Parameters(msgspec.Struct, frozen=True):
    binary_data_size: int = 0


class _Tensor(msgspec.Struct, frozen=True):
    """A tensor as the server describes it; -1 is any size."""

    name: str
    datatype: str
    shape: list[int]
    parameters: _Parameters = _Parameters()


class _Metadata(msgspec.Struct, frozen=True):
    inputs: list[_Tensor]
    outputs: list[_Tensor]


class _Answer(msgspec.Struct, frozen=True):
    outputs: list[_Tensor]


class _AwayError(Exception):
    """The server cannot be reached, or cannot now: trying again may help."""


class Triton:
    """A detector behind HTTP; calls of several threads are several requests at once."""

    name = "triton"
    every_class = False

    def __init__(self, url: str, model: str, manifest: Manifest, *, confidence: float, timeout_s: float) -> None:
        """Ask the server for the model.

        Args:
            url: of the server, such as http://gpu.example:8000.
            model: its name there.
            manifest: of the weights that it was made from: classes and size of the input.
            confidence: detections below are dropped.
            timeout_s: patience with one call, all tries together.

        Raises:
            ModelError: the server is away, does not have it, or it is another network.
        """
        self.device = url
        self.input_size = (manifest.input.height, manifest.input.width)
        self._upright = manifest.input.upright
        self.classes = manifest.classes
        self.weights = model
        self._path = f"/v2/models/{model}"
        self._confidence = confidence
        self._timeout_s = timeout_s
        # Triton compresses tensors for who takes that: time without much gain, for they are numbers.
        plain = {"Accept-Encoding": "identity"}
        self._http = httpx.Client(base_url=url, timeout=timeout_s, trust_env=False, headers=plain)
        self._lock = threading.Lock()
        self._away = ""
        self._ask_again = 0.0
        self._pauses = backoff(0.2, 5.0)
        try:
            self._input, self._output = self._ask_metadata()
        except ModelError:
            self.close()
            raise
        fixed = self._input.shape[0]
        self.batch = fixed if fixed > 0 else MOST_BATCH

    def detect(self, images: Sequence[Image]) -> list[Boxes]:
        """Boxes of each picture; see `Detector`. While the server is away most calls fail at once: waiting would be in vain."""
        found: list[Boxes] = []
        for start in range(0, len(images), self.batch):
            chosen = images[start : start + self.batch]
            # A server that takes a fixed number gets that number.
            count = self.batch if self._input.shape[0] > 0 else len(chosen)
            frames: Image = np.zeros((count, *self.input_size, 3), dtype=np.uint8)
            fits = [letterbox(image, frame, self._upright) for image, frame in zip(chosen, frames, strict=False)]
            raw = self._infer(frames)
            found += [
                fit.back(decode(one, self._confidence, every_class=self.every_class))
                for fit, one in zip(fits, raw, strict=False)
            ]
        return found

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def _ask_metadata(self) -> tuple[_Tensor, _Tensor]:
        answer = self._call("GET", self._path)
        try:
            metadata = msgspec.json.decode(answer.content, type=_Metadata)
        except msgspec.MsgspecError as error:
            raise ModelError(f"{self.device}{self._path} does not describe a model: {error}") from error
        if len(metadata.inputs) != 1 or len(metadata.outputs) < 1:
            raise ModelError(
                f"{self.device}{self._path} has {len(metadata.inputs)} inputs and {len(metadata.outputs)} outputs, expected one"
                " of each"
            )
        (given,), wanted = metadata.inputs, metadata.outputs[0]
        height, width = self.input_size
        fits = any(
            len(given.shape) == 4 and all(has in (-1, needs) for has, needs in zip(given.shape[1:], shape, strict=True))
            for shape in ((height, width, 3), (3, height, width))
        )
        if given.datatype not in _TYPES or not fits:
            raise ModelError(
                f"{self.device}{self._path} takes {given.datatype} {given.shape}, expected UINT8, FP16 or FP32 pictures of"
                f" {width}x{height} as the manifest says"
            )
        return given, wanted

    def _infer(self, frames: Image) -> list[NDArray[np.float32]]:
        tensor = self._as_input(frames)
        body = tensor.tobytes()
        header = msgspec.json.encode(
            {
                "inputs": [
                    {
                        "name": self._input.name,
                        "datatype": self._input.datatype,
                        "shape": tensor.shape,
                        "parameters": {"binary_data_size": len(body)},
                    }
                ],
                "outputs": [{"name": self._output.name, "parameters": {"binary_data": True}}],
            }
        )
        answer = self._call("POST", f"{self._path}/infer", header + body, {_LENGTH: str(len(header))})
        return list(self._raw(answer, len(frames)))

    def _as_input(self, frames: Image) -> NDArray[Any]:
        """Frames as the server's network takes them."""
        if self._input.datatype == "UINT8":
            return frames
        planar = np.ascontiguousarray(frames[..., ::-1].transpose(0, 3, 1, 2))
        return (planar.astype(np.float32) / 255).astype(_TYPES[self._input.datatype])

    def _raw(self, answer: httpx.Response, count: int) -> NDArray[np.float32]:
        try:
            length = int(answer.headers[_LENGTH])
            (tensor, *_) = msgspec.json.decode(answer.content[:length], type=_Answer).outputs
            raw = np.frombuffer(
                answer.content, _TYPES[tensor.datatype], tensor.parameters.binary_data_size // _size(tensor), length
            ).reshape(tensor.shape)
        except (KeyError, ValueError, msgspec.MsgspecError) as error:
            raise ModelError(f"{self.device} gave an answer that is none: {error!r}") from error
        if raw.ndim != 3 or raw.shape[:2] != (count, 4 + len(self.classes)):
            raise ModelError(
                f"{self.device} gives {raw.shape}, expected ({count}, {4 + len(self.classes)}, n) for its"
                f" {len(self.classes)} classes"
            )
        return raw.astype(np.float32)

    def _call(
        self, method: str, path: str, content: bytes = b"", headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """One answer of the server, asked for again where that may help.

        Raises:
            ModelError: there is none, or it says no.
        """
        with self._lock:
            if time.monotonic() < self._ask_again:
                raise ModelError(self._away)
        deadline = time.monotonic() + self._timeout_s
        pauses = backoff(0.05, 0.5)
        for left in reversed(range(TRIES)):
            try:
                answer = self._once(method, path, content, headers, deadline - time.monotonic())
            except _AwayError as error:
                pause = next(pauses)
                if left and time.monotonic() + pause < deadline:
                    time.sleep(pause)
                    continue
                with self._lock:
                    self._away = f"{self.device} does not answer: {error}; frames are not looked at until it does"
                    self._ask_again = time.monotonic() + next(self._pauses)
                    raise ModelError(self._away) from error
            with self._lock:
                self._pauses = backoff(0.2, 5.0)
            return answer
        raise AssertionError("the last try returns or raises")

    def _once(
        self, method: str, path: str, content: bytes, headers: dict[str, str] | None, seconds: float
    ) -> httpx.Response:
        try:
            answer = self._http.request(method, path, content=content, headers=headers, timeout=max(0.01, seconds))
        except httpx.TransportError as error:
            raise _AwayError(f"{type(error).__name__} {error}".strip()) from error
        if answer.status_code in (429, 502, 503, 504):
            raise _AwayError(f"HTTP {answer.status_code}")
        if answer.status_code != httpx.codes.OK:
            raise ModelError(f"{self.device}{path} says HTTP {answer.status_code}: {_reason(answer)}")
        return answer


def _size(tensor: _Tensor) -> int:
    """Bytes of one element."""
    return np.dtype(_TYPES[tensor.datatype]).itemsize


def _reason(answer: httpx.Response) -> str:
    """Why not, in the server's words where it has any."""
    try:
        return str(msgspec.json.decode(answer.content, type=dict[str, Any])["error"])[:500]
    except (KeyError, msgspec.MsgspecError):
        return answer.text[:200]

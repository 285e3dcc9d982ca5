"""OpenVINO on a CPU, called directly: about twice the frame rate it has through ultralytics."""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import openvino
from openvino.preprocess import ColorFormat, PrePostProcessor

from ioc.errors import ModelError
from vision.boxes import Boxes, Fit, Image, decode, letterbox
from vision.manifest import Model

#: An inference takes tens of milliseconds; one that takes this long never ends.
PATIENCE_S: Final = 30.0
#: Inputs of other heights that are compiled at most, for pictures of other proportions; each takes a second and some memory.
MOST_SHAPES: Final = 4
#: The network's coarsest grid; sides of its input are multiples of it.
GRID: Final = 32

_Answers = queue.SimpleQueue[tuple[int, Any]]
_Job = tuple[_Answers, int, threading.Semaphore]


class OpenVino:
    """A detector on a CPU; pictures of one call are inferred side by side.

    A wide picture letterboxed into a square is mostly grey, and the grey costs as much as the street. Where the network lets its
    height be chosen, a 16:9 picture is inferred at 416 x 704 instead of 704 x 704, in six tenths of the time. Each height is
    compiled on its own: one network of dynamic height crashes in OpenVINO 2026.4 when the height changes.
    """

    name = "openvino"
    every_class = False
    device = "CPU"

    def __init__(self, model: Model, *, confidence: float, threads: int) -> None:
        """Compile the network.

        Args:
            model: an OpenVINO IR with `.xml` and `.bin`.
            confidence: detections below are dropped.
            threads: CPU threads.

        Raises:
            ModelError: OpenVINO cannot read it, or its shape is not the declared one.
        """
        self.input_size = model.input_size
        self.classes = model.classes
        self.weights = model.sha256[:12]
        self.batch = 1
        self._model = model
        self._confidence = confidence
        self._core = openvino.Core()
        self._properties = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_NUM_THREADS": threads,
            # Pinned threads fight with whatever else is pinned to the first cores.
            "ENABLE_CPU_PINNING": False,
        }
        self._starting = threading.Lock()
        self._any_height = False
        self._queues: dict[int, Any] = {}
        self.requests(self.input_size[0])
        # The networks of all heights together run no more at once than the threads are for.
        self._running = threading.Semaphore(self.batch)

    def detect(self, images: Sequence[Image]) -> list[Boxes]:
        """Boxes of each picture; see `Detector`."""
        answers: _Answers = queue.SimpleQueue()
        found: list[Boxes] = [np.empty((0, 6), dtype=np.float32)] * len(images)
        fits: list[Fit] = []
        inputs: list[Image] = []
        try:
            for index, image in enumerate(images):
                height = self.height_for(image)
                inputs.append(np.empty((1, height, self.input_size[1], 3), dtype=np.uint8))
                fits.append(letterbox(image, inputs[index][0], self._model.upright))
                self._start(height, inputs[index], (answers, index, self._running))
            for _ in images:
                index, raw = answers.get(timeout=PATIENCE_S)
                found[index] = fits[index].back(decode(raw, self._confidence, every_class=self.every_class))
        except RuntimeError as error:
            raise ModelError(f"OpenVINO failed: {error}") from error
        except queue.Empty as error:
            raise ModelError(f"OpenVINO did not answer within {PATIENCE_S:.0f} s; restart the service") from error
        return found

    def _start(self, height: int, pixels: Image, job: _Job) -> None:
        """Start one inference as soon as a thread is free for it.

        Raises:
            queue.Empty: none became free.
            RuntimeError: OpenVINO's own.
        """
        requests = self.requests(height)
        if not self._running.acquire(timeout=PATIENCE_S):
            raise queue.Empty
        try:
            with self._starting:
                requests.start_async({0: pixels}, job, share_inputs=True)
        except RuntimeError:
            self._running.release()
            raise

    def close(self) -> None:
        """Wait for what runs."""
        for requests in self._queues.values():
            requests.wait_all()

    def height_for(self, image: Image) -> int:
        """Height of the input for a picture: the least that holds it at full width, or upright."""
        full, width = self.input_size
        if not self._any_height:
            return full
        height = round(image.shape[0] * width / image.shape[1])
        if height > width and self._model.upright:
            height = self._model.upright
        needed: int = math.ceil(height / GRID) * GRID
        if needed >= full or (needed not in self._queues and len(self._queues) >= MOST_SHAPES):
            return full
        return max(needed, GRID)

    def requests(self, height: int) -> Any:
        """The queue of requests for inputs of a height, compiled at its first use.

        Raises:
            ModelError: OpenVINO cannot read or compile the network.
        """
        with self._starting:
            if height not in self._queues:
                name = self._model.name
                try:
                    network = self._core.read_model(self._model.content[".xml"], self._model.content[".bin"])
                    self._any_height = _has_any_height(network)
                    compiled = self._core.compile_model(
                        _fitted(network, self._model, height), self.device, self._properties
                    )
                    self.batch = int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
                    made = openvino.AsyncInferQueue(compiled, self.batch)
                except RuntimeError as error:
                    raise ModelError(f"OpenVINO cannot load {name}: {error}; export the model anew") from error
                made.set_callback(_answer)
                self._queues[height] = made
            return self._queues[height]


def _answer(request: Any, job: _Job) -> None:
    """Hand a copy of the output to the waiting caller; the request is reused at once."""
    answers, index, running = job
    raw = request.get_output_tensor(0).data[0].copy()
    running.release()
    answers.put((index, raw))


def _has_any_height(network: Any) -> bool:
    shape = network.input(0).get_partial_shape()
    return len(shape) == 4 and bool(shape[1].is_dynamic) and network.input(0).get_element_type() == openvino.Type.u8


def _fitted(network: Any, model: Model, height: int) -> Any:
    """The network with uint8 BGR pictures, one at a time, as its input, whatever it was exported with.

    Raises:
        ModelError: it does not have one input, or its output is not that of the declared classes.
    """
    if len(network.inputs) != 1:
        raise ModelError(f"{model.name} has {len(network.inputs)} inputs, expected one")
    if network.input(0).get_element_type() != openvino.Type.u8:
        # A plain export: float RGB, channels first, 0 to 1.
        steps = PrePostProcessor(network)
        tensor = steps.input().tensor()
        tensor.set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC")).set_color_format(ColorFormat.BGR)
        steps.input().model().set_layout(openvino.Layout("NCHW"))
        steps.input().preprocess().convert_element_type(openvino.Type.f32).convert_color(ColorFormat.RGB).scale(255.0)
        network = steps.build()
    network.reshape([1, height, model.input_size[1], 3])
    shape = tuple(network.output(0).get_partial_shape().get_max_shape())
    if len(shape) != 3 or shape[1] != 4 + len(model.classes):
        raise ModelError(
            f"{model.name} gives {shape}, expected (1, {4 + len(model.classes)}, n) for its {len(model.classes)} classes"
        )
    return network

"""OpenVINO on a CPU, called directly: about twice the frame rate it has through ultralytics."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import openvino
from openvino.preprocess import ColorFormat, PrePostProcessor

from ioc.errors import ModelError
from vision.boxes import Boxes, Image, decode, letterbox
from vision.manifest import Model

#: An inference takes tens of milliseconds; one that takes this long never ends.
PATIENCE_S: Final = 30.0

_Answers = queue.SimpleQueue[tuple[int, Any]]


class OpenVino:
    """A detector on a CPU; pictures of one call are inferred side by side."""

    name = "openvino"
    device = "CPU"

    def __init__(self, model: Model, *, confidence: float, threads: int) -> None:
        """Compile the model.

        Args:
            model: an OpenVINO IR with `.xml` and `.bin`.
            confidence: detections below are dropped.
            threads: CPU threads.

        Raises:
            ModelError: OpenVINO cannot read it, or its shape is not the declared one.
        """
        self.input_size = model.input_size
        self.classes = model.classes
        self._confidence = confidence
        try:
            core = openvino.Core()
            network = core.read_model(model.content[".xml"], model.content[".bin"])
            compiled = core.compile_model(
                _fitted(network, model),
                self.device,
                {
                    "PERFORMANCE_HINT": "THROUGHPUT",
                    "INFERENCE_NUM_THREADS": threads,
                    # Pinned threads fight with whatever else is pinned to the first cores.
                    "ENABLE_CPU_PINNING": False,
                },
            )
            self.batch = int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
            # One request waits beside those that run, so that no stream idles between two pictures.
            self._queue = openvino.AsyncInferQueue(compiled, self.batch + 1)
        except RuntimeError as error:
            raise ModelError(f"OpenVINO cannot load {model.name}: {error}; export the model anew") from error
        self._queue.set_callback(_answer)
        self._starting = threading.Lock()

    def detect(self, images: Sequence[Image]) -> list[Boxes]:
        """Boxes of each picture; see `Detector`."""
        inputs: Image = np.empty((len(images), *self.input_size, 3), dtype=np.uint8)
        answers: _Answers = queue.SimpleQueue()
        found: list[Boxes] = [np.empty((0, 6), dtype=np.float32)] * len(images)
        fits = []
        try:
            for index, image in enumerate(images):
                fits.append(letterbox(image, inputs[index]))
                with self._starting:
                    self._queue.start_async({0: inputs[index : index + 1]}, (answers, index), share_inputs=True)
            for _ in images:
                index, raw = answers.get(timeout=PATIENCE_S)
                found[index] = fits[index].back(decode(raw, self._confidence))
        except RuntimeError as error:
            raise ModelError(f"OpenVINO failed: {error}") from error
        except queue.Empty as error:
            raise ModelError(f"OpenVINO did not answer within {PATIENCE_S:.0f} s; restart the service") from error
        return found

    def close(self) -> None:
        """Wait for what runs."""
        self._queue.wait_all()


def _answer(request: Any, job: tuple[_Answers, int]) -> None:
    """Hand a copy of the output to the waiting caller; the request is reused at once."""
    answers, index = job
    answers.put((index, request.get_output_tensor(0).data[0].copy()))


def _fitted(network: Any, model: Model) -> Any:
    """The network with uint8 BGR pictures, one at a time, as its input, whatever it was exported with.

    Raises:
        ModelError: it does not have one input, or its output is not that of the declared classes.
    """
    if len(network.inputs) != 1:
        raise ModelError(f"{model.name} has {len(network.inputs)} inputs, expected one")
    height, width = model.input_size
    if network.input(0).get_element_type() != openvino.Type.u8:
        # A plain export: float RGB, channels first, 0 to 1.
        steps = PrePostProcessor(network)
        tensor = steps.input().tensor()
        tensor.set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC")).set_color_format(ColorFormat.BGR)
        steps.input().model().set_layout(openvino.Layout("NCHW"))
        steps.input().preprocess().convert_element_type(openvino.Type.f32).convert_color(ColorFormat.RGB).scale(255.0)
        network = steps.build()
    network.reshape([1, height, width, 3])
    shape = tuple(network.output(0).get_partial_shape().get_max_shape())
    if len(shape) != 3 or shape[1] != 4 + len(model.classes):
        raise ModelError(
            f"{model.name} gives {shape}, expected (1, {4 + len(model.classes)}, n) for its {len(model.classes)} classes"
        )
    return network

"""What Triton's Python backend runs: the project's network in OpenVINO, in a Python of Triton's own.

Tensors go by DLPack: the backend was built for another NumPy than ours, of which it would believe that an element has no bytes.
"""

import json
import sys

import numpy as np
import openvino
import triton_python_backend_utils as backend  # type: ignore[import-not-found]


class TritonPythonModel:
    """The name that Triton asks for."""

    def initialize(self, args):  # type: ignore[no-untyped-def]
        """Compile the network that the configuration names, for any number of pictures."""
        configuration = json.loads(args["model_config"])
        core = openvino.Core()
        network = core.read_model(configuration["parameters"]["weights"]["string_value"])
        network.reshape([-1, *configuration["input"][0]["dims"]])
        self.network = core.compile_model(network, "CPU", {"INFERENCE_NUM_THREADS": 1})

    def execute(self, requests):  # type: ignore[no-untyped-def]
        """The cells of each request's frames, of which Triton has gathered several; how many says the log."""
        print("gathered", len(requests), file=sys.stderr, flush=True)
        answers = []
        for one in requests:
            frames = np.from_dlpack(backend.get_input_tensor_by_name(one, "frames"))
            cells = np.array(self.network(frames)[0])
            answers.append(backend.InferenceResponse([backend.Tensor.from_dlpack("cells", cells)]))
        return answers

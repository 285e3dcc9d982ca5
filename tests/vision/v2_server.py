"""A small server of KServe's inference protocol v2 over HTTP, with tensors as bytes, for what Triton cannot be told to do.

It fails when it is told to, and takes what a plain export takes, with a real network behind it. What Triton does is shown by
Triton itself (`triton_server`).
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import openvino

from vision.manifest import Model

LENGTH = "Inference-Header-Content-Length"


class V2Server:
    """Serves one network; may be stopped and started again on its port, or told to fail."""

    def __init__(self, model: Model, name: str, *, planar: bool = False, batch: int = -1) -> None:
        """Compile the network.

        Args:
            model: an OpenVINO export of this project.
            name: of the model, in its URL.
            planar: take float RGB, channels first, as plain exports do.
            batch: pictures in a request, -1 for any number.
        """
        self.name = name
        self.planar = planar
        self.batch = batch
        self.size = model.input_size
        self.failures: list[int] = []
        self.requests = 0
        core = openvino.Core()
        network = core.read_model(model.content[".xml"], model.content[".bin"])
        network.reshape([1, *self.size, 3])
        self._compiled = core.compile_model(network, "CPU", {"INFERENCE_NUM_THREADS": 1})
        self._lock = threading.Lock()
        self.port = 0
        self.start()

    def start(self) -> None:
        """Listen, on the same port as before."""
        self._http = ThreadingHTTPServer(("127.0.0.1", self.port), type("Handler", (_Handler,), {"server_model": self}))
        self.port = self._http.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,))
        self._thread.start()

    def kill(self) -> None:
        """Close the port."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def metadata(self) -> dict[str, Any]:
        """What the network takes and gives."""
        shape = [3, *self.size] if self.planar else [*self.size, 3]
        frames = {"name": "frames", "datatype": "FP32" if self.planar else "UINT8", "shape": [self.batch, *shape]}
        cells = {"name": "cells", "datatype": "FP32", "shape": [self.batch, -1, -1]}
        return {"name": self.name, "versions": ["1"], "platform": "openvino", "inputs": [frames], "outputs": [cells]}

    def infer(self, raw: bytes, shape: list[int], datatype: str) -> np.ndarray:
        """The network's output for a tensor of bytes."""
        frames = np.frombuffer(raw, np.float32 if datatype == "FP32" else np.uint8).reshape(shape)
        if self.planar:
            frames = np.ascontiguousarray((frames * 255).round().astype(np.uint8).transpose(0, 2, 3, 1)[..., ::-1])
        with self._lock:
            return np.concatenate([self._compiled(frame[None])[0] for frame in frames])


class _Handler(BaseHTTPRequestHandler):
    server_model: V2Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self._may_answer():
            if self.path == f"/v2/models/{self.server_model.name}":
                self._say(200, json.dumps(self.server_model.metadata()).encode())
            else:
                self._unknown()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._may_answer():
            return
        if self.path != f"/v2/models/{self.server_model.name}/infer":
            self._unknown()
            return
        length = int(self.headers[LENGTH])
        asked = json.loads(body[:length])
        (tensor,) = asked["inputs"]
        assert tensor["parameters"]["binary_data_size"] == len(body) - length
        assert self.headers["Accept-Encoding"] == "identity"
        assert asked["outputs"] == [{"name": "cells", "parameters": {"binary_data": True}}]
        found = self.server_model.infer(body[length:], tensor["shape"], tensor["datatype"])
        given = {
            "name": "cells",
            "datatype": "FP32",
            "shape": found.shape,
            "parameters": {"binary_data_size": found.nbytes},
        }
        header = json.dumps({"model_name": self.server_model.name, "outputs": [given]}).encode()
        self._say(200, header + found.tobytes(), {LENGTH: str(len(header))})

    def _may_answer(self) -> bool:
        self.server_model.requests += 1
        if self.server_model.failures:
            self._say(self.server_model.failures.pop(0), b'{"error": "told to fail"}')
            return False
        return True

    def _unknown(self) -> None:
        self._say(404, json.dumps({"error": f"Request for unknown model: {self.path}"}).encode())

    def _say(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "Connection": "close", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Say nothing of requests."""

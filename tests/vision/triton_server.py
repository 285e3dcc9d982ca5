"""A Triton server as NVIDIA builds it, out of PyTriton's wheel; it runs the project's network (`tests/peers/triton_model`)."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from contextlib import suppress
from ctypes.util import find_library
from pathlib import Path

import httpx
import pytest

from tests.fix_peers import SCRIPTS
from vision.manifest import Model

_CONFIGURATION = """
backend: "python"
max_batch_size: 16
input [{{ name: "frames" data_type: TYPE_UINT8 dims: [{height}, {width}, 3] }}]
output [{{ name: "cells" data_type: TYPE_FP32 dims: [{cells}, -1] }}]
instance_group [{{ kind: KIND_CPU count: 1 }}]
dynamic_batching {{ max_queue_delay_microseconds: 50000 }}
parameters {{ key: "weights" value: {{ string_value: "{weights}" }} }}
"""


class TritonServer:
    """One model by its name, on a port of its own; may be killed and started again."""

    def __init__(self, libraries: Path, model: Model, name: str, port: int, folder: Path) -> None:
        """Lay out its repository and start it.

        Args:
            libraries: where the wheel is installed.
            model: an OpenVINO export of this project.
            name: the model's, in its URL.
            port: on loopback.
            folder: an empty one.
        """
        if not libraries.is_dir():
            pytest.skip(f"{libraries} is missing: run `make test`, or name its parent with --peers")
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        home = libraries / "pytriton" / "tritonserver"
        stub = home / "python_backend_stubs" / version / "triton_python_backend_stub"
        if not stub.is_file() or find_library(f"python{version}") is None:
            pytest.skip(f"Triton has no backend for Python {version} here, or there is no libpython{version}")
        self.name = name
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "log"
        self._shared = f"ioc_triton_{port}_"
        backend, place = folder / "backends" / "python", folder / "models" / name / "1"
        shutil.copytree(home / "backends" / "python", backend)
        shutil.copy(stub, backend)
        place.mkdir(parents=True)
        # Its Python is one of its own, which heeds no PYTHONPATH.
        ours = f"import sys\nsys.path.insert(0, {sysconfig.get_path('purelib')!r})\n"
        (place / "model.py").write_text(ours + (SCRIPTS / "triton_model.py").read_text("utf-8"))
        for suffix in (".xml", ".bin"):
            (folder / f"weights{suffix}").write_bytes(model.content[suffix])
        height, width = model.input_size
        (place.parent / "config.pbtxt").write_text(
            _CONFIGURATION.format(
                height=height,
                width=width,
                cells=4 + len(model.classes),
                weights=folder / "weights.xml",
            )
        )
        self._command = [
            str(home / "bin" / "tritonserver"),
            f"--model-repository={folder / 'models'}",
            f"--backend-directory={folder / 'backends'}",
            "--http-address=127.0.0.1",
            f"--http-port={port}",
            "--allow-grpc=false",
            "--allow-metrics=false",
            f"--backend-config=python,shm-region-prefix-name={self._shared}",
        ]
        self._environment = os.environ | {"LD_LIBRARY_PATH": str(libraries / "nvidia_pytriton.libs")}
        self.start()

    def start(self) -> None:
        """Start it, and wait until the model is served."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + 180
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise AssertionError(self.log.read_text("utf-8", "replace")[-3000:])
            time.sleep(0.1)

    def kill(self) -> None:
        """SIGKILL it, and its Python, which would live on; what they shared in memory goes too."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(30)
        for shared in Path("/dev/shm").glob(f"{self._shared}*"):
            shared.unlink()

    def gathered(self) -> list[int]:
        """How many requests each run of the network had."""
        return [int(one) for one in re.findall(r"gathered (\d+)", self.log.read_text("utf-8", "replace"))]

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/v2/models/{self.name}/ready", timeout=5).is_success
        except httpx.TransportError:
            return False

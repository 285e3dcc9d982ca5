"""The remote engine: against Triton itself (`triton_server`), and a server that can be told to fail (`v2_server`)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ioc.errors import ModelError
from ioc.live import Live
from ioc.settings import Settings
from ioc.stack.embedded import free_port
from tests.vision.test_engines import found_in
from tests.vision.test_worker import frame, until, working
from tests.vision.triton_server import TritonServer
from tests.vision.v2_server import V2Server
from vision.engine import open_detector
from vision.engine.detector import Detector
from vision.manifest import Model, load
from vision.picture import decode_jpeg

NAME = "thuduc_yolo11n"


@pytest.fixture(scope="module")
def model(weights: Path) -> Model:
    return load(weights, (".xml", ".bin"))


@pytest.fixture(scope="module")
def shared(model: Model) -> Iterator[V2Server]:
    running = V2Server(model, NAME)
    yield running
    running.kill()


@pytest.fixture
def server(shared: V2Server) -> V2Server:
    shared.failures.clear()
    shared.requests = 0
    return shared


@pytest.fixture(scope="module")
def triton(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, model: Model
) -> Iterator[TritonServer]:
    libraries = Path(request.config.getoption("--peers")) / "triton"
    running = TritonServer(libraries, model, NAME, free_port(), tmp_path_factory.mktemp("triton"))
    yield running
    running.kill()


def settings_for(server: V2Server | TritonServer, **more: object) -> dict[str, object]:
    return {"vision_engine": "triton", "vision_triton_url": server.url, "vision_triton_model": server.name} | more


@pytest.fixture
def remote(server: V2Server) -> Iterator[Detector]:
    opened = open_detector(Settings(**settings_for(server, vision_triton_timeout_s=20)))
    yield opened
    opened.close()


def check_agrees(other: Detector, detector: Detector, street: bytes) -> None:
    image = decode_jpeg(street, detector.input_size)
    tall = np.ascontiguousarray(image[:, : image.shape[1] // 2])
    for mine, its in zip(detector.detect([image, tall]), other.detect([image, tall]), strict=True):
        assert len(its) >= 1
        assert found_in(mine, its[its[:, 4] > 0.5]) >= 0.8
        assert found_in(its, mine[mine[:, 4] > 0.5]) >= 0.8


def test_triton_finds_what_the_local_engine_finds(remote: Detector, detector: Detector, street: bytes) -> None:
    """Two pictures of different sizes in one request: the same objects."""
    check_agrees(remote, detector, street)
    assert remote.name == "triton"
    assert remote.detect([]) == []


def test_triton_itself(triton: TritonServer, detector: Detector, street: bytes) -> None:
    """The same with NVIDIA's server; requests that come together are gathered into one batch, and each gets its own answer."""
    opened = open_detector(Settings(**settings_for(triton, vision_triton_timeout_s=30)))
    check_agrees(opened, detector, street)
    image = decode_jpeg(street, opened.input_size)
    parts = [np.ascontiguousarray(image[:, : image.shape[1] * part // 8]) for part in range(1, 9)]
    alone = [opened.detect([part])[0] for part in parts]
    before = len(triton.gathered())
    with ThreadPoolExecutor(len(parts)) as threads:
        together = list(threads.map(lambda part: opened.detect([part])[0], parts))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, rtol=0.02, atol=0.02)
    gathered = triton.gathered()[before:]
    assert sum(gathered) == len(parts)
    assert max(gathered) > 1
    opened.close()


def test_triton_itself_without_the_model_or_with_another(triton: TritonServer, tmp_path: Path) -> None:
    """Its own words, and what its metadata says."""
    with pytest.raises(ModelError, match="Request for unknown model: 'other' is not found"):
        open_detector(Settings(**settings_for(triton, vision_triton_model="other")))
    (tmp_path / "manifest.json").write_text(
        '{"name": "x", "classes": ["car"], "input": {"height": 320, "width": 320}, "files": {}}'
    )
    with pytest.raises(ModelError, match=r"takes UINT8 \[-1, \d+, \d+, 3\], expected .* 320x320"):
        open_detector(Settings(**settings_for(triton, vision_weights=tmp_path)))


@pytest.mark.parametrize("batch", [1, 3])
def test_triton_plain_export_of_fixed_batch(model: Model, detector: Detector, street: bytes, batch: int) -> None:
    """A network that takes float RGB, channels first, and a fixed number of pictures."""
    server = V2Server(model, "plain", planar=True, batch=batch)
    opened = open_detector(Settings(**settings_for(server, vision_triton_timeout_s=20)))
    assert opened.batch == batch
    check_agrees(opened, detector, street)
    opened.close()
    server.kill()


def test_triton_busy_server_is_asked_again(remote: Detector, server: V2Server, street: bytes) -> None:
    """503 and 429 are asked again after a pause; a third failure ends it."""
    image = decode_jpeg(street, remote.input_size)
    asked = server.requests
    server.failures += [503, 429]
    assert len(remote.detect([image])[0]) >= 1
    assert server.requests - asked == 3
    server.failures += [503] * 3
    with pytest.raises(ModelError, match=r"does not answer: HTTP 503"):
        remote.detect([image])
    # Known to be away: said at once, without asking.
    asked = server.requests
    with pytest.raises(ModelError, match=r"does not answer: HTTP 503"):
        remote.detect([image])
    assert server.requests == asked


def test_triton_refusal_is_not_asked_again_and_says_why(remote: Detector, server: V2Server, street: bytes) -> None:
    """What the server says no to, it would say no to again."""
    image = decode_jpeg(street, remote.input_size)
    asked = server.requests
    server.failures += [400]
    with pytest.raises(ModelError, match=r"HTTP 400: told to fail"):
        remote.detect([image])
    assert server.requests - asked == 1
    assert len(remote.detect([image])[0]) >= 1


def test_triton_server_without_the_model_or_with_another(server: V2Server, tmp_path: Path) -> None:
    """No such model, a server that is not there, a network that is not the manifest's: each says what is wrong."""
    with pytest.raises(ModelError, match="unknown model"):
        open_detector(Settings(**settings_for(server, vision_triton_model="other")))
    with pytest.raises(ModelError, match="does not answer: ConnectError"):
        open_detector(Settings(**settings_for(server, vision_triton_url="http://127.0.0.1:9")))
    (tmp_path / "manifest.json").write_text(
        '{"name": "x", "classes": ["car"], "input": {"height": 320, "width": 320}, "files": {}}'
    )
    with pytest.raises(ModelError, match=r"takes UINT8 \[-1, \d+, \d+, 3\], expected .* 320x320"):
        open_detector(Settings(**settings_for(server, vision_weights=tmp_path)))


@pytest.mark.parametrize("served_by", ["server", "triton"])
def test_worker_goes_on_when_the_server_goes_and_comes(
    request: pytest.FixtureRequest, settings: Settings, served_by: str, live: Live, topic: str, street: bytes
) -> None:
    """While the server is away the worker says so and drops frames as failed; when it is back the worker works."""
    running: V2Server | TritonServer = request.getfixturevalue(served_by)
    more = settings_for(running, vision_triton_timeout_s=20, vision_stale_ms=30_000, vision_max_fps=50.0)
    remote = open_detector(settings.model_copy(update=more))
    with working(settings.model_copy(update=more), remote) as worker:

        def looked_at() -> bool:
            live.put_frame(frame(topic, street))
            return live.snapshot(topic) is not None

        until(looked_at)
        running.kill()

        def missed() -> bool:
            live.put_frame(frame(topic, street))
            (told,) = worker.figures.cameras([topic])
            return told.drops.get("failed", 0) > 0 and "does not answer" in worker._service.heartbeat().reason

        until(missed)
        running.start()
        seen = worker.figures.cameras([topic])[0].seen

        def looked_at_again() -> bool:
            live.put_frame(frame(topic, street))
            return worker.figures.cameras([topic])[0].seen != seen and worker._service.heartbeat().state == "ok"

        until(looked_at_again)
    remote.close()

"""New weights while the worker works: good ones are put in place between two frames, bad ones are refused and say why."""

from __future__ import annotations

import hashlib
import json
import queue
import shutil
import signal
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import openvino
import pytest

from ioc.errors import ModelError
from ioc.live import Live
from ioc.model import Frame
from ioc.service import Service
from ioc.settings import Settings
from tests.fix_stack import Database
from tests.vision.test_service import Start, heartbeat, start, until
from vision.boxes import Boxes, Image
from vision.engine import Detector, open_detector
from vision.engine.in_use import InUse
from vision.golden import check, choose
from vision.manifest import MANIFEST, OWN_WEIGHTS, replace
from vision.renewal import EVERY_S, Renewal

__all__ = ["start"]


def declare(folder: Path, change: Callable[[dict[str, object]], None] = lambda _: None) -> None:
    """Declare the files of a folder as they are now, the manifest last and in one step."""
    declared = json.loads((folder / MANIFEST).read_bytes())
    for name, file in declared["files"].items():
        content = (folder / name).read_bytes()
        file.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    change(declared)
    replace(folder / MANIFEST, json.dumps(declared).encode())


def digest(folder: Path) -> str:
    declared = json.loads((folder / MANIFEST).read_bytes())
    return str(declared["files"][declared["default"]]["sha256"])[:12]


def rewrite(folder: Path, change: Callable[[openvino.Model], None]) -> None:
    """Change the OpenVINO network of a folder."""
    path = folder / json.loads((folder / MANIFEST).read_bytes())["default"]
    network = openvino.Core().read_model(path)
    change(network)
    openvino.save_model(network, folder / "changed.xml", compress_to_fp16=False)
    del network
    (folder / "changed.xml").replace(path)
    (folder / "changed.bin").replace(path.with_suffix(".bin"))


def deafen(network: openvino.Model) -> None:
    """Set a scale early in the network to nothing: shapes and classes stay, but it sees nothing any more."""
    constants = [
        op for op in network.get_ordered_ops() if op.get_type_name() == "Constant" and len(op.get_output_shape(0)) == 4
    ]
    for weights in constants[:20]:
        blank = openvino.op.Constant(np.zeros_like(weights.data))
        weights.output(0).replace(blank.output(0))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The project's own weights, to be changed."""
    copied = tmp_path / "weights"
    shutil.copytree(OWN_WEIGHTS, copied)
    return copied


def test_own_weights_see_their_golden_pictures(folder: Path) -> None:
    """What ships has at least one, and sees on it what its manifest says."""
    detector = open_detector(Settings(vision_engine="openvino"))
    assert check(detector, OWN_WEIGHTS, required=True) >= 1
    detector.close()


def test_golden_blind_network_and_changed_picture_are_refused(folder: Path) -> None:
    """The right shape, classes and SHA-256, and sees nothing; a picture that is another; none at all."""
    settings = Settings(vision_engine="openvino", vision_weights=folder)
    declared = json.loads((folder / MANIFEST).read_bytes())
    picture = folder / declared["golden"][0]["picture"]
    right = picture.read_bytes()
    rewrite(folder, deafen)
    declare(folder)
    blind = open_detector(settings)
    with pytest.raises(ModelError, match=r"does not see \d, such as the car at"):
        check(blind, folder, required=True)
    with pytest.raises(ModelError, match="sure of nothing"):
        choose(blind, folder, [picture.name])
    picture.write_bytes(right + b" ")
    with pytest.raises(ModelError, match="not the golden picture that the manifest declares"):
        check(blind, folder, required=False)
    picture.unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        check(blind, folder, required=False)
    declare(folder, lambda manifest: manifest.pop("golden"))
    with pytest.raises(ModelError, match="declares no golden pictures"):
        check(blind, folder, required=True)
    assert check(blind, folder, required=False) == 0
    blind.close()


def test_golden_choose_keeps_the_rest_of_the_manifest(folder: Path, street: bytes) -> None:
    """A photograph of one's own becomes golden; the network that saw it passes."""
    (folder / "street.jpg").write_bytes(street)
    before = json.loads((folder / MANIFEST).read_bytes())
    detector = open_detector(Settings(vision_engine="openvino", vision_weights=folder))
    choose(detector, folder, ["street.jpg"])
    after = json.loads((folder / MANIFEST).read_bytes())
    assert {key: value for key, value in after.items() if key != "golden"} == {
        key: value for key, value in before.items() if key != "golden"
    }
    assert check(detector, folder, required=True) == 1
    detector.close()


class Numbered:
    """A detector that answers with its number, and must not be called once it is closed."""

    device, input_size, classes, batch = "CPU", (64, 64), ("car",), 4

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = self.weights = str(number)
        self.closed = False

    def detect(self, images: Sequence[Image]) -> list[Boxes]:
        """One box each, whose left edge is the number."""
        assert not self.closed
        time.sleep(0.002)
        assert not self.closed
        return [np.array([[self.number, 0, 64, 64, 0.9, 0]], dtype=np.float32) for _ in images]

    def close(self) -> None:
        """Be at rest."""
        assert not self.closed
        self.closed = True


def test_replace_under_load_answers_every_call(street: bytes) -> None:
    """Four threads call without a pause while the detector is replaced thirty times: no call fails, none meets a closed one."""
    made = [Numbered(number) for number in range(31)]
    in_use = InUse(made[0])
    answers: list[int] = []
    failures: list[AssertionError] = []
    stop = threading.Event()
    image = np.zeros((4, 4, 3), dtype=np.uint8)

    def call() -> None:
        try:
            while not stop.is_set():
                with in_use.using() as detector:
                    answers.append(int(detector.detect([image])[0][0, 0]))
        except AssertionError as error:
            failures.append(error)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: answers or failures)
    for one in made[1:]:
        time.sleep(0.01)
        in_use.replace(one)
    until(lambda: 30 in answers or failures)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [one.closed for one in made] == [True] * 30 + [False]
    assert set(answers) >= {0, 30}


def test_asked_it_loads_the_same_weights_again(folder: Path, settings: Settings) -> None:
    """Unchanged weights are left alone until somebody asks, as SIGHUP does."""
    service = Service("vision", settings.model_copy(update={"vision_engine": "openvino", "vision_weights": folder}))
    renewal = Renewal(service)
    renewal.loading()
    given: queue.Queue[Detector] = queue.Queue()
    looking = threading.Thread(target=renewal.run, args=(given.put,))
    looking.start()
    try:
        with pytest.raises(queue.Empty):
            given.get(timeout=2.5 * EVERY_S)
        renewal.ask()
        detector = given.get(timeout=90)
        assert detector.weights == digest(folder)
        detector.close()
    finally:
        service.stopping.set()
        looking.join()


def test_service_takes_good_weights_and_refuses_bad_ones(
    start: Start, live: Live, db: Database, folder: Path, topic: str, street: bytes
) -> None:
    """Frames flow all the time. Refused: a changed file, a blind network, none at all. Taken: good ones, after each of these."""
    process = start(folder, IOC_VISION_MAX_FPS="50")
    first = digest(folder)

    def weights() -> set[str]:
        beat = heartbeat(live, process)
        return {key for key in beat.figures if key.startswith("weights_")} if beat is not None else set()

    def reason() -> str:
        beat = heartbeat(live, process)
        return beat.reason if beat is not None else ""

    def is_seen() -> bool:
        frame = Frame(topic, datetime.now(UTC), street)
        live.put_frame(frame)
        until(lambda: (shown := live.snapshot(topic)) is not None and shown[0].time >= frame.time)
        return True

    # Until TimescaleDB is there, too, pictures are shown and not stored.
    until(lambda: weights() == {f"weights_{first}"} and not reason())
    assert is_seen()
    main = folder / json.loads((folder / MANIFEST).read_bytes())["default"]
    right = main.read_bytes()

    main.write_bytes(right + b"\n")
    until(lambda: reason().startswith("new_weights: refused, the old ones go on: ") and "SHA-256" in reason())
    assert is_seen()
    assert weights() == {f"weights_{first}"}

    declare(folder)
    second = digest(folder)
    assert second != first
    until(lambda: weights() == {f"weights_{second}"} and not reason())
    assert is_seen()

    network = main.with_suffix(".bin").read_bytes()
    rewrite(folder, deafen)
    declare(folder)
    until(lambda: "does not see" in reason())
    assert is_seen()
    main.write_text("<net/>")
    declare(folder)
    until(lambda: "cannot load" in reason())
    assert is_seen()
    assert weights() == {f"weights_{second}"}

    main.write_bytes(right)
    main.with_suffix(".bin").write_bytes(network)
    declare(folder)
    until(lambda: weights() == {f"weights_{first}"} and not reason())
    process.send_signal(signal.SIGHUP)
    assert is_seen()
    assert process.poll() is None
    with db.connect() as connection:
        stored = connection.execute(
            "SELECT count(DISTINCT time), (SELECT sum(frames) FROM camera_count WHERE camera = %s AND label = 'car')"
            " FROM detection WHERE camera = %s",
            (topic, topic),
        ).fetchone()
    # Every frame was asked for until it was seen: none was lost on the way.
    assert stored == (6, 6)
    process.send_signal(signal.SIGTERM)
    assert process.wait(90) == 0

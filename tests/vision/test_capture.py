"""Capturing: a real HTTP server, a real video file, a real broker; and servers that hang, drip, redirect and flood."""

from __future__ import annotations

import asyncio
import base64
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import cv2
import httpx
import numpy as np
import paho.mqtt.client as paho
import pytest
import simplejpeg
from paho.mqtt.enums import CallbackAPIVersion

from ioc.errors import SourceError
from ioc.live import Live
from ioc.model import CameraFigures
from ioc.mqtt import Contact
from ioc.service import Service
from ioc.settings import Settings
from ioc.topics import parse
from tests.fix_stack import BrokerServer
from vision import capture, http_source, video_source
from vision.address import Place, networks, pin
from vision.grabber import Task
from vision.picture import encode_jpeg, fit_jpeg

PATIENCE_S = 60.0
LOOPBACK = networks(["127.0.0.0/8"])
PICTURE = encode_jpeg(np.full((48, 64, 3), 90, dtype=np.uint8))


class Snapshots(BaseHTTPRequestHandler):
    """A camera's web server with good and bad habits, one per path."""

    def do_GET(self) -> None:
        """Answer by path."""
        path = self.path.partition("?")[0]
        login = self.headers.get("Authorization", "")
        if path == "/snap.jpg":
            self._send(200, PICTURE)
        elif path == "/basic.jpg":
            right = "Basic " + base64.b64encode(b"admin:s@cret").decode()
            self._send(200 if login == right else 401, PICTURE, {"WWW-Authenticate": 'Basic realm="cam"'})
        elif path == "/digest.jpg":
            challenge = 'Digest realm="cam", nonce="abc", qop="auth", algorithm=MD5'
            self._send(200 if login.startswith("Digest ") and 'username="admin"' in login else 401, PICTURE,
                       {"WWW-Authenticate": challenge})  # fmt: skip
        elif path == "/challenge":
            self._send(401, b"", {"WWW-Authenticate": "Digest " + unquote(self.path.partition("?")[2])})
        elif path == "/moved":
            self._send(302, b"", {"Location": "/snap.jpg"})
        elif path == "/page":
            self._send(200, b"<html>no picture</html>")
        elif path == "/flood":
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"\xff\xd8" + bytes(1_000_000))
            except OSError:
                return
        elif path == "/drip":
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"\xff")
                    time.sleep(0.1)
            except OSError:
                return

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def camera_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Snapshots)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def hung_server() -> Iterator[str]:
    """Accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of ten frames at five a second, each of its own grey."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 5.0, (160, 120))
    assert writer.isOpened()
    for number in range(10):
        writer.write(np.full((120, 160, 3), 20 * number + 20, dtype=np.uint8))
    writer.release()
    return path


def get(place: Place) -> bytes:
    async def run() -> bytes:
        async with httpx.AsyncClient(follow_redirects=False, trust_env=False) as client:
            return await http_source.fetch(client, place)

    return asyncio.run(run())


@pytest.mark.parametrize("login_path", ["/snap.jpg", "/basic.jpg", "/digest.jpg"])
def test_fetch_picture_with_and_without_login(camera_server: str, login_path: str) -> None:
    """Cameras ask for no login, for Basic, or for Digest."""
    assert get(pin(f"http://admin:s%40cret@{camera_server}{login_path}?token=1", LOOPBACK)) == PICTURE


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("/basic.jpg", "answers 401.*check user and password"),
        ("/moved", "302, a redirect"),
        ("/page", "expected a JPEG"),
        ("/flood", "more than 8000000 bytes"),
    ],
)
def test_fetch_what_is_no_picture_is_refused(camera_server: str, path: str, complaint: str) -> None:
    """Wrong login, redirect, a web page, an endless answer."""
    with pytest.raises(SourceError, match=complaint):
        get(pin(f"http://admin:wrong@{camera_server}{path}", LOOPBACK))


@pytest.mark.parametrize(
    "challenge",
    ['realm="c", nonce="a", qop="auth-int"', 'realm="c", nonce="a", algorithm=SHA3', "realm", 'nonce="a"'],
)
def test_fetch_strange_challenge_is_that_cameras_failure(camera_server: str, challenge: str) -> None:
    """A login that nobody can give: not known to the library, or malformed."""
    with pytest.raises(SourceError, match="no picture"):
        get(pin(f"http://admin:secret@{camera_server}/challenge?{quote(challenge)}", LOOPBACK))


def test_fetch_slow_drip_ends(camera_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends a byte now and then never runs into a read time-out; the whole request has an end."""
    monkeypatch.setattr(http_source, "REQUEST_S", 1.0)
    with pytest.raises(SourceError, match="no answer within 1 s"):
        get(pin(f"http://{camera_server}/drip", LOOPBACK))


def test_fetch_hung_server_ends(hung_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts and says nothing."""
    monkeypatch.setattr(http_source, "REQUEST_S", 1.0)
    with pytest.raises(SourceError, match="no answer within 1 s"):
        get(pin(f"http://{hung_server}/", LOOPBACK))


def take(task: Task, number: int, lost_s: float = PATIENCE_S) -> list[tuple[int, bytes]]:
    """The first frames of a video."""

    async def run() -> list[tuple[int, bytes]]:
        taken: list[tuple[int, bytes]] = []
        frames: Any = video_source.video(task, lost_s)
        async for frame in frames:
            taken.append(frame)
            if len(taken) == number:
                break
        await frames.aclose()
        return taken

    return asyncio.run(run())


def test_video_file_is_played_in_its_own_time_and_looped(clip: Path) -> None:
    """Fourteen frames of a clip of ten: in order, from the start again, paced and not in one burst."""
    taken = take(Task(str(clip), 50.0, 1_000_000, live=False), 14)
    greys = [float(simplejpeg.decode_jpeg(jpeg, "BGR").mean()) for _, jpeg in taken]
    assert greys[:10] == sorted(greys[:10])
    assert greys[10] == pytest.approx(greys[0], abs=3)
    # A first frame that a busy machine delays does not delay the others: half of the 13 fifths of a second are left at the least.
    assert taken[-1][0] - taken[0][0] >= 13 * 200 / 2


def test_video_file_at_a_lower_rate_skips_frames(clip: Path) -> None:
    """Of five frames a second, two are taken."""
    taken = take(Task(str(clip), 2.5, 1_000_000, live=False), 4)
    greys = [float(simplejpeg.decode_jpeg(jpeg, "BGR").mean()) for _, jpeg in taken]
    assert np.diff(greys) == pytest.approx([40, 40, 40], abs=6)


def test_video_what_is_no_video_says_so(tmp_path: Path) -> None:
    """A text file, and a playlist that points elsewhere."""
    for name, text in (("notes.mp4", "hello"), ("list.m3u8", "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n")):
        (tmp_path / name).write_text(text)
        with pytest.raises(SourceError, match="cannot be opened"):
            take(Task(str(tmp_path / name), 5.0, 1_000_000, live=False), 1)


def children() -> set[int]:
    """Grabber processes of this process."""
    found = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=False
    ).stdout
    return {int(line.split()[0]) for line in found.splitlines() if "vision.grabber" in line}


def test_video_hung_stream_is_killed(hung_server: str) -> None:
    """An RTSP server that accepts and says nothing: after the patience the process is gone, not left behind."""
    with pytest.raises(SourceError, match="no frame for 2 s"):
        take(Task(f"rtsp://{hung_server}/live", 5.0, 1_000_000, live=True), 1, lost_s=2.0)
    assert children() == set()


def test_fit_jpeg_large_picture_is_made_to_fit() -> None:
    """What ingest would refuse for its size is sent coarser or smaller, and is still a picture."""
    noise = np.random.default_rng(1).integers(0, 255, (1080, 1920, 3), dtype=np.uint8)
    large = encode_jpeg(noise, 95)
    fitted = fit_jpeg(large, 200_000)
    assert len(fitted) <= 200_000 < len(large)
    assert simplejpeg.decode_jpeg(fitted, "BGR").shape[2] == 3
    assert fit_jpeg(PICTURE, 200_000) is PICTURE


class Ear:
    """An ordinary MQTT client that hears one camera."""

    def __init__(self, broker: BrokerServer, camera: str) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        ready = threading.Event()
        self.client.on_message = lambda _c, _u, message: self.heard.append((message.topic, message.payload))
        self.client.on_connect = lambda client, *_: client.subscribe(f"ioc/{camera}/#", qos=1)
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        assert ready.wait(PATIENCE_S)

    def of(self, channel: str) -> list[bytes]:
        """Payloads of a channel."""
        return [payload for topic, payload in list(self.heard) if parse(topic).channel == channel]

    def states(self) -> list[dict[str, Any]]:
        """States said so far."""
        return [json.loads(payload) for payload in self.of("state")]

    def close(self) -> None:
        """Hear no more."""
        self.client.disconnect()
        self.client.loop_stop()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts the capture service with sources; it is gone in the end."""
    started: list[subprocess.Popen[bytes]] = []

    def run(sources: dict[str, str], **more: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "vision.capture"],
            env=environment | {"IOC_CAPTURE_SOURCES": json.dumps(sources), "IOC_CAPTURE_FPS": "10"} | more,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_capture_file_appears_on_the_broker_as_a_camera(
    start: Callable[..., subprocess.Popen[bytes]], broker: BrokerServer, topic: str, clip: Path
) -> None:
    """Announced once, online, frames with their time; SIGTERM says offline and leaves no process."""
    ear = Ear(broker, topic)
    process = start({topic: str(clip)})
    until(lambda: len(ear.of("frame")) >= 3 and ear.of("announce"))
    assert [state["state"] for state in ear.states()] == ["online"]
    assert json.loads(ear.of("announce")[0])["kind"] == "camera"
    times = [parse(heard).time_ms for heard, _ in ear.heard if parse(heard).channel == "frame"]
    assert all(simplejpeg.is_jpeg(jpeg) for jpeg in ear.of("frame"))
    assert times == sorted(times, key=lambda ms: ms or 0)
    assert abs((times[-1] or 0) / 1000 - time.time()) < PATIENCE_S
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    until(lambda: [state["state"] for state in ear.states()] == ["online", "offline"])
    assert ear.states()[-1]["reason"] == "capture stopped"
    ear.close()


def test_capture_killed_leaves_the_last_will_and_no_process(
    start: Callable[..., subprocess.Popen[bytes]], broker: BrokerServer, topic: str, clip: Path
) -> None:
    """SIGKILL: the broker says offline in the camera's name, and the process that read the video dies too."""
    ear = Ear(broker, topic)
    process = start({topic: str(clip)})
    until(lambda: ear.of("frame"))
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True)
    grabbers = [int(pid) for pid in found.stdout.split()]
    assert len(grabbers) == 1
    process.kill()
    until(lambda: ear.states()[-1:] == [{"state": "offline", "reason": "lwt"}])
    until(lambda: not Path(f"/proc/{grabbers[0]}").exists())
    ear.close()


def test_capture_announced_camera_keeps_its_announcement(
    start: Callable[..., subprocess.Popen[bytes]], broker: BrokerServer, topic: str, clip: Path
) -> None:
    """Name and place that somebody else announced are not overwritten."""
    ear = Ear(broker, topic)
    said = json.dumps({"kind": "camera", "name": "Ngã tư Thủ Đức", "lat": 10.85, "lon": 106.77}).encode()
    ear.client.publish(f"ioc/{topic}/announce", said, qos=1, retain=True).wait_for_publish(PATIENCE_S)
    start({topic: str(clip)})
    until(lambda: len(ear.of("frame")) >= 20)  # two seconds of frames: longer than it waits for an announcement
    assert ear.of("announce") == [said]
    ear.close()


def test_capture_bad_sources_are_offline_with_their_reason_and_no_secret(
    start: Callable[..., subprocess.Popen[bytes]], broker: BrokerServer, live: Live, topic: str, camera_server: str
) -> None:
    """A forbidden host, an unreachable one and a good one: each is judged alone, and no password is shown anywhere."""
    names = {what: f"{topic}-{what}" for what in ("forbidden", "broken", "good")}
    ears = {what: Ear(broker, name) for what, name in names.items()}
    process = start(
        {
            names["forbidden"]: "http://admin:hunter2@169.254.169.254/snap?pwd=hunter2",
            names["broken"]: f"http://admin:hunter2@{camera_server}/moved?pwd=hunter2",
            names["good"]: f"http://admin:hunter2@{camera_server}/snap.jpg?pwd=hunter2",
        },
        IOC_CAPTURE_ALLOW='["127.0.0.0/8"]',
    )
    until(lambda: ears["good"].of("frame") and all(ear.states() for ear in ears.values()))
    assert "169.254.169.254" in ears["forbidden"].states()[0]["reason"]
    assert "redirect" in ears["broken"].states()[0]["reason"]
    assert ears["good"].states()[0]["state"] == "online"
    assert not ears["forbidden"].of("frame")

    def reconnects(what: str) -> int | None:
        told = CameraFigures(
            camera=names[what], time=datetime.now(UTC), worker="w", seen=None, frames_s=0.0, arrived_s=0.0
        )
        live.put_camera_figures([told])
        return live.camera_figures([names[what]])[names[what]].reconnects

    until(lambda: (reconnects("broken") or 0) >= 1)
    assert reconnects("good") == 0
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert b"hunter2" not in log
    assert names["forbidden"].encode() in log
    for ear in ears.values():
        assert not any(b"hunter2" in payload for _, payload in ear.heard)
        ear.close()


def test_capture_a_path_that_cannot_be_one_is_that_cameras_failure(
    start: Callable[..., subprocess.Popen[bytes]], broker: BrokerServer, topic: str, clip: Path
) -> None:
    """The system refuses even to look at a name of 300 characters; the other camera goes on."""
    bad, good = Ear(broker, f"{topic}-bad"), Ear(broker, topic)
    process = start({f"{topic}-bad": "x" * 300, topic: str(clip)})
    until(lambda: bad.states() and good.of("frame"))
    assert "File name too long" in bad.states()[0]["reason"]
    heard = len(good.of("frame"))
    until(lambda: len(good.of("frame")) > heard + 5)
    assert process.poll() is None
    bad.close()
    good.close()


@pytest.mark.parametrize(
    ("call", "source"), [("create_subprocess_exec", "film.mp4"), ("start_server", "rtsp://127.0.0.1:9/live")]
)
def test_camera_without_descriptors_is_tried_again(
    settings: Settings, topic: str, monkeypatch: pytest.MonkeyPatch, call: str, source: str
) -> None:
    """A machine that has no more descriptors or processes may have some later."""
    left, enough = 3, asyncio.Event()

    async def refuse(*_: object, **__: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            enough.set()
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(asyncio, call, refuse)
    monkeypatch.setattr(capture, "FIRST_PAUSE_S", 0.01)
    camera = capture.Camera(topic, source, Service("capture", settings), LOOPBACK, Contact.of(settings))

    async def follow() -> None:
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            following = group.create_task(camera.follow())
            await enough.wait()
            following.cancel()

    try:
        asyncio.run(follow())
    finally:
        camera.voice.close("test")
    assert not camera.online


def test_camera_whose_source_fails_by_our_fault_is_offline_and_tried_again(
    settings: Settings, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault that nobody thought of ends neither the other cameras nor this one's attempts; its text is not shown."""
    left, twice = 3, asyncio.Event()
    loop: asyncio.AbstractEventLoop

    def fail(*_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            loop.call_soon_threadsafe(twice.set)
        raise KeyError("hunter2")

    said: list[tuple[str, ...]] = []
    monkeypatch.setattr(capture, "still_files", fail)
    monkeypatch.setattr(capture, "FIRST_PAUSE_S", 0.01)
    camera = capture.Camera(topic, "film.mp4", Service("capture", settings), LOOPBACK, Contact.of(settings))
    monkeypatch.setattr(camera.voice, "say", lambda *what: said.append(what))

    async def follow() -> None:
        nonlocal loop
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            following = group.create_task(camera.follow())
            await twice.wait()
            following.cancel()

    try:
        asyncio.run(follow())
    finally:
        camera.voice.close("test")
    assert [state for state, _ in said] == ["offline"]
    assert "KeyError in test_capture.py" in said[0][1]
    assert "hunter2" not in said[0][1]


def test_capture_without_sources_idles_and_says_so(start: Callable[..., subprocess.Popen[bytes]], live: Live) -> None:
    """Zero configuration is valid: nothing to do is no fault."""
    process = start({})
    until(lambda: any(beat.instance.endswith(f"-{process.pid}") and beat.state == "ok" for beat in live.heartbeats()))
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert b"capture_sources names no camera" in log


def test_capture_malformed_network_ends_with_the_setting(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    """A mistake in the settings is named."""
    process = start({}, IOC_CAPTURE_ALLOW='["10.0.0.0/99"]')
    _, log = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert b"capture_allow" in log

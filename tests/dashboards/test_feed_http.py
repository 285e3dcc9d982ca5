"""What the server of the pages answers: run as people run it, asked over HTTP."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import httpx
import numpy as np
import pytest
import simplejpeg

from ioc.db.pool import Connection
from ioc.live import Live
from ioc.model import Frame

#: A camera whose picture is not blurred.
CLEAR = "cam-clear"
JPEG = b"\xff\xd8\xff\xe0 as good as a picture \xff\xd9"
#: Patience for a busy machine, of which httpx by itself has five seconds.
get, post = partial(httpx.get, timeout=60), partial(httpx.post, timeout=60)


@contextmanager
def serving(environment: dict[str, str]) -> Iterator[str]:
    """The pages as a process; their address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dashboards"],
        env=environment | {"IOC_DASHBOARDS_PORT": "0"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    address = next((json.loads(line)["url"] for line in process.stderr if '"serving"' in line), "")
    assert address, "the server ended before it served"
    while get(f"{address}healthz").status_code != 200:
        time.sleep(0.1)
    yield address.rstrip("/")
    process.terminate()
    assert process.wait(timeout=60) == 0
    process.stderr.close()


@pytest.fixture(scope="module")
def site(environment: dict[str, str], live: Live) -> Iterator[str]:
    """The server's address."""
    del live
    with serving(environment | {"IOC_PRIVACY_CLEAR_CAMERAS": json.dumps([CLEAR])}) as address:
        yield address


def make_incident(connection: Connection) -> tuple[int, int]:
    """An open incident with one unacknowledged alarm; returns both numbers."""
    incident = connection.execute(
        "INSERT INTO incident (cause, ward, priority, state, opened, changed) VALUES ('flood', '26824', 1, 'open', now(), now())"
        " RETURNING id"
    ).fetchone()
    assert incident is not None
    alarm = connection.execute(
        'INSERT INTO alarm (rule, device, measure, ward, cause, priority, state, value, "limit", opened, changed, incident)'
        " VALUES ('water_alert_3', %s, 'waterLevel', '26824', 'flood', 1, 'unacknowledged', 1.7, 1.6, now(), now(), %s)"
        " RETURNING id",
        (f"gauge-{incident[0]}", incident[0]),
    ).fetchone()
    assert alarm is not None
    return incident[0], alarm[0]


def act(site: str, what: str, body: object, *, who: str = "Tr%E1%BB%B1c%20ban", **headers: str) -> httpx.Response:
    cookies = {"operator": who} if who else {}
    return post(f"{site}/actions/{what}", json=body, headers={"Origin": site, **headers}, cookies=cookies)


def state_of(connection: Connection, alarm: int) -> tuple[str, str]:
    row = connection.execute("SELECT state, acknowledged_by FROM alarm WHERE id = %s", (alarm,)).fetchone()
    assert row is not None
    return row[0], row[1]


def test_page_names_no_other_server(site: str) -> None:
    """Everything a page loads comes from here."""
    answer = get(f"{site}/")
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert re.findall(r'(?:src|href)="(?:https?:)?//[^"]+', answer.text) == []


@pytest.mark.parametrize(("query", "language"), [("", "vi"), ("?lang=en", "en"), ("?lang=xx", "vi")])
def test_page_is_in_the_language_asked_for(site: str, query: str, language: str) -> None:
    """From its first byte on."""
    assert f'<html lang="{language}"' in get(f"{site}/{query}").text


def test_page_keeps_language_and_theme_of_the_cookies(site: str) -> None:
    """What was chosen stays chosen."""
    assert '<html lang="en" data-theme="light"' in get(f"{site}/", cookies={"lang": "en", "theme": "light"}).text


@pytest.mark.parametrize("path", ["docs", "redoc", "openapi.json"])
def test_documentation_of_the_framework_is_off(site: str, path: str) -> None:
    """FastAPI's own pages load scripts from the internet."""
    assert "swagger" not in get(f"{site}/{path}").text.lower()
    assert "redoc" not in get(f"{site}/{path}").text.lower()


def test_health_names_links_and_devices(site: str) -> None:
    """A supervisor sees whether the page has what it stands on."""
    answer = get(f"{site}/healthz").json()
    assert answer["ready"] is True
    assert answer["links"]["timescaledb"] == answer["links"]["redis"] == "ok"


def test_picture_is_the_annotated_one_and_is_sent_once(site: str, live: Live, topic: str) -> None:
    """The same picture asked for again is 304; a newer one is sent."""
    now = datetime.now(UTC)
    live.put_snapshot(Frame(topic, now, JPEG), b"[]")
    first = get(f"{site}/camera/{topic}.jpg")
    assert (first.content, first.headers["content-type"], first.headers["x-annotated"]) == (JPEG, "image/jpeg", "1")
    again = get(f"{site}/camera/{topic}.jpg", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    live.put_snapshot(Frame(topic, datetime.now(UTC), JPEG + b"2"), b"[]")
    assert get(f"{site}/camera/{topic}.jpg", headers={"If-None-Match": first.headers["etag"]}).content == JPEG + b"2"


def test_picture_that_nobody_looked_at_is_veiled(site: str, live: Live, topic: str) -> None:
    """Without vision nobody knows where people are in a frame: too little is left of it to tell them, whatever its size."""
    dice = np.random.default_rng(1).integers(0, 256, (1080, 1920, 3), dtype=np.uint8)
    live.put_frame(Frame(topic, datetime.now(UTC), simplejpeg.encode_jpeg(dice, 90, "BGR")))
    answer = get(f"{site}/camera/{topic}.jpg")
    assert answer.headers["x-annotated"] == "0"
    assert simplejpeg.decode_jpeg_header(answer.content)[:2] == (27, 48)
    # Noise averaged over forty by forty pixels is grey.
    assert np.abs(simplejpeg.decode_jpeg(answer.content, "BGR").astype(int) - 128).max() < 30


def test_picture_that_vision_left_behind_gives_way_to_the_veiled_frame(site: str, live: Live, topic: str) -> None:
    """Vision looked at it a minute ago and not since: what is shown is what the camera sees now."""
    now = datetime.now(UTC)
    live.put_snapshot(Frame(topic, now - timedelta(minutes=1), JPEG), b"[]")
    live.put_frame(Frame(topic, now, simplejpeg.encode_jpeg(np.full((90, 160, 3), 200, dtype=np.uint8), 90, "BGR")))
    answer = get(f"{site}/camera/{topic}.jpg")
    assert answer.headers["x-annotated"] == "0"
    assert datetime.fromisoformat(answer.headers["x-picture-time"]) == now
    assert simplejpeg.decode_jpeg_header(answer.content)[1] == 48


def test_picture_that_was_clear_is_veiled_when_its_camera_is_excepted_no_longer(
    site: str, live: Live, topic: str
) -> None:
    """What vision drew while the camera was an exception."""
    jpeg = simplejpeg.encode_jpeg(np.full((90, 160, 3), 200, dtype=np.uint8), 90, "BGR")
    live.put_snapshot(Frame(topic, datetime.now(UTC), jpeg), b"[]", clear=True)
    assert simplejpeg.decode_jpeg_header(get(f"{site}/camera/{topic}.jpg").content)[1] == 48


def test_picture_of_a_camera_that_is_shown_clearly_is_the_frame(site: str, live: Live) -> None:
    """A camera that the settings except."""
    jpeg = simplejpeg.encode_jpeg(np.full((90, 160, 3), 200, dtype=np.uint8), 90, "BGR")
    live.put_frame(Frame(CLEAR, datetime.now(UTC), jpeg))
    assert get(f"{site}/camera/{CLEAR}.jpg").content == jpeg


@pytest.mark.parametrize("frame", [b"plain", b"", b"\xff\xd8\xff\xe0 as good as a picture \xff\xd9"])
def test_picture_that_is_no_jpeg_is_404(site: str, live: Live, topic: str, frame: bytes) -> None:
    """What cannot be veiled is not shown."""
    live.put_frame(Frame(topic, datetime.now(UTC), frame))
    assert get(f"{site}/camera/{topic}.jpg").status_code == 404


@pytest.mark.parametrize("name", ["nobody", "..%2f..%2fetc", "a%00b", "x" * 65])
def test_picture_of_no_camera_is_404(site: str, name: str) -> None:
    """No picture is ever made up."""
    assert get(f"{site}/camera/{name}.jpg").status_code == 404


def test_acknowledge_is_done_in_the_name_of_the_browser(site: str, connection: Connection) -> None:
    """The key on the wall reaches TimescaleDB, with the name and an entry in the log."""
    incident, alarm = make_incident(connection)
    answer = act(site, "acknowledge", {"incidents": [incident]})
    assert (answer.status_code, answer.json()) == (200, {"changed": 1})
    assert state_of(connection, alarm) == ("acknowledged", "Trực ban")
    log = connection.execute("SELECT kind, who FROM incident_log WHERE incident = %s", (incident,)).fetchall()
    assert ("acknowledged", "Trực ban") in log


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content-Type": "text/plain"}, 403),
    ],
)
def test_act_from_another_site_is_refused(
    site: str, connection: Connection, headers: dict[str, str], status: int
) -> None:
    """A page of another site that an operator has open cannot act in the operator's name."""
    _, alarm = make_incident(connection)
    assert act(site, "acknowledge", {"alarms": [alarm]}, **headers).status_code == status
    assert state_of(connection, alarm) == ("unacknowledged", "")


def test_act_without_a_name_is_refused(site: str, connection: Connection) -> None:
    """The log needs to know who."""
    _, alarm = make_incident(connection)
    assert act(site, "acknowledge", {"alarms": [alarm]}, who="").status_code == 401
    assert state_of(connection, alarm) == ("unacknowledged", "")


@pytest.mark.parametrize(
    ("what", "body", "status"),
    [
        ("acknowledge", {"alarms": ["one"]}, 400),
        ("acknowledge", {"alarm": [1]}, 400),
        ("acknowledge", [], 400),
        ("acknowledge", {"alarms": [2**62]}, 400),
        ("shelve", {"alarms": [1], "minutes": 30}, 400),
        ("shelve", {"alarms": [1], "minutes": 1e300, "reason": "x"}, 400),
        ("note", {"incident": 2**62, "text": "x"}, 400),
        ("note", {"incident": 2**80, "text": "x"}, 400),
        ("close", {"incident": 2**62}, 400),
        ("explode", {}, 404),
        ("note", {"incident": 1, "text": "x" * 70_000}, 413),
    ],
)
def test_act_that_makes_no_sense_is_refused_with_a_reason(site: str, what: str, body: object, status: int) -> None:
    """A fault of the caller is said to be one."""
    answer = act(site, what, body)
    assert answer.status_code == status
    assert answer.json()["error"]

"""Evidence pictures over HTTP: the blurred one for everybody, the original for who says why; hostile questions get a 4xx."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from ioc.db.audit import verify_audit
from ioc.db.evidence_pictures import EvidencePicture, SeenBox, about, accesses, keep_pictures
from ioc.db.pool import Connection
from ioc.live import Live
from ioc.sealing import MasterKey
from ioc.service import utc_now
from tests.dashboards.test_feed_http import get, post, serving

RAW = bytes(range(32))
KEY = MasterKey(RAW)
BLURRED, CLEAR = b"\xff\xd8 blurred \xff\xd9", b"\xff\xd8 as it came \xff\xd9"
WHEN = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def site(environment: dict[str, str], live: Live, runtime: Path) -> Iterator[str]:
    """The pages with a master key in a file."""
    file = runtime / "master_key"
    file.write_text(base64.b64encode(RAW).decode() + "\n")
    with serving(environment | {"IOC_EVIDENCE_MASTER_KEY_FILE": str(file)}) as address:
        yield address


def picture_of_alarm(connection: Connection, *, key: MasterKey | None = KEY, alarm: bool = True) -> tuple[int, int]:
    """A kept picture and the incident it belongs to, 0 = none."""
    camera = f"cam-{uuid.uuid4().hex[:8]}"
    original = None if key is None else key.seal(CLEAR, about(camera, "peopleCount", WHEN))
    boxes = (SeenBox("person", 0.9, 0.1, 0.1, 0.3, 0.9),)
    keep_pictures(connection, [EvidencePicture(camera, "peopleCount", WHEN, "Cổng", 64, 36, boxes, BLURRED, original)])
    (picture,) = connection.execute("SELECT id FROM evidence_picture WHERE camera = %s", (camera,)).fetchone() or (0,)
    if not alarm:
        return picture, 0
    now = utc_now()
    (incident,) = connection.execute(
        "INSERT INTO incident (cause, ward, priority, state, opened, changed) VALUES ('traffic', '', 2, 'open', %s, %s)"
        " RETURNING id",
        (now, now),
    ).fetchone() or (0,)
    connection.execute(
        "INSERT INTO alarm (rule, device, measure, ward, cause, priority, state, opened, changed, incident)"
        " VALUES ('test-crowd', %s, 'peopleCount', '', 'traffic', 2, 'unacknowledged', %s, %s, %s)",
        (camera, now, now, incident),
    )
    return picture, incident


def ask(site: str, picture: object, body: object, *, who: str = "Lan", **headers: str) -> httpx.Response:
    cookies = {"operator": who} if who else {}
    return post(f"{site}/evidence/{picture}/original", json=body, headers={"Origin": site, **headers}, cookies=cookies)


def test_blurred_picture_is_served_as_it_is_kept(site: str, connection: Connection) -> None:
    picture, _ = picture_of_alarm(connection)
    answer = get(f"{site}/evidence/{picture}.jpg")
    assert (answer.status_code, answer.content) == (200, BLURRED)
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["x-content-type-options"] == "nosniff"


HOSTILE = [
    "0.jpg",
    "-1.jpg",
    "1e3.jpg",
    "007.jpg",
    "9223372036854775808.jpg",
    f"{'9' * 400}.jpg",
    "%D9%A3.jpg",
    "1.png",
    "1",
]
HOSTILE += ["1.jpg.jpg", ".jpg", "1%00.jpg", "1;DROP.jpg", "..%2f..%2fetc%2fpasswd.jpg", "a/b/1.jpg", "1/original"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_picture_name_is_404(site: str, name: str) -> None:
    """No such thing, in few words, and nothing of the name comes back."""
    answer = get(f"{site}/evidence/{name}")
    assert (answer.status_code, answer.text) == (404, "no such picture")


def test_original_with_a_reason_is_shown_and_written_down_first(site: str, connection: Connection) -> None:
    """The bytes as they came, never to be stored by a cache, and the entry with name and reason."""
    picture, incident = picture_of_alarm(connection)
    answer = ask(site, picture, {"reason": "Tìm trẻ lạc"}, who="Tr%E1%BB%B1c%20ban")
    assert (answer.status_code, answer.content) == (200, CLEAR)
    assert answer.headers["cache-control"] == "no-store"
    (entry,) = accesses(connection, picture)
    assert (entry.who, entry.after and entry.after["reason"], entry.after and entry.after["incidents"]) == (
        "Trực ban",
        "Tìm trẻ lạc",
        [incident],
    )
    assert verify_audit(connection) is None


def test_original_needs_a_name_and_this_site(site: str, connection: Connection) -> None:
    """Another site's page, a form, a request without a name: refused, nothing written."""
    picture, _ = picture_of_alarm(connection)
    reason = {"reason": "cần xem"}
    assert ask(site, picture, reason, who="").status_code == 401
    assert ask(site, picture, reason, Origin="http://elsewhere.example").status_code == 403
    form = post(
        f"{site}/evidence/{picture}/original",
        content=json.dumps(reason),
        headers={"Origin": site, "Content-Type": "text/plain"},
        cookies={"operator": "Lan"},
    )
    assert form.status_code == 403
    assert get(f"{site}/evidence/{picture}/original", cookies={"operator": "Lan"}).status_code == 404
    assert accesses(connection, picture) == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"reason": ""}, 400),
        ({"reason": " \u0000\n"}, 400),
        ({}, 400),
        ({"reason": 5}, 400),
        ([], 400),
        ({"reason": "x" * 3000}, 400),
        ({"reason": "ok", "who": "somebody else"}, 400),
        ({"reason": "x" * 20_000}, 413),
    ],
)
def test_original_without_a_proper_reason_is_refused(
    site: str, connection: Connection, body: object, status: int
) -> None:
    picture, _ = picture_of_alarm(connection)
    answer = ask(site, picture, body)
    assert (answer.status_code, answer.json()["why"]) == (status, "reason")
    assert accesses(connection, picture) == []


@pytest.mark.parametrize("name", ["0", "-1", "9223372036854775808", "9" * 300, "1e3", "%D9%A3", "a"])
def test_original_of_a_hostile_number_is_404(site: str, name: str) -> None:
    assert ask(site, name, {"reason": "cần xem"}).status_code == 404


def test_original_says_why_it_stays_closed(site: str, connection: Connection) -> None:
    """Proves no alarm, was not kept, sealed under another key, destroyed."""

    def answer(picture: int) -> tuple[int, str]:
        said = ask(site, picture, {"reason": "cần xem"})
        return said.status_code, said.json()["why"]

    assert answer(picture_of_alarm(connection, alarm=False)[0]) == (403, "unattached")
    assert answer(picture_of_alarm(connection, key=None)[0]) == (404, "none")
    assert answer(picture_of_alarm(connection, key=MasterKey(bytes(32)))[0]) == (409, "sealed")
    picture, incident = picture_of_alarm(connection)
    act = {"incident": incident, "reason": "hết thời hạn"}
    headers = {"Origin": site}
    destroyed = post(f"{site}/actions/destroy_originals", json=act, headers=headers, cookies={"operator": "Minh"})
    assert destroyed.status_code == 200
    assert answer(picture) == (410, "destroyed")
    again = post(f"{site}/actions/destroy_originals", json=act, headers=headers, cookies={"operator": "Minh"})
    assert (again.status_code, "no original" in again.json()["error"]) == (400, True)


@pytest.mark.parametrize("incident", [0, -1, 2**63, 1.5, "1", None])
def test_destroy_originals_of_a_hostile_incident_is_400(site: str, incident: object) -> None:
    answer = post(
        f"{site}/actions/destroy_originals",
        json={"incident": incident, "reason": "x"},
        headers={"Origin": site},
        cookies={"operator": "Minh"},
    )
    assert answer.status_code == 400


def test_original_without_a_master_key_is_503(environment: dict[str, str], live: Live, connection: Connection) -> None:
    """A server that was given no key says so."""
    picture, _ = picture_of_alarm(connection)
    with serving(environment) as site:
        answer = ask(site, picture, {"reason": "cần xem"})
    assert (answer.status_code, answer.json()["why"]) == (503, "no_key")
    assert accesses(connection, picture) == []

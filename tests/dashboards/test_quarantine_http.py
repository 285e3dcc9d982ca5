"""Acts and questions of the quarantine page, asked over HTTP as its scripts ask them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import Request

from dashboards.origin import BodyError, said
from dashboards.quarantine_search import key_of
from ioc.db.audit import verify_audit
from ioc.db.mappings import all_mappings
from ioc.db.pool import Connection
from ioc.db.quarantine import Held, one
from ioc.db.replay import newest
from tests.dashboards.test_mapping_preview import hold
from tests.fix_browser import Wall
from tests.fix_stack import Database
from tests.ioc.test_mapping import make_mapping


@pytest.fixture
def connection(db: Database) -> Iterator[Connection]:
    """A connection in autocommit to an empty quarantine."""
    with db.connect() as made:
        made.execute("DELETE FROM quarantine; DELETE FROM quarantine_hour; DELETE FROM mapping; DELETE FROM replay")
        yield made


def post(wall: Wall, path: str, body: object, *, who: str = "Ky%20thuat", **headers: str) -> httpx.Response:
    return httpx.post(
        f"{wall.url}/{path}",
        json=body,
        headers={"Origin": wall.url, **headers},
        cookies={"operator": who, "lang": "en"} if who else {},
        timeout=60,
    )


def held(connection: Connection, *args: Any, **changes: Any) -> Held:
    found = one(connection, *hold(connection, *args, **changes))
    assert found is not None
    return found


def plain(**changes: Any) -> dict[str, Any]:
    """A mapping as the editor sends it."""
    return msgspec.to_builtins(make_mapping(**changes))


def test_mapping_is_saved_switched_and_audited(wall: Wall, connection: Connection) -> None:
    """Under the browser's name; what does not pass the check is refused with its faults."""
    assert post(wall, "actions/mapping", {"mapping": plain()}).json() == {"changed": 0}
    (made,) = all_mappings(connection)
    assert (made.name, made.who, made.version) == ("Nhà kính", "Ky thuat", 1)
    assert post(wall, "actions/mapping_switch", {"mapping": made.id, "enabled": False}).status_code == 200
    refused = post(wall, "actions/mapping", {"mapping": plain(filter="ioc/#")})
    assert refused.status_code == 400
    assert "filter: " in refused.json()["error"]
    again = post(wall, "actions/mapping", {"mapping": plain(id=made.id, version=1)})
    assert (again.status_code, "meanwhile" in again.json()["error"]) == (400, True)
    assert verify_audit(connection) is None


def test_replay_of_messages_and_of_a_filter(wall: Wall, connection: Connection) -> None:
    """Marked for ingest to decode; and left where they are when it is stopped."""
    some = [held(connection, f"garden/{n}/air", {"t": n}) for n in range(3)]
    assert post(wall, "actions/replay", {"messages": [key_of(some[0])]}).status_code == 200
    body = {"filter": {"span": "1 h", "reason": "topic", "dialect": "-", "text": "garden air", "status": "open"}}
    assert post(wall, "actions/replay", body).status_code == 200
    second, first = newest(connection)
    assert (first.total, second.total, first.who) == (1, 2, "Ky thuat")
    assert post(wall, "actions/replay", body).status_code == 400
    assert post(wall, "actions/replay_stop", {"replay": second.id}).status_code == 200
    assert newest(connection, 1)[0].stopped == 2


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("actions/mapping", {"mapping": {"name": "x"}}, 400),
        ("actions/mapping", {"mapping": {**plain(), "items": [{"path": "a", "measure": "pm25", "scale": None}]}}, 400),
        ("actions/mapping", {"mapping": {**plain(), "time_format": "sundial"}}, 400),
        ("actions/mapping", {"mapping": {**plain(), "extra": 1}}, 400),
        ("actions/mapping", {"mapping": {**plain(), "id": 2**62}}, 400),
        ("actions/mapping", {"mapping": {**plain(), "name": "\0"}}, 400),
        ("actions/mapping_switch", {"mapping": 2**62, "enabled": True}, 400),
        ("actions/replay", {}, 400),
        ("actions/replay", {"messages": ["x", "1-1"]}, 400),
        ("actions/replay", {"filter": {"text": "\0'; --"}}, 400),
        ("actions/replay_stop", {"replay": 2**62}, 400),
        ("quarantine/preview", {"mapping": 7}, 400),
        ("quarantine/preview", [], 400),
        ("quarantine/preview", {"message": "x" * 200_000}, 413),
    ],
)
def test_what_makes_no_sense_is_refused(
    wall: Wall, connection: Connection, path: str, body: object, status: int
) -> None:
    """A fault of the caller is said to be one, and nothing is stored."""
    answer = post(wall, path, body)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert all_mappings(connection) == []


@pytest.mark.parametrize("path", ["quarantine/preview", "actions/mapping", "evidence/1/original"])
@pytest.mark.parametrize("body", [b'{"message": "\xff"}', b"[" * 16_000, b""])
def test_body_that_is_no_json_is_refused(wall: Wall, path: str, body: bytes) -> None:
    """As a fault of the caller: bytes that are no UTF-8, brackets without end, nothing."""
    headers = {"Origin": wall.url, "Content-Type": "application/json"}
    answer = httpx.post(f"{wall.url}/{path}", content=body, headers=headers, cookies={"operator": "An"}, timeout=60)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_body_without_end_is_not_read_to_its_end() -> None:
    """No more of it is taken in than may be."""
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": b" " * 1000, "more_body": True}

    with pytest.raises(BodyError) as caught:
        asyncio.run(said(Request({"type": "http"}, receive), dict[str, str], 4500))
    assert (caught.value.status, taken) == (413, 5)


def test_other_sites_may_not_ask(wall: Wall, connection: Connection) -> None:
    """Neither act nor look at what a mapping would store."""
    for path, body in (("actions/mapping", {"mapping": plain()}), ("quarantine/preview", {})):
        assert post(wall, path, body, Origin="https://elsewhere.example").status_code == 403
    assert post(wall, "actions/mapping", {"mapping": plain()}, who="").status_code == 401
    assert all_mappings(connection) == []


def test_preview_answers_in_the_browsers_language(wall: Wall, connection: Connection) -> None:
    """As JSON, whatever lies in quarantine."""
    message = held(connection, "garden/bed-1/air", {"temp": 20})
    tried = post(wall, "quarantine/preview", {"message": key_of(message)}).json()
    assert tried["mapping"]["items"] == [
        {"path": "temp", "measure": "temperature", "scale": 1.0, "offset": 0.0, "unit": ""}
    ]
    assert tried["tried"][0]["values"] == ["Temperature 20 °C"]


def test_payload_is_a_file_and_never_a_page(wall: Wall, connection: Connection) -> None:
    """The bytes as they came, which no browser shows or runs."""
    evil = b"<script>document.title='bad'</script>"
    message = held(connection, "garden/x/air", evil)
    answer = httpx.get(f"{wall.url}/quarantine/payload/{key_of(message)}", timeout=60)
    assert answer.content == evil
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment; ")
    assert answer.headers["x-content-type-options"] == "nosniff"
    for name in ("x", "1-1", "1-" + "9" * 30):
        assert httpx.get(f"{wall.url}/quarantine/payload/{name}", timeout=60).status_code == 404

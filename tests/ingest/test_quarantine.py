"""What quarantine keeps, and keeps once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.quarantine import MOST_KEPT, kept, printable
from ioc.db.quarantine import store_rejected
from ioc.model import Rejected
from tests.fix_stack import Database


def make_rejected(**changes: Any) -> Rejected:
    one = Rejected(datetime.now(UTC), "ioc/x/telemetry", "x", "native", "json", "expected JSON", b"\0\xff", 2)
    return msgspec.structs.replace(one, **changes)


@given(st.text(st.characters(), max_size=600))
def test_printable_anything(text: str) -> None:
    """Whatever text: PostgreSQL takes it, and it is not too long."""
    shown = printable(text)
    assert "\0" not in shown
    assert len(shown) <= 500
    shown.encode()


@pytest.mark.parametrize("beginning", [b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"])
def test_kept_of_a_picture_nothing_can_be_seen(beginning: bytes) -> None:
    """A camera whose pictures are refused does not fill quarantine with people as they are."""
    assert kept(beginning + bytes(range(256)) * 400, "x") == (beginning + bytes(range(256)))[:16]


@pytest.mark.parametrize(
    "topic", ["ioc/cam-1/frame/1763740800000", "ioc/cam-1/frame/now", "frigate/gate/person/snapshot"]
)
@pytest.mark.parametrize("beginning", [b"RIFF\0\0\0\0WEBP", b"GIF89a", b"BM", b"\0\0\0\x18ftypheic", b"\0\xff\xd8\xff"])
def test_kept_of_whatever_comes_where_pictures_do_nothing_can_be_seen(topic: str, beginning: bytes) -> None:
    """Other forms than cameras may send, and a JPEG that begins with something else."""
    picture = beginning + bytes(range(256)) * 160
    assert kept(picture, topic) == kept(picture, topic, too_large=True) == picture[:16]


@given(st.binary(max_size=200))
def test_kept_of_anything_else_is_as_it_came(payload: bytes) -> None:
    """Whole, unless it is larger than any may be."""
    for said in (b"{" + payload, b"{" + payload + bytes(MOST_KEPT)):
        assert kept(said, "ioc/frame/telemetry") == said
        assert kept(said, "ioc/frame/telemetry", too_large=True) == said[:MOST_KEPT]


def test_store_rejected(db: Database, topic: str) -> None:
    """What is rejected is kept as it came, each time it comes."""
    name = f"ioc/{topic}/telemetry"
    with db.connect() as connection:
        with connection.transaction():
            store_rejected(connection, [])
            store_rejected(connection, [make_rejected(topic=name), make_rejected(topic=name)])
        kept = connection.execute("SELECT payload, size FROM quarantine WHERE topic = %s", [name]).fetchall()
    assert kept == [(b"\0\xff", 2)] * 2

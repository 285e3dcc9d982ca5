"""A camera URL reaches the networks that are allowed, and nothing else."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.errors import SourceError
from ioc.settings import Settings
from vision.address import allowed, networks, pin, redacted

USUAL = networks(Settings.model_fields["capture_allow"].get_default(call_default_factory=True))


@pytest.mark.parametrize(
    ("address", "allow", "expected"),
    [
        ("10.1.2.3", ["10.0.0.0/8"], True),
        ("11.1.2.3", ["10.0.0.0/8"], False),
        ("::ffff:10.1.2.3", ["10.0.0.0/8"], True),
        ("::ffff:127.0.0.1", ["10.0.0.0/8", "::/0", "0.0.0.0/0"], False),
        ("127.0.0.1", ["0.0.0.0/0"], False),
        ("127.0.0.1", ["127.0.0.0/8"], True),
        ("127.0.0.2", ["127.0.0.1/32"], False),
        ("::1", ["::/0"], False),
        ("::1", ["::1/128"], True),
        ("169.254.169.254", ["0.0.0.0/0"], False),
        ("169.254.169.254", ["169.254.0.0/16"], True),
        ("fe80::1", ["::/0"], False),
        ("0.0.0.0", ["0.0.0.0/0"], False),
        ("224.0.0.1", ["0.0.0.0/0"], False),
        ("255.255.255.255", ["0.0.0.0/0"], False),
        ("203.0.113.9", ["0.0.0.0/0"], True),
        ("203.0.113.9", [], False),
    ],
)
def test_allowed_special_addresses_need_their_own_network(address: str, allow: list[str], expected: bool) -> None:
    """Loopback and link-local open only to a network that names them; nothing opens to multicast."""
    assert allowed(ipaddress.ip_address(address), networks(allow)) is expected


@given(st.ip_addresses())
def test_allowed_by_default_only_private_cameras(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """With the default networks no public and no local address is ever allowed."""
    if allowed(address, USUAL):
        plain = getattr(address, "ipv4_mapped", None) or address
        assert plain.is_private
        assert not plain.is_loopback
        assert not plain.is_link_local


def test_pin_name_is_looked_up_once_and_replaced() -> None:
    """The connection goes to the address that was checked; the name stays for Host and TLS; the login is taken out."""
    asked: list[str] = []

    def lookup(host: str, port: int) -> list[str]:
        asked.append(f"{host}:{port}")
        return ["10.0.0.7"] if len(asked) == 1 else ["127.0.0.1"]

    place = pin("https://admin:s%40cret@cam.example:8443/snap?token=1#x", USUAL, lookup)
    assert place.url == "https://10.0.0.7:8443/snap?token=1"
    assert (place.host, place.name, place.user, place.password) == (
        "cam.example:8443",
        "cam.example",
        "admin",
        "s@cret",
    )
    assert asked == ["cam.example:8443"]


def test_pin_mixed_answers_takes_the_allowed_one() -> None:
    """A name with several addresses is reached at an allowed one."""
    assert pin("rtsp://cam/live", USUAL, lambda *_: ["127.0.0.1", "192.168.1.5"]).url == "rtsp://192.168.1.5/live"
    assert pin("http://cam", networks(["fd00::/8"]), lambda *_: ["fd00::5"]).url == "http://[fd00::5]/"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/snap.jpg",
        "http://localhost:6379/",
        "http://[::1]/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://8.8.8.8/",
        "file:///etc/passwd",
        "gopher://10.0.0.1/",
        "http:///nohost",
        "http://10.0.0.1:99999/",
        "http://[bad/",
    ],
)
def test_pin_forbidden_urls_are_refused_by_default(url: str) -> None:
    """Loopback in any spelling, metadata, the internet, other schemes, malformed ones."""
    with pytest.raises(SourceError):
        pin(url, USUAL)


def test_pin_refusal_keeps_the_password_to_itself() -> None:
    """Errors end in logs and on the broker."""
    with pytest.raises(SourceError) as caught:
        pin("http://admin:hunter2@127.0.0.1/snap?pwd=hunter2", USUAL)
    assert "hunter2" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
    assert "hunter2" not in redacted("rtsp://u:hunter2@h/p?x=hunter2#hunter2")

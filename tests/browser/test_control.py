"""Lamps are switched from a device's panel, and the chain of proof is seen there, in a real browser."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from ingest.service import Ingest
from ioc.db.commands import commands_of
from ioc.db.devices import device as registered
from ioc.db.pool import Connection
from tests.fix_browser import OPERATOR
from tests.fix_ingest import Device, eventually
from tests.fix_stack import BrokerServer
from tests.lamp import Lamp


@pytest.fixture
def lamp(ingest: Ingest, broker: BrokerServer, connection: Connection) -> Iterator[Lamp]:
    """A lamp that is registered, and obeys."""
    lamp = Lamp(broker, f"lamp-{uuid.uuid4().hex[:8]}")
    lamp.reply = lamp.obey
    eventually(lambda: registered(connection, lamp.key))
    yield lamp
    lamp.close()


@pytest.fixture
def cabinet(
    ingest: Ingest, broker: BrokerServer, device: Device, connection: Connection
) -> Iterator[tuple[str, list[Lamp]]]:
    """A cabinet with three lamps, of which the last refuses; and one more, that is under maintenance."""
    key = f"cab-{uuid.uuid4().hex[:8]}"
    device.send(
        f"ioc/{key}/announce", {"kind": "cabinet", "name": f"Tủ {key}", "lat": 10.8, "lon": 106.75}, retain=True
    )
    lamps = [Lamp(broker, f"{key}-{number}", key) for number in range(4)]
    for lamp, reply in zip(lamps, (lamps[0].obey, lamps[1].obey, lamps[2].refuse, lamps[3].obey), strict=True):
        lamp.reply = reply
        eventually(lambda lamp=lamp: registered(connection, lamp.key))
    connection.execute("UPDATE device SET status = 'maintenance' WHERE id = %s", (lamps[3].key,))
    eventually(lambda: registered(connection, key))
    yield key, lamps
    for lamp in lamps:
        lamp.close()


def test_lamp_is_switched_and_the_chain_ends_in_confirmed(page: Page, lamp: Lamp, connection: Connection) -> None:
    """One press: ordered, sent, accepted, confirmed, with the name of who pressed, without loading the page again."""
    page.goto(f"/devices?id={lamp.key}")
    card = page.locator("#device-light")
    expect(card).to_contain_text("Chưa có lệnh nào")
    card.get_by_role("button", name="Bật").click()
    first = card.locator(".command").first
    expect(first.locator(".step.done")).to_have_count(4)
    expect(first.locator(".pill")).to_have_text("số đo xác nhận")
    expect(first).to_contain_text(OPERATOR)
    expect(first.locator("strong")).to_have_text("Bật")
    (command,) = commands_of(connection, lamp.key)
    assert lamp.heard == [{"id": command.id, "light": 1}]


def test_lamp_is_dimmed_to_what_the_slider_says(page: Page, lamp: Lamp) -> None:
    """The level is read beside the slider, and is what the lamp is told."""
    page.goto(f"/devices?id={lamp.key}")
    card = page.locator("#device-light")
    card.locator("input[type=range]").fill("35")
    expect(card.locator("output")).to_have_text("35 %")
    card.get_by_role("button", name="Đặt mức sáng").click()
    expect(card.locator(".command").first.locator(".pill")).to_have_text("số đo xác nhận")
    expect(card.locator(".command").first.locator("strong")).to_have_text("Sáng 35 %")
    assert [command["light"] for command in lamp.heard] == [0.35]


def test_lamp_that_refuses_says_why(page: Page, lamp: Lamp) -> None:
    """The chain breaks where it broke, and the lamp's own words are read."""
    lamp.reply = lamp.refuse
    page.goto(f"/devices?id={lamp.key}")
    card = page.locator("#device-light")
    card.get_by_role("button", name="Tắt").click()
    expect(card.locator(".step.broken .step-name")).to_have_text("bị từ chối")
    expect(card.locator(".command-why")).to_have_text("kẹt rơ-le")


def test_cabinet_asks_before_it_switches_all_its_lamps(
    page: Page, cabinet: tuple[str, list[Lamp]], connection: Connection
) -> None:
    """A question names the number; no is no; yes tells every lamp but the one somebody works on, and names what went wrong."""
    key, lamps = cabinet
    page.goto(f"/devices?id={key}")
    card, dialog = page.locator("#device-light"), page.locator("dialog[open]")
    expect(card).to_contain_text("3 đèn bên dưới · bỏ qua 1 đèn đang bảo trì")
    card.get_by_role("button", name="Bật").click()
    expect(dialog).to_contain_text("cả 3 đèn")
    dialog.get_by_role("button", name="Thôi").click()
    expect(dialog).to_have_count(0)
    assert [commands_of(connection, lamp.key) for lamp in lamps] == [[]] * 4
    card.get_by_role("button", name="Bật").click()
    dialog.get_by_role("button", name="Bật 3 đèn").click()
    expect(card.locator(".sums")).to_have_text("2 số đo xác nhận1 bị từ chối")
    expect(card.locator(".wrong")).to_have_text(f"{lamps[2].name} — kẹt rơ-le")
    assert [len(lamp.heard) for lamp in lamps] == [1, 1, 1, 0]


def test_device_that_cannot_be_lit_has_no_switch(
    page: Page, ingest: Ingest, device: Device, connection: Connection
) -> None:
    """A gauge is not switched on."""
    key = f"flood-{uuid.uuid4().hex[:8]}"
    device.send(f"ioc/{key}/announce", {"kind": "flood_gauge", "name": "Đo ngập"}, retain=True)
    eventually(lambda: registered(connection, key))
    page.goto(f"/devices?id={key}")
    expect(page.locator("#device-head")).to_contain_text("Đo ngập")
    expect(page.locator("#device-light")).to_be_hidden()

"""Devices of other makers in the simulated city: what they say is understood, and they obey."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ingest.clock import Clocks
from ingest.decode import Decoder
from ingest.dialects import all_dialects
from ingest.intake import Intake
from ingest.message import Block
from ingest.simulator.guests import (
    FiwareGauge,
    FiwareLamp,
    Guest,
    LoraLamp,
    TasmotaLamp,
    ThingsBoardGateway,
    ZigbeeLamp,
    all_guests,
)
from tests.decoding import make_device

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


def make_decoder() -> tuple[Intake, Decoder]:
    intake = Intake({}, Clocks(ahead_s=300, behind_s=86_400))
    return intake, Decoder(intake, all_dialects(), most_bytes=100_000)


def hear(decoder: Decoder, said: object) -> None:
    messages = [(one.topic.encode(), one.payload, 1, False) for one in said]  # type: ignore[attr-defined]
    decoder.decode(Block(1, NOW, messages, 1))


@pytest.mark.parametrize("guest", all_guests(), ids=lambda guest: guest.key)
def test_guest_is_understood(guest: Guest) -> None:
    """Nothing of it goes to quarantine, a device of its dialect appears, and something of it is stored."""
    intake, decoder = make_decoder()
    now = NOW.timestamp()
    hear(decoder, [*guest.hello(now), *guest.report(now), *guest.report(now + 30)])
    batch = intake.take()
    assert [(one.reason, one.detail) for one in batch.rejected] == []
    assert batch.discovered
    assert batch.readings or batch.events


@pytest.mark.parametrize(
    "guest",
    [ZigbeeLamp(), TasmotaLamp(), LoraLamp(), ThingsBoardGateway(), FiwareLamp()],
    ids=lambda guest: guest.key,
)
def test_lamp_obeys(guest: Guest) -> None:
    """Told to be dimmed by its dialect's own command, a lamp says that it is."""
    intake, decoder = make_decoder()
    now = NOW.timestamp()
    hear(decoder, [*guest.hello(now), *guest.report(now)])
    met = intake.take().discovered.values()
    lamp = next((one for one in met if "Đèn" in one.name), None) or next(iter(met))
    dialect = next(one for one in all_dialects() if one.name == lamp.dialect)
    device = make_device(lamp.device, lamp.dialect, **lamp.attrs)
    for told in dialect.light(device, 0.4, 7):
        hear(decoder, guest.told(told.topic, told.payload, now + 1))
    hear(decoder, guest.report(now + 1))
    levels = [one.value for one in intake.take().readings if one.measure == "illuminanceLevel"]
    assert levels[-1] == pytest.approx(0.4, abs=0.01)


def test_gauge_states_its_time() -> None:
    """A FIWARE gauge's readings carry the time it stated."""
    intake, decoder = make_decoder()
    hear(decoder, FiwareGauge().report(NOW.timestamp() - 5))
    (reading,) = intake.take().readings
    assert (NOW - reading.time).total_seconds() == pytest.approx(5)

"""What README tells people to type, typed as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from ioc.db.devices import device as registered
from ioc.db.readings import latest_of
from ioc.geo import ward_at
from ioc.model import Quality
from tests.fix_ingest import eventually
from tests.fix_stack import BrokerServer, Database

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.usefixtures("ingest")
def test_mosquitto_pub(db: Database, broker: BrokerServer, tmp_path: Path) -> None:
    """A gauge introduces itself and reports with Debian's own client, which is told by its configuration where the broker is."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", README.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    (commands,) = [block for block in blocks if "mosquitto_pub" in block]
    (tmp_path / "mosquitto_pub").write_text(f"-h {broker.host}\n-p {broker.port}\n")
    subprocess.run(
        ["sh", "-e"], input=commands.encode(), env=os.environ | {"XDG_CONFIG_HOME": str(tmp_path)}, check=True
    )
    with db.connect() as connection:
        (reading,) = eventually(lambda: latest_of(connection, "gauge-1"))
        found = registered(connection, "gauge-1")
    assert (reading.measure, reading.value, reading.quality) == ("waterLevel", 1.47, Quality.GOOD)
    assert found is not None
    assert (found.kind, found.name, found.lat, found.lon) == ("flood_gauge", "Cầu Rạch Chiếc", 10.8135, 106.7615)
    ward = ward_at(10.8135, 106.7615)
    assert ward is not None
    assert found.ward == ward.code

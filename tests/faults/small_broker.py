"""A broker that keeps little."""

from __future__ import annotations

from typing import Final

from ioc.stack.accounts import account, own_folder, write_private
from ioc.stack.broker import answers
from ioc.stack.home import Home
from ioc.stack.process import Child, find, start, wait_ready
from tests.fix_stack import own_port

#: What it keeps for a session, as Mosquitto's default is a thousand; and what it hands out beside.
HELD: Final = 2000
INFLIGHT: Final = 200
_CONFIGURATION: Final = f"""\
listener {{port}} 127.0.0.1
allow_anonymous true
max_inflight_messages {INFLIGHT}
max_queued_messages {HELD}
max_packet_size 2000000
sys_interval {{sys_interval}}
"""


class ForgetfulBroker:
    """A Mosquitto that drops without a word what is more than it keeps.

    Args:
        home: where it may write.
        sys_interval: seconds between its figures in `$SYS`; 0 = it publishes none.
    """

    host = "127.0.0.1"

    def __init__(self, home: Home, *, sys_interval: int = 1) -> None:
        home.make()
        user = account("mosquitto", "mosquitto")
        folder = own_folder(home.state / "mosquitto", user)
        self.port = own_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        write_private(folder / "mosquitto.conf", _CONFIGURATION.format(port=self.port, sys_interval=sys_interval), user)
        argv = [find("mosquitto", "mosquitto"), "-c", folder / "mosquitto.conf"]
        self.child: Child = start("mosquitto", argv, log=home.log / "mosquitto.log", user=user)
        wait_ready(self.child, lambda: answers(self.host, self.port), 30)

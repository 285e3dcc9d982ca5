"""The private RabbitMQ: a broker that has on its disk what it has acknowledged, on loopback.

Erlang's programs find each other through a small one of its own, epmd, which is private here too, so that neither the machine's
RabbitMQ nor that of another clone is met.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
from pathlib import Path
from typing import Final

from ioc.errors import StackError
from ioc.stack.accounts import account, own_folder, write_private
from ioc.stack.broker import answers
from ioc.stack.home import Home
from ioc.stack.process import SYSTEM_PATH, Child, find, start, wait_ready

_PROGRAMS: Final = Path("/usr/lib/rabbitmq/bin")
#: It loads some thousand modules first.
STARTS_S: Final = 180.0

CONFIGURATION: Final = """\
# Written at every start. Anonymous, because it listens on loopback only.
listeners.tcp = none
mqtt.listeners.tcp.1 = 127.0.0.1:{port}
mqtt.allow_anonymous = true
mqtt.sparkplug = true
load_definitions = {folder}/definitions.json

# The default of 10 unacknowledged messages caps a batching consumer; by default a session ends after a day's absence.
mqtt.prefetch = 20000
{session}

log.console = true
log.console.level = warning
log.file = false
# Below this much free disk publishers must wait.
disk_free_limit.absolute = 500MB
"""

#: Topics are kept with a dot for every slash, so that a level with a dot in it becomes two: such a message would be acknowledged
#: and reach nobody. Where the number of levels is known it is refused, and its sender's connection ended.
WRITABLE: Final = (
    r"^(?!(ioc|tele|stat)\.)"
    r"|^ioc\.[^.]+\.(announce|telemetry|state|command|command\.result|frame\.[0-9]+)$"
    r"|^(tele|stat)\.[^.]+\.[^.]+$"
)
_USER: Final = {"user": "guest", "vhost": "/"}
DEFINITIONS: Final = {
    "users": [{"name": "guest", "password": "guest", "tags": ""}],
    "vhosts": [{"name": "/"}],
    "permissions": [{**_USER, "configure": ".*", "write": ".*", "read": ".*"}],
    "topic_permissions": [{**_USER, "exchange": "amq.topic", "write": WRITABLE, "read": ".*"}],
}


class RabbitMq:
    """One private RabbitMQ with its MQTT plugin."""

    def __init__(self, home: Home) -> None:
        # Not the one of the usual PATH, which would change the user and the folder.
        self._program = Path(find("rabbitmq-server", "rabbitmq-server", _PROGRAMS))
        self._epmd = find("epmd", "rabbitmq-server")
        self._user = account("rabbitmq", "rabbitmq-server")
        self._folder = home.state / "rabbitmq"
        self._logs = home.log

    def url(self, port: int) -> str:
        """URL of the broker."""
        return f"mqtt://127.0.0.1:{port}"

    def start_names(self, port: int) -> Child:
        """Start epmd on a loopback port; the broker asks it who is there."""
        child = start(
            "epmd",
            [self._epmd, "-port", str(port), "-address", "127.0.0.1"],
            log=self._logs / "epmd.log",
            user=self._user,
            environment=self._environment(port),
        )
        return wait_ready(child, lambda: _listens(port), 30)

    def start(self, port: int, *, names: int, node: int) -> Child:
        """Start the broker and wait until it answers a CONNECT.

        Args:
            port: of MQTT.
            names: epmd's.
            node: where its own tools would reach it.
        """
        folder = own_folder(self._folder, self._user)
        session = "mqtt.subscription_ttl = 1209600000"
        if _version(self._program) >= (3, 13):
            session = "mqtt.max_session_expiry_interval_seconds = 1209600"
        write_private(
            folder / "rabbitmq.conf", CONFIGURATION.format(port=port, folder=folder, session=session), self._user
        )
        write_private(folder / "definitions.json", json.dumps(DEFINITIONS, indent=1), self._user)
        write_private(folder / "enabled_plugins", "[rabbitmq_mqtt].\n", self._user)
        write_private(folder / "environment.conf", "", self._user)
        # By which Erlang's programs know each other; it would make a weaker one.
        if not (folder / ".erlang.cookie").exists():
            write_private(folder / ".erlang.cookie", secrets.token_hex(20), self._user)
        environment = self._environment(names) | {
            "RABBITMQ_NODENAME": "ioc@localhost",
            "RABBITMQ_DIST_PORT": str(node),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "none.config"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "environment.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            # Its script then becomes the broker, so that a signal, also that of our death, reaches it.
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-noinput -kernel inet_dist_use_interface {127,0,0,1}",
        }
        child = start(
            "rabbitmq",
            [self._program],
            log=self._logs / "rabbitmq.log",
            user=self._user,
            environment=environment,
            folder=folder,
        )
        return wait_ready(child, lambda: answers("127.0.0.1", port), STARTS_S)

    def _environment(self, names: int) -> dict[str, str]:
        return {
            "PATH": f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_PATH}",
            "LANG": "C.UTF-8",
            "HOME": str(self._folder),
            "ERL_EPMD_PORT": str(names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }


def _version(program: Path) -> tuple[int, int]:
    """Its major and minor version, as its folder says."""
    (libraries,) = (program.parents[1] / "lib").glob("rabbitmq_server-*")
    found = re.search(r"-(\d+)\.(\d+)", libraries.name)
    if found is None:
        raise StackError(f"{libraries} does not say which RabbitMQ it is: install Debian's package rabbitmq-server")
    return int(found[1]), int(found[2])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

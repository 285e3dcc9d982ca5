"""What waits in the sessions of processes that no longer run: fetched, committed, and the sessions ended.

When fewer processes run than before, the broker goes on handing the others their share of the messages, and keeps it for them:
also when the one that is left subscribes plainly, and gets everything. So it waits until they have left theirs (`ingest.link`).
"""

from __future__ import annotations

import threading
from typing import Final

import paho.mqtt.client as paho
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.enums import CallbackAPIVersion

from ingest.dialect import Filters
from ingest.identity import client_of, held, lock_path, numbers
from ingest.inbox import Door
from ingest.link import Link
from ingest.session import Held
from ioc.mqtt import V5, Contact
from ioc.service import Service

#: A session from which nothing came for so long is empty.
_QUIET_S: Final = 2.0
_LOOK_S: Final = 2.0


class Leftovers:
    """Runs in a thread of its own until the service stops, in the first process of a machine."""

    def __init__(self, service: Service, door: Door, filters: Filters, processes: int, links: list[Link]) -> None:
        self._service = service
        self._door = door
        self._unwanted = Filters("", (), {}, (*filters.standing, *filters.unwanted))
        self._processes = processes
        self._links = links

    def run(self) -> None:
        """Look for sessions without a process; fetch what waits in them, all at once: none of them may keep its share."""
        while True:
            for number in numbers(self._service.settings.home):
                if number > self._processes:
                    threading.Thread(target=self._end, args=(number,), daemon=True).start()
            if self._service.stopping.wait(_LOOK_S):
                return

    def _end(self, number: int) -> None:
        """Fetch what waits for a number and end its session, unless a process has it, or another thread is at it."""
        settings = self._service.settings
        with held(settings.home, number, alone=True) as is_ours:
            if is_ours and self._fetch(client := client_of(settings, number)):
                Held(settings.home, client).forget()
                lock_path(settings.home, number).unlink(missing_ok=True)

    def _fetch(self, client: str) -> bool:
        """Fetch what waits in a session and end it; False when we were told to stop before, or could not."""
        self._service.log.info("fetching what waits for a process that no longer runs", client=client)
        link = Link(self._service, client, self._door, self._unwanted, leaving_after_s=_QUIET_S)
        fetched = threading.Event()

        def fetch() -> None:
            link.run()
            fetched.set()

        thread = threading.Thread(target=fetch, name=client, daemon=True)
        self._links.append(link)
        thread.start()
        while thread.is_alive() and not self._service.stopping.is_set():
            thread.join(0.2)
        if self._service.stopping.is_set():
            return False  # the ending of ingest stops the link with the others; what is left waits for the next time
        self._links.remove(link)
        if not fetched.is_set():
            return False  # a fault of ours, of which the thread has told: what waits there is not to be lost for it
        try:
            end_session(Contact.of(self._service.settings), client)
        except OSError as error:
            self._service.log.warning("the session was not ended", client=client, why=str(error))
            return False  # the broker went away; the next time will do
        return True


def end_session(contact: Contact, client_id: str) -> None:
    """Have the broker forget a session: a clean start that is not kept.

    Raises:
        OSError: the broker is away.
    """
    protocol = contact.protocol()
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id, protocol=protocol, clean_session=None if protocol is V5 else True
    )
    contact.address.enter(client)
    done = threading.Event()
    client.on_connect = lambda _client, _data, _flags, reason, _properties: None if reason.is_failure else done.set()
    client.connect(
        contact.address.host, contact.address.port, clean_start=True if protocol is V5 else MQTT_CLEAN_START_FIRST_ONLY
    )
    client.loop_start()
    answered = done.wait(10)
    client.disconnect()
    client.loop_stop()
    if not answered:
        raise TimeoutError("the broker did not answer")

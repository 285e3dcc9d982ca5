"""The vision service: weights, detector, worker. Without weights it stays up, says so, and waits for them."""

from __future__ import annotations

import threading
from typing import Final

from ioc.errors import ModelError
from ioc.live import Live
from ioc.service import Service
from ioc.settings import Settings
from vision.engine import Detector, open_detector
from vision.renewal import Renewal
from vision.store import Store
from vision.worker import Worker

#: How often weights are looked for again.
RETRY_S: Final = 10.0


def run_service(settings: Settings) -> None:
    """Run one vision worker until SIGTERM or SIGINT.

    Raises:
        SettingsError: no URL of TimescaleDB or Redis.
    """
    database_url, redis_url = settings.require("database_url"), settings.require("redis_url")
    with Service("vision", settings) as service:
        renewal = Renewal(service)
        detector = wait_for_detector(service, renewal)
        if detector is None:
            return
        service.log.info("engine", engine=detector.name, device=detector.device, classes=len(detector.classes))
        store, live = Store(database_url), Live(redis_url)
        worker = Worker(service, detector, store, live)
        looking = threading.Thread(target=renewal.run, args=(worker.replace,), name="weights")
        looking.start()
        try:
            store.wait(2.0)
            worker.run()
        finally:
            service.stopping.set()
            looking.join()
            store.close()
            live.close()
            worker.close()


def wait_for_detector(service: Service, renewal: Renewal) -> Detector | None:
    """Load the detector; while there is none, the heartbeat says why. None when the service stops first."""
    while not service.stopping.is_set():
        renewal.loading()
        try:
            detector = open_detector(service.settings)
        except ModelError as error:
            service.degrade("no_weights", error)
            service.stopping.wait(RETRY_S)
        else:
            service.recover("no_weights")
            return detector
    return None

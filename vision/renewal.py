"""New weights while the worker works: loaded beside the old ones, tried, then put in their place; or refused, with the reason.

Whoever changes weights writes the files first and the manifest last, in one step (`vision.manifest.replace`). The manifest and
the files it declares are looked at every second; SIGHUP has them loaded again whether they changed or not.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Final

from ioc.errors import ModelError
from ioc.service import Service
from vision import golden
from vision.engine import Detector, open_detector, weights_folder
from vision.manifest import stamp

EVERY_S: Final = 1.0
_WHAT: Final = "new_weights"


class Renewal:
    """Looks for new weights until the service stops."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._folder = weights_folder(service.settings)
        self._asked = False
        self._known: object = None
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGHUP, lambda _number, _frame: self.ask())

    def loading(self) -> None:
        """Say that the weights are loaded as they are now."""
        self._known = stamp(self._folder)

    def run(self, replace: Callable[[Detector], None]) -> None:
        """Look for new weights, and have those that are good put in the place of the old ones."""
        while not self._service.stopping.wait(EVERY_S):
            now = stamp(self._folder)
            if now == self._known and not self._asked:
                continue
            self._asked = False
            self._known = now
            try:
                detector = self._tried()
            except ModelError as error:
                self._service.degrade(_WHAT, f"refused, the old ones go on: {error}")
            except Exception as error:  # noqa: BLE001 - whatever a runtime says of strange files, the old ones go on
                self._service.degrade(_WHAT, f"refused, the old ones go on: {type(error).__name__} {error}")
            else:
                replace(detector)
                self._service.recover(_WHAT)
                self._service.log.info("weights", engine=detector.name, weights=detector.weights)

    def _tried(self) -> Detector:
        """The new weights, loaded and seen to work.

        Raises:
            ModelError: they are not what they are declared to be, or do not see what they must.
        """
        detector = open_detector(self._service.settings)
        try:
            golden.check(detector, self._folder, required=True)
        except BaseException:
            detector.close()
            raise
        return detector

    def ask(self) -> None:
        """Have the weights loaded again although they did not change; as SIGHUP does."""
        # No more than this: a handler may interrupt its thread anywhere.
        self._asked = True

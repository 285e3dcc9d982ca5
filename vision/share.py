"""The cameras that are one worker's to look at.

A camera's tracks live in the worker that looks at it, so its frames stay with one worker; but not with a dead one. Redis holds
who looks at what, changed in one step of its own (`ioc.live.Live.claim_cameras`), and a lease that each worker renews. A
worker that is killed or stands still loses its cameras to the others when its lease ends, one that joins is given of theirs,
one that stops in order gives its own back. This needs no leader and no list of workers, and shares differ by one camera at
most, which hashing cameras onto workers does not give: of twelve cameras one of three workers would often have seven.

A worker that stood still and goes on does not know yet that its cameras have others' trackers now; a lease that has ended by
its own steady clock makes it ask first. What it still had in its hands is refused by the database, as it is older than what is
stored (`vision.store`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from ioc.live import Live

#: A worker that has not renewed its lease for so long has lost its cameras.
LEASE_S: Final = 2.5
#: How often the lease is renewed.
RENEW_S: Final = 0.5
#: A camera that sends nothing for so long counts for nobody's share.
SILENT_S: Final = 60.0


class Share:
    """One worker's lease; for one thread."""

    def __init__(self, live: Live, group: str, worker: str) -> None:
        self.cameras: frozenset[str] = frozenset()
        self._live = live
        self._group = group
        self._worker = worker
        #: When each camera was heard last, whoever's it is: a silent one does not begin anew where it is handed to.
        self._heard: dict[str, float] = {}
        self._began = time.monotonic()
        self._new: set[str] = set()
        self._renewed = -LEASE_S

    def renew(self) -> None:
        """Renew the lease if it is time; cameras may come and go by it.

        Raises:
            LiveError: Redis is away.
        """
        now = time.monotonic()
        if now < self._renewed + RENEW_S:
            return
        silent = [camera for camera in self.cameras if now - self._heard.get(camera, self._began) > SILENT_S]
        cameras = self._live.claim_cameras(
            self._group,
            self._worker,
            lease_s=LEASE_S,
            mine=[camera for camera in self.cameras if camera not in silent],
            silent=silent,
            heard=self._new,
        )
        # From before it was asked for: the lease begins in between.
        self._renewed = now
        self._new.clear()
        self._heard = {camera: at for camera, at in self._heard.items() if now - at <= SILENT_S}
        self.cameras = frozenset(cameras)

    def mine(self, heard: Iterable[str]) -> frozenset[str]:
        """Cameras of ours, having heard of these; none when the lease has ended in the meantime."""
        now = time.monotonic()
        for camera in heard:
            self._heard[camera] = now
            if camera not in self.cameras:
                self._new.add(camera)
        return self.cameras if now < self._renewed + LEASE_S else frozenset()

    def leave(self) -> None:
        """Give the cameras to the others now.

        Raises:
            LiveError: Redis is away; the lease ends by itself.
        """
        self.cameras = frozenset()
        self._live.leave_cameras(self._group, self._worker)

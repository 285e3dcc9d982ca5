"""What rules counted and found, stored in the transaction of the frames it was found on."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from copy import copy
from datetime import UTC, datetime
from itertools import pairwise

from ioc.db.camera_flow import MINUTE, CameraFlow, add_flows, figures_of_minute, flows_of
from ioc.db.evidence_pictures import EvidencePicture, keep_pictures
from ioc.db.pool import Connection
from ioc.model import Reading
from vision.rules.camera import Outcome
from vision.scene import Scene


class Findings:
    """The outcomes of a batch of frames, with the pictures that prove them; an `Also` of `vision.store`.

    Attributes:
        readings: what was stored; of a transaction that failed it means nothing.
    """

    def __init__(self, outcomes: Sequence[Outcome], pictures: Sequence[EvidencePicture] = ()) -> None:
        self._outcomes = {(outcome.camera, outcome.time): outcome for outcome in outcomes}
        self._pictures = pictures
        self.readings: list[Reading] = []

    def __call__(self, connection: Connection, fresh: Sequence[Scene], before: Mapping[str, datetime]) -> list[Reading]:
        """Store what was counted on frames that are new; what is found, and figures of the minutes that ended, are readings."""
        outcomes = [
            outcome for scene in fresh if (outcome := self._outcomes.get((scene.camera, scene.time))) is not None
        ]
        add_flows(connection, merged([flow for outcome in outcomes for flow in outcome.flows]))
        new = {(outcome.camera, outcome.time) for outcome in outcomes}
        keep_pictures(connection, [picture for picture in self._pictures if (picture.camera, picture.time) in new])
        self.readings = [reading for outcome in outcomes for reading in outcome.readings]
        for camera in sorted({outcome.camera for outcome in outcomes}):
            own = [outcome for outcome in outcomes if outcome.camera == camera]
            times = [before[camera], *(scene.time for scene in fresh if scene.camera == camera)]
            for minute in ended_minutes(times):
                flows = flows_of(connection, camera, minute, minute + MINUTE)
                self.readings += figures_of_minute(minute, camera, own[-1].rules, flows, datetime.now(UTC))
        return self.readings


def ended_minutes(times: Sequence[datetime]) -> list[datetime]:
    """The minutes in which frames were taken and after which others were.

    >>> ended_minutes([datetime(2026, 1, 1, 12, 0, 59), datetime(2026, 1, 1, 12, 1), datetime(2026, 1, 1, 12, 1, 1)])
    [datetime.datetime(2026, 1, 1, 12, 0)]
    """
    minutes = [time.replace(second=0, microsecond=0) for time in times]
    return [minute for minute, later in pairwise(minutes) if minute != later]


def merged(flows: Sequence[CameraFlow]) -> list[CameraFlow]:
    """Each key once."""
    found: dict[Hashable, CameraFlow] = {}
    for flow in flows:
        known = found.get(flow.key())
        if known is None:
            found[flow.key()] = copy(flow)
        else:
            known.add(flow)
    return list(found.values())

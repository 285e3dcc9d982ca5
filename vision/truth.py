"""Is this camera telling the truth? Frozen, black, blurred, moved, late and missing pictures, told apart; pure, time is given.

Every condition has its hysteresis in time. What is worse hides what is lesser: a black picture is not called blurred.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ioc.catalog import PICTURE_STATES, PictureState
from vision.look import HEIGHT, WIDTH, Grey, Look
from vision.view import View, compare

#: Nothing but a clock has changed for so long, in so many pictures that are encoded alike: frozen. A quiet night is alive by the
#: noise of its sensor, which never repeats a picture.
FROZEN_S: Final = 30.0
FROZEN_LOOKS: Final = 6
#: Share of the picture that a burned-in clock may change.
CLOCK_SHARE: Final = 0.06
#: Encoded otherwise, the same picture differs by less than this, in grey levels, in all but a few cells.
_RECODED: Final = 8.0
_RECODED_SHARE: Final = 0.02
#: Ways of encoding that are remembered.
_CODINGS: Final = 64

#: Grey levels within which a picture holds nothing: a cap, a hand, paint; a clock may stand in the rows at its edges.
_NOTHING_SEEN: Final = 6.0
_NOTHING_SHARE: Final = 0.005
_OVERLAY_ROWS: Final = HEIGHT // 8

#: Fine detail, against the camera's own view, below which the picture is blurred, and above which it is sharp again.
BLURRED: Final = 0.62
SHARP: Final = 0.75

#: Seconds that a camera's pictures may come behind their own time.
LATE_S: Final = 10.0

#: A view is learnt from so many pictures, so far apart: a minute and a half, in which the traffic leaves.
LEARN_LOOKS: Final = 19
LEARN_EVERY_S: Final = 5.0
#: Halves of the lesson must agree by this share, or it is begun again.
_STEADY: Final = 0.6
#: How often a good picture is worked into the view, and by how much: it follows the sun within the hour.
FOLLOW_S: Final = 60.0
_FOLLOW: Final = 0.05
#: Pictures from which what moves is taken out, and how often they are compared with the view.
_RECENT: Final = 5
_COMPARE_S: Final = 4.0
#: After a hole this long the newest pictures say nothing of each other.
_HOLE_S: Final = 120.0

#: How long each condition must hold, and be gone, in seconds.
_DELAYS: Final[dict[PictureState, tuple[float, float]]] = {
    "black": (5.0, 5.0),
    "frozen": (0.0, 3.0),
    "blurred": (15.0, 15.0),
    "moved": (15.0, 15.0),
    "late": (10.0, 10.0),
}


class Finding(NamedTuple):
    """What is the matter with a camera's picture, and since when, epoch seconds."""

    state: PictureState
    since: float


class Held:
    """A condition with hysteresis: raised when it has held for `on_s`, back when it has been gone for `off_s`."""

    def __init__(self, on_s: float, off_s: float) -> None:
        self.raised = False
        self.since = 0.0
        self._on_s = on_s
        self._off_s = off_s
        self._turning: float | None = None

    def update(self, holds: bool, time: float, since: float | None = None) -> None:
        """Take one more look at the condition; `since` is when it began, where that is known better than by this look."""
        if holds == self.raised:
            self._turning = None
            return
        if self._turning is None:
            self._turning = time
        if time - self._turning >= (self._off_s if self.raised else self._on_s):
            self.raised = holds
            self.since = self._turning if since is None else since
            self._turning = None

    def drop(self) -> None:
        """Forget that it held."""
        self.raised, self._turning = False, None


class CameraTruth:
    """One camera, look by look, in order of time.

    Attributes:
        view: its reference, None until it is learnt.
    """

    def __init__(self, view: View | None = None) -> None:
        self.view = view
        self._held = {state: Held(*delays) for state, delays in _DELAYS.items()}
        self._well_since: float | None = None
        self._seen: float | None = None
        self._stillness = Stillness()
        self._recent: deque[Look] = deque(maxlen=_RECENT)
        self._compared = 0.0
        self._followed = 0.0
        self._lesson: list[Look] = []

    def look(self, look: Look) -> Finding:
        """Take the camera's newest picture; returns what is the matter with it now."""
        if self._seen is not None and look.time - self._seen > _HOLE_S:
            self._recent.clear()
            self._lesson.clear()
            self._stillness = Stillness()
        self._seen = look.time
        self._recent.append(look)
        held = self._held
        held["late"].update(look.behind_s > LATE_S, look.time)
        self._stillness.look(look)
        held["frozen"].update(self._stillness.frozen(look.time), look.time, self._stillness.since)
        held["black"].update(shows_nothing(look.grey), look.time)
        if self.view is None:
            self._learn(look)
        elif look.time - self._compared >= _COMPARE_S:
            self._compared = look.time
            self._compare(self.view, look)
        return self._finding(look.time)

    def accept(self) -> None:
        """What it shows now is its view: learn it anew."""
        self.view = None
        self._lesson.clear()
        for state in ("moved", "blurred"):
            self._held[state].drop()

    def _finding(self, time: float) -> Finding:
        for state in PICTURE_STATES[1:]:
            held = self._held.get(state)
            if held is not None and held.raised:
                self._well_since = None
                return Finding(state, held.since)
        if self._well_since is None:
            self._well_since = time
        return Finding("ok", self._well_since)

    def _compare(self, view: View, look: Look) -> None:
        if len(self._recent) < _RECENT:
            return
        shown = without_traffic(list(self._recent))
        found = compare(view, shown)
        held = self._held
        dark = shows_nothing(shown.grey)
        if not dark:
            # What fills the picture with something else may have any detail; a view that is only out of focus is still there.
            blurred = found.sharpness < (SHARP if held["blurred"].raised else BLURRED)
            held["blurred"].update(found.judged and blurred and not found.moved, look.time)
            held["moved"].update(found.judged and found.moved > 0, look.time)
        well = found.judged and not dark and found.same >= _STEADY and not found.moved
        if well and look.time - self._followed >= FOLLOW_S and self._finding(look.time).state == "ok":
            self._followed = look.time
            self.view = View(_towards(view.grey, shown.grey), _towards(view.detail, shown.detail))

    def _learn(self, look: Look) -> None:
        """Collect pictures while all is well; when they are steady, what does not move in them is the view."""
        if self._finding(look.time).state not in ("ok", "late") or shows_nothing(look.grey):
            self._lesson.clear()
            return
        if self._lesson and look.time - self._lesson[-1].time < LEARN_EVERY_S:
            return
        self._lesson.append(look)
        if len(self._lesson) < LEARN_LOOKS:
            return
        first, second = self._lesson[: LEARN_LOOKS // 2], self._lesson[LEARN_LOOKS // 2 :]
        found = compare(without_traffic(first), without_traffic(second))
        if found.judged and (found.moved or found.same < _STEADY):
            del self._lesson[: LEARN_LOOKS // 2]
            return
        self.view = without_traffic(self._lesson)
        self._followed = look.time
        self._lesson.clear()


class Stillness:
    """Since when nothing but a clock has changed.

    Pictures are compared with those that were encoded alike, where the same content gives the same pixels to the last bit and the
    weakest noise of a sensor does not.

    Attributes:
        since: since when, epoch seconds.
    """

    def __init__(self) -> None:
        self.since = 0.0
        self._alike: dict[bytes, Grey] = {}
        self._changed: npt.NDArray[np.bool_] = np.zeros((HEIGHT, WIDTH), np.bool_)
        self._compared = 0

    def look(self, look: Look) -> None:
        """Take one more picture."""
        before = self._alike.get(look.coding)
        if before is not None:
            self._changed |= look.grey != before
            self._compared += 1
            moved = bool(self._changed.mean() > CLOCK_SHARE)
        else:
            newest = next(reversed(self._alike.values()), None)
            differs = newest is None or np.abs(look.grey - newest) > _RECODED
            moved = newest is None or bool((differs & ~self._changed).mean() > CLOCK_SHARE + _RECODED_SHARE)
        if moved or len(self._alike) > _CODINGS:
            self.since, self._compared = look.time, 0
            self._alike.clear()
            self._changed[:] = False
        self._alike.pop(look.coding, None)
        self._alike[look.coding] = look.grey

    def frozen(self, time: float) -> bool:
        """Whether it has lasted for too long."""
        return self._compared >= FROZEN_LOOKS and time - self.since >= FROZEN_S


def shows_nothing(grey: Grey) -> bool:
    """Whether a picture is black, or as good as covered, whatever noise and clock lie on it.

    What is covered is uniform: no cell but a few stands out from the middle level once noise is smoothed away.
    """
    seen = _coarse(grey)
    middle = float(np.median(seen))
    return bool((np.abs(seen - middle) > _NOTHING_SEEN).mean() <= _NOTHING_SHARE)


def _coarse(grey: Grey) -> Grey:
    """Means of 4x4 cells, without the rows of overlays."""
    inner = grey[_OVERLAY_ROWS : HEIGHT - _OVERLAY_ROWS]
    rows = inner.shape[0] // 4
    return np.asarray(inner[: 4 * rows].reshape(rows, 4, WIDTH // 4, 4).mean(axis=(1, 3)), dtype=np.float32)


def without_traffic(looks: list[Look]) -> View:
    """The median of a few looks: what stands still in them."""
    middle = len(looks) // 2
    return View(
        np.partition([look.grey for look in looks], middle, axis=0)[middle],
        np.partition([look.detail for look in looks], middle, axis=0)[middle],
    )


def _towards(old: Grey, new: Grey) -> Grey:
    return np.asarray(old + _FOLLOW * (new - old), dtype=np.float32)

"""What a long benchmark does now: bars on a terminal, a line a step elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Steps:
    """Bars one below the other, each with a number of steps."""

    def __init__(self) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._began = time.monotonic()
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self._bars.console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def begin(self, what: str, total: int, done: int = 0) -> None:
        """A new bar of so many steps, of which some may be done already."""
        self._task = self._bars.add_task(what, total=total, completed=done)
        self._tell()

    def now(self, what: str) -> None:
        """The step that is being done."""
        assert self._task is not None
        self._bars.update(self._task, description=what)
        self._tell()

    def done(self, *, tell: bool = False) -> None:
        """One step is done; say so where that is not seen from the next."""
        assert self._task is not None
        self._bars.advance(self._task)
        if tell:
            self._tell()

    def _tell(self) -> None:
        assert self._task is not None
        task, console = self._bars.tasks[self._task], self._bars.console
        if not console.is_terminal:
            seconds = time.monotonic() - self._began
            console.print(
                f"{seconds:6.0f} s  {task.description} ({task.completed:.0f}/{task.total:.0f})", soft_wrap=True
            )

"""Redelivered messages are told by their order, against a model of a broker that numbers nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.order import Delivered, Session, begin, follow


def undated(text: str) -> list[Delivered]:
    """Redelivered messages without a time, one a character."""
    return [Delivered(one.encode(), again=True, dated=False) for one in text]


def dated(text: str) -> list[Delivered]:
    """The same with a time."""
    return [Delivered(one.encode(), again=True, dated=True) for one in text]


def row(text: str) -> list[bytes]:
    """Digests that were committed."""
    return [one.encode() for one in text]


@pytest.mark.parametrize(
    ("committed", "run", "whole", "place"),
    [
        ("abcd", undated("cd"), False, 2),
        ("abcd", undated("cdxy"), False, 2),
        ("abcd", undated("xy"), False, None),
        ("", undated("x"), False, None),
        # A part of the row, of which the rest may still come: believed when it is its own proof, or long.
        ("abcd", undated("bc"), False, None),
        ("abcd", dated("b") + undated("c"), False, 1),
        ("abcdefghijklmnopqrstuvwxyz", undated("cdefghijklmnopqrs"), False, 2),
        # Nothing more comes: what lies in the middle of the row is new.
        ("abcd", dated("bc"), True, None),
        ("abcd", dated("bcd"), True, 1),
        # A state that was said before, and is said again: what follows shows that it is a new one.
        ("0102", undated("0") + dated("xy"), False, None),
        ("0101", undated("01"), False, 2),
    ],
)
def test_run_begins_at(committed: str, run: list[Delivered], whole: bool, place: int | None) -> None:
    """Where a run of redelivered messages lies on what was committed."""
    assert begin(row(committed), run, whole=whole) == place


class Model:
    """A broker's session and the database behind it; a message is its number."""

    def __init__(self) -> None:
        self.queue: list[tuple[int, bool]] = []
        self.handed_over: list[tuple[int, bool]] = []
        self.acknowledged: list[tuple[int, bool]] = []
        self.connection = 1
        self.session = Session(0, 0, None)
        self.row: list[bytes] = []
        self.stored: list[int] = []
        self.published = 0

    def publish(self, number: int) -> None:
        """New messages wait."""
        self.queue += [(self.published + one, False) for one in range(number)]
        self.published += number

    def commit(self, number: int) -> None:
        """The broker hands over so many; they are committed and acknowledged."""
        taken, self.queue = self.queue[:number], self.queue[number:]
        if not taken:
            return
        # Some have a time, and some have none.
        messages = [Delivered(b"%d" % one, again, one % 3 > 0) for one, again in taken]
        followed = follow(self.session, lambda: (0, list(self.row)), [(self.connection, messages)])
        self.session, known, fresh = followed
        self.row += fresh
        self.stored += [one for (one, _), was in zip(taken, known, strict=True) if not was]
        self.acknowledged += taken

    def break_off(self, lost: int, held: int) -> None:
        """The connection ends: the last acknowledgements are lost, some messages were handed over and not committed."""
        lost = min(lost, len(self.acknowledged))
        back = self.acknowledged[len(self.acknowledged) - lost :] + self.queue[:held]
        del self.acknowledged[len(self.acknowledged) - lost :]
        self.queue = [(one, True) for one, _ in back] + self.queue[held:]
        self.connection += 1

    def kill(self, lost: int) -> None:
        """The broker is killed: the last acknowledgements are lost, and it takes all that it has for handed over."""
        self.break_off(lost, len(self.queue))


steps = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 60)),
        st.tuples(st.just("commit"), st.integers(20, 50)),
        st.tuples(st.just("break_off"), st.integers(0, 40), st.integers(0, 40)),
        st.tuples(st.just("kill"), st.integers(0, 40)),
    ),
    max_size=40,
)


@given(steps)
def test_every_message_is_stored_once(done: list[tuple[str, *tuple[int, ...]]]) -> None:
    """Whatever breaks, in whatever order: nothing is stored twice, nothing is left out."""
    model = Model()
    for name, *numbers in done:
        getattr(model, name)(*numbers)
    while model.queue:
        model.commit(50)
    assert model.stored == list(range(model.published))


def test_new_connection_without_anything_again() -> None:
    """Everything was acknowledged: what comes is new, though it has been said before."""
    session, committed, _ = follow(Session(0, 0, None), lambda: (0, []), [(1, undated_new("ab"))])
    followed = follow(session, lambda: (0, row("ab")), [(2, undated_new("ab"))])
    assert (committed, followed.known) == ([False, False], [False, False])
    assert followed.session == Session(2, 4, None)


def test_run_in_parts() -> None:
    """A run that comes in several batches is followed to its end; what comes after it is new."""
    session = Session(1, 6, None)
    first = follow(session, lambda: (2, row("cdef")), [(2, dated("d"))])
    assert (first.known, first.session) == ([True], Session(2, 6, 4))
    second = follow(first.session, lambda: (2, row("cdef")), [(2, undated("efc"))])
    assert (second.known, second.session, second.fresh) == ([True, True, False], Session(2, 7, None), [b"c"])


def test_connections_of_one_batch() -> None:
    """What one connection brought and the next one brings again, before any of it was committed, is stored once."""
    followed = follow(
        Session(0, 0, None), lambda: (0, []), [(1, undated_new("abc")), (2, undated("abc") + undated_new("d"))]
    )
    assert followed.known == [False, False, False, True, True, True, False]


def undated_new(text: str) -> list[Delivered]:
    """Messages handed over for the first time."""
    return [one._replace(again=False) for one in undated(text)]

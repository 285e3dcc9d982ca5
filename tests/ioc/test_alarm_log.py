"""The hash chain of the incident log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.alarms.log import KIND_LABELS, Entry, Kind, follow, verify
from ioc.chain import GENESIS, canonical

START = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


def make_log(length: int) -> list[Entry]:
    entries: list[Entry] = []
    for number in range(length):
        last = entries[-1] if entries else None
        entries.append(
            follow(last, 7, START + timedelta(seconds=number), "note", "trực ban", f"số {number}", {"n": number})
        )
    return entries


def test_verify_untouched() -> None:
    """A log as it was written holds; so does one without entries."""
    assert verify(make_log(5)) is None
    assert verify([]) is None


def test_first_entry_follows_the_genesis() -> None:
    """The first entry's predecessor is agreed, not free."""
    (first,) = make_log(1)
    assert first.previous == GENESIS
    forged = follow(msgspec.structs.replace(first, seq=0), 7, START, "note", "x")
    assert verify([forged]) is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"text": "khác"},
        {"who": "ai đó"},
        {"time": START},
        {"kind": "closed"},
        {"details": {"n": 3}},
        {"incident": 8},
        {"hash": bytes(32)},
    ],
    ids=str,
)
def test_verify_finds_a_changed_entry(changes: dict[str, Any]) -> None:
    """Whatever field is changed, the entry is named."""
    log = make_log(5)
    log[2] = msgspec.structs.replace(log[2], **changes)
    fault = verify(log)
    assert fault is not None
    assert fault.seq == 3


def test_verify_finds_a_removed_an_added_and_a_swapped_entry() -> None:
    """The chain breaks where an entry is missing, was slipped in, or moved."""
    log = make_log(5)
    assert getattr(verify(log[:2] + log[3:]), "seq", None) == 3
    assert getattr(verify([*log[:2], log[1], *log[2:]]), "seq", None) == 3
    assert getattr(verify([log[0], log[2], log[1], *log[3:]]), "seq", None) == 2
    assert getattr(verify(log[1:]), "seq", None) == 1


def test_verify_finds_a_rewritten_entry_with_a_right_hash() -> None:
    """Computing the changed entry's hash anew breaks the link of the next."""
    log = make_log(5)
    log[2] = follow(log[1], 7, log[2].time, "note", "trực ban", "khác")
    assert getattr(verify(log), "seq", None) == 4


def test_digest_is_the_same_in_every_time_zone() -> None:
    """The database gives UTC back, whatever zone a time was written in."""
    here = START.astimezone(timezone(timedelta(hours=7)))
    assert follow(None, 1, here, "note", "a").hash == follow(None, 1, START, "note", "a").hash


@given(
    st.dictionaries(
        st.text(), st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.booleans()
    )
)
def test_canonical_does_not_depend_on_order_or_spelling(details: dict[str, Any]) -> None:
    """Reversed keys and whole floats written as integers are the same value."""
    spelled = {
        key: int(value) if isinstance(value, float) and value.is_integer() else value
        for key, value in reversed(details.items())
    }
    assert canonical(details) == canonical(spelled)


def test_canonical_refuses_what_json_cannot_say() -> None:
    """NaN in the log would be unreadable for others."""
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical({"value": float("nan")})


def test_kind_labels_are_complete() -> None:
    """Every kind of entry has a name in both languages."""
    assert set(KIND_LABELS) == set(Kind.__args__)  # type: ignore[attr-defined]
    assert all(label.vi and label.en for label in KIND_LABELS.values())

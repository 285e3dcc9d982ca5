"""What holds for all dialects together."""

from __future__ import annotations

from itertools import combinations

from ingest.dialects import all_dialects
from ioc.topics import covers


def test_subscriptions_never_overlap() -> None:
    """No topic matches two filters, or a message would arrive twice."""
    filters = [one.filter for dialect in all_dialects() for one in dialect.subscriptions]
    for one, other in combinations(filters, 2):
        assert not covers(one, other), (one, other)
        assert not covers(other, one), (one, other)


def test_names_and_prefixes_are_their_own() -> None:
    """A dialect is told by its name, and its devices by what their ids begin with."""
    dialects = all_dialects()
    assert len({dialect.name for dialect in dialects}) == len({dialect.prefix for dialect in dialects}) == len(dialects)
    assert all("." not in dialect.prefix for dialect in dialects)

"""Which rules watch which kind of device, and how rules explain each other; all of it read off the catalogue."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NamedTuple

from ioc.catalog import KINDS, MEASURES, Measure, Rule


class Watch(NamedTuple):
    """A rule of a kind of device, with the measure it stands beside (None for a rule on the device itself)."""

    rule: Rule
    measure: Measure | None


def watches(kind: str) -> tuple[Watch, ...]:
    """Every rule that watches a kind of device."""
    row = KINDS[kind]
    beside = (Watch(rule, MEASURES[key]) for key in row.measures for rule in MEASURES[key].rules)
    return (*beside, *(Watch(rule, None) for rule in row.rules))


def outranking(measure: Measure, rule: Rule) -> tuple[str, ...]:
    """Rules of the measure that say the same thing louder: while one of them holds, this one is suppressed."""
    if rule.kind not in ("above", "below"):
        return ()
    sign = 1 if rule.kind == "above" else -1
    return tuple(r.key for r in measure.rules if r.kind == rule.kind and sign * r.limit > sign * rule.limit)


def lookback(measure: Measure) -> timedelta:
    """How far back readings may matter to the tracks of the measure's rules."""
    longest = max((max(rule.window_s, rule.on_delay_s, rule.off_delay_s) for rule in measure.rules), default=0.0)
    return timedelta(seconds=longest + measure.gone_after_s)


#: Kinds of rules that say that the device is lost.
LOSS: Final = ("silent", "offline")
WATCHES: Final[dict[str, tuple[Watch, ...]]] = {kind: watches(kind) for kind in KINDS}
#: Rules by measure, of those measures that have any.
RULED: Final[dict[str, tuple[Rule, ...]]] = {key: measure.rules for key, measure in MEASURES.items() if measure.rules}
OUTRANKED: Final = {rule.key: outranking(measure, rule) for measure in MEASURES.values() for rule in measure.rules}
#: Rules beside our own findings about a device.
OF_FINDINGS: Final = frozenset(rule.key for measure in MEASURES.values() if measure.finding for rule in measure.rules)
LOSSES: Final = {kind: tuple(w.rule.key for w in ws if w.rule.kind in LOSS) for kind, ws in WATCHES.items()}
OFFLINE: Final = {kind: [w.rule for w in ws if w.rule.kind == "offline"] for kind, ws in WATCHES.items()}
#: Rules whose condition cuts off what lies below the device.
CUTTING: Final = {
    kind: tuple(w.rule.key for w in ws if w.rule.kind in LOSS or w.rule.cuts_children) for kind, ws in WATCHES.items()
}

"""Storing what a Sparkplug message measures, by what its births define."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from ingest.dialects.sparkplug_birth import Birth, Definition, is_administrative, unit_of
from ingest.dialects.sparkplug_payload import Metric, Said, read_metric, value_of
from ingest.intake import Intake
from ioc.catalog import measure_named
from ioc.errors import RejectedError

#: A value's quality that is good (specification, 6.4.10).
_GOOD: Final = 192


def read_metrics(said: Said, intake: Intake) -> list[Metric]:
    """The metrics of a payload; those that cannot be read are noted."""
    metrics = []
    for raw in said.metrics:
        try:
            metrics.append(read_metric(raw))
        except RejectedError as error:
            intake.fault(error)
    return metrics


def store(
    device: str,
    birth: Birth | None,
    said: Said,
    metrics: Iterable[Metric],
    intake: Intake,
    *,
    trusts_aliases: bool = True,
) -> bool:
    """Store what metrics state, each at its time; False when a birth is needed to understand some of them.

    Args:
        device: whose they are.
        birth: what its birth defines, None when there is none.
        said: the message they came in.
        metrics: as read.
        intake: takes them.
        trusts_aliases: the birth is of the present session.
    """
    times: dict[int | None, list[tuple[str, Any, str]]] = {}
    is_understood = True
    for metric in metrics:
        known = _definition(birth, metric, trusts_aliases=trusts_aliases)
        if (
            metric.is_null
            or metric.is_transient
            or not metric.field
            or is_administrative(known.name if known else metric.name)
        ):
            continue
        try:
            if known is None:
                is_understood = False
                known = _by_name(metric)
            if metric.is_historical and metric.stamp is None:
                raise RejectedError("time", f"{metric.label}: of the past, but without its time")  # noqa: TRY301
            stamp = said.stamp if metric.stamp is None else metric.stamp
            times.setdefault(stamp, []).append((known.measure, _value(metric, known), unit_of(metric) or known.unit))
        except RejectedError as error:
            intake.fault(error)
    for stamp, items in times.items():
        try:
            intake.measured(device, stamp, items)
        except RejectedError as error:
            intake.fault(error)
    if not times:
        intake.measured(device, None, ())
    return is_understood


def _definition(birth: Birth | None, metric: Metric, *, trusts_aliases: bool) -> Definition | None:
    """How the birth defines a metric; None when there is none, or none of this session for an alias."""
    if birth is None:
        return None
    if metric.name:
        return birth.names.get(metric.name)
    return birth.aliases.get(metric.alias) if trusts_aliases and metric.alias is not None else None


def _by_name(metric: Metric) -> Definition:
    """What a metric that no birth defines is by its own word.

    Raises:
        RejectedError: `measure`, when it goes by an alias, or only its birth can tell whether others of its kind stand beside it.
    """
    if not metric.name:
        raise RejectedError("measure", f"{metric.label}: no birth of this session has named it")
    if "/" in metric.name and measure_named(metric.name) is None:
        raise RejectedError("measure", f"{metric.label}: no birth has defined it")
    return Definition(metric.name, metric.alias, metric.datatype, "", metric.name, is_writable=False)


def _value(metric: Metric, known: Definition) -> float | bool | str:
    """The value of a metric.

    Raises:
        RejectedError: `measure`, `value` or `encoding`.
    """
    if not known.measure:
        raise RejectedError(
            "measure", f"{known.name[:80]!r}: other metrics of this device are named as the same measure"
        )
    quality = metric.properties.get("quality", _GOOD)
    if quality != _GOOD:
        raise RejectedError("value", f"{metric.label}: its node gives it quality {quality}, good is {_GOOD}")
    return value_of(metric, metric.datatype or known.datatype)

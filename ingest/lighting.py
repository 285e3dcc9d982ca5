"""What holds for every dialect that tells a lamp to shine."""

from __future__ import annotations

from ioc.catalog import KINDS
from ioc.errors import CommandError
from ioc.model import Device


def require_lit(device: Device) -> None:
    """Make sure that a device is of a kind that can be told to shine.

    Raises:
        CommandError: it is of another kind, or nobody has said yet what it is.
    """
    kind = KINDS.get(device.kind)
    if kind is None:
        raise CommandError(f"{device.id}: its kind is not set; say what it is, then command it")
    if not kind.lit:
        raise CommandError(f"{device.id}: a {device.kind} cannot be told to shine")


def noted(device: Device, name: str) -> str:
    """A text that the dialect noted of a device when it was discovered.

    Raises:
        CommandError: it is not there: the device was not heard of since, or it was registered by other means.
    """
    value = device.attrs.get(name)
    if not isinstance(value, str) or not value:
        raise CommandError(f"{device.id}: its {name} is not known; it must be heard of once before it can be commanded")
    return value

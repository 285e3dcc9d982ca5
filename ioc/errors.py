"""The exception tree. Foreign errors are translated where they enter; an error says what was got, expected, and what to do."""

from __future__ import annotations


class IocError(Exception):
    """Root of every error the project raises itself."""


class SettingsError(IocError):
    """A setting is missing, unknown or malformed."""


class CatalogError(IocError):
    """Something names a measure, kind or rule that the catalogue does not declare."""


class TopicError(IocError):
    """An MQTT topic does not follow the native grammar."""


class RejectedError(IocError):
    """A message cannot become records; it goes to quarantine.

    Attributes:
        reason: one of `ioc.model.REASONS`, stable, for grouping.
        detail: what was got and what was expected, for a technician.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class CommandError(IocError):
    """A device cannot be told so: its kind or its dialect knows no such command."""


class StorageError(IocError):
    """TimescaleDB refused or is away."""


class MigrationError(StorageError):
    """The schema cannot be brought to this version."""


class LiveError(IocError):
    """Redis is away or answered what we do not understand."""


class BrokerError(IocError):
    """The MQTT broker refused us or is away."""


class SpoolError(IocError):
    """The spool on disk cannot be used."""


class ActionError(IocError):
    """An operator asked for what cannot be done: no such alarm, or not in this state."""


class SealError(IocError):
    """What is sealed cannot be opened with this master key."""


class OriginalError(ActionError):
    """The original of a picture cannot be opened.

    Attributes:
        why: `absent` no such picture, `unattached` it proves no alarm, `none` it was never kept, `destroyed`, `no_key` no master
            key is configured here, `sealed` the master key does not open it.
    """

    def __init__(self, why: str, detail: str) -> None:
        super().__init__(detail)
        self.why = why


class FormError(ActionError):
    """Fields of a form cannot be so.

    Attributes:
        faults: field → what is wrong with it, a key of the pages' messages (`fault:<key>`).
    """

    def __init__(self, faults: dict[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {fault}" for field, fault in faults.items()))
        self.faults = faults


class StackError(IocError):
    """A part of the embedded stack cannot be found, installed or started."""


class ModelError(IocError):
    """A detector's files are missing, changed or unusable."""


class DatasetError(IocError):
    """Pictures or labels to train a detector on, or to measure it with, are missing or malformed."""


class SourceError(IocError):
    """A camera source cannot be reached, may not be, or gives no pictures."""

"""Sealing what nobody may read without its being written down: AES-256-GCM, a data key for each thing, wrapped by one master key.

The data key lies beside what it seals, wrapped; without the master key neither is of use, and once the wrapped key is thrown
away the thing is gone, also for whoever holds the master key.
"""

from __future__ import annotations

import base64
import hashlib
import os
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ioc.errors import SealError
from ioc.settings import Settings

_NONCE_BYTES: Final = 12


class Sealed(msgspec.Struct, frozen=True):
    """Something sealed.

    Attributes:
        master: which master key wraps its data key, see `MasterKey.name`.
        wrapped: the data key, sealed by the master key.
        sealed: the thing, sealed by the data key. Both are a nonce, the ciphertext and its tag.
    """

    master: str
    wrapped: bytes
    sealed: bytes


class MasterKey:
    """The key that wraps data keys; it never leaves the process that read it.

    >>> key = MasterKey(bytes(32))
    >>> key.open(key.seal(b"a picture", "cam-1"), "cam-1")
    b'a picture'
    """

    def __init__(self, key: bytes) -> None:
        self._key = AESGCM(key)
        #: Tells one master key from another and nothing about it.
        self.name: str = hashlib.sha256(b"name of a master key" + key).hexdigest()[:16]

    @classmethod
    def of(cls, settings: Settings) -> MasterKey | None:
        """The key that the settings name, None when they name none; they have checked that it is one."""
        text = settings.evidence_master_key.get_secret_value()
        return cls(base64.b64decode(text)) if text else None

    def seal(self, content: bytes, about: str) -> Sealed:
        """Seal something under a new data key.

        Args:
            content: the thing.
            about: what it is; it opens only as that, so that nobody can put one thing in the place of another.
        """
        data_key = AESGCM.generate_key(256)
        return Sealed(self.name, _lock(self._key, data_key, about), _lock(AESGCM(data_key), content, about))

    def open(self, sealed: Sealed, about: str) -> bytes:
        """What was sealed.

        Raises:
            SealError: another master key wraps it, it was changed, or it is about something else.
        """
        if sealed.master != self.name:
            raise SealError(f"sealed under the master key {sealed.master}, this is {self.name}: put that one back")
        try:
            return _unlock(AESGCM(_unlock(self._key, sealed.wrapped, about)), sealed.sealed, about)
        except InvalidTag as error:
            raise SealError(
                "what is stored is not what was sealed: it was changed, or put in another's place"
            ) from error


def _lock(key: AESGCM, content: bytes, about: str) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + key.encrypt(nonce, content, about.encode())


def _unlock(key: AESGCM, content: bytes, about: str) -> bytes:
    return key.decrypt(content[:_NONCE_BYTES], content[_NONCE_BYTES:], about.encode())

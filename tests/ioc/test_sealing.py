"""What is sealed opens with its master key, as what it is, and in no other way."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.errors import SealError, SettingsError
from ioc.sealing import MasterKey
from ioc.settings import Settings

KEY = MasterKey(bytes(range(32)))


@given(st.binary(max_size=4000), st.text(max_size=60))
def test_open_what_was_sealed_comes_back(content: bytes, about: str) -> None:
    assert KEY.open(KEY.seal(content, about), about) == content


@given(st.binary(min_size=16, max_size=400), st.sampled_from(["wrapped", "sealed"]), st.data())
def test_open_one_changed_bit_is_noticed(content: bytes, part: str, data: st.DataObject) -> None:
    """Wherever it is: in the nonce, the ciphertext or the tag, of the thing or of its key."""
    sealed = KEY.seal(content, "cam-1")
    changed = bytearray(getattr(sealed, part))
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SealError, match="changed"):
        KEY.open(msgspec.structs.replace(sealed, **{part: bytes(changed)}), "cam-1")


def test_open_pieces_of_two_things_do_not_fit() -> None:
    """The key of one does not open the other, nor does one open in the other's place."""
    one, two = KEY.seal(b"one", "cam-1"), KEY.seal(b"two", "cam-2")
    with pytest.raises(SealError):
        KEY.open(msgspec.structs.replace(one, wrapped=two.wrapped), "cam-1")
    with pytest.raises(SealError):
        KEY.open(two, "cam-1")


def test_open_another_master_key_is_told_by_name() -> None:
    """Which key is missing is said; what a key is, is not."""
    other = MasterKey(os.urandom(32))
    sealed = other.seal(b"one", "cam-1")
    with pytest.raises(SealError, match=f"{other.name}.*{KEY.name}"):
        KEY.open(sealed, "cam-1")


def test_seal_the_same_twice_looks_different() -> None:
    """A key and a nonce are used once."""
    one, two = KEY.seal(b"one", "cam-1"), KEY.seal(b"one", "cam-1")
    assert len({one.wrapped, two.wrapped, one.sealed, two.sealed}) == 4
    assert len({one.sealed[:12], two.sealed[:12], one.wrapped[:12], two.wrapped[:12]}) == 4


def test_settings_master_key_comes_from_a_file_and_is_shown_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a secret of a container comes, with the line end that base64 leaves."""
    text = base64.b64encode(bytes(range(32))).decode()
    (tmp_path / "key").write_text(text + "\n")
    monkeypatch.setenv("IOC_EVIDENCE_MASTER_KEY_FILE", str(tmp_path / "key"))
    settings = Settings.configured()
    key = MasterKey.of(settings)
    assert key is not None
    assert key.name == KEY.name
    assert text not in repr(settings)
    assert text not in str(settings.evidence_master_key)


def test_settings_without_a_key_have_none() -> None:
    assert MasterKey.of(Settings()) is None


@pytest.mark.parametrize("wrong", ["c2hvcnQ=", "not base64 at all!", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg=="])
def test_settings_wrong_master_key_is_refused_unsaid(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said at the start which setting it is and how to make a key; what was got may be half of a secret."""
    (tmp_path / "key").write_text(wrong)
    monkeypatch.setenv("IOC_EVIDENCE_MASTER_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(SettingsError, match=r"evidence_master_key.*urandom") as caught:
        Settings.configured()
    assert wrong not in str(caught.value)

"""Peers that cannot be had are named with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.contenders import install
from tests.bench.contenders.contender import UnavailableError


def test_install_without_a_registry_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no registry to reach there is a reason, and no mark that would pass for an installed peer."""
    monkeypatch.setattr(install, "PEERS", tmp_path)
    for key, value in {
        "INDEX_URL": "http://127.0.0.1:9/",
        "EXTRA_INDEX_URL": "",
        "NO_INDEX": "",
        "RETRIES": "0",
    }.items():
        monkeypatch.setenv(f"PIP_{key}", value)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(UnavailableError, match=r"could not be installed: mq-bridge==1\.2\.0"):
        install.python_peer("mq-bridge", "mq-bridge==1.2.0")
    assert not (tmp_path / "mq-bridge" / "installed").exists()

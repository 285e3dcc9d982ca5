"""Weights are loaded only when they are the declared ones, and the error says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from ioc.errors import ModelError
from tests.vision.conftest import write_manifest
from vision.manifest import MANIFEST, load


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.xml").write_bytes(b"<net/>")
    (tmp_path / "net.bin").write_bytes(b"\x00" * 64)
    write_manifest(tmp_path, ["motorbike", "car"], 320)
    return tmp_path


def test_load_declared_files_gives_the_hashed_bytes(folder: Path) -> None:
    """What is handed on is what was hashed, with size and classes."""
    model = load(folder, (".xml", ".bin"))
    assert model.content == {".xml": b"<net/>", ".bin": b"\x00" * 64}
    assert (model.input_size, model.classes, model.name) == ((320, 320), ("motorbike", "car"), "net.xml")


def test_load_changed_file_names_it_and_both_hashes(folder: Path) -> None:
    """One changed byte is refused."""
    (folder / "net.bin").write_bytes(b"\x00" * 63 + b"\x01")
    with pytest.raises(ModelError, match=r"net\.bin has SHA-256 [0-9a-f]{64}.*declared.*restore"):
        load(folder, (".xml", ".bin"))


def test_load_missing_file_says_so(folder: Path) -> None:
    """A file that is declared and absent."""
    (folder / "net.bin").unlink()
    with pytest.raises(ModelError, match=r"net\.bin cannot be read"):
        load(folder, (".xml", ".bin"))


def test_load_no_manifest_says_how_to_get_weights(tmp_path: Path) -> None:
    """An empty folder."""
    with pytest.raises(ModelError, match=r"manifest\.json does not exist: train"):
        load(tmp_path, (".xml", ".bin"))


def test_load_other_format_names_what_there_is(folder: Path) -> None:
    """An engine whose files the manifest lacks."""
    with pytest.raises(ModelError, match=r"declares net\.bin, net\.xml: expected a \.pt"):
        load(folder, (".pt",))


@pytest.mark.parametrize("text", ["", "[]", '{"files": 3}', '{"name": "x", "classes": [], "input": {}, "files": {}}'])
def test_load_malformed_manifest_is_a_model_error(folder: Path, text: str) -> None:
    """A manifest that is no manifest."""
    (folder / MANIFEST).write_text(text)
    with pytest.raises(ModelError, match="cannot be read"):
        load(folder, (".xml", ".bin"))


def test_load_name_outside_the_folder_is_refused(folder: Path) -> None:
    """A manifest cannot point elsewhere."""
    path = folder / MANIFEST
    path.write_text(path.read_text().replace('"net.', '"../net.'))
    with pytest.raises(ModelError, match="does not declare"):
        load(folder, (".xml", ".bin"))

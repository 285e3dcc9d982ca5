"""`ioc-vision` by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ioc.catalog import VISION_CLASSES
from ioc.errors import DatasetError, ModelError
from vision.__main__ import app


@pytest.fixture
def picture(tmp_path: Path, street: bytes) -> Path:
    path = tmp_path / "images" / "street_00001.jpg"
    path.parent.mkdir()
    path.write_bytes(street)
    return path


@pytest.fixture(autouse=True)
def openvino(monkeypatch: pytest.MonkeyPatch, weights: Path) -> None:
    monkeypatch.setenv("IOC_VISION_ENGINE", "openvino")
    monkeypatch.setenv("IOC_VISION_WEIGHTS", str(weights))


@pytest.mark.parametrize("command", ["", "run", "capture", "weights", "golden", "detect", "evaluate", "export"])
def test_help_every_command_explains_itself(command: str) -> None:
    """Each has a sentence of its own."""
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_detect_json_gives_boxes_in_pixels(picture: Path) -> None:
    """One object a picture, made for programs."""
    result = CliRunner().invoke(app, ["detect", "--json", str(picture)])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.output)
    assert answer["image"] == str(picture)
    assert len(answer["detections"]) >= 2
    assert all(len(one["box"]) == 4 and 0.25 <= one["confidence"] <= 1 for one in answer["detections"])


def test_detect_table_names_classes_in_both_languages(picture: Path) -> None:
    """Made for people."""
    result = CliRunner().invoke(app, ["detect", str(picture)])
    assert result.exit_code == 0, result.output
    assert any(f"{label.vi} / {label.en}" in result.output for label in VISION_CLASSES.values())


def test_evaluate_own_detections_as_labels_are_found(picture: Path, tmp_path: Path) -> None:
    """Labels made of the detector's own surest boxes are found by it, so recall is one."""
    found = json.loads(CliRunner().invoke(app, ["detect", "--json", str(picture)]).output)["detections"]
    import cv2

    height, width = cv2.imread(str(picture)).shape[:2]
    kind = found[0]["label"]
    rows = []
    for one in found:
        x1, y1, x2, y2 = one["box"]
        if one["label"] == kind:
            rows.append(f"0 {(x1 + x2) / 2 / width} {(y1 + y2) / 2 / height} {(x2 - x1) / width} {(y2 - y1) / height}")
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "street_00001.txt").write_text("\n".join(rows))
    result = CliRunner().invoke(
        app, ["evaluate", "--images", str(picture.parent), "--labels", str(labels), "--names", kind]
    )
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.output.splitlines() if line.startswith(kind)]
    assert line.split()[1:3] == [str(len(rows)), "1.000"]


def test_evaluate_unknown_class_name_is_refused(picture: Path, tmp_path: Path) -> None:
    """A class the detector does not have."""
    result = CliRunner().invoke(
        app, ["evaluate", "--images", str(picture.parent), "--labels", str(tmp_path), "--names", "tram"]
    )
    assert isinstance(result.exception, DatasetError)


def test_weights_missing_are_an_error(tmp_path: Path) -> None:
    """The exit code of the console script is 1 then."""
    assert CliRunner().invoke(app, ["weights"]).exit_code == 0
    assert isinstance(CliRunner().invoke(app, ["weights", "--weights", str(tmp_path)]).exception, ModelError)

"""Detectors from elsewhere, and ours in other forms: `ioc-vision export`, `detect` and `evaluate` with any model."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from ioc.errors import DatasetError, ModelError
from ioc.settings import Settings
from tests.vision.test_engines import found_in
from vision import convert as module
from vision.__main__ import app
from vision.convert import _field, convert
from vision.engine.detector import Detector
from vision.engine.ultralytics import kept_engine
from vision.evaluate import read_picture
from vision.foreign import _onnx_names, class_map, find_names, open_any, read_names
from vision.manifest import MANIFEST, OWN_WEIGHTS, load
from vision.picture import decode_jpeg

SETTINGS = Settings(vision_engine="openvino")
PICTURE = OWN_WEIGHTS / "golden.png"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our network as a plain half-precision OpenVINO export, without a manifest, as others would hand it over."""
    pytest.importorskip("torch", reason="exporting needs torch, which a server does not have")
    pytest.importorskip("ultralytics", reason="exporting needs ultralytics, which a server does not have")
    out = tmp_path_factory.mktemp("export") / "openvino"
    assert convert("openvino", SETTINGS, OWN_WEIGHTS, out, None) == out
    assert load(out, (".xml", ".bin")).classes == load(OWN_WEIGHTS, (".xml", ".bin")).classes
    (out / MANIFEST).rename(out.parent / MANIFEST)
    names = "\n".join(f"  {number}: {name}" for number, name in enumerate(load(OWN_WEIGHTS, (".pt",)).classes))
    (out / "metadata.yaml").write_text(f"task: detect\nnames:\n{names}\n")
    return out


def test_export_openvino_sees_what_the_shipped_network_sees(exported: Path, detector: Detector, street: bytes) -> None:
    """An export without a manifest is opened by what it says of itself, and agrees with INT8."""
    other = open_any(SETTINGS, exported)
    image = decode_jpeg(street, detector.input_size)
    (mine,), (its,) = detector.detect([image]), other.detect([image])
    assert found_in(mine, its[its[:, 4] > 0.5]) >= 0.8
    assert found_in(its, mine[mine[:, 4] > 0.5]) >= 0.8
    other.close()


def test_export_onnx_is_tried_on_the_golden_pictures(tmp_path: Path) -> None:
    """With onnx installed a file that names its classes; without, the words what is missing."""
    pytest.importorskip("torch", reason="exporting needs torch, which a server does not have")
    if find_spec("onnx") is None:
        with pytest.raises(ModelError, match="onnx needs onnx: pip install onnx"):
            convert("onnx", SETTINGS, OWN_WEIGHTS, tmp_path / "onnx", None)
        return
    out = convert("onnx", SETTINGS, OWN_WEIGHTS, tmp_path / "onnx", None)
    (path,) = out.glob("*.onnx")
    opened = open_any(SETTINGS, path)
    assert opened.classes == load(OWN_WEIGHTS, (".pt",)).classes
    assert len(opened.detect([read_picture(PICTURE)])[0]) >= 3
    opened.close()


def test_export_what_cannot_be_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package that is missing, no frames, a folder that is not empty, a pickle nobody trusts."""
    monkeypatch.setattr(module, "find_spec", lambda name: None if name in {"nncf", "tensorrt", "onnx"} else True)
    for form, words in (("openvino-int8", "nncf"), ("engine", "tensorrt onnx"), ("onnx", "onnx")):
        with pytest.raises(ModelError, match=f"{form} needs .*: pip install {words}"):
            convert(form, SETTINGS, OWN_WEIGHTS, tmp_path / "new", None)  # type: ignore[arg-type]
    monkeypatch.setattr(module, "find_spec", lambda _: True)
    with pytest.raises(DatasetError, match="expected a folder of pictures"):
        convert("openvino-int8", SETTINGS, OWN_WEIGHTS, tmp_path / "new", tmp_path)
    with pytest.raises(DatasetError, match="expected a new or empty folder"):
        convert("openvino", SETTINGS, OWN_WEIGHTS, OWN_WEIGHTS, None)
    (tmp_path / "file").write_text("in the way")
    for out in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        with pytest.raises(DatasetError, match="expected a new or empty folder"):
            convert("openvino", SETTINGS, OWN_WEIGHTS, out, None)
    with pytest.raises(ModelError, match="add --trust-pickle"):
        convert("openvino", SETTINGS, OWN_WEIGHTS / "thuduc_yolo11n.pt", tmp_path / "new", None)
    assert not (tmp_path / "new").exists()
    answer = CliRunner().invoke(app, ["export", "gif"])
    assert answer.exit_code == 2


def test_export_engine_is_kept_with_its_sha256(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What TensorRT built, of which here is none, is what the worker of this machine loads."""
    torch = pytest.importorskip("torch", reason="exporting needs torch, which a server does not have")
    pytest.importorskip("ultralytics", reason="exporting needs ultralytics, which a server does not have")

    def build(path: str, **_: object) -> str:
        built = Path(path).with_suffix(".engine")
        built.write_bytes(b"built")
        return str(built)

    library = SimpleNamespace(YOLO=lambda path: SimpleNamespace(export=partial(build, path)))
    monkeypatch.setattr(module, "find_spec", lambda _: True)
    monkeypatch.setattr("vision.train.load_ultralytics", lambda: library)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    settings = Settings(vision_engine="openvino", home=tmp_path)
    path = convert("engine", settings, OWN_WEIGHTS, None, None)
    assert path.read_bytes() == b"built"
    assert kept_engine(tmp_path, load(OWN_WEIGHTS, (".pt",))) == b"built"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_pickle_needs_the_word_of_the_user(tmp_path: Path, detector: Detector) -> None:
    """A `.pt` from elsewhere is not even opened without the flag; with it, it is a detector like any other."""
    pytest.importorskip("ultralytics", reason="a .pt needs ultralytics, which a server does not have")
    settings = Settings(vision_engine="openvino", home=tmp_path)
    path = tmp_path / "theirs.pt"
    shutil.copyfile(OWN_WEIGHTS / "thuduc_yolo11n.pt", path)
    with pytest.raises(ModelError, match=r"theirs\.pt is a pickle, .* add --trust-pickle"):
        open_any(settings, path)
    opened = open_any(settings, path, trust_pickle=True)
    assert opened.classes == detector.classes
    assert len(opened.detect([read_picture(PICTURE)])[0]) >= 3
    opened.close()
    path.write_bytes(b"no pickle at all")
    with pytest.raises(ModelError, match="not a checkpoint of ultralytics"):
        open_any(settings, path, trust_pickle=True)


def test_open_any_says_what_is_wrong(exported: Path, tmp_path: Path) -> None:
    """An empty folder, a file of another kind, a network without names, one that is damaged."""
    with pytest.raises(ModelError, match=r"holds 0 \.xml and \.onnx files"):
        open_any(SETTINGS, tmp_path)
    (tmp_path / "weights.bin").write_bytes(b"")
    with pytest.raises(ModelError, match=r"expected a folder with manifest\.json"):
        open_any(SETTINGS, tmp_path / "weights.bin")
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    with pytest.raises(ModelError, match="OpenVINO cannot read"):
        open_any(SETTINGS, tmp_path / "broken.onnx")
    nameless = tmp_path / "nameless"
    shutil.copytree(exported, nameless)
    (nameless / "metadata.yaml").unlink()
    with pytest.raises(ModelError, match=r"does not name its classes: give the data\.yaml .* --data"):
        open_any(SETTINGS, nameless)
    opened = open_any(SETTINGS, nameless, names=["a", "b", "c", "d", "e", "f"])
    assert opened.classes == ("a", "b", "c", "d", "e", "f")
    opened.close()


@pytest.mark.parametrize(
    ("name", "text", "names"),
    [
        ("data.yaml", "names: [xe may, car]", ("xe may", "car")),
        ("data.yaml", "nc: 2\nnames:\n  1: car\n  0: motorcycle\n", ("motorcycle", "car")),
        ("classes.txt", "person\n\ncar\n", ("person", "car")),
    ],
)
def test_read_names_in_every_form(tmp_path: Path, name: str, text: str, names: tuple[str, ...]) -> None:
    """A list, a mapping in any order, lines."""
    labels = tmp_path / "labels" / "val"
    labels.mkdir(parents=True)
    (tmp_path / name).write_text(text)
    found = find_names(labels)
    assert found == tmp_path / name
    assert read_names(found) == names


@pytest.mark.parametrize(
    "text",
    [
        "names: 7",
        "names:\n  0: a\n  2: b\n",
        "nc: 3",
        "a: [",
        "",
        "names: {a: car}",
        "names: {.inf: a}",
        "names: 2026-13-45",
    ],
)
def test_read_names_that_are_none(tmp_path: Path, text: str) -> None:
    """Each is an error that names the file."""
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(ModelError, match=r"data\.yaml"):
        read_names(tmp_path / "data.yaml")


def plain_network(shape: list[int] | None, path: Path) -> Path:
    """A network of nothing but its input, of this shape (-1 is any size, none any rank); without input for []."""
    import openvino
    from openvino import opset13 as ops

    taken = openvino.PartialShape.dynamic() if shape is None else openvino.PartialShape(shape)
    given = [ops.parameter(taken, openvino.Type.f32)] if shape != [] else []
    body = ops.relu(given[0]) if given else ops.constant([1.0])
    openvino.save_model(openvino.Model([ops.result(body)], given, "plain"), path, compress_to_fp16=False)
    return path


@pytest.mark.parametrize("shape", [[1, 3], None, [], [-1, 3, 640]])
def test_open_any_network_that_takes_no_pictures(tmp_path: Path, shape: list[int] | None) -> None:
    """Of two dimensions, of any number of them, without an input."""
    path = plain_network(shape, tmp_path / "theirs.xml")
    with pytest.raises(ModelError, match="expected one input of four dimensions"):
        open_any(SETTINGS, path, names=["car"])


def test_class_map_refuses_two_classes_of_one_name() -> None:
    """One of them is meant to be another, and would be scored as what it is not; other words for one class may be two."""
    with pytest.raises(DatasetError, match="car is there more than once"):
        class_map(["motorbike", "car", "bus", " Car"], ["car", "motorbike", "bus", "truck"])
    assert class_map(["motorcycle", "motorbike"], ["motorbike"]) == {0: 0, 1: 0}


def test_class_map_goes_by_names() -> None:
    """COCO's motorcycle is our motorbike; what the detector does not know is left out."""
    assert class_map(["Motorcycle", "tram", "car"], ["car", "motorbike"]) == {0: 1, 2: 0}


def test_onnx_names_are_read_from_the_metadata(tmp_path: Path) -> None:
    """As ultralytics writes them, between other fields; a file without them, one cut short."""
    pair = _field(1, b"names") + _field(2, b"{0: 'xe may', 1: 'car'}")
    content = bytes((0x08, 0x09)) + _field(7, b"graph" * 100) + _field(14, _field(1, b"task") + _field(2, b"detect"))
    path = tmp_path / "theirs.onnx"
    path.write_bytes(content + _field(14, pair))
    assert _onnx_names(path) == ("xe may", "car")
    path.write_bytes(content)
    assert _onnx_names(path) == ()
    path.write_bytes(content + b"\x80")
    with pytest.raises(ModelError, match="cut short"):
        _onnx_names(path)


def test_detect_one_bad_picture_does_not_stop_the_others(tmp_path: Path) -> None:
    """An error beside each picture that has one, boxes beside the others, and exit code 1."""
    (tmp_path / "text.jpg").write_text("no picture")
    paths = [str(tmp_path / "text.jpg"), str(PICTURE), str(tmp_path / "absent.png"), str(tmp_path)]
    result = CliRunner().invoke(app, ["detect", "--json", *paths])
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["image"] for one in answers] == paths
    assert ["error" in one for one in answers] == [True, False, True, True]
    assert len(answers[1]["detections"]) >= 3
    assert result.exit_code == 1
    assert CliRunner().invoke(app, ["detect", "--json", str(PICTURE)]).exit_code == 0


def test_evaluate_labels_of_another_numbering(exported: Path, tmp_path: Path) -> None:
    """Labels numbered by their data.yaml, a network numbered by its own metadata: matched by name, all found."""
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.mkdir()
    labels.mkdir()
    shutil.copyfile(PICTURE, images / "street.png")
    numbers = {"tram": 0, "motorcycle": 1, "car": 2, "truck": 3}
    (tmp_path / "data.yaml").write_text(f"names: [{', '.join(numbers)}]\n")
    height, width = read_picture(PICTURE).shape[:2]
    looked = CliRunner().invoke(app, ["detect", "--json", "--weights", str(exported), str(PICTURE)])
    seen = [(one["label"], one["box"]) for one in json.loads(looked.stdout)["detections"]]
    rows = [
        f"{numbers[name]} {(x1 + x2) / 2 / width} {(y1 + y2) / 2 / height} {(x2 - x1) / width} {(y2 - y1) / height}"
        for name, (x1, y1, x2, y2) in seen
    ]
    (labels / "street.txt").write_text("\n".join(rows))
    arguments = ["evaluate", "--images", str(images), "--labels", str(labels), "--weights", str(exported)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    lines = {line.split()[0]: line.split()[1:3] for line in result.stdout.splitlines() if line}
    for name, labelled in Counter(one[0] for one in seen).items():
        assert lines[name] == [str(labelled), "1.000"]
    assert "left out: tram" in result.stderr
    (tmp_path / "data.yaml").write_text("names: [tram, boat, plane]\n")
    assert isinstance(CliRunner().invoke(app, arguments).exception, DatasetError)

"""Turn a training checkpoint into the files of ``vision/weights/``: ``python -m vision.export``.

A checkpoint with the 80 classes of COCO is sliced to the project's first. Two forms are written: ``.pt`` for ultralytics on
a GPU, and OpenVINO INT8 for a CPU, which holds its own preprocessing, so that an engine hands over frames as they are
decoded. The golden pictures of the project's own weights are looked at anew, and what is seen on them goes into the manifest.

    input   (N, height, width, 3) uint8 BGR, letterboxed with grey 114, N free
    output  (N, 4 + classes, cells) float32: centre x, centre y, width, height in pixels of the input, then one
            score per class 0…1; no suppression of duplicates has happened yet

torch, ultralytics, openvino and nncf are needed here alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ioc.errors import DatasetError
from ioc.settings import Settings
from vision.boxes import PADDING, letterbox
from vision.engine import open_detector
from vision.evaluate import read_picture
from vision.golden import choose
from vision.manifest import OWN_WEIGHTS, Input
from vision.train import WIDE, load_ultralytics, slice_head
from vision.training_set import CLASSES, SIDE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NAME = "thuduc_yolo11n"
CALIBRATION_FRAMES = 100


def load_sliced(checkpoint: Path) -> Any:
    """Load a checkpoint that ultralytics wrote, as a float model with the sliced head, ready for inference."""
    return slice_head(load_ultralytics().YOLO(str(checkpoint)).model.float().eval())


def mix_in(model: Any, earlier: Any, share: float) -> None:
    """Average a model with an earlier one of the same training, weight by weight, in place.

    What the training since has taught stays, and costs less of what was known before; after M. Wortsman and others, "Robust
    fine-tuning of zero-shot models", 2022. The layers that give the scores stay the later model's: a class that only it knows
    would be silent else.

    Args:
        model: the later one.
        earlier: the weights that its training started from.
        share: of the later one, 0…1.
    """
    before, last = earlier.state_dict(), f"model.{len(model.model) - 1}.cv3"
    mixed = {}
    for name, weight in model.state_dict().items():
        gives_scores = name.startswith(last) and name.split(".")[-2] == "2"
        is_mixed = weight.dtype.is_floating_point and not gives_scores
        mixed[name] = weight * share + before[name] * (1 - share) if is_mixed else weight
    model.load_state_dict(mixed)


def save_pt(model: Any, path: Path, size: int) -> None:
    """Write an ultralytics checkpoint in half precision without optimiser, history or paths of this machine."""
    import copy

    import torch

    plain = copy.deepcopy(model).half()
    plain.args = {"imgsz": size, "task": "detect"}
    for leftover in ("pt_path", "criterion"):
        plain.__dict__.pop(leftover, None)
    for weight in plain.parameters():
        weight.requires_grad = False
    torch.save({"epoch": -1, "model": plain, "ema": None, "optimizer": None, "train_args": plain.args}, path)


def to_openvino(model: Any, height: int, width: int) -> Any:
    """Convert to an OpenVINO model with input (N, 3, height, width) float RGB 0…1, every size but 3 free."""
    import copy

    import openvino
    import torch

    fused = copy.deepcopy(model).fuse(verbose=False).eval()
    head = fused.model[-1]
    # Dynamic: the cells are laid out by the size that arrives, so that one file serves square and wide inputs.
    head.export, head.format, head.dynamic = True, "openvino", True
    # Two pictures in the example: with one, tracing takes the batch for a constant.
    example = torch.zeros(2, 3, height, width)
    with torch.no_grad():
        fused(example)
        traced = torch.jit.trace(fused, example, strict=False, check_trace=False)
    return openvino.convert_model(traced, input=[-1, 3, -1, -1], example_input=example)


def quantise(model: Any, frames: Sequence[Path], height: int, width: int) -> Any:
    """Quantise to INT8 with NNCF, calibrated on frames; what decodes the boxes and the scores stays float."""
    import nncf

    def as_input(path: Path) -> NDArray[np.float32]:
        frame = np.empty((height, width, 3), dtype=np.uint8)
        letterbox(read_picture(path), frame)
        return np.ascontiguousarray(frame[..., ::-1].transpose(2, 0, 1)[None], dtype=np.float32) / np.float32(255)

    operations = [(op.get_friendly_name(), op.get_type_name()) for op in model.get_ordered_ops()]
    head = next(name for name, kind in reversed(operations) if kind == "Sigmoid").split("/", maxsplit=1)[0]
    decoding = [n for n, kind in operations if kind == "Sigmoid" or n.startswith((f"{head}/", f"{head}.dfl"))]
    return nncf.quantize(
        model,
        nncf.Dataset(list(frames), as_input),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(frames),
        ignored_scope=nncf.IgnoredScope(names=decoding),
    )


def embed_preprocessing(model: Any) -> Any:
    """Put letterboxed uint8 BGR frames, shape (N, height, width, 3), in front of a converted model."""
    import openvino
    from openvino.preprocess import ColorFormat, PrePostProcessor

    steps = PrePostProcessor(model)
    frame = steps.input().tensor()
    frame.set_element_type(openvino.Type.u8)
    frame.set_layout(openvino.Layout("NHWC"))
    frame.set_color_format(ColorFormat.BGR)
    steps.input().preprocess().convert_element_type(openvino.Type.f32).convert_color(ColorFormat.RGB).scale(255.0)
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    built = steps.build()
    built.input(0).set_names({"frames"})
    built.output(0).set_names({"cells"})
    return built


def write_manifest(folder: Path, height: int, width: int) -> None:
    """Write ``manifest.json``: what each weights file is, how big, and its SHA-256."""
    formats = {".pt": "ultralytics", ".xml": "openvino", ".bin": "openvino"}
    files = {
        path.name: {
            "format": formats[path.suffix],
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(folder.glob(f"{NAME}*"))
        if path.suffix in formats
    }
    looks_at = Input(height, width, upright=round(width / WIDE))
    manifest = {
        "name": NAME,
        "architecture": "yolo11n",
        "licence": "AGPL-3.0",
        "classes": list(CLASSES),
        "input": msgspec.to_builtins(looks_at) | {"layout": "NHWC", "type": "uint8", "colour": "BGR", "pad": PADDING},
        "output": {"layout": "N,4+classes,cells", "boxes": "cx cy w h in input pixels", "scores": "0..1 per class"},
        "default": f"{NAME}_int8.xml",
        "files": files,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Export from the command line."""
    parser = argparse.ArgumentParser(prog="python -m vision.export", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--checkpoint", type=Path, required=True, help="run/weights/last.pt of vision.train")
    parser.add_argument("--earlier", type=Path, help="weights that the training started from, to be averaged with")
    parser.add_argument("--share", type=float, default=0.9, help="of the checkpoint in that average")
    parser.add_argument("--frames", type=Path, required=True, help="folder of training frames to calibrate INT8 on")
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights and manifest.json")
    parser.add_argument("--height", type=int, default=SIDE, help="input height, a multiple of 32")
    parser.add_argument("--width", type=int, default=SIDE, help="input width, a multiple of 32")
    parser.add_argument("--float", action="store_true", help="also write the OpenVINO model in half precision")
    options = parser.parse_args(arguments)
    import openvino

    frames = sorted(options.frames.glob("*.jpg"))
    if not frames:
        raise DatasetError(f"{options.frames} holds no .jpg files; give the training frames that vision.train wrote")
    # From the first to the last: the replayed pictures, which have the persons, come after the streets.
    evenly = np.linspace(0, len(frames) - 1, min(CALIBRATION_FRAMES, len(frames))).round().astype(int)
    chosen = [frames[index] for index in evenly]
    options.out.mkdir(parents=True, exist_ok=True)

    model = load_sliced(options.checkpoint)
    if options.earlier:
        mix_in(model, load_sliced(options.earlier), options.share)
    save_pt(model, options.out / f"{NAME}.pt", max(options.height, options.width))
    if options.float:
        plain = embed_preprocessing(to_openvino(model, options.height, options.width))
        openvino.save_model(plain, options.out / f"{NAME}_fp16.xml", compress_to_fp16=True)
    small = quantise(to_openvino(model, options.height, options.width), chosen, options.height, options.width)
    openvino.save_model(embed_preprocessing(small), options.out / f"{NAME}_int8.xml", compress_to_fp16=True)
    write_manifest(options.out, options.height, options.width)
    pictures = sorted(OWN_WEIGHTS.glob("golden*"))
    for picture in pictures:
        if picture.parent.resolve() != options.out.resolve():
            shutil.copyfile(picture, options.out / picture.name)
    detector = open_detector(Settings.configured(vision_engine="openvino"), weights=options.out)
    choose(detector, options.out, [picture.name for picture in pictures])
    detector.close()


if __name__ == "__main__":
    main()

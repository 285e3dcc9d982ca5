"""Train the project's detector: ``python -m vision.train --data DIR --coco PT --out DIR``.

`DIR` holds ``images/<camera>_<number>.jpg`` and ``labels/*.txt`` (YOLO: 0 motorbike with rider, 1 car, 2 bus, 3 truck).
The steps are: split by time, complete the labels of the training part with the COCO teacher, put bicycles into every third
frame, slice the 80-class COCO head to the project's six classes, so that nothing is re-initialised, and train. `--out` receives
``dataset/`` and ``run/weights/`` with a checkpoint per epoch; ``python -m vision.export`` then makes ``vision/weights/``. A
training that was stopped goes on with ``--start OUT/run/weights/last.pt`` and the time that is left; ``vision/weights/`` has a
start too.

torch and ultralytics are needed here alone and are imported when training starts. A CPU and a GPU both do; on a CPU
without torchvision, ultralytics gets its own non-maximum suppression in torchvision's place.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ioc.errors import ModelError
from vision.bicycles import Cutting, cut_out, with_bicycles
from vision.boxes import PADDING
from vision.evaluate import read_picture
from vision.training_set import (
    BICYCLE,
    BUS,
    CLASSES,
    SIDE,
    STREET_TO_COCO,
    Labels,
    complete,
    read_labels,
    split_by_time,
    write_labels,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vision.bicycles import Boxes, Picture, Teacher

TEACHER_SIZE = 960
"""Input of the teacher in pixels: half again the student's, so that it sees what the street labels miss."""
REPLAY_CONFIDENCE = 0.4
REPLAY_EVERY = 40
"""Of a replayed video every 40th frame is used; nearer ones are near-duplicates."""

BICYCLES_EVERY = 3
"""Every third training frame of the streets comes once more with bicycles put into it."""

RISE = 40
"""Batches over which the learning rate rises to its peak."""

WIDE = 16 / 9
"""Proportions of every training picture: one shape of batch, 416 x 704, which is also what cameras are inferred at."""

RECIPE: dict[str, Any] = {
    "imgsz": SIDE,
    "rect": True,  # no grey around the street, which costs as much as the street: six tenths of the pixels
    "batch": 8,
    "nbs": 8,  # step after every batch: accumulating to 64 leaves too few steps in a short run
    "optimizer": "AdamW",
    "lr0": 0.001,
    "momentum": 0.9,
    "warmup_epochs": 0,  # `Pace` sets the learning rate of every batch
    "cls": 1.0,  # twice the usual weight: loose boxes teach little, bus against truck is what is hard
    "scale": 0.4,
    "fliplr": 0.3,
    "hsv_v": 0.5,
    "cache": "ram",
    "val": False,
    "plots": False,
    "deterministic": False,
    "seed": 11,
    "save_period": 1,
    "exist_ok": True,
}


def load_ultralytics() -> Any:
    """Import ultralytics so that it neither installs, downloads nor reports, and return the module."""
    os.environ.update(YOLO_AUTOINSTALL="false", YOLO_OFFLINE="true")
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))  # ultralytics would set 1 and halve the speed
    import ultralytics
    from ultralytics.utils.nms import TorchNMS

    ultralytics.settings.update({"sync": False})
    try:
        import torchvision  # noqa: F401  # beside a CPU build of torch its operators are missing and this fails
    except (ImportError, RuntimeError):
        stand_in, operators = types.ModuleType("torchvision"), types.ModuleType("torchvision.ops")
        operators.nms = TorchNMS.nms  # type: ignore[attr-defined]
        stand_in.ops = operators  # type: ignore[attr-defined]
        sys.modules.update({"torchvision": stand_in, "torchvision.ops": operators})
    return ultralytics


def slice_head(model: Any) -> Any:
    """Cut an 80-class YOLO11 detection model down to `CLASSES`, in place, and return it; one of `CLASSES` is left as it is.

    Scores of the classes that stay are unchanged: each class has an output channel of its own in the last
    convolution, and a sigmoid of its own.
    """
    import torch

    head = model.model[-1]
    if list(model.names.values()) == list(CLASSES):
        return model
    if head.nc != 80:
        raise ModelError(f"the weights know {head.nc} classes, expected the 80 of COCO or {', '.join(CLASSES)}")
    keep = torch.tensor(list(CLASSES.values()))
    for branch in head.cv3:
        last = branch[-1]
        sliced = torch.nn.Conv2d(last.in_channels, len(keep), kernel_size=1)
        sliced.weight.data = last.weight.data[keep].clone()
        sliced.bias.data = last.bias.data[keep].clone()
        branch[-1] = sliced
    head.nc = len(keep)
    head.no = head.nc + 4 * head.reg_max
    model.nc = model.yaml["nc"] = head.nc
    model.names = dict(enumerate(CLASSES))
    return model


class Pace:
    """The learning rate of every batch: a short rise, then half a cosine down to nothing at the end.

    With a limit in seconds the end is a time, not a number of batches, so that training on a busy machine is cut
    shorter but is never cut off half-way through its schedule.
    """

    def __init__(self, seconds: float | None) -> None:
        """Pace by `seconds`, or by the trainer's epochs where it is None."""
        self.seconds = seconds
        self.started = 0.0
        self.batches = 0
        self.share = 0.0

    def start(self, trainer: Any) -> None:
        """Begin; on a CPU use every core and channels-last weights, where ultralytics leaves half the speed unused."""
        import torch

        self.started = time.monotonic()
        if trainer.device.type == "cpu":
            torch.set_num_threads(os.cpu_count() or 1)
            trainer.model.to(memory_format=torch.channels_last)

    def before_batch(self, trainer: Any) -> None:
        """Set the learning rate."""
        total = len(trainer.train_loader) * trainer.epochs
        self.share = (time.monotonic() - self.started) / self.seconds if self.seconds else self.batches / total
        factor = learning_rate_factor(self.batches, self.share)
        for group in trainer.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        self.batches += 1

    def after_batch(self, trainer: Any) -> None:
        """Stop when the time is up; the epoch's checkpoint is still written."""
        if self.seconds and time.monotonic() - self.started >= self.seconds:
            trainer.stop = True


def learning_rate_factor(batches: int, share: float) -> float:
    """Return the learning rate, 0…1 of its peak, after so many batches and this share of the training."""
    return min(1.0, (batches + 1) / RISE) * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def trainer_class() -> Any:
    """Return ultralytics' trainer without its validation: nothing is chosen on the validation part."""
    from ultralytics.models.yolo.detect import DetectionTrainer
    from ultralytics.utils.torch_utils import strip_optimizer

    class Trainer(DetectionTrainer):  # type: ignore[misc]  # untyped, and absent from a server
        """Trains the network it is given; keeps the last checkpoint, as the schedule ends there."""

        def get_model(self, *_: Any, weights: Any, **__: Any) -> Any:
            """Return the weights' own network: one built for six classes has a narrower head, and would forget it."""
            return slice_head(weights)

        def validate(self) -> tuple[dict[str, float], None]:
            """Measure nothing."""
            return {}, None

        def final_eval(self) -> None:
            """Only drop the optimiser's state from the last checkpoint."""
            strip_optimizer(self.last)

    return Trainer


def make_teacher(weights: Path) -> Teacher:
    """Return a function from a BGR picture to the COCO model's boxes, classes and confidences."""
    model = load_ultralytics().YOLO(str(weights))

    def teach(picture: Picture) -> tuple[Labels, Boxes]:
        found = model.predict(picture, imgsz=TEACHER_SIZE, conf=0.2, iou=0.6, verbose=False)[0]
        rows = found.boxes.data.cpu().numpy().astype(np.float64)
        return Labels(rows[:, :4], rows[:, 5].astype(np.int64)), rows[:, 4]

    return teach


def replayed(sources: Sequence[Path]) -> Iterator[tuple[str, Picture]]:
    """Yield a name and a picture for each replay picture, and for every 40th frame of each replay video."""
    for source in sources:
        if source.suffix.lower() in {".jpg", ".jpeg", ".png"}:
            yield source.stem, read_picture(source)
            continue
        video, index = cv2.VideoCapture(str(source)), 0
        while True:
            ok, frame = video.read()
            if not ok:
                break
            if index % REPLAY_EVERY == 0:
                yield f"{source.stem}_{index:05d}", np.asarray(frame, dtype=np.uint8)
            index += 1
        video.release()


def street_labels(path: Path, picture: Picture) -> Labels:
    """Read one street label file with its classes as COCO ids."""
    height, width = picture.shape[:2]
    labels = read_labels(path, width, height, STREET_TO_COCO)
    return Labels(labels.boxes, np.array([STREET_TO_COCO[int(c)] for c in labels.classes], dtype=np.int64))


def widened(picture: Picture) -> Picture:
    """Return a picture that is narrower than `WIDE` with grey on its right, others as they are; boxes stay where they are."""
    height, width = picture.shape[:2]
    grey = max(0, round(height * WIDE) - width)
    padded = cv2.copyMakeBorder(picture, 0, 0, 0, grey, cv2.BORDER_CONSTANT, value=(PADDING,) * 3)
    return np.asarray(padded, dtype=np.uint8)


def prepare(data: Path, replay: Sequence[Path], teacher: Teacher, out: Path) -> Path:
    """Write the training set under `out` in ultralytics' layout and return its YAML file.

    The validation part keeps the street labels alone: a teacher must not judge its student. A camera with less than
    half the frames of the largest, and the replay, are listed twice; a frame with a bus, the rarest of what is labelled,
    once more; and every third with bicycles in it, of which there are none.
    """
    train, held = split_by_time(sorted(path.name for path in (data / "images").glob("*.jpg")))
    for folder in ("images/train", "images/val", "labels/train", "labels/val"):
        (out / folder).mkdir(parents=True, exist_ok=True)

    def put(part: str, name: str, picture: Picture, labels: Labels) -> str:
        height, width = picture.shape[:2]
        known = np.isin(labels.classes, numbers)
        own = Labels(labels.boxes[known], np.array([numbers.index(k) for k in labels.classes[known]], dtype=np.int64))
        write_labels(out / "labels" / part / f"{name}.txt", own, width, height)
        return str((out / "images" / part / f"{name}.jpg").resolve())

    rng = np.random.default_rng(RECIPE["seed"])
    numbers = list(CLASSES.values())
    groups: dict[str, list[str]] = {}
    buses: list[str] = []
    bicycles: list[str] = []
    put_in = 0
    seen: list[Cutting] = []
    for name, picture in replayed(replay):
        found, confidence = teacher(picture)
        sure = confidence >= REPLAY_CONFIDENCE
        wide = widened(picture)
        where = put("train", name, wide, Labels(found.boxes[sure], found.classes[sure]))
        cv2.imwrite(where, wide, [cv2.IMWRITE_JPEG_QUALITY, 95])
        groups.setdefault("replay", []).append(where)
        seen += cut_out(picture, found, confidence)
    added = np.zeros(80, dtype=np.int64)
    for index, name in enumerate(train):
        stem = Path(name).stem
        picture = read_picture(data / "images" / name)
        street = street_labels(data / "labels" / f"{stem}.txt", picture)
        labels = complete(street, *teacher(picture))
        added += np.bincount(labels.classes[len(street.classes) :], minlength=80)
        where = put("train", stem, picture, labels)
        Path(where).write_bytes((data / "images" / name).read_bytes())
        groups.setdefault(stem.rsplit("_", 1)[0], []).append(where)
        if BUS in street.classes:
            buses.append(where)
        if index % BICYCLES_EVERY == 0 and (made := with_bicycles(picture, labels, teacher, rng, seen)) is not None:
            where = put("train", f"{stem}_bicycles", *made)
            cv2.imwrite(where, made[0], [cv2.IMWRITE_JPEG_QUALITY, 95])
            bicycles.append(where)
            put_in += int((made[1].classes == BICYCLE).sum() - (labels.classes == BICYCLE).sum())
    for name in held:
        stem = Path(name).stem
        picture = read_picture(data / "images" / name)
        where = put("val", stem, picture, street_labels(data / "labels" / f"{stem}.txt", picture))
        Path(where).write_bytes((data / "images" / name).read_bytes())

    largest = max(len(group) for group in groups.values())
    listed = [path for group in groups.values() for path in group * (2 if len(group) * 2 < largest else 1)]
    listed += buses + bicycles
    (out / "train.txt").write_text("\n".join(listed) + "\n")
    listing = "".join(f"  {index}: {name}\n" for index, name in enumerate(CLASSES))
    config = out / "data.yaml"
    config.write_text(f"path: {out.resolve()}\ntrain: train.txt\nval: images/val\nnames:\n{listing}")
    taught = {name: int(added[k]) for name, k in CLASSES.items()}
    print(f"{len(listed)} training pictures listed, {len(held)} held for validation")
    print(f"the teacher added {taught}; {put_in} bicycles were put in, {len(seen)} of the replay among those tried")
    return config


def main(arguments: Sequence[str] | None = None) -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(prog="python -m vision.train", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with images/ and labels/")
    parser.add_argument("--coco", type=Path, required=True, help="YOLO11n weights trained on COCO (.pt)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the training set, checkpoints and result")
    parser.add_argument("--replay", type=Path, nargs="*", default=[], help="pictures and videos that keep COCO alive")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--hours", type=float, help="end after this time instead, with the whole schedule in it")
    parser.add_argument("--start", type=Path, help="checkpoint or .pt of vision/weights to go on from; default: --coco")
    parser.add_argument("--freeze", type=int, default=3, help="layers left as they are; 3: edges, 11: the backbone")
    parser.add_argument("--name", default="run", help="folder of the checkpoints under --out")
    parser.add_argument("--device", help="cpu, 0, 0,1 …; default: a GPU where there is one")
    options = parser.parse_args(arguments)

    ultralytics = load_ultralytics()
    started = time.monotonic()
    config = options.out / "dataset" / "data.yaml"
    if not config.is_file():
        prepare(options.data, options.replay, make_teacher(options.coco), options.out / "dataset")
    print(f"training set ready after {time.monotonic() - started:.0f} s")
    pace = Pace(options.hours * 3600 if options.hours else None)
    model = ultralytics.YOLO(str(options.start or options.coco))
    model.add_callback("on_train_start", pace.start)
    model.add_callback("on_train_batch_start", pace.before_batch)
    model.add_callback("on_train_batch_end", pace.after_batch)
    model.train(
        trainer=trainer_class(),
        data=str(config.resolve()),
        project=str(options.out.resolve()),
        name=options.name,
        epochs=1000 if options.hours else options.epochs,
        freeze=options.freeze,
        device=options.device,
        **RECIPE,
    )
    checkpoint = options.out / options.name / "weights" / "last.pt"
    print(f"{pace.batches} batches in {time.monotonic() - pace.started:.0f} s: {checkpoint}; next: vision.export")


if __name__ == "__main__":
    main()

"""`ioc-vision`: the vision worker, and the detector by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from ioc import service
from ioc.catalog import VISION_CLASSES
from ioc.errors import DatasetError
from ioc.settings import Settings

app = typer.Typer(help="Camera pictures in, detections and counts out.", no_args_is_help=False, add_completion=False)

Weights = Annotated[Path | None, typer.Option(help="Folder with manifest.json; the project's own by default.")]


@app.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    """Run the worker unless another command is named."""
    if context.invoked_subcommand is None:
        run()


@app.command()
def run() -> None:
    """Look at the cameras' newest frames until stopped; settings come from ioc.toml and IOC_* variables."""
    from vision.service import run_service

    run_service(Settings.load())


@app.command()
def capture() -> None:
    """Take pictures from files, HTTP snapshots and RTSP streams and publish them as their cameras would."""
    from vision.capture import main as run_capture

    run_capture()


@app.command()
def weights(weights: Weights = None) -> None:
    """Verify the weights against their manifest, load them, and have them look at their golden pictures."""
    from vision.engine import open_detector, weights_folder
    from vision.golden import check

    settings = Settings.load()
    detector = open_detector(settings, weights=weights)
    height, width = detector.input_size
    typer.echo(f"{detector.name} on {detector.device}, {width}x{height}: {', '.join(detector.classes)}")
    seen = check(detector, weights or weights_folder(settings), required=False)
    typer.echo(f"golden pictures: {seen} as they must be" if seen else "golden pictures: none declared")
    detector.close()


@app.command()
def golden(
    pictures: Annotated[
        list[Path],
        typer.Argument(help="Pictures on which the detector is sure of something.", exists=True, dir_okay=False),
    ],
    weights: Weights = None,
) -> None:
    """Declare pictures, with what the detector sees on them now, as those that new weights are tried on before they are used."""
    from shutil import copyfile

    from vision.engine import open_detector, weights_folder
    from vision.golden import choose

    settings = Settings.load()
    folder = weights or weights_folder(settings)
    detector = open_detector(settings, weights=weights)
    for path in pictures:
        if path.resolve().parent != folder.resolve():
            copyfile(path, folder / path.name)
    for one in choose(detector, folder, [path.name for path in pictures]):
        typer.echo(f"{one.picture}: {', '.join(seen.label for seen in one.seen)}")
    detector.close()


@app.command()
def detect(
    images: Annotated[
        list[Path], typer.Argument(help="JPEG, PNG or other picture files.", exists=True, dir_okay=False)
    ],
    weights: Weights = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a picture, boxes in pixels.")] = False,
) -> None:
    """Detect objects in pictures."""
    from vision.engine import open_detector
    from vision.evaluate import read_picture

    detector = open_detector(Settings.load(), weights=weights)
    for path in images:
        (boxes,) = detector.detect([read_picture(path)])
        rows = [
            {
                "label": detector.classes[int(row[5])],
                "confidence": round(float(row[4]), 3),
                "box": row[:4].round(1).tolist(),
            }
            for row in boxes
        ]
        if json:
            typer.echo(msgspec.json.encode({"image": str(path), "detections": rows}))
        else:
            table = Table(title=str(path), title_justify="left")
            for heading in ("", "lớp / class", "%", "x1 y1 x2 y2"):
                table.add_column(heading, justify="right" if heading == "%" else "left")
            for number, row in enumerate(rows, 1):
                label = VISION_CLASSES.get(row["label"])
                name = f"{label.vi} / {label.en}" if label else row["label"]
                box = " ".join(f"{value:.0f}" for value in row["box"])
                table.add_row(str(number), name, f"{row['confidence']:.0%}", box)
            Console().print(table)
    detector.close()


@app.command()
def evaluate(
    images: Annotated[Path, typer.Option(help="Folder of pictures.", exists=True, file_okay=False)],
    labels: Annotated[Path, typer.Option(help="Folder of YOLO label files.", exists=True, file_okay=False)],
    weights: Weights = None,
    names: Annotated[
        str | None,
        typer.Option(help="Classes of the label files in order, such as motorbike,car; the detector's by default."),
    ] = None,
) -> None:
    """Measure the detector on labelled pictures: AP50, AP50-95, recall and precision by class and size."""
    from vision.engine import open_detector
    from vision.evaluate import evaluate_folder

    settings = Settings.load()
    detector = open_detector(settings, weights=weights, confidence=0.001)
    class_map = None
    if names is not None:
        listed = names.split(",")
        unknown = sorted(set(listed) - set(detector.classes))
        if unknown:
            raise DatasetError(f"--names has {', '.join(unknown)}: expected some of {', '.join(detector.classes)}")
        class_map = {number: detector.classes.index(name) for number, name in enumerate(listed)}
    report = evaluate_folder(
        lambda pictures: [boxes.astype(float) for boxes in detector.detect(pictures)],
        images,
        labels,
        detector.classes,
        class_map,
        confidence=settings.vision_confidence,
    )
    typer.echo(report.table())
    detector.close()


def main() -> None:
    """The console script."""
    service.run(app)


if __name__ == "__main__":
    main()

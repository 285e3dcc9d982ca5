"""`ioc-vision`: the vision worker, and the detector by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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

AnyWeights = Annotated[
    Path | None,
    typer.Option(
        help="Folder with manifest.json, OpenVINO or ONNX export, or with --trust-pickle a .pt of ultralytics; the project's"
        " own by default.",
        exists=True,
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(help="data.yaml of a data set, for the names of its classes.", exists=True, dir_okay=False),
]
TrustPickle = Annotated[
    bool, typer.Option("--trust-pickle", help="Load a .pt from elsewhere: it runs the code of whoever made it.")
]


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
    images: Annotated[list[Path], typer.Argument(help="JPEG, PNG or other picture files.")],
    weights: AnyWeights = None,
    data: Data = None,
    trust_pickle: TrustPickle = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a picture, boxes in pixels.")] = False,
) -> None:
    """Detect objects in pictures; one that cannot be read is said so, and the others are looked at (exit code 1)."""
    from vision.evaluate import read_picture
    from vision.foreign import open_any, read_names

    names = read_names(data) if data else ()
    detector = open_any(Settings.load(), weights, trust_pickle=trust_pickle, names=names)
    failed = False
    for path in images:
        try:
            (boxes,) = detector.detect([read_picture(path)])
        except DatasetError as error:
            failed = True
            if json:
                typer.echo(msgspec.json.encode({"image": str(path), "error": str(error)}))
            else:
                typer.echo(f"error: {error}", err=True)
            continue
        rows = [
            {
                "label": detector.classes[int(row[5])],
                "confidence": round(float(row[4]), 3),
                "box": [round(float(edge), 1) for edge in row[:4]],
            }
            for row in boxes
        ]
        if json:
            typer.echo(msgspec.json.encode({"image": str(path), "detections": rows}))
        else:
            _show(path, rows)
    detector.close()
    if failed:
        raise typer.Exit(1)


def _show(path: Path, rows: list[dict[str, Any]]) -> None:
    table = Table(title=str(path), title_justify="left")
    for heading in ("", "lớp / class", "%", "x1 y1 x2 y2"):
        table.add_column(heading, justify="right" if heading == "%" else "left")
    for number, row in enumerate(rows, 1):
        label = VISION_CLASSES.get(row["label"])
        name = f"{label.vi} / {label.en}" if label else row["label"]
        box = " ".join(f"{value:.0f}" for value in row["box"])
        table.add_row(str(number), name, f"{row['confidence']:.0%}", box)
    Console().print(table)


@app.command()
def evaluate(
    images: Annotated[Path, typer.Option(help="Folder of pictures.", exists=True, file_okay=False)],
    labels: Annotated[Path, typer.Option(help="Folder of YOLO label files.", exists=True, file_okay=False)],
    weights: AnyWeights = None,
    names: Annotated[
        str | None,
        typer.Option(help="Classes of the label files in order, such as motorbike,car; else those of --data."),
    ] = None,
    data: Data = None,
    trust_pickle: TrustPickle = False,
) -> None:
    """Measure a detector on labelled pictures: AP50, AP50-95, recall and precision by class and size.

    Classes of labels and detector are matched by name. Without names of the labels (--names, --data, a data.yaml or classes.txt
    beside them or above) their numbers are taken to be the detector's.
    """
    from vision.evaluate import evaluate_folder
    from vision.foreign import class_map, find_names, open_any, read_names

    settings = Settings.load()
    source = data or (None if names else find_names(labels))
    label_names = tuple(names.split(",")) if names else read_names(source) if source else ()
    detector = open_any(settings, weights, confidence=0.001, trust_pickle=trust_pickle, names=label_names)
    detector.every_class = True
    mapped = class_map(label_names, detector.classes)
    unknown = [name for number, name in enumerate(label_names) if number not in mapped]
    if unknown and (names or not mapped):
        where = "--names" if names else source
        raise DatasetError(f"{where} has {', '.join(unknown)}: expected some of {', '.join(detector.classes)}")
    if unknown:
        typer.echo(f"not classes of the detector, left out: {', '.join(unknown)}", err=True)
    report = evaluate_folder(
        lambda pictures: [boxes.astype(float) for boxes in detector.detect(pictures)],
        images,
        labels,
        {number: detector.classes[number] for number in sorted(set(mapped.values()))} if mapped else detector.classes,
        mapped or None,
        label_classes=len(label_names) or None,
        confidence=settings.vision_confidence,
    )
    typer.echo(report.table())
    detector.close()


@app.command()
def export(
    form: Annotated[
        str, typer.Argument(help="onnx, openvino, openvino-int8 or engine (TensorRT, for this machine's GPU).")
    ],
    weights: Annotated[
        Path | None,
        typer.Option(help="Folder with manifest.json and a .pt, or with --trust-pickle a .pt.", exists=True),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="New folder for the result; an engine goes into the home folder.")
    ] = None,
    frames: Annotated[
        Path | None,
        typer.Option(help="openvino-int8: folder of pictures to calibrate on.", exists=True, file_okay=False),
    ] = None,
    trust_pickle: TrustPickle = False,
) -> None:
    """Write the detector in the form that a runtime wants, and try it on its golden pictures."""
    from vision.convert import FORMS, convert
    from vision.engine import weights_folder

    if form not in FORMS:
        raise typer.BadParameter(f"expected one of {', '.join(FORMS)}", param_hint="FORM")
    settings = Settings.load()
    source = weights or weights_folder(settings)
    typer.echo(str(convert(form, settings, source, out, frames, trust_pickle=trust_pickle)))


def main() -> None:
    """The console script."""
    service.run(app)


if __name__ == "__main__":
    main()

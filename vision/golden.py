"""Golden pictures: kept with the weights, with what must be seen on them, so that a network is tried before it is trusted.

A network may load, have the declared shape and the declared SHA-256, and still see nothing: exported from the wrong checkpoint,
quantised on the wrong pictures, with its channels in another order, in a precision the machine does not do well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from ioc.errors import ModelError
from vision.boxes import Boxes, Image
from vision.engine.detector import Detector
from vision.manifest import MANIFEST, Golden, Seen, read_manifest, write_golden
from vision.training_set import ious

#: Overlap (IoU) from which a box is the expected one: engines differ by a few pixels.
SAME: Final = 0.5
#: A box is expected where the network was this sure when the pictures were chosen.
SURE: Final = 0.5


def check(detector: Detector, folder: Path, *, required: bool) -> int:
    """Have a detector look at the golden pictures of its weights; returns how many there are.

    Args:
        detector: loaded from the folder.
        folder: the weights, with their manifest.
        required: having none is an error.

    Raises:
        ModelError: it does not see what it must, or a picture is not the declared one.
    """
    golden = read_manifest(folder).golden
    if required and not golden:
        raise ModelError(
            f"{folder / MANIFEST} declares no golden pictures, so nobody knows whether the network sees anything: add some with"
            " `ioc-vision golden`, or restart the service to load it unseen"
        )
    for one in golden:
        picture = _picture(folder, one)
        (found,) = detector.detect([picture])
        _compare(one, found, detector.classes, folder)
    return len(golden)


def choose(detector: Detector, folder: Path, names: Sequence[str]) -> tuple[Golden, ...]:
    """Declare pictures of the folder as golden, with what the detector is sure to see on them now.

    Raises:
        ModelError: it is sure of nothing on one, or it cannot be read.
    """
    chosen = []
    for name in names:
        content = _read(folder / name)
        (found,) = detector.detect([_decode(content, folder / name)])
        # What may be two things is near the border between them, and another precision calls it the other.
        edges = found[:, :4].astype(np.float64)
        unclear = ((found[:, None, 5] != found[None, :, 5]) & (ious(edges, edges) >= SAME)).any(axis=1)
        sure = found[(found[:, 4] >= SURE) & ~unclear]
        if not len(sure):
            raise ModelError(
                f"{folder / name}: the network is sure of nothing on it, so it proves nothing; choose another"
            )
        seen = tuple(Seen(detector.classes[int(row[5])], *(round(float(edge), 1) for edge in row[:4])) for row in sure)
        chosen.append(Golden(name, hashlib.sha256(content).hexdigest(), seen))
    golden = tuple(chosen)
    write_golden(folder, golden)
    return golden


def _compare(golden: Golden, found: Boxes, classes: Sequence[str], folder: Path) -> None:
    labels = np.array([classes[int(row[5])] for row in found], dtype=object)
    wanted = np.array([(one.x1, one.y1, one.x2, one.y2) for one in golden.seen], dtype=np.float64).reshape(-1, 4)
    same = ious(wanted, found[:, :4].astype(np.float64)) >= SAME
    missing = [one for one, there in zip(golden.seen, same, strict=True) if one.label not in labels[there]]
    if missing:
        one = missing[0]
        raise ModelError(
            f"{folder}: of {len(golden.seen)} objects on {golden.picture} the network does not see {len(missing)}, such as the"
            f" {one.label} at {one.x1:.0f} {one.y1:.0f} {one.x2:.0f} {one.y2:.0f}; it is not the network it is declared to be"
        )
    if len(found) > 4 * len(golden.seen) + 10:
        raise ModelError(
            f"{folder}: the network sees {len(found)} objects on {golden.picture}, expected {len(golden.seen)}"
        )


def _picture(folder: Path, golden: Golden) -> Image:
    path = folder / Path(golden.picture).name
    content = _read(path)
    if hashlib.sha256(content).hexdigest() != golden.sha256:
        raise ModelError(f"{path} is not the golden picture that the manifest declares; restore it")
    return _decode(content, path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error}") from error


def _decode(content: bytes, path: Path) -> Image:
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ModelError(f"{path} is not a picture")
    return np.asarray(image, dtype=np.uint8)

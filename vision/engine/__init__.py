"""Detectors behind one interface: `open_detector` chooses and loads one."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from ioc.settings import Settings
from vision.engine.detector import Detector
from vision.manifest import OWN_WEIGHTS, load, read_manifest

__all__ = ["Detector", "open_detector", "weights_folder"]


def weights_folder(settings: Settings) -> Path:
    """The folder of the weights that the settings name."""
    return settings.vision_weights or OWN_WEIGHTS


def open_detector(settings: Settings, *, weights: Path | None = None, confidence: float | None = None) -> Detector:
    """Load the detector that the settings name.

    Args:
        settings: `vision_engine` and what belongs to it, `vision_weights`, `vision_confidence`.
        weights: another folder of weights.
        confidence: another least confidence.

    Raises:
        ModelError: no weights, weights that were changed, or a runtime that cannot load them.
    """
    folder = weights or weights_folder(settings)
    least = settings.vision_confidence if confidence is None else confidence
    if settings.vision_engine == "ultralytics" or (settings.vision_engine == "auto" and gpu_present()):
        # Only here: a machine without a GPU has no torch.
        from vision.engine.ultralytics import Ultralytics

        return Ultralytics(load(folder, (".pt",)), confidence=least, home=settings.home)
    if settings.vision_engine == "triton":
        from vision.engine.triton import Triton

        manifest = read_manifest(folder)
        return Triton(
            settings.vision_triton_url,
            settings.vision_triton_model or manifest.name,
            manifest,
            confidence=least,
            timeout_s=settings.vision_triton_timeout_s,
        )
    from vision.engine.openvino import OpenVino

    threads = settings.vision_threads or max(1, len(os.sched_getaffinity(0)) - 1)
    return OpenVino(load(folder, (".xml", ".bin")), confidence=least, threads=threads)


def gpu_present() -> bool:
    """Whether torch, ultralytics and an NVIDIA GPU are here; torch is imported only where a GPU's driver is."""
    if not Path("/dev/nvidiactl").exists() or find_spec("torch") is None or find_spec("ultralytics") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())

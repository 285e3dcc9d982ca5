"""From a checkpoint to the files that ship."""

import hashlib

import numpy as np
import pytest

from vision.export import NAME, write_manifest
from vision.manifest import load
from vision.training_set import CLASSES


def test_manifest_written_is_manifest_read(tmp_path) -> None:
    """The engine accepts what the export declares, and nothing else in the folder is declared."""
    for suffix in (".xml", ".bin"):
        (tmp_path / f"{NAME}_int8{suffix}").write_bytes(suffix.encode())
    (tmp_path / f"{NAME}.md").write_text("not weights")
    write_manifest(tmp_path, 384, 640)
    model = load(tmp_path, (".xml", ".bin"))
    assert model.input_size == (384, 640)
    assert model.classes == tuple(CLASSES)
    assert model.sha256 == hashlib.sha256(b".xml").hexdigest()


@pytest.fixture
def coco_network():
    """A YOLO11n of 80 classes with random weights, as ultralytics builds it."""
    pytest.importorskip("torch", reason="training needs torch, which a server does not have")
    pytest.importorskip("ultralytics", reason="training needs ultralytics, which a server does not have")
    from vision.train import load_ultralytics

    network = load_ultralytics().YOLO("yolo11n.yaml").model.float().eval()
    # Fresh weights score every class alike; spread them so that a swapped class shows.
    for branch in network.model[-1].cv3:
        branch[-1].bias.data.uniform_(-3, 3)
    return network


def test_slice_head_keeps_scores(coco_network) -> None:
    """A sliced network gives the boxes it gave, and of the scores those of our classes in our order."""
    import torch

    from vision.train import slice_head

    frame = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        before = coco_network(frame)[0].numpy()
        after = slice_head(coco_network)(frame)[0].numpy()
    np.testing.assert_allclose(after[:, :4], before[:, :4], rtol=1e-5)
    np.testing.assert_allclose(after[:, 4:], before[:, [4 + coco for coco in CLASSES.values()]], rtol=1e-5)


def test_sliced_network_is_left_as_it_is(coco_network) -> None:
    """Training goes on from the project's own weights, exactly as they are."""
    from vision.train import slice_head

    kept = {name: value.clone() for name, value in slice_head(coco_network).state_dict().items()}
    again = slice_head(coco_network).state_dict()
    assert all((again[name] == value).all() for name, value in kept.items())


def test_mixed_weights_lie_between_but_for_the_scores(coco_network) -> None:
    """Three quarters of the later weights and one of the earlier; what gives the scores is the later's alone."""
    import copy

    import torch

    from vision.export import mix_in
    from vision.train import slice_head

    later = slice_head(coco_network).float()
    earlier = copy.deepcopy(later)
    with torch.no_grad():
        for weight in earlier.parameters():
            weight += 1
    before = {name: value.clone() for name, value in later.named_parameters()}
    mix_in(later, earlier, 0.75)
    moved = {name: (value - before[name]).mean().item() for name, value in later.named_parameters()}
    scores = {name for name in moved if ".cv3." in name and name.split(".")[-2] == "2"}
    assert len(scores) == 6
    for name, by in moved.items():
        assert by == pytest.approx(0 if name in scores else 0.25, abs=1e-3), name


def test_saved_checkpoint_opens_in_ultralytics(coco_network, tmp_path) -> None:
    """The `.pt` opens with our class names and tells nothing of the machine that wrote it."""
    from vision.export import save_pt
    from vision.train import load_ultralytics, slice_head

    path = tmp_path / f"{NAME}.pt"
    coco_network.pt_path = str(tmp_path / "secret_folder" / "last.pt")
    save_pt(slice_head(coco_network), path, 640)
    assert load_ultralytics().YOLO(str(path)).names == dict(enumerate(CLASSES))
    assert b"secret_folder" not in path.read_bytes()


def test_openvino_agrees_with_torch(coco_network, tmp_path) -> None:
    """The converted model takes uint8 BGR frames of another size and batch, and answers what torch answers."""
    openvino = pytest.importorskip("openvino")
    import torch

    from vision.export import embed_preprocessing, to_openvino
    from vision.train import slice_head

    network = slice_head(coco_network)
    converted = embed_preprocessing(to_openvino(network, 64, 64))
    converted.reshape([3, 64, 96, 3])
    frames = np.random.default_rng(1).integers(0, 256, (3, 64, 96, 3), dtype=np.uint8)
    answer = openvino.compile_model(converted, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(frames)[0]
    rgb = torch.from_numpy(np.ascontiguousarray(frames[..., ::-1].transpose(0, 3, 1, 2))).float() / 255
    with torch.no_grad():
        expected = network(rgb)[0].numpy()
    np.testing.assert_allclose(answer, expected, rtol=1e-3, atol=1e-3)

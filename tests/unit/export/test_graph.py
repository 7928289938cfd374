"""A run as one ONNX file, in a bare onnxruntime: what goes in, what comes out, what is not in it."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from PIL import Image
from safetensors.torch import save_file

from promptmlr.backbone import Preprocessing, load_backbone
from promptmlr.errors import EnvironmentFault, UserError
from promptmlr.export import checking, graph, onnx_file
from promptmlr.export.graph import Squash
from promptmlr.export.onnx_file import export_onnx
from promptmlr.export.quantisation import quantised
from promptmlr.run import Run, load_run
from promptmlr.scenes import draw_scene
from support import scenes_run

PHOTOS = [Image.fromarray(draw_scene(11, index).image) for index in range(5)]


def bare(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])


def normalised(run: Run, photos: list[Image.Image]) -> np.ndarray:
    """By hand, as the file's own metadata describes it."""
    record = run.config.backbone.preprocessing
    squares = [photo.resize((record.image_size,) * 2, Image.Resampling.BILINEAR) for photo in photos]
    pixels = np.stack([np.asarray(square, dtype=np.float32).transpose(2, 0, 1) for square in squares]) / 255
    mean, std = (np.array(part, dtype=np.float32)[:, None, None] for part in (record.mean, record.std))
    return (pixels - mean) / std


def expected(run: Run, photos: list[Image.Image]) -> np.ndarray:
    preprocessing = run.backbone.preprocessing
    pixels = torch.stack([preprocessing.pixels(photo) for photo in photos])
    return run.probabilities(run.backbone.encode_image(preprocessing.normalise(pixels, run.backbone.dtype)))


@pytest.fixture(scope="module")
def runs(scenes_backbone, tiny_backbone, tiny_vit, tmp_path_factory) -> dict[str, Run]:
    """The miniature with its calibration and with a prior, and random towers of both kinds, resized and in bfloat16."""
    folder = tmp_path_factory.mktemp("runs")
    save_file(tiny_vit, folder / "vit.safetensors")
    vit = load_backbone(folder / "vit.safetensors", image_size=64, dtype=torch.bfloat16)
    found = {}
    for name, backbone, method, epochs in (
        ("scenes", scenes_backbone, "positivecoop", 3),
        ("anchored", scenes_backbone, "anchored", 3),
        ("resnet", tiny_backbone, "dualembedding", 1),
        ("vit", vit, "baseline", 1),
    ):
        path = scenes_run(
            folder / name, method, epochs=epochs, backbone=backbone, calibrate=name in ("scenes", "anchored")
        )
        found[name] = load_run(path)
        found[name].adopt(backbone)
    return found


@pytest.fixture(scope="module")
def files(runs, tmp_path_factory) -> dict[str, Path]:
    """Each of them as a file of its own folder."""
    found = {}
    for name, run in runs.items():
        found[name] = tmp_path_factory.mktemp(name) / "run.onnx"
        export_onnx(run, found[name])
    return found


@pytest.mark.parametrize("name", ["scenes", "anchored", "resnet", "vit"])
def test_probabilities_are_those_of_the_run(runs, files, name: str) -> None:
    run, session = runs[name], bare(files[name])
    in_float32 = graph.run_graph(run)  # the same weights: of the ViT, those that were rounded to bfloat16
    for count in (1, 3, 5):
        wanted = expected(run, PHOTOS[:count])
        if run.backbone.dtype == torch.bfloat16:
            rounded, wanted = wanted, in_float32(torch.from_numpy(normalised(run, PHOTOS[:count])))[0].numpy()
            assert np.abs(rounded - wanted).max() < 0.01
        found = session.run(None, {"images": normalised(run, PHOTOS[:count])})[0]
        assert found.shape == wanted.shape == (count, 20)
        assert np.abs(found - wanted).max() <= 1e-4
    assert np.abs(found - wanted).max() <= found.std(axis=0).max() / 50, "it cannot tell photos apart"


@pytest.mark.parametrize("name", ["scenes", "resnet", "vit"])
def test_one_file_of_the_image_tower_alone(runs, files, name: str) -> None:
    run, path = runs[name], files[name]
    assert [entry.name for entry in path.parent.iterdir()] == ["run.onnx"]
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in model.graph.initializer)
    side, classes = run.config.backbone.preprocessing.image_size, len(run.class_names)
    ends = {end.name: end.type.tensor_type for end in (*model.graph.input, *model.graph.output)}
    shapes = {key: [dim.dim_param or dim.dim_value for dim in end.shape.dim] for key, end in ends.items()}
    assert shapes == {"images": ["N", 3, side, side], "probabilities": ["N", classes]}
    assert {end.elem_type for end in ends.values()} == {onnx.TensorProto.FLOAT}

    kept = sum(numpy_helper.to_array(tensor).size for tensor in model.graph.initializer)
    visual = sum(tensor.numel() for tensor in run.backbone.image_tower().parameters())
    learned = sum(tensor.numel() for tensor in run.calibrated.state_dict().values())
    assert kept <= 1.1 * visual + learned
    assert not [tensor.name for tensor in model.graph.initializer if {49408, 77} & set(tensor.dims)]
    assert b"/src/" not in path.read_bytes(), "the file says where it was made"
    assert b".py" not in path.read_bytes()


def test_the_file_says_what_it_is(runs, files) -> None:
    run = runs["scenes"]
    said = bare(files["scenes"]).get_modelmeta().custom_metadata_map
    assert tuple(json.loads(said["class_names"])) == run.class_names
    assert json.loads(said["thresholds"]) == run.thresholds.tolist()
    assert len(set(run.thresholds)) > 1
    assert json.loads(said["preprocessing"]) == run.config.backbone.model_dump(mode="json")["preprocessing"]
    assert (said["method"], said["input_kind"], said["precision"]) == ("positivecoop", "normalised", "float32")
    assert said["calibrated"] == "on observed labels, each out of fold"
    assert said["promptmlr_version"] == run.config.versions["promptmlr"]


def test_calibration_is_in_the_file(runs, files) -> None:
    run = runs["scenes"]
    found = bare(files["scenes"]).run(None, {"images": normalised(run, PHOTOS)})[0]
    regions = run.backbone.encode_image(torch.from_numpy(normalised(run, PHOTOS)))
    as_trained = run.recognizer(regions).softmax(dim=1)[:, 1].numpy()
    assert np.abs(found - as_trained).max() > 0.01


@pytest.fixture(scope="module")
def rgb(runs, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("rgb") / "run.onnx"
    export_onnx(runs["scenes"], path, inputs="rgb")
    return path


@pytest.mark.parametrize("size", [(128, 128), (300, 131), (131, 300), (40, 30), (500, 90), (1, 1)])
def test_rgb_photos_of_any_size_give_what_predict_gives(runs, rgb: Path, tmp_path: Path, size: tuple[int, int]) -> None:
    run, session = runs["scenes"], bare(rgb)
    (images,) = session.get_inputs()
    assert (images.type, images.shape) == ("tensor(uint8)", ["N", 3, "H", "W"])
    photos = [photo.resize(size, Image.Resampling.BICUBIC) for photo in PHOTOS[:2]]
    for index, photo in enumerate(photos):
        photo.save(tmp_path / f"{index}.png")
    wanted = run.predict(sorted(tmp_path.glob("*.png")))
    found = session.run(None, {"images": np.stack([np.asarray(photo).transpose(2, 0, 1) for photo in photos])})[0]
    assert np.abs(found - wanted).max() <= 1e-5


@settings(max_examples=40)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 96), st.integers(0, 2**32 - 1))
def test_squares_are_pillows_bit_for_bit(height: int, width: int, side: int, seed: int) -> None:
    preprocessing = Preprocessing(side, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
    photo = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    wanted = preprocessing.normalise(preprocessing.pixels(Image.fromarray(photo))[None])
    found = Squash(preprocessing)(torch.from_numpy(photo.transpose(2, 0, 1).copy())[None])
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("calibration", ["static", "dynamic"])
def test_eight_bits_are_of_the_tower_alone_and_keep_the_labels(runs, files, calibration: str) -> None:
    run = runs["scenes"]
    model = onnx.load(files["scenes"])
    batches = [normalised(run, PHOTOS)] if calibration == "static" else []
    small = quantised(model, batches)
    assert len(small) < 0.4 * files["scenes"].stat().st_size
    made = onnx.load_from_string(small)
    bits = {tensor.data_type for tensor in made.graph.initializer if np.prod(tensor.dims) > 20_000}
    assert bits <= {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}
    assert [node for node in made.graph.node if node.name.startswith("recognizer/MatMul")]
    session = onnxruntime.InferenceSession(small, providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map["precision"] == f"int8, {calibration}"
    found = session.run(None, {"images": normalised(run, PHOTOS)})[0]
    wanted = expected(run, PHOTOS)
    assert 1e-6 < np.abs(found - wanted).max() < 0.3
    assert ((found > run.thresholds) == (wanted > run.thresholds)).mean() > 0.95


def test_a_file_that_is_not_the_run_gets_no_name(runs, files, monkeypatch, tmp_path: Path) -> None:
    run = runs["scenes"]
    model = graph.onnx_model(run, graph.run_graph(run))
    weights = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("layer4.0.conv3.weight"))
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * np.float32(1.02), weights.name))
    monkeypatch.setattr(onnx_file, "onnx_model", lambda *_: model)
    with pytest.raises(EnvironmentFault, match=r"differ from PyTorch's by .*nothing is written"):
        export_onnx(run, tmp_path / "run.onnx")
    assert not list(tmp_path.iterdir())


def test_a_tower_that_one_file_cannot_hold_is_refused(runs, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(graph, "MAX_BYTES", 1000)
    with pytest.raises(UserError, match="one ONNX file ends at 2 GiB"):
        export_onnx(runs["resnet"], tmp_path / "run.onnx")
    assert not list(tmp_path.iterdir())


def test_another_precision_is_said(runs, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(checking, "TIMED_ROUNDS", 1)
    made = export_onnx(runs["vit"], tmp_path / "run.onnx", int8=True)
    said = "\n".join(made.lines())
    assert made.tower_difference is not None
    assert "not in float32" in said
    assert "8 bits, dynamic" in said
    assert made.size == (tmp_path / "run.onnx").stat().st_size < made.float_size

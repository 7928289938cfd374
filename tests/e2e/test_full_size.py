"""A whole RN50 with random weights, in OpenAI's layout, on real photos: train, evaluate, predict."""

import json
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file

from support import require_shared


@pytest.mark.slow
def test_rn50_on_real_photos(promptmlr, tmp_path: Path) -> None:
    data = require_shared("coco-photos")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = open_clip.create_model("RN50-quickgelu", pretrained=None).state_dict()
    # an open_clip checkpoint of this model has the names and shapes of OpenAI's
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "rn50.safetensors")
    table, photos = tmp_path / "labels.csv", sorted((data / "val2017").glob("*.jpg"))[:8]
    rows = "".join(f"{photo.name},{index % 2},{'' if index % 2 else 1}\n" for index, photo in enumerate(photos))
    table.write_text(f"image,dog,traffic_light\n{rows}")
    run, predictions = tmp_path / "run", tmp_path / "p.jsonl"

    options = ("--images", data / "val2017", "--backbone", tmp_path / "rn50.safetensors", "--image-size", "96")
    trained = promptmlr("train", table, "--out", run, "--method", "positivecoop", "--epochs", "1", *options)
    assert trained.code == 0, trained.err
    config = json.loads((run / "config.json").read_text())
    assert config["backbone"]["feature_width"] == 1024
    learned = {key: tuple(tensor.shape) for key, tensor in load_file(run / "weights.safetensors").items()}
    assert learned["learned.presence.context"] == (2, 4, 512)
    assert learned["folded.presence.embedding"] == (2, 1024)

    evaluated = promptmlr("evaluate", run, table, "--images", data / "val2017", "--resamples", "20")
    assert evaluated.code == 0, evaluated.err
    predicted = promptmlr("predict", run, *photos, "--out", predictions)
    assert predicted.code == 0, predicted.err
    rows = [json.loads(line) for line in predictions.read_text().splitlines()]
    assert [Path(row["image"]).name for row in rows] == [photo.name for photo in photos]

"""What makes two backbones the same: weights, both towers' activations, preprocessing."""

from pathlib import Path

import pytest
import torch

from promptmlr.backbone import Backbone, load_backbone
from promptmlr.errors import UserError
from promptmlr.run import Run, load_run
from promptmlr.web.served import ServedRun
from support import scenes_run


@pytest.fixture
def run_on(tmp_path: Path):
    """Train a run on a backbone; read again, so that it has none loaded."""

    def trained(backbone: Backbone, name: str = "run") -> Run:
        return load_run(scenes_run(tmp_path / name, "baseline", epochs=1, backbone=backbone))

    return trained


def test_a_run_refuses_the_same_weights_with_another_activation(open_clip_knows, vit_file, run_on) -> None:
    quick = load_backbone("Tiny-quickgelu", vit_file)
    run, file = run_on(quick), str(vit_file)
    with pytest.raises(UserError) as error:
        run.use_backbone("Tiny", file)
    assert f"needs the activation of Tiny-quickgelu {file} (quickgelu), but Tiny {file} has gelu" in str(error.value)
    assert "name the right one with --backbone and --pretrained" in str(error.value)
    assert "\n" not in str(error.value)
    run.use_backbone("Tiny-quickgelu", file)
    run.use_backbone(vit_file)  # of a file alone, OpenAI's


def test_the_activation_of_the_text_tower_counts_where_the_image_tower_has_another(tiny_checkpoint, run_on) -> None:
    """A ResNet has ReLU either way."""
    run = run_on(load_backbone(tiny_checkpoint))
    other = load_backbone(tiny_checkpoint, quick_gelu=False)
    texts = ["a photo of a dog."]
    assert not torch.equal(other.encode_text(texts), load_backbone(tiny_checkpoint).encode_text(texts))
    with pytest.raises(UserError, match=r"needs the text activation of .* \(quickgelu\), but .* has gelu"):
        run.adopt(other)


def test_a_run_opens_its_backbone_with_the_activation_that_it_was_trained_with(tiny_checkpoint, run_on) -> None:
    run = run_on(load_backbone(tiny_checkpoint, quick_gelu=False))
    assert run.backbone.identity()["text_activation"] == "gelu"


def test_a_run_whose_weights_are_a_tag_takes_the_file_of_the_tag(open_clip_knows, vit_file, run_on) -> None:
    run = run_on(load_backbone("Tiny", f"quick={vit_file}"))
    assert run.config.backbone.pretrained == "quick"
    with pytest.raises(UserError, match=r"needs the preprocessing .*TAG=FILE"):
        run.use_backbone("Tiny-quickgelu", str(vit_file))
    run.use_backbone("Tiny", f"quick={vit_file}")
    run.use_backbone(pretrained=f"quick={vit_file}")


def test_runs_on_two_activations_share_no_regions_in_serve(open_clip_knows, vit_file, run_on) -> None:
    runs = [run_on(load_backbone(name, vit_file), name) for name in ("Tiny", "Tiny-quickgelu")]
    first, second = (ServedRun(run, run.path.name).tower for run in runs)
    assert first != second

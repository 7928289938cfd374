"""Regions, text features, logits, loss and every gradient against the numbers of the released code."""

from pathlib import Path

import numpy as np
import pytest
import torch

import promptmlr as pm
from support import SHARED

FIXTURES = sorted((SHARED / "parity" / "fixtures").glob("*.npz"))
CLOSE = {"rtol": 1e-4, "atol": 1e-4}

# Our tensor → the released one; the Baseline holds both sides in one layer, absence rows first.
LEARNED = {
    "positivecoop": {
        "presence.context": "prompt_learner.ctx_pos",
        "presence.offset": "txt_prompt_learn",
        "absence.embedding": "txt_prompt_neg",
    },
    "negativecoop": {
        "absence.context": "prompt_learner.ctx_neg",
        "absence.offset": "txt_prompt_learn",
        "presence.embedding": "txt_prompt_pos",
    },
    "dualcoop": {"presence.context": "prompt_learner.ctx_pos", "absence.context": "prompt_learner.ctx_neg"},
}


def released(fixture, kind: str, method: str, name: str, classes: int) -> torch.Tensor:
    if method == "baseline":
        part = name.rsplit(".", 1)[1]
        rows = slice(classes, None) if name.startswith("presence") else slice(None, classes)
        return torch.from_numpy(fixture[f"{kind}/linear_layer.{part}"][rows])
    return torch.from_numpy(fixture[f"{kind}/{LEARNED[method][name]}"])


@pytest.mark.skipif(not FIXTURES, reason="../shared/parity is not beside the project")
@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_numbers_of_the_released_code(path: Path, parity_checkpoint: Path) -> None:
    method, context, size = path.stem.split("-")
    fixture = np.load(path)
    names = [str(name) for name in fixture["classnames"]]
    backbone = pm.load_backbone(parity_checkpoint, image_size=int(size))
    recognizer = pm.create_recognizer(
        method,
        backbone,
        names,
        context_length=4,
        class_specific=context == "csc",
        offset="random" if method.endswith("ivecoop") else "none",
    )
    with torch.no_grad():
        for name, parameter in recognizer.named_parameters():
            parameter.copy_(released(fixture, "learned", method, name, len(names)))

    regions = backbone.encode_image(torch.from_numpy(fixture["images"]))
    torch.testing.assert_close(regions, torch.from_numpy(fixture["regions"]), **CLOSE)

    prompts = [side for side in (recognizer.absence, recognizer.presence) if hasattr(side, "text_features")]
    if prompts:
        features = torch.cat([side.text_features() for side in prompts])
        torch.testing.assert_close(features, torch.from_numpy(fixture["prompt_text"]), **CLOSE)

    logits = recognizer(regions)
    torch.testing.assert_close(logits, torch.from_numpy(fixture["logits"]), **CLOSE)
    probability = pm.functional.presence_probability(logits)
    torch.testing.assert_close(probability, torch.from_numpy(fixture["probability"]), **CLOSE)
    loss = pm.functional.asymmetric_loss(logits, torch.from_numpy(fixture["labels"]))
    torch.testing.assert_close(loss, torch.tensor(float(fixture["loss"])), **CLOSE)

    loss.backward()
    gradients = {name: parameter.grad for name, parameter in recognizer.named_parameters()}
    assert len(gradients) == sum(key.startswith("grad/") for key in fixture.files) * (2 if method == "baseline" else 1)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, released(fixture, "grad", method, name, len(names)), **CLOSE)


def test_tokens_are_those_of_the_released_prompts(parity_checkpoint: Path) -> None:
    """A prompt of placeholder words "X" embeds exactly the released token ids."""
    if not FIXTURES:
        pytest.skip("../shared/parity is not beside the project")
    fixture = np.load(next(path for path in FIXTURES if path.stem.startswith("positivecoop-csc-96")))
    backbone = pm.load_backbone(parity_checkpoint)
    for name, expected in zip(fixture["classnames"], fixture["tokens"], strict=True):
        tokens = backbone.text.tokenize("X X X X " + str(name).replace("_", " ") + ".")
        assert tokens == [int(token) for token in expected if token][1:-1]

"""The reference of every speed that is claimed (paper/cost/released.py) against the released code's numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch

from promptmlr.backbone.checkpoint import build_openai_model
from promptmlr.paper.cost import released
from support import SHARED

CASES = ["positivecoop-csc", "positivecoop-shared", "baseline-csc"]
FIXTURES = [path for case in CASES for path in sorted((SHARED / "parity" / "fixtures").glob(f"{case}-*.npz"))]
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.mark.skipif(not FIXTURES, reason="../shared/parity is not beside the project")
@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_the_reference_computes_what_the_released_code_computes(path: Path, parity_state) -> None:
    fixture = np.load(path)

    def tensors(kind: str, *names: str) -> list[torch.Tensor]:
        return [torch.from_numpy(fixture[f"{kind}/{name}"]) for name in names]

    clip = released.open_text_tower(build_openai_model(parity_state(20), "parity"))
    if path.stem.startswith("baseline"):
        learned = ("linear_layer.weight", "linear_layer.bias")
        model = released.ReleasedBaseline(clip, *tensors("learned", *learned))
        parameters = [model.weight, model.bias]
    else:
        learned = ("prompt_learner.ctx_pos", "txt_prompt_learn", "txt_prompt_neg")
        names = [str(name).replace("_", " ") for name in fixture["classnames"]]
        context, offset, vectors = tensors("learned", *learned)
        prompt = released.ReleasedPrompt(clip, names, context, offset)
        model = released.ReleasedCosine(clip, prompt, released.ReleasedEmbedding(vectors))
        parameters = [prompt.context, prompt.offset, model.absence.embedding]

    assert {id(tensor) for tensor in released.learned_tensors(model)} == set(map(id, parameters))
    images = torch.from_numpy(fixture["images"])
    logits = model(images)
    torch.testing.assert_close(logits, torch.from_numpy(fixture["logits"]), **CLOSE)
    probability = released.evaluate(model, images, batch_size=2)
    torch.testing.assert_close(probability, torch.from_numpy(fixture["probability"]), **CLOSE)
    loss = released.asymmetric_loss(logits, torch.from_numpy(fixture["labels"]))
    torch.testing.assert_close(loss, torch.tensor(float(fixture["loss"])), **CLOSE)
    loss.backward()
    for parameter, gradient in zip(parameters, tensors("grad", *learned), strict=True):
        torch.testing.assert_close(parameter.grad, gradient, **CLOSE)
    if not path.stem.startswith("baseline"):
        assert all(weight.grad is not None for weight in clip.transformer.parameters())

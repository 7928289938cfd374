"""From a decoded image to the tower's input."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from promptmlr.backbone import Preprocessing

PREPROCESSING = Preprocessing(24, (0.5, 0.25, 0.0), (0.5, 1.0, 0.25))


@pytest.fixture(params=[(40, 17), (5, 70), (24, 24), (1, 1)], ids=str)
def image(request) -> Image.Image:
    width, height = request.param
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, size=(height, width, 3), dtype=np.uint8))


def test_images_are_squashed_bilinearly_as_released(image: Image.Image) -> None:
    """torchvision's `Resize((S, S))` on a PIL image; nothing is cropped."""
    expected = transforms.PILToTensor()(transforms.Resize((24, 24))(image))
    pixels = PREPROCESSING.pixels(image)
    assert pixels.dtype == torch.uint8
    assert torch.equal(pixels, expected)
    assert PREPROCESSING.resized(image).size == (24, 24)


def test_pixels_are_normalised_by_mean_and_deviation() -> None:
    pixels = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    expected = (pixels.double().numpy() / 255 - np.reshape([0.5, 0.25, 0.0], (3, 1, 1))) / np.reshape(
        [0.5, 1.0, 0.25], (3, 1, 1)
    )
    torch.testing.assert_close(PREPROCESSING.normalise(pixels), torch.from_numpy(expected).float())
    assert PREPROCESSING.normalise(pixels, torch.bfloat16).dtype == torch.bfloat16


def test_it_is_written_as_plain_values() -> None:
    assert PREPROCESSING.as_dict() == {
        "image_size": 24,
        "mean": [0.5, 0.25, 0.0],
        "std": [0.5, 1.0, 0.25],
        "interpolation": "bilinear",
        "resize": "squash",
    }

"""Rows come back as what was put in, to the precision of their number format."""

import numpy as np
import pytest
import torch

from promptmlr.errors import UserError
from promptmlr.features import STORAGES, RowFormat

REGIONS = torch.randn(6, 5, 12, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.01, 1, 1, 3, 50.0]).view(
    5, 1
)


def there_and_back(storage: str, regions: torch.Tensor) -> torch.Tensor:
    form = RowFormat(storage, 5, 12)
    rows = form.pack(regions)
    assert rows.shape == (len(regions), form.row_bytes)
    assert rows.dtype == np.uint8
    return form.unpack(form.parts(torch.from_numpy(rows)))


def test_float32_is_exact() -> None:
    assert torch.equal(there_and_back("float32", REGIONS), REGIONS)


def test_float16_is_that_of_numpy() -> None:
    expected = REGIONS.numpy().astype(np.float16).astype(np.float32)
    assert np.array_equal(there_and_back("float16", REGIONS).numpy(), expected)


def test_bfloat16_keeps_eight_bits() -> None:
    back = there_and_back("bfloat16", REGIONS)
    assert ((back - REGIONS).abs() <= REGIONS.abs() * 2**-8).all()
    assert torch.equal(back.view(torch.int32) & 0xFFFF, torch.zeros(REGIONS.shape, dtype=torch.int32))


def test_int8_is_within_half_a_step_of_the_regions_own_scale() -> None:
    back = there_and_back("int8", REGIONS)
    step = REGIONS.abs().amax(dim=-1, keepdim=True) / 127
    assert ((back - REGIONS).abs() <= step / 2 * 1.0001).all()
    assert (back != REGIONS).any()


@pytest.mark.parametrize("storage", STORAGES)
def test_a_region_of_zeros_stays_one(storage: str) -> None:
    regions = REGIONS.clone()
    regions[2, 3] = 0
    back = there_and_back(storage, regions)
    assert back.isfinite().all()
    assert (back[2, 3] == 0).all()


@pytest.mark.parametrize(("storage", "value"), [("float16", 1e5), ("int8", np.inf), ("float32", np.nan)])
def test_what_a_format_cannot_hold_is_refused(storage: str, value: float) -> None:
    regions = REGIONS.clone()
    regions[0, 0, 0] = value
    with pytest.raises(UserError, match=f"range of {storage}"):
        there_and_back(storage, regions)


def test_a_row_takes_the_bytes_of_its_storage() -> None:
    assert {storage: RowFormat(storage, 5, 12).row_bytes for storage in STORAGES} == {
        "float16": 120,
        "float32": 240,
        "bfloat16": 120,
        "int8": 80,
    }

"""A row of the store: the regions of one image in one of four number formats."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from promptmlr.errors import UserError

__all__ = ["STORAGES", "RowFormat", "Storage"]

Storage = Literal["float16", "float32", "bfloat16", "int8"]
STORAGES: tuple[Storage, ...] = get_args(Storage)

_FLOATS = {"float16": torch.float16, "float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class RowFormat:
    """Rows of equal size; int8 keeps one float32 scale per region before the values.

    Attributes:
        storage: the number format.
        regions: R.
        width: D.
    """

    storage: Storage
    regions: int
    width: int

    @property
    def row_bytes(self) -> int:
        """Size of a row."""
        if self.storage == "int8":
            return self.regions * (4 + self.width)
        return self.regions * self.width * _FLOATS[self.storage].itemsize

    def pack(self, regions: Tensor) -> NDArray[np.uint8]:
        """(B, R, D) float → (B, `row_bytes`).

        Raises:
            UserError: values that the format cannot hold.
        """
        if self.storage == "int8":
            regions = regions.float()
            scales = regions.abs().amax(dim=-1) / 127
            values = (regions / scales.clamp_min(torch.finfo(torch.float32).tiny)[..., None]).round().to(torch.int8)
            parts = [scales, values]
        else:
            parts = [regions.to(_FLOATS[self.storage])]
        if not parts[0].isfinite().all():
            raise UserError(f"regions beyond the range of {self.storage} (or not finite); store them as float32")
        as_bytes = [part.cpu().contiguous().flatten(1).view(torch.uint8) for part in parts]
        return torch.cat(as_bytes, dim=1).numpy()

    def parts(self, rows: Tensor) -> tuple[Tensor, ...]:
        """(N, `row_bytes`) uint8 → the (N, R, D) values as they are stored, and for int8 their (N, R) scales."""
        shape = (len(rows), self.regions, self.width)
        if self.storage != "int8":
            return (rows.view(_FLOATS[self.storage]).view(shape),)
        scales, values = rows.split([4 * self.regions, self.regions * self.width], dim=1)
        return values.contiguous().view(torch.int8).view(shape), scales.contiguous().view(torch.float32)

    def unpack(self, parts: tuple[Tensor, ...]) -> Tensor:
        """What `parts` gives, for B images → (B, R, D) float32."""
        values = parts[0].float()
        return values if len(parts) == 1 else values * parts[1][..., None]

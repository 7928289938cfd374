"""`promptmlr pretrain-scenes`: make the miniature CLIP that comes with promptmlr again."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["pretrain_scenes"]


def pretrain_scenes(
    out: Annotated[Path, typer.Option(help="The checkpoint to write, .safetensors.", show_default=False)],
    seed: Annotated[int, typer.Option(min=0, help="Of scenes, captions and weights.")] = 0,
) -> None:
    """Pretrain the drawn world's miniature CLIP from nothing; it goes on where an earlier call was interrupted."""
    from promptmlr.cli.progress import note, progress
    from promptmlr.scenes.pretraining import PretrainingConfig, pretrain_to_file

    with progress("pretraining") as say:
        pretrain_to_file(out, PretrainingConfig(seed=seed), say)
    note(f"{out}; use it with --backbone {out}")

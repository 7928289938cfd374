"""`promptmlr pretrain-scenes`: make the miniature CLIPs that come with promptmlr again."""

from pathlib import Path
from typing import Literal

from promptmlr.cli.options import NonNegativeInt, Overwrite
from promptmlr.cli.outcome import check_free

__all__ = ["pretrain_scenes"]


def pretrain_scenes(
    *,
    out: Path,
    tower: Literal["resnet", "transformer"] = "resnet",
    overwrite: Overwrite = False,
    seed: NonNegativeInt = 0,
) -> None:
    """Pretrain the drawn world's miniature CLIP from random weights; repeat it to continue after an interruption.

    Args:
        out: Checkpoint file to write (.safetensors).
        tower: Kind of image tower. resnet: scenes, with its text tower. transformer: scenes-vit, beside the text tower
            of scenes.
        seed: Random seed for scenes, captions and weights.
    """
    from promptmlr.cli.progress import note, progress
    from promptmlr.scenes.image_side import ImageSideConfig, pretrain_image_side_to_file
    from promptmlr.scenes.pretraining import PretrainingConfig, pretrain_to_file

    check_free(out, overwrite)
    with progress("pretraining") as say:
        if tower == "resnet":
            pretrain_to_file(out, PretrainingConfig(seed=seed), say)
        else:
            pretrain_image_side_to_file(out, ImageSideConfig(seed=seed), say)
    note(f"{out}; use it with --backbone {out}")

"""`promptmlr pretrain-scenes`: make the miniature CLIPs that come with promptmlr again."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from promptmlr.cli.options import NonNegativeInt, Overwrite
from promptmlr.cli.outcome import check_free
from promptmlr.errors import UserError

__all__ = ["pretrain_scenes"]


def pretrain_scenes(
    *,
    out: Path,
    tower: Literal["resnet", "transformer"] = "resnet",
    cutouts: Path | None = None,
    length: Annotated[float, Parameter(validator=Number(gt=0, lte=1))] = 1.0,
    overwrite: Overwrite = False,
    seed: NonNegativeInt = 0,
) -> None:
    """Pretrain the drawn world's miniature CLIP from random weights; repeat it to continue after an interruption.

    Args:
        out: Checkpoint file to write (.safetensors).
        tower: Kind of image tower. resnet: scenes, with its text tower. transformer: scenes-vit, beside the text tower
            of scenes.
        cutouts: Folder that `promptmlr cut-out` made: pretrain on scenes of these cut-outs instead of drawn ones.
        length: Share of the usual number of steps.
        seed: Random seed for scenes, captions and weights.
    """
    from promptmlr.cli.progress import note, progress
    from promptmlr.scenes.image_side import ImageSideConfig, pretrain_image_side_to_file
    from promptmlr.scenes.pretraining import PretrainingConfig, pretrain_to_file

    check_free(out, overwrite)
    if tower == "transformer" and (cutouts is not None or length != 1):
        raise UserError(
            "--cutouts and --length are for --tower resnet: the transformer learns beside the shipped texts"
        )
    with progress("pretraining") as say:
        if tower == "resnet":
            config = PretrainingConfig(seed=seed, cutouts=None if cutouts is None else str(cutouts))
            pretrain_to_file(out, config.shortened(length), say)
        else:
            pretrain_image_side_to_file(out, ImageSideConfig(seed=seed), say)
    note(f"{out}; use it with --backbone {out}")

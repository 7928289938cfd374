"""`promptmlr pretrain-scenes`: make the miniature CLIP that comes with promptmlr again."""

from pathlib import Path

from promptmlr.cli.options import NonNegativeInt, Overwrite
from promptmlr.cli.outcome import check_free

__all__ = ["pretrain_scenes"]


def pretrain_scenes(*, out: Path, overwrite: Overwrite = False, seed: NonNegativeInt = 0) -> None:
    """Pretrain the drawn world's miniature CLIP from random weights; repeat it to continue after an interruption.

    Args:
        out: Checkpoint file to write (.safetensors).
        seed: Random seed for scenes, captions and weights.
    """
    from promptmlr.cli.progress import note, progress
    from promptmlr.scenes.pretraining import PretrainingConfig, pretrain_to_file

    check_free(out, overwrite)
    with progress("pretraining") as say:
        pretrain_to_file(out, PretrainingConfig(seed=seed), say)
    note(f"{out}; use it with --backbone {out}")

"""`weights.safetensors` of a run folder.

learned.<tensor>   of the recognizer as it was trained
folded.<tensor>    of the same without a text tower: what is used
prior.<tensor>     of the zero-shot it began at or stands beside, folded
"""

from pathlib import Path
from typing import Literal

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from promptmlr.errors import EnvironmentFault, UserError
from promptmlr.files import write_bytes
from promptmlr.platt import PlattScaling
from promptmlr.recognizer import Recognizer
from promptmlr.run.config import RunConfig
from promptmlr.sides import SIDES, Side

__all__ = ["Tensors", "folded_recognizer", "read_tensors", "write_weights"]

Tensors = dict[str, Tensor]


def write_weights(path: Path, recognizer: Recognizer, zero_shot: Recognizer | None) -> None:
    """Write a trained recognizer and its folded zero-shot; a learned scaling stays with what was trained."""
    folded = recognizer.fold()
    folded.scaling = None
    forms = {"learned": recognizer, "folded": folded, "prior": zero_shot}
    tensors = {
        f"{form}.{name}": tensor.detach().cpu().contiguous()
        for form, part in forms.items()
        if part is not None
        for name, tensor in part.state_dict().items()
    }
    write_bytes(path, save(tensors))


def read_tensors(path: Path) -> Tensors:
    """The tensors of a safetensors file.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged or cut short ({error}); train the run again") from error
    except RuntimeError as error:  # of a file that cannot be opened at all
        raise EnvironmentFault(f"cannot read {path} ({error})") from error


def folded_recognizer(
    path: Path,
    tensors: Tensors,
    form: Literal["folded", "prior"],
    config: RunConfig,
    scaling: PlattScaling | None = None,
) -> Recognizer:
    """One of the recognizers that `write_weights` wrote.

    Args:
        path: the run folder.
        tensors: of its weights.
        form: which one; a zero-shot that only stands beside a run weights and pools regions as `anchored` does, the
            others as the run's config says.
        config: of the run.
        scaling: of its margins.

    Raises:
        UserError: tensors are missing, or do not fit the config.
    """
    shape = (len(config.class_names), config.backbone.feature_width)
    presence, absence = (_side(path, f"{form}.{name}.", tensors, shape) for name in ("presence", "absence"))
    recognizer = Recognizer(presence, absence, config.class_names, scaling=scaling)
    if form == "folded" or config.recipe.has_prior:
        recognizer.weighting, recognizer.pooling = config.weighting, config.recipe.pooling
    return recognizer.requires_grad_(False)


def _side(path: Path, form: str, tensors: Tensors, shape: tuple[int, int]) -> Side:
    """The presence or absence side, (C, D): of the kind whose tensors these are."""
    own = {key.removeprefix(form): tensor for key, tensor in tensors.items() if key.startswith(form)}
    kinds = [kind for kind in SIDES.values() if kind.shapes(*shape)]
    kind = max(kinds, key=lambda kind: len(own.keys() & kind.shapes(*shape)))
    parts = []
    for key, wanted in kind.shapes(*shape).items():
        if key not in own:
            raise UserError(f"{path} is no whole run folder: weights.safetensors lacks '{form}{key}'; train it again")
        tensor = own[key]
        sizes = tuple(size if known is None else known for size, known in zip(tensor.shape, wanted, strict=False))
        fits = tuple(tensor.shape) == sizes and len(sizes) == len(wanted) and tensor.is_floating_point()
        if not fits or not tensor.float().square().sum().isfinite():  # its logits would not be, either
            raise UserError(
                f"{path} is damaged: {form}{key} has shape {tuple(tensor.shape)} and type {tensor.dtype} where its "
                f"config needs {wanted} finite numbers; train it again"
            )
        parts.append(tensor.float())
    return kind(*parts)

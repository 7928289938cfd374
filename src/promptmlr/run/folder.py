"""The files of a run folder: what each is called and holds, and its JSON read, or refused in one line.

    config.json          method, recipe, classes, backbone identity and preprocessing, data, mask hash, seeds, versions
    weights.safetensors  learned.<tensor>, folded.<tensor> and prior.<tensor> (`promptmlr.run.weights`)
    mask.npy             (N, C) bool: which labels training was allowed to see
    metrics.jsonl        one line per epoch; metrics.csv has the same as a table
    metrics.json         what came out
    calibration.json     what makes probabilities and labels of its logits
    prior.json           the zero-shot it began at or stands beside, and how strongly that held

While it grows it is called RUN.partial (`promptmlr.run.unfinished`); it gets its name when it is whole. Until then it
holds besides:

    state.safetensors    tensors, optimizer and counters after an epoch: the last, or one finished about a second before
    odds.safetensors     log odds of known labels out of fold, where a prior's strength was chosen on them

Beside it, RUN.partial.lock is held by the process that trains: inside, it would keep Windows from renaming the folder.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from promptmlr.calibration import Calibration
from promptmlr.errors import UserError
from promptmlr.files import write_text
from promptmlr.names import checked_class_names
from promptmlr.prior_record import PriorRecord
from promptmlr.run.config import RunConfig

__all__ = [
    "FILES",
    "check_evaluation",
    "check_whole",
    "partial_of",
    "read_calibration",
    "read_config",
    "read_evaluation",
    "read_metrics",
    "read_prior",
    "write_json",
]

CALIBRATION = "calibration.json"
CONFIG = "config.json"
EPOCHS, EPOCHS_TABLE = "metrics.jsonl", "metrics.csv"
MASK = "mask.npy"
METRICS = "metrics.json"
PRIOR = "prior.json"
WEIGHTS = "weights.safetensors"
FILES = (CALIBRATION, CONFIG, EPOCHS, EPOCHS_TABLE, MASK, METRICS, PRIOR, WEIGHTS)
"""Of a run folder; whatever else lies there was added later."""
EVALUATION = "evaluation.json"  # by `promptmlr evaluate`
CARD = "README.md"  # for the Hub
ON_HUB = (CARD, CALIBRATION, CONFIG, EVALUATION, METRICS, PRIOR, WEIGHTS)
"""What a run consists of on the Hugging Face Hub; nothing else is downloaded."""

STATE, ODDS = "state.safetensors", "odds.safetensors"
OF_UNFINISHED = (STATE, ODDS, "lock")  # the last of a version before
"""They go when it is whole."""
PARTIAL = ".partial"
"""How the name of its folder ends until then."""

TRAIN_AGAIN = "train the run again"
Model = TypeVar("Model", bound=BaseModel)


class _Metrics(BaseModel):
    """What others read of `metrics.json`."""

    learned_parameters: int
    seconds: float
    selection_map: float | None = None


class _Evaluation(BaseModel):
    """What others read of `evaluation.json`."""

    data: str
    mean_ap: float | None
    mean_ap_interval: tuple[float | None, float | None]
    population_map: float | None = None  # runs of older versions have none
    population_interval: tuple[float | None, float | None] = (None, None)
    per_class_ap: dict[str, float | None]
    cf1: float | None
    of1: float | None
    images: int
    labels_used: int


def partial_of(path: str | Path) -> Path:
    """What a run folder is called until it is whole."""
    return Path(f"{path}{PARTIAL}")


def check_whole(path: Path, names: Iterable[str]) -> None:
    """Refuse a folder that lacks one of these files.

    Raises:
        UserError: the first that is missing.
    """
    for name in names:
        if not (path / name).is_file():
            raise UserError(f"{path} is no whole run folder: {name} is missing; train it again")


def read_config(path: Path) -> RunConfig:
    """`config.json`.

    Raises:
        UserError: it is missing, damaged, or of another version.
    """
    config = _read(path, RunConfig, "is no run config of this version")
    checked_class_names(config.class_names, str(path))
    return config


def read_prior(path: Path) -> PriorRecord:
    """`prior.json`.

    Raises:
        UserError: it is missing or damaged.
    """
    return _read(path, PriorRecord)


def read_calibration(path: Path) -> Calibration:
    """`calibration.json`.

    Raises:
        UserError: it is missing or damaged.
    """
    return _read(path, Calibration)


def read_metrics(run: Path) -> dict[str, Any]:
    """`metrics.json` of a run folder.

    Raises:
        UserError: it is damaged.
    """
    return _read_object(run / METRICS, _Metrics, TRAIN_AGAIN)


def read_evaluation(run: Path) -> dict[str, Any] | None:
    """What `promptmlr evaluate` wrote into a run folder; None where it did not.

    Raises:
        UserError: it is damaged.
    """
    path = run / EVALUATION
    return _read_object(path, _Evaluation, "remove it, and repeat `promptmlr evaluate`") if path.exists() else None


def check_evaluation(path: Path) -> None:
    """Refuse to write an evaluation where it would take the place of anything but an earlier one.

    Raises:
        UserError: it is no JSON file, is called like a file of a run folder, or there is something else.
    """
    if path.suffix.lower() != ".json" or path.name in FILES:
        raise UserError(f"--out {path}: name a .json file that no run holds, such as {EVALUATION}")
    if path.exists():
        try:
            _read(path, _Evaluation)
        except UserError as error:
            raise UserError(
                f"{path} exists, and is no evaluation; name another file with --out, or remove it"
            ) from error


def write_json(path: Path, content: BaseModel | dict[str, Any]) -> None:
    """Any of them, whole or not at all."""
    text = json.dumps(content, indent=2) if isinstance(content, dict) else content.model_dump_json(indent=2)
    write_text(path, text + "\n")


def _read(path: Path, model: type[Model], wrong: str = "is damaged", mend: str = TRAIN_AGAIN) -> Model:
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]  # where and what, without the content of the file
        told = ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
        raise UserError(f"{path} {wrong} ({told}); {mend}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def _read_object(path: Path, model: type[BaseModel], mend: str) -> dict[str, Any]:
    """All of a file, once what others read of it is known to be there."""
    _read(path, model, mend=mend)
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found

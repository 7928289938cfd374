"""A run as a folder for the Hugging Face Hub: a run folder without what only training needs, and a model card."""

import json
import re
from pathlib import Path

from promptmlr.export.card import model_card
from promptmlr.files import write_folder
from promptmlr.run import Run, RunConfig, read_evaluation, read_metrics
from promptmlr.run.folder import CARD, CONFIG, EVALUATION, ON_HUB

__all__ = ["public_config", "write_hub_folder"]

_FOLDERS = re.compile(r"(?<!\S)[^\s,]*[\\/](?:[^,]*[\\/])?(?=[^\\/,])")  # from where a path begins to its last part


def write_hub_folder(run: Run, out: Path, repository: str = "OWNER/NAME") -> Path:
    """Write what `load_run` needs and a `README.md`, whole or not at all.

    Paths of this machine are shortened to their last part; the mask and the epochs are not exported.

    Args:
        run: a run.
        out: the folder; it must not exist.
        repository: the target repository, for the commands of the card.

    Raises:
        UserError: the folder exists.
        EnvironmentFault: it cannot be written.
    """
    write_folder(out, _files(run, repository))
    return out


def _files(run: Run, repository: str) -> dict[str, bytes]:
    config, metrics, evaluation = public_config(run.config), read_metrics(run.path), read_evaluation(run.path)
    files = {name: (run.path / name).read_bytes() for name in ON_HUB if (run.path / name).is_file()}
    files[CONFIG] = (config.model_dump_json(indent=2) + "\n").encode()
    if evaluation is not None:
        evaluation["data"] = _FOLDERS.sub("", str(evaluation["data"]))
        files[EVALUATION] = (json.dumps(evaluation, indent=2) + "\n").encode()
    files[CARD] = model_card(run, config, metrics, evaluation, repository).encode()
    return files


def public_config(config: RunConfig) -> RunConfig:
    """The config without folders of this machine."""
    backbone = config.backbone.model_copy(
        update={
            "name": _last_part(config.backbone.name),
            "pretrained": config.backbone.pretrained and _last_part(config.backbone.pretrained),
        }
    )
    data = config.data.model_copy(update={"source": _FOLDERS.sub("", config.data.source)})
    return config.model_copy(update={"backbone": backbone, "data": data})


def _last_part(name: str) -> str:
    return Path(name).name if Path(name).is_absolute() else name

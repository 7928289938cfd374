"""A run as a folder for the Hugging Face Hub: a run folder without what only training needs, and a model card."""

import json
import re
import shutil
import tempfile
from pathlib import Path

from promptmlr.errors import UserError
from promptmlr.export.card import model_card
from promptmlr.files import write_text
from promptmlr.hub import RUN_FILES
from promptmlr.run import Run, RunConfig, read_evaluation, read_metrics

__all__ = ["public_config", "write_hub_folder"]

_FOLDERS = re.compile(r"(?<![\w:])(?:~|[A-Za-z]:)?[\\/]?(?:[^\\/\s,;:]+[\\/])+(?=[^\\/\s,;:])")


def write_hub_folder(run: Run, out: Path, repository: str = "OWNER/NAME") -> Path:
    """Write what `load_run` needs and a `README.md`, whole or not at all.

    Paths of this machine are cut down to their last part; the mask and the epochs stay here.

    Args:
        run: a run.
        out: the folder; it must not exist.
        repository: where it is going, for the commands of the card.

    Raises:
        UserError: the folder exists.
        EnvironmentFault: it cannot be written.
    """
    if out.exists() or out.is_symlink():
        raise UserError(f"{out} exists already; name another folder with --out, or remove it")
    out.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        fill(run, making, repository)
        making.chmod(0o755)
        making.rename(out)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
    return out


def fill(run: Run, folder: Path, repository: str) -> None:
    """The files themselves, into a folder that exists."""
    config = public_config(run.config)
    evaluation = read_evaluation(run.path)
    write_text(folder / "config.json", config.model_dump_json(indent=2) + "\n")
    if evaluation is not None:
        evaluation["data"] = _FOLDERS.sub("", str(evaluation["data"]))
        write_text(folder / "evaluation.json", json.dumps(evaluation, indent=2) + "\n")
    for name in RUN_FILES:
        if not (folder / name).exists() and (run.path / name).is_file() and name != "README.md":
            shutil.copyfile(run.path / name, folder / name)
    metrics = read_metrics(run.path)
    write_text(folder / "README.md", model_card(run, config, metrics, evaluation, repository))


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

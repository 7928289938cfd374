"""A run folder: everything a trained recognizer needs to be used again, and to be gone on with.

    config.json          method, recipe, classes, backbone identity and preprocessing, data, mask hash, seeds, versions
    weights.safetensors  learned.<tensor> and folded.<tensor>
    mask.npy             (N, C) bool: which labels training was allowed to see
    metrics.jsonl        one line per epoch
    metrics.json         what came out
    state.safetensors    only in RUN.partial, the folder of a run in progress: tensors and optimizer to resume from

A folder gets its final name when the run is finished, so RUN is whole or is not there.
"""

import contextlib
import json
import platform
import shutil
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from promptmlr.backbone import Backbone, load_backbone
from promptmlr.data.images import ImageFile, find_images
from promptmlr.errors import UserError
from promptmlr.features import Storage
from promptmlr.files import replacing, write_bytes, write_text
from promptmlr.functional import presence_probability
from promptmlr.labels import Keep
from promptmlr.recipes import Recipe
from promptmlr.recognizer import Recognizer, Weighting
from promptmlr.regions import encode_stream
from promptmlr.sides import EmbeddingSide, LinearSide, Side

__all__ = ["DataRecord", "Run", "RunConfig", "RunInProgress", "load_run", "versions"]

Selection = Literal["last", "val", "test"]


class DataRecord(BaseModel):
    """What a run was trained on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    images: int
    images_sha256: str  # over the sorted image ids
    observed: float
    mask_sha256: str
    known_labels: int


class RunConfig(BaseModel):
    """`config.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    method: str
    class_names: tuple[str, ...]
    weighting: Weighting
    recipe: Recipe
    backbone: dict[str, Any]
    data: DataRecord
    seed: int
    order_seed: int
    storage: Storage | None = None  # of the regions it was trained on; None: as they leave the tower
    select: Selection
    threshold: float = 0.5
    versions: dict[str, str]


class Run:
    """A finished run: a folded recognizer, and what it needs to see images.

    Args:
        path: the run folder.
        config: its `config.json`.
        recognizer: folded; no text tower.
    """

    def __init__(self, path: Path, config: RunConfig, recognizer: Recognizer) -> None:
        self.path = path
        self.config = config
        self.recognizer = recognizer
        self._backbone: Backbone | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """C names, in the order of every output."""
        return self.config.class_names

    def use_backbone(
        self,
        name: str | Path | None = None,
        pretrained: str | None = None,
        device: str | torch.device | None = None,
    ) -> Backbone:
        """Load the run's backbone, from elsewhere if `name` says so, and check that it is the same.

        Raises:
            UserError: other weights than those the run was trained on.
        """
        wanted = self.config.backbone
        size = wanted["preprocessing"]["image_size"]
        if name is None:
            name, pretrained = wanted["name"], wanted["pretrained"]
        dtype = getattr(torch, wanted.get("dtype", "float32"))  # old run folders name none
        backbone = load_backbone(name, pretrained, size, device, dtype=dtype)
        found = backbone.identity()
        for key, what in (("weights_sha256", "weights"), ("preprocessing", "preprocessing")):
            if found[key] != wanted[key]:
                raise UserError(
                    f"run {self.path} needs the {what} of {_named(wanted)} ({_short(wanted[key])}), "
                    f"but {_named(found)} has {_short(found[key])}; name the right one with --backbone and --pretrained"
                )
        self.attach(backbone)
        return backbone

    def attach(self, backbone: Backbone) -> None:
        """Use a backbone that is already loaded and known to be the run's."""
        self._backbone = backbone
        self.recognizer.to(backbone.device)

    @property
    def backbone(self) -> Backbone:
        """The run's backbone, loaded when first needed."""
        return self._backbone or self.use_backbone()

    def predict(self, paths: str | Path | Iterable[str | Path], batch_size: int | None = None) -> NDArray[np.float32]:
        """P(present) of every class in every image, (N, C), in the order of files, folders and globs given.

        Raises:
            UserError: a path does not exist, or an image cannot be read.
        """
        arguments = [paths] if isinstance(paths, str | Path) else list(paths)
        images = (ImageFile(path) for path in find_images(arguments))
        rows = []
        for _, errors, regions in encode_stream(self.backbone, images, batch_size):
            for error in errors:
                if error is not None:
                    raise error
            if regions is not None:
                rows.append(self.probabilities(regions))
        return np.concatenate(rows)

    @torch.no_grad()
    def probabilities(self, regions: Tensor) -> NDArray[np.float32]:
        """(B, R, D) regions → (B, C) P(present)."""
        probabilities = presence_probability(self.recognizer(regions.float()))
        array: NDArray[np.float32] = probabilities.cpu().numpy()
        return array


def load_run(path: str | Path) -> Run:
    """Read a run folder; its backbone is loaded when first needed.

    Raises:
        UserError: no run folder, a cut-short one, or one whose parts do not fit together.
    """
    path = Path(path)
    if not path.is_dir():
        partial = Path(f"{path}.partial")
        hint = f"; {partial} holds an unfinished one: go on with --resume" if partial.is_dir() else ""
        raise UserError(f"no run folder at {path}{hint}")
    for name in ("config.json", "weights.safetensors", "metrics.json"):
        if not (path / name).is_file():
            raise UserError(f"{path} is no whole run folder: {name} is missing; train it again")
    config = _read_config(path / "config.json")
    tensors = _read_tensors(path / "weights.safetensors")
    sides = {name: _folded_side(path, name, tensors) for name in ("presence", "absence")}
    classes = len(config.class_names)
    for name, side in sides.items():
        rows = next(side.parameters()).shape
        if rows[0] != classes or rows[1] != config.backbone["feature_width"]:
            raise UserError(
                f"{path} is damaged: its {name} side has shape {tuple(rows)}, its config speaks of {classes} classes "
                f"and width {config.backbone['feature_width']}; train it again"
            )
    recognizer = Recognizer(sides["presence"], sides["absence"], config.class_names, config.weighting)
    return Run(path, config, recognizer.requires_grad_(False))


class RunInProgress:
    """RUN.partial: grows epoch by epoch, is renamed to RUN when the run is finished.

    Args:
        path: the final folder.
        config: what is being run.
        keep: (N, C) bool mask.
    """

    def __init__(self, path: str | Path, config: RunConfig, keep: Keep) -> None:
        self.path = Path(path)
        self.partial = Path(f"{path}.partial")
        self.config = config
        self.keep = keep
        self.lines: list[str] = []

    @staticmethod
    def check_free(path: str | Path, resume: bool) -> None:
        """Refuse a folder that exists, before any work is done.

        Raises:
            UserError: the run exists; or an unfinished one exists and is not to be resumed, or the other way round.
        """
        path, partial = Path(path), Path(f"{path}.partial")
        if path.exists():
            raise UserError(f"{path} exists already; name another folder with --out, or remove it")
        if partial.exists() and not resume:
            raise UserError(f"{partial} holds an unfinished run; go on with --resume, or remove it")
        if resume and not (partial / "config.json").is_file():
            raise UserError(f"nothing to resume: {partial} holds no unfinished run; leave --resume out")

    def begin(self) -> None:
        """Write what is known before the first epoch."""
        if self.partial.exists():
            shutil.rmtree(self.partial)
        with replacing(self.partial / "mask.npy") as file:
            np.save(file, self.keep, allow_pickle=False)
        write_text(self.partial / "config.json", self.config.model_dump_json(indent=2) + "\n")

    @contextlib.contextmanager
    def dropped_if_refused(self) -> Iterator[None]:
        """Remove the folder again when bad input is found before the first epoch is done: nothing is lost with it."""
        try:
            yield
        except UserError:
            if not self.lines:
                shutil.rmtree(self.partial)
            raise

    def resume(self) -> dict[str, Any]:
        """What the last finished epoch left: tensors by group, and counters; empty before the first.

        Raises:
            UserError: the unfinished run was started with other settings.
        """
        saved = _read_config(self.partial / "config.json")
        for name in RunConfig.model_fields:
            if name != "versions" and getattr(saved, name) != getattr(self.config, name):
                raise UserError(
                    f"{self.partial} was started with another {name}: {getattr(saved, name)!s:.200} instead of "
                    f"{getattr(self.config, name)!s:.200}; repeat the first command and add --resume"
                )
        state = self.partial / "state.safetensors"
        if not state.is_file():
            return {}
        with safe_open(state, "pt") as file:
            counters: dict[str, Any] = json.loads(file.metadata()["counters"])
        self.lines = counters.pop("lines")
        groups: dict[str, Any] = {"learned": {}, "optimizer": {}, "best": {}}
        for key, tensor in load_file(state).items():
            group, name = key.split(".", 1)
            groups[group][name] = tensor
        return groups | counters

    def save(self, line: dict[str, Any], groups: dict[str, dict[str, Tensor]], counters: dict[str, Any]) -> None:
        """After an epoch: its metrics line, and all that `resume` gives back."""
        self.lines.append(json.dumps(line))
        tensors = {f"{group}.{name}": tensor.clone() for group, part in groups.items() for name, tensor in part.items()}
        metadata = {"counters": json.dumps({**counters, "lines": self.lines})}
        write_bytes(self.partial / "state.safetensors", save(tensors, metadata))
        write_text(self.partial / "metrics.jsonl", "".join(f"{line}\n" for line in self.lines))

    def finish(self, recognizer: Recognizer, metrics: dict[str, Any]) -> Path:
        """Write weights and final metrics, and give the folder its name."""
        tensors = {
            f"{form}.{name}": tensor.detach().cpu().contiguous()
            for form, part in (("learned", recognizer), ("folded", recognizer.fold()))
            for name, tensor in part.state_dict().items()
        }
        write_bytes(self.partial / "weights.safetensors", save(tensors))
        write_text(self.partial / "metrics.json", json.dumps(metrics, indent=2) + "\n")
        if not self.lines:
            write_text(self.partial / "metrics.jsonl", "")
        with contextlib.suppress(FileNotFoundError):
            (self.partial / "state.safetensors").unlink()
        self.partial.rename(self.path)
        return self.path


def versions() -> dict[str, str]:
    """Versions that a result may depend on."""
    packages = ("promptmlr", "torch", "torchvision", "open_clip_torch", "numpy", "pillow")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _read_config(path: Path) -> RunConfig:
    try:
        return RunConfig.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is no run config of this version: {reason}") from error


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged or cut short ({error}); train the run again") from error


def _folded_side(path: Path, name: str, tensors: dict[str, Tensor]) -> Side:
    embedding = tensors.get(f"folded.{name}.embedding")
    if embedding is not None:
        return EmbeddingSide(embedding)
    weight, bias = (tensors.get(f"folded.{name}.projector.{part}") for part in ("weight", "bias"))
    if weight is None or bias is None:
        raise UserError(f"{path} is no whole run folder: weights.safetensors holds no {name} side; train it again")
    return LinearSide(weight, bias)


def _named(identity: dict[str, Any]) -> str:
    return " ".join(str(part) for part in (identity["name"], identity["pretrained"]) if part)


def _short(value: Any) -> str:
    return value[:12] if isinstance(value, str) else str(value)

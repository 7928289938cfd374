"""A run folder: everything a trained recognizer needs to be used again, and to be gone on with.

    config.json          method, recipe, classes, backbone identity and preprocessing, data, mask hash, seeds, versions
    weights.safetensors  learned.<tensor> and folded.<tensor>
    mask.npy             (N, C) bool: which labels training was allowed to see
    metrics.jsonl        one line per epoch; metrics.csv has the same as a table
    metrics.json         what came out
    calibration.json     what makes probabilities and labels of its logits
    prior.json           the zero-shot it began at or stands beside, and how strongly that held; weights: prior.<tensor>

While it grows it is called RUN.partial (`promptmlr.unfinished`); it gets its name when it is whole.
"""

import json
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from promptmlr.backbone import Backbone, GivenFeatures, load_backbone
from promptmlr.calibration import CalibratedRecognizer, Calibration
from promptmlr.data.images import ImageFile, find_images
from promptmlr.errors import UserError
from promptmlr.features import Storage
from promptmlr.functional import presence_probability
from promptmlr.hub import download_run, hub_name
from promptmlr.names import checked_class_names
from promptmlr.prior_record import PriorRecord
from promptmlr.recipes import Recipe
from promptmlr.recognizer import Recognizer, Weighting
from promptmlr.regions import encode_stream
from promptmlr.sides import EmbeddingSide, LinearSide, Side

__all__ = [
    "BackboneRecord",
    "DataRecord",
    "Run",
    "RunConfig",
    "load_run",
    "read_config",
    "read_evaluation",
    "read_metrics",
    "read_prior",
    "read_tensors",
    "versions",
]

FILES = (
    "calibration.json",
    "config.json",
    "mask.npy",
    "metrics.csv",
    "metrics.json",
    "metrics.jsonl",
    "prior.json",
    "weights.safetensors",
)
"""Of a run folder; whatever else lies there was added later."""

Selection = Literal["last", "val", "test"]


MAX_SIDE = 4096  # pixels of an image for a tower: far above all of open_clip's, and no computer stops at it
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class DataRecord(BaseModel):
    """What a run was trained on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    images: int
    images_sha256: str  # over the sorted image ids
    labels_sha256: str  # of what training saw of them
    observed: float
    protocol: str | None = None  # that hid the other labels (`labels.Observation`); None: a fraction, or a mask file
    mask_sha256: str
    known_labels: int
    features_sha256: str | None = None  # where features were given; None: images
    reading: dict[str, str] = {}  # how labels were read (`DataOptions.recorded`)


class PreprocessingRecord(BaseModel):
    """`backbone.preprocessing` of `config.json`, as `Preprocessing.as_dict` gives it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_size: Annotated[int, Field(ge=1, le=MAX_SIDE)]
    mean: tuple[Finite, Finite, Finite]
    std: tuple[Positive, Positive, Positive]
    interpolation: str
    resize: str


class BackboneRecord(BaseModel):
    """`backbone` of `config.json`, as `Backbone.identity` gives it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    pretrained: str | None
    weights_sha256: str
    dtype: Literal["float32", "bfloat16", "float16", "float64"]
    text_dtype: str
    feature_width: Annotated[int, Field(ge=1)]
    preprocessing: PreprocessingRecord | None  # None: features were given, nothing is seen through a tower

    @property
    def pixels(self) -> PreprocessingRecord:
        """How images reach the tower.

        Raises:
            UserError: features were given, and there is none.
        """
        if self.preprocessing is None:
            raise UserError(
                "this run was trained on features and sees no images: give it features, as in "
                "`promptmlr predict RUN features.npz`"
            )
        return self.preprocessing


class RunConfig(BaseModel):
    """`config.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    method: str
    class_names: tuple[str, ...]
    weighting: Weighting
    recipe: Recipe
    backbone: BackboneRecord
    data: DataRecord
    seed: int
    order_seed: int
    storage: Storage | None = None  # of the regions it was trained on; None: as they left the tower, not stored
    select: Selection
    calibrate: bool = False  # whether probabilities were fitted on observed labels
    share: float | tuple[float, ...] | None = None  # how often classes are present, where a person said it
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    versions: dict[str, str]


class _Metrics(BaseModel):
    """What others read of `metrics.json`."""

    learned_parameters: int
    seconds: float


class _Evaluation(BaseModel):
    """What others read of `evaluation.json`."""

    data: str
    mean_ap: float | None
    mean_ap_interval: tuple[float | None, float | None]
    per_class_ap: dict[str, float | None]
    cf1: float | None
    of1: float | None
    images: int
    labels_used: int


class Run:
    """A finished run: a folded recognizer, what its logits mean, and what it needs to see images.

    Args:
        path: the run folder.
        config: its `config.json`.
        recognizer: folded; no text tower.
        calibration: of its logits, over the same C classes; None leaves them as they were trained.
        prior: the zero-shot it began at or stands beside; None in runs without one.
        zero_shot: that, calibrated: (B, R, D) regions → (B, 2, C) logits.
    """

    def __init__(
        self,
        path: Path,
        config: RunConfig,
        recognizer: Recognizer,
        calibration: Calibration | None = None,
        prior: PriorRecord | None = None,
        zero_shot: Recognizer | None = None,
    ) -> None:
        self.path = path
        self.config = config
        self.recognizer = recognizer
        self.calibration = calibration
        self.prior = prior
        self.zero_shot = zero_shot
        self.calibrated = recognizer if calibration is None else CalibratedRecognizer(recognizer, calibration)
        self._backbone: Backbone | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """C names, in the order of every output."""
        return self.config.class_names

    @property
    def thresholds(self) -> NDArray[np.float64]:
        """(C,) a class is a label of an image where its probability is greater."""
        chosen = self.config.threshold if self.calibration is None else self.calibration.thresholds
        return np.broadcast_to(np.array(chosen), len(self.class_names))

    def use_backbone(
        self,
        name: str | Path | None = None,
        pretrained: str | None = None,
        device: str | torch.device | None = None,
    ) -> Backbone:
        """Load the run's backbone, from elsewhere if `name` says so, and check that it is the same.

        Raises:
            UserError: other weights than those the run was trained on, or it was trained on features.
        """
        wanted = self.config.backbone
        if name is None:
            name, pretrained = wanted.name, wanted.pretrained
        size, dtype = wanted.pixels.image_size, getattr(torch, wanted.dtype)
        backbone = load_backbone(name, pretrained, size, device, dtype=dtype)
        self.adopt(backbone)
        return backbone

    def adopt(self, backbone: Backbone) -> None:
        """Use a backbone that is already loaded, once it is known to be the run's.

        Raises:
            UserError: other weights or another preprocessing than those the run was trained on; features for a run of
                images, images for a run of features, or features of another space.
        """
        if isinstance(backbone, GivenFeatures):
            self._check_space(backbone)
        else:
            self._check_tower(backbone)
        self._backbone = backbone
        self.calibrated.to(backbone.device)
        if self.zero_shot is not None:
            self.zero_shot.to(backbone.device)

    def _check_tower(self, backbone: Backbone) -> None:
        wanted, found = self.config.backbone, BackboneRecord(**backbone.identity())
        wanted.pixels  # noqa: B018 - a run of features has none
        for key, what in (("weights_sha256", "weights"), ("preprocessing", "preprocessing")):
            has, needs = getattr(found, key), getattr(wanted, key)
            if has != needs:
                raise UserError(
                    f"run {self.path} needs the {what} of {_named(wanted)} ({needs!s:.80}), but {_named(found)} has "
                    f"{has!s:.80}; name the right one with --backbone and --pretrained"
                )

    def _check_space(self, given: GivenFeatures) -> None:
        wanted = self.config.backbone
        if wanted.preprocessing is not None:
            raise UserError(f"run {self.path} was trained on images seen by {_named(wanted)}, and these are features")
        if wanted.feature_width != given.feature_width:
            raise UserError(
                f"run {self.path} was trained on features of width {wanted.feature_width}, and these have "
                f"{given.feature_width}: they are of another CLIP"
            )
        if not given.may_be(wanted.weights_sha256, self.class_names):
            raise UserError(
                f"run {self.path} was trained with other text features of its classes than these features come with, "
                "so these may be of another CLIP; if not, give them the same `text`, or none"
            )

    def __getstate__(self) -> dict[str, Any]:
        """Without the backbone, which is loaded again when it is needed."""
        return self.__dict__ | {"_backbone": None}

    @property
    def has_backbone(self) -> bool:
        """Whether a backbone is loaded already."""
        return self._backbone is not None

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
        """(B, R, D) regions → (B, C) P(present), calibrated where the run is."""
        probabilities = presence_probability(self.calibrated(regions.float()))
        array: NDArray[np.float32] = probabilities.cpu().numpy()
        return array


def load_run(path: str | Path) -> Run:
    """Read a run folder; its backbone is loaded when first needed. Nothing in it is run as code.

    Args:
        path: a folder; or `hf://owner/name`, with `@revision` or without, of the Hugging Face Hub.

    Raises:
        UserError: no run folder, a cut-short one, or one whose parts do not fit together.
        EnvironmentFault: the Hub cannot be reached.
    """
    on_hub = hub_name(path)
    path = Path(path) if on_hub is None else download_run(on_hub)
    if not path.is_dir():
        partial = Path(f"{path}.partial")
        hint = f"; {partial} holds an unfinished one: go on with --resume" if partial.is_dir() else ""
        raise UserError(f"no run folder at {path}{hint}")
    for name in ("config.json", "weights.safetensors", "metrics.json"):
        if not (path / name).is_file():
            raise UserError(f"{path} is no whole run folder: {name} is missing; train it again")
    config = read_config(path / "config.json")
    tensors = read_tensors(path / "weights.safetensors")
    shape = (len(config.class_names), config.backbone.feature_width)
    presence, absence = (_folded_side(path, "folded", name, tensors, shape) for name in ("presence", "absence"))
    recognizer = Recognizer(presence, absence, config.class_names, config.weighting)
    for name in ("calibration.json", "prior.json"):
        if config.recipe.has_prior and not (path / name).is_file():
            raise UserError(f"{path} is no whole run folder: {name} is missing; train it again")
    prior, zero_shot = _prior(path, tensors, config, shape)
    calibration = _calibration(path / "calibration.json", shape[0])
    return Run(path, config, recognizer.requires_grad_(False), calibration, prior, zero_shot)


def versions() -> dict[str, str]:
    """Versions that a result may depend on."""
    packages = ("promptmlr", "torch", "torchvision", "open_clip_torch", "numpy", "pillow")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def read_config(path: Path) -> RunConfig:
    """`config.json`.

    Raises:
        UserError: it is missing, damaged, or of another version.
    """
    try:
        config = RunConfig.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UserError(f"{path} is no run config of this version ({_first(error)}); train the run again") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    checked_class_names(config.class_names, str(path))
    return config


def _first(error: ValidationError) -> str:
    """The first mistake: where and what, without the content of the file."""
    first = error.errors()[0]
    return ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))


def read_metrics(run: Path) -> dict[str, Any]:
    """`metrics.json` of a run folder.

    Raises:
        UserError: it is damaged.
    """
    return _read_object(run / "metrics.json", _Metrics, "train the run again")


def read_evaluation(run: Path) -> dict[str, Any] | None:
    """What `promptmlr evaluate` wrote into a run folder; None where it did not.

    Raises:
        UserError: it is damaged.
    """
    path = run / "evaluation.json"
    return _read_object(path, _Evaluation, "repeat `promptmlr evaluate`, or remove it") if path.exists() else None


def _read_object(path: Path, model: type[BaseModel], advice: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        model.model_validate(found)
    except ValidationError as error:
        raise UserError(f"{path} is damaged ({_first(error)}); {advice}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({' '.join(str(error).split())[:120]}); {advice}") from error
    return found


def _calibration(path: Path, classes: int) -> Calibration | None:
    """The calibration of a run of C classes, where it has one."""
    if not path.exists():
        return None
    try:
        found = Calibration.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UserError(f"{path} is damaged ({_first(error)}); train the run again") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if len(found.scale) != classes:
        raise UserError(f"{path} is damaged: it is of {len(found.scale)} classes, the run of {classes}")
    return found


def read_prior(path: Path) -> PriorRecord:
    """`prior.json`.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        return PriorRecord.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UserError(f"{path} is damaged ({_first(error)}); train the run again") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def _prior(
    path: Path, tensors: dict[str, Tensor], config: RunConfig, shape: tuple[int, int]
) -> tuple[PriorRecord | None, Recognizer | None]:
    """The zero-shot of a run over (C, D), where it has one."""
    if not (path / "prior.json").exists():
        return None, None
    record = read_prior(path / "prior.json")
    if len(record.centre) != shape[0]:
        raise UserError(
            f"{path / 'prior.json'} is damaged: it is of {len(record.centre)} classes, the run of {shape[0]}"
        )
    presence, absence = (_folded_side(path, "prior", name, tensors, shape) for name in ("presence", "absence"))
    zero_shot = Recognizer(presence, absence, config.class_names, scaling=record.scaling())
    return record, zero_shot.requires_grad_(False)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged or cut short ({error}); train the run again") from error


def _folded_side(path: Path, form: str, name: str, tensors: dict[str, Tensor], shape: tuple[int, int]) -> Side:
    """The presence or absence side, (C, D)."""

    def part(key: str, wanted: tuple[int, ...]) -> Tensor:
        tensor = tensors[f"{form}.{name}.{key}"]
        fits = tuple(tensor.shape) == wanted and tensor.is_floating_point()
        if not fits or not tensor.float().square().sum().isfinite():  # its logits would not be, either
            raise UserError(
                f"{path} is damaged: {name}.{key} has shape {tuple(tensor.shape)} and type {tensor.dtype} where its "
                f"config needs {wanted} finite numbers; train it again"
            )
        return tensor.float()

    try:
        if f"{form}.{name}.embedding" in tensors:
            return EmbeddingSide(part("embedding", shape))
        return LinearSide(part("projector.weight", shape), part("projector.bias", shape[:1]))
    except KeyError as error:
        raise UserError(f"{path} is no whole run folder: weights.safetensors lacks {error}; train it again") from error


def _named(record: BackboneRecord) -> str:
    return " ".join(part for part in (record.name, record.pretrained) if part)

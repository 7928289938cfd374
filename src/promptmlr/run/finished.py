"""A finished run: a folded recognizer, what its logits mean, and the backbone that shows it images."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from promptmlr.backbone import Backbone, PrecomputedFeatures, load_backbone
from promptmlr.calibration import CalibratedRecognizer, Calibration
from promptmlr.data.images import ImageFile, find_images
from promptmlr.errors import UserError
from promptmlr.functional import presence_probability
from promptmlr.hub import download_run, hub_name
from promptmlr.options.data import with_commas
from promptmlr.prior_record import PriorRecord
from promptmlr.recognizer import Recognizer
from promptmlr.regions import encode_stream
from promptmlr.run import folder
from promptmlr.run.config import BackboneRecord, RunConfig
from promptmlr.run.weights import folded_recognizer, read_tensors

__all__ = ["Run", "load_run"]


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
    def reading(self) -> dict[str, str | float]:
        """How its data were read, and its classes, for `load_data(like=…)`."""
        return {**self.config.data.reading, "trained": with_commas(self.class_names)}

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
        size, dtype = wanted.pixels.image_size, getattr(torch, wanted.dtype)
        quick = None  # by name, tag or file
        if name is None:  # the run's own, whatever it was loaded with
            name, pretrained = wanted.name, pretrained or wanted.pretrained
            quick = None if wanted.text_activation is None else wanted.text_activation == "quickgelu"
        regions, crops = wanted.regions, wanted.pixels.crops
        backbone = load_backbone(
            name, pretrained, size, device, quick_gelu=quick, dtype=dtype, regions=regions, crops=crops
        )
        self.adopt(backbone)
        return backbone

    def adopt(self, backbone: Backbone) -> None:
        """Use a backbone that is already loaded, once it is known to be the run's.

        Raises:
            UserError: other weights or another preprocessing than those the run was trained on; features for a run of
                images, images for a run of features, or features of another space.
        """
        if isinstance(backbone, PrecomputedFeatures):
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
        for key in ("weights_sha256", "activation", "text_activation", "regions", "preprocessing"):
            has, needs, what = getattr(found, key), getattr(wanted, key), key.removesuffix("_sha256").replace("_", " ")
            if has != needs and needs is not None:
                raise UserError(
                    f"run {self.path} needs the {what} of {wanted} ({needs!s:.80}), but {found} has "
                    f"{has!s:.80}; name the right one with --backbone and --pretrained (TAG=FILE for the file of a tag)"
                )

    def _check_space(self, given: PrecomputedFeatures) -> None:
        wanted = self.config.backbone
        if wanted.preprocessing is not None:
            raise UserError(f"run {self.path} was trained on images seen by {wanted}, and these are features")
        if wanted.feature_width != given.feature_width:
            raise UserError(
                f"run {self.path} was trained on features of width {wanted.feature_width}, and these have "
                f"{given.feature_width}: they are of another CLIP"
            )
        if not given.may_match(wanted.weights_sha256, self.class_names):
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
    path = Path(path) if on_hub is None else download_run(on_hub, folder.ON_HUB)
    if not path.is_dir():
        partial = folder.partial_of(path)
        hint = f"; {partial} holds an unfinished one: go on with --resume" if partial.is_dir() else ""
        raise UserError(f"no run folder at {path}{hint}")
    folder.check_whole(path, (folder.CONFIG, folder.WEIGHTS, folder.METRICS))
    config = folder.read_config(path / folder.CONFIG)
    if config.recipe.has_prior:
        folder.check_whole(path, (folder.CALIBRATION, folder.PRIOR))
    tensors = read_tensors(path / folder.WEIGHTS)
    recognizer = folded_recognizer(path, tensors, "folded", config)
    calibration, prior, zero_shot = None, None, None
    if (path / folder.CALIBRATION).exists():
        calibration = folder.read_calibration(path / folder.CALIBRATION)
        _check_classes(path / folder.CALIBRATION, len(calibration.scale), config)
    if (path / folder.PRIOR).exists():
        prior = folder.read_prior(path / folder.PRIOR)
        _check_classes(path / folder.PRIOR, len(prior.centre), config)
        zero_shot = folded_recognizer(path, tensors, "prior", config, prior.scaling())
    return Run(path, config, recognizer, calibration, prior, zero_shot)


def _check_classes(path: Path, classes: int, config: RunConfig) -> None:
    if classes != len(config.class_names):
        raise UserError(f"{path} is damaged: it is of {classes} classes, the run of {len(config.class_names)}")

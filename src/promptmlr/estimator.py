"""`MultiLabelRecognizer`: a recognizer in the manner of scikit-learn.

    recognizer = MultiLabelRecognizer(class_names=["dog", "car"])
    recognizer.fit(paths, [[1, float("nan")], [0, 1]])
    recognizer.predict_proba(other_paths)

What of scikit-learn's contract cannot hold, and why: X holds images, or a CLIP's features of them, so there is no
`n_features_in_`, no sparse X, and checks that make up X do not apply; y may hold NaN, which is the point; it is no
`ClassifierMixin`, as that would have cross-validation look for classes in y and refuse NaN.
"""

import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import safetensors.torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags
from torch import Tensor

from promptmlr.backbone import Backbone, PrecomputedFeatures, open_backbone
from promptmlr.choice import taken
from promptmlr.data import LabelledImages
from promptmlr.data.precomputed import Features
from promptmlr.data.targets import Unlisted, image_refs, labels_from, precomputed_features, text_from
from promptmlr.errors import UserError
from promptmlr.evaluation import evaluate
from promptmlr.features import JobSettings, RegionCache, open_regions
from promptmlr.files import write_folder
from promptmlr.labels import UNKNOWN, Labels
from promptmlr.opening import open_cache
from promptmlr.options import CacheOptions
from promptmlr.out_of_fold import check_not_renumbered, out_of_fold_probabilities
from promptmlr.pipeline import TrainingJob, train_run
from promptmlr.planning import AUTO, as_compared, compared_methods
from promptmlr.prediction import predict_source
from promptmlr.recipes import Recipe, load_recipe
from promptmlr.regions import FreshRegions
from promptmlr.reporting import Reporter
from promptmlr.run import FILES, BackboneRecord, Run, load_run
from promptmlr.run.folder import CALIBRATION, WEIGHTS, write_json

__all__ = ["MultiLabelRecognizer"]

SUCH_AS = {"method": "anchored", "device": "cpu"}


class MultiLabelRecognizer(BaseEstimator):  # type: ignore[misc]
    """Says which of C classes are in an image; learns from labels of which many may be unknown.

    Args:
        method: a name of `METHODS`, or "auto": the one that does best in cross-validation on the known labels.
        backbone: a name of `promptmlr backbones`, "scenes", a checkpoint file, or a loaded `Backbone`, which clones
            share; None is `DEFAULT_TOWER`, and nothing where X holds features.
        pretrained: open_clip's tag of its weights, or a file; None is "openai", or the only one there is.
        image_size: pixels; None is the backbone's own, and 448 for CLIP's ResNets.
        regions: how a vision transformer makes regions, a name of `backbone.WAYS`; None is its kind's default.
        crops: N shows it N × N overlapping tiles of each image as well.
        text: where X holds features: (C, D) text features of the classes, in their order; None leaves the methods that
            need none.
        class_names: C names; None takes them from a pandas y, or from lists of names.
        unlisted: for y of lists of names: what a class that a list leaves out is, "unknown" or "absent".
        unknown: what an unknown label costs, a name of `UNKNOWN_COSTS` or "auto"; None is the recipe's.
        share: how often classes are present, one number or one per class, where you know it.
        templates: sentences that a class is put into, of which its text feature is the mean: "one", "simple" or
            "imagenet" (`create_recognizer`); None is the recipe's.
        texts: class → synonyms or descriptions, which stand as they are written instead of the templates.
        recipe: "default", "released", a TOML file or a `Recipe`.
        epochs: None is the recipe's.
        batch_size: None is the recipe's.
        select: "last" keeps the last epoch, "val" the best one on a tenth of the known labels, held out.
        calibrate: fit probabilities and thresholds on known labels (`TrainingJob`).
        cache: folder of stored regions, or `CacheOptions`; None is `default_cache_folder`, False stores none.
        device: such as "cpu" or "cuda".
        skip_unreadable: leave unreadable images out of training instead of refusing them.
        workers: threads that decode images.
        random_state: seed of starts, of the order of images and of what is held out.
        reporter: told how it goes; None says nothing.

    Attributes:
        run_: the trained `Run`.
        method_: the method of that run.
        class_names_: C names, in the order of all columns.
        classes_: the same as an array.
    """

    def __init__(
        self,
        method: str = "anchored",
        *,
        backbone: str | Path | Backbone | None = None,
        pretrained: str | None = None,
        image_size: int | None = None,
        regions: str | None = None,
        crops: int = 0,
        text: Any = None,
        class_names: Sequence[str] | None = None,
        unlisted: Unlisted | None = None,
        unknown: str | None = None,
        share: float | Sequence[float] | None = None,
        templates: Literal["one", "simple", "imagenet"] | None = None,
        texts: Mapping[str, Sequence[str]] | None = None,
        recipe: str | Path | Recipe = "default",
        epochs: int | None = None,
        batch_size: int | None = None,
        select: Literal["last", "val"] = "last",
        calibrate: bool = True,
        cache: str | Path | CacheOptions | Literal[False] | None = None,
        device: str = "cpu",
        skip_unreadable: bool = False,
        workers: int = 2,
        random_state: int = 0,
        reporter: Reporter | None = None,
    ) -> None:
        self.method = method
        self.backbone = backbone
        self.pretrained = pretrained
        self.image_size = image_size
        self.regions = regions
        self.crops = crops
        self.text = text
        self.class_names = class_names
        self.unlisted = unlisted
        self.unknown = unknown
        self.share = share
        self.templates = templates
        self.texts = texts
        self.recipe = recipe
        self.epochs = epochs
        self.batch_size = batch_size
        self.select = select
        self.calibrate = calibrate
        self.cache = cache
        self.device = device
        self.skip_unreadable = skip_unreadable
        self.workers = workers
        self.random_state = random_state
        self.reporter = reporter

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Train anew.

        Args:
            X: N images: paths, PIL images, (H, W, 3) uint8 arrays, or one (N, H, W, 3) array; or features of them: one
                float array (N, D), or (N, R, D) for R regions.
            y: (N, C) of 1, 0 and NaN (unknown), or N lists of class names (see `unlisted`).

        Raises:
            UserError: as `labels_from`, `image_refs` and `train_run`: a mistake in X, y or an argument.
        """
        check_not_renumbered()
        return self._train(X, y, None)

    def predict_proba_out_of_fold(self, X: Any, y: Any) -> NDArray[np.float64]:  # noqa: N803
        """P(present) of every cell of y, (N, C), by recognizers that did not see its label; this one stays as it is.

        What `cross_val_predict` would be for if it let NaN be: to look for wrong labels, to choose thresholds, to stack
        on top. See `out_of_fold_probabilities`. Args and errors as `fit`.
        """
        job, tower = self._job(X, y, None)
        return out_of_fold_probabilities(job, tower, **self._settings())

    def partial_fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Train on, from where it stands, with these labels alone; the first call is `fit`.

        Classes do not talk to each other: a class that has no known label in y stays as it is, calibration included,
        unless the method shares its context between classes. The others are calibrated on a tenth of these labels, or
        keep what they had where those are few.

        Args and errors as `fit`; the classes are those of `fit`, and so must be the method.
        """
        if not hasattr(self, "run_"):
            return self.fit(X, y)
        return self._train(X, y, self.run_)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """P(present), (N, C), calibrated where it could be.

        Raises:
            NotFittedError: before `fit`.
            UserError: an image cannot be read, or features are not of the width that it was trained on.
        """
        run, images = self._fitted(), image_refs(X)
        features = precomputed_features(images)
        if features is not None:
            run.adopt(self._given(features, {}))
        else:
            run.config.backbone.pixels  # noqa: B018 - a run of features has none, and says so
            if not run.has_backbone:
                run.adopt(self._open())
        fresh = FreshRegions(run.backbone, images, workers=self.workers)
        _, source = open_regions(fresh, self._cache(), reporter=self.reporter)
        _, probabilities = predict_source(run.calibrated, source)
        return probabilities.astype(np.float64)

    def predict(self, X: Any) -> NDArray[np.int64]:  # noqa: N803
        """(N, C) of 1 where the probability is above its class's threshold, else 0."""
        run = self._fitted()
        return (self.predict_proba(X) > run.thresholds).astype(np.int64)

    def predict_names(self, X: Any) -> list[list[str]]:  # noqa: N803
        """The names of what `predict` finds, a list per image."""
        return [[name for name, there in zip(self.class_names_, row, strict=True) if there] for row in self.predict(X)]

    def score(self, X: Any, y: Any) -> float:  # noqa: N803
        """MAP in 0..1; unknown labels are left out, and so are classes without a present one.

        Raises:
            NotFittedError: before `fit`.
            UserError: no label of y is present.
        """
        self._fitted()
        labels = self._labels(y, self.class_names_)[0]
        return evaluate(self.predict_proba(X), labels, self.class_names_, resamples=0).mean_ap

    def save(self, path: str | Path) -> Path:
        """Write the run folder that `promptmlr train` writes, whole or not at all.

        Raises:
            NotFittedError: before `fit`.
            UserError: the folder exists.
        """
        self._fitted()
        write_folder(path, self._files)
        return Path(path)

    @classmethod
    def load(cls, path: str | Path, **arguments: Any) -> Self:
        """A fitted recognizer from a run folder, of `save` or of `promptmlr train`.

        Args:
            path: the folder, or `hf://owner/name` of the Hugging Face Hub.
            arguments: of the constructor, where they should be others than the run's: backbone, device, cache …

        Raises:
            UserError: there is no whole run.
        """
        run = load_run(path)
        config = run.config
        without_tower = arguments.get("backbone", run) is None  # then how it saw images says nothing
        known: dict[str, Any] = {
            "method": config.method,
            **({} if without_tower else _backbone_arguments(config.backbone)),
            "class_names": config.class_names,
            "recipe": config.recipe,
            "calibrate": config.calibrate,
            "random_state": config.seed,
        }
        recognizer = cls(**known | arguments)
        recognizer._take(run)
        return recognizer

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "run_")

    def __sklearn_clone__(self) -> Self:
        """A new one with the same arguments; a loaded backbone is shared, as it never changes."""
        return type(self)(**self.get_params(deep=False))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.no_validation = True
        return tags

    def _job(self, X: Any, y: Any, before: Run | None) -> tuple[TrainingJob, Backbone]:  # noqa: N803
        """What is to be trained, on what."""
        if before is not None and self.method not in (AUTO, before.config.method):
            raise UserError(f"partial_fit goes on with {before.config.method}, and method is {self.method}; call fit")
        for name in ("method", "device"):
            if not isinstance(getattr(self, name), str):
                raise UserError(f"{name}={getattr(self, name)!r}: give its name, such as {SUCH_AS[name]!r}")
        if self.select not in ("last", "val"):
            raise UserError(f"select={self.select!r}: it is 'last' or 'val'")
        if not isinstance(self.random_state, int | np.integer) or self.random_state < 0:
            raise UserError(f"random_state={self.random_state!r}: a seed is an integer from 0")
        images = image_refs(X)
        labels, names = self._labels(y, before.class_names if before else self.class_names)
        if len(labels) != len(images):
            raise UserError(f"X holds {len(images)} images and y {len(labels)} rows; give one row per image")
        ids = [image.name for image in images]
        if len(set(ids)) < len(ids):
            ids = [f"{number:09d}" for number in range(len(ids))]
        features = precomputed_features(images)
        tower = self._open() if features is None else self._given(features, text_from(self.text, names, features.width))
        labelled = LabelledImages.from_rows(
            ids, images, labels, names, "images and labels from Python", features=features
        )
        keep = np.ones(labels.shape, dtype=np.bool_)
        recipe_of = partial(self._recipe, float((labels != UNKNOWN).mean()))
        method = self.method if before is None else before.config.method
        if method == AUTO:
            seed = int(self.random_state)
            method = taken(compared_methods(labelled, keep, tower, recipe_of, seed, seed, **self._settings())).method
        job = TrainingJob(
            method=method,
            recipe=recipe_of(method),
            labelled=labelled,
            keep=keep,
            seed=int(self.random_state),
            order_seed=int(self.random_state),
            select=self.select,
            calibrate=bool(self.calibrate),
            learned=None if before is None else self._learned(),
            share=_shares(self.share, len(names)),
        )
        return job, tower

    def _train(self, X: Any, y: Any, before: Run | None) -> Self:  # noqa: N803
        job, tower = self._job(X, y, before)
        with tempfile.TemporaryDirectory(prefix="promptmlr-") as folder:
            path = train_run(job, tower, Path(folder) / "run", **self._settings())
            if before is not None:
                _keep_calibration(path, before, (job.labelled.labels != UNKNOWN).any(axis=0))
            self._take(load_run(path))
        self.run_.adopt(tower)
        return self

    def _settings(self) -> JobSettings:
        """What every job is told."""
        return JobSettings(
            cache=self._cache(),
            skip_unreadable=self.skip_unreadable,
            workers=self.workers,
            reporter=self.reporter or Reporter(),
        )

    def _recipe(self, observed: float, method: str) -> Recipe:
        """How a method is trained on this share of all labels."""
        epochs, batch_size = (
            None if n is None else int(n) for n in (self.epochs, self.batch_size)
        )  # numpy's, of a grid
        recipe = load_recipe(
            self.recipe,
            method,
            observed=observed,
            epochs=epochs,
            batch_size=batch_size,
            unknown=self.unknown,
            templates=self.templates,
            texts=self.texts,
        )
        return as_compared(recipe, method) if self.method == AUTO else recipe

    def _take(self, run: Run) -> None:
        """Hold a run, and the files of its folder."""
        self.run_ = run
        self.method_ = run.config.method
        self._files = {file.name: file.read_bytes() for file in sorted(run.path.iterdir()) if file.name in FILES}
        self.class_names_ = self.run_.class_names
        self.classes_ = np.array(self.class_names_)

    def _labels(self, y: Any, class_names: Sequence[str] | None) -> tuple[Labels, tuple[str, ...]]:
        return labels_from(y, class_names, self.unlisted)

    def _open(self) -> Backbone:
        if self.text is not None:
            raise UserError(
                "text= is about features, and X holds images, whose backbone reads the class names; leave it out"
            )
        if isinstance(self.backbone, Backbone):
            return self.backbone
        crops = int(self.crops)  # numpy's, of a grid
        return _opened(self.backbone, self.pretrained, self.image_size, self.device, self.regions, crops)

    def _given(self, features: Features, text: Mapping[str, NDArray[np.float32]]) -> Backbone:
        """What stands for the backbone of features."""
        for name in ("backbone", "pretrained", "image_size", "regions", "crops"):
            if getattr(self, name):
                raise UserError(f"X holds features, which no backbone sees again; leave {name}= out")
        return PrecomputedFeatures(features.width, text, self.device)

    def _cache(self) -> RegionCache | None:
        """The constructor takes a folder or False, as scikit-learn's grids vary plain values; or options."""
        if isinstance(self.cache, CacheOptions):
            return open_cache(self.cache)
        return open_cache(CacheOptions(cache=str(self.cache) if self.cache else None, no_cache=self.cache is False))

    def _learned(self) -> dict[str, Tensor]:
        """The learned tensors of the run, as they were before folding."""
        tensors = safetensors.torch.load(self._files[WEIGHTS])
        return {name.removeprefix("learned."): part for name, part in tensors.items() if name.startswith("learned.")}

    def _fitted(self) -> Run:
        if not hasattr(self, "run_"):
            raise NotFittedError("this MultiLabelRecognizer is not fitted yet; call fit, or load one")
        return self.run_


def _shares(share: float | Sequence[float] | None, classes: int) -> float | tuple[float, ...] | None:
    """One share in (0, 1) for all classes, or one each."""
    if share is None:
        return None
    found = np.asarray(share, dtype=np.float64)
    if found.shape not in ((), (classes,)) or not ((found > 0) & (found < 1)).all():
        raise UserError(f"share={share!r}: give one number between 0 and 1, or {classes} of them")
    return float(found) if found.shape == () else tuple(found.tolist())


def _backbone_arguments(record: BackboneRecord) -> dict[str, Any]:
    """The constructor's, for a run's backbone; none for features."""
    if record.preprocessing is None:
        return {}
    size, crops = record.preprocessing.image_size, record.preprocessing.crops
    named = {"backbone": record.name, "pretrained": record.pretrained}
    return named | {"image_size": size, "regions": record.regions, "crops": crops}


def _keep_calibration(path: Path, before: Run, seen: NDArray[np.bool_]) -> None:
    """In a run folder, give the classes of which nothing was seen the calibration that they had before."""
    found = load_run(path).calibration
    if found is not None:
        found = found.for_classes(seen, before.calibration, before.config.threshold)
    found = found or before.calibration
    if found is not None:
        write_json(path / CALIBRATION, found)


@lru_cache(maxsize=1)
def _opened(
    name: str | Path | None,
    pretrained: str | None,
    image_size: int | None,
    device: str,
    regions: str | None,
    crops: int,
) -> Backbone:
    """A backbone that the next estimator of a cross-validation takes as well."""
    return open_backbone(name, pretrained, image_size, device=device, regions=regions, crops=crops)
